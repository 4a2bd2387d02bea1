//! What keys do in every view: to a text over it that scrolls, to a filter that is being typed, and to the mouse.

use super::input::Key;

/// Scrolls a text by a key; returns whether the text is still shown.
pub(in crate::cli) fn scroll(key: Key, text: &str, at: &mut u16) -> bool {
    let most = u16::try_from(text.lines().count()).unwrap_or(u16::MAX).saturating_sub(1);
    match key {
        Key::Down | Key::Char('j') => *at = (*at + 1).min(most),
        Key::Up | Key::Char('k') => *at = at.saturating_sub(1),
        Key::PageDown | Key::Char(' ') => *at = (*at + 10).min(most),
        Key::PageUp => *at = at.saturating_sub(10),
        Key::Home => *at = 0,
        _ => return false,
    }
    true
}

/// Changes a filter by a key; returns whether it is still being typed. Escape clears it.
pub(in crate::cli) fn type_filter(key: Key, filter: &mut String) -> bool {
    match key {
        Key::Char(c) => filter.push(c),
        Key::Backspace => {
            filter.pop();
        }
        Key::Enter => return false,
        Key::Escape => {
            filter.clear();
            return false;
        }
        _ => {}
    }
    true
}

/// Switches the mouse on or off; returns a note for the user.
pub(in crate::cli) const fn switch_mouse(mouse: &mut bool) -> &'static str {
    *mouse = !*mouse;
    if *mouse {
        "mouse on: a click chooses, the wheel moves; m switches it off, Shift selects text"
    } else {
        "mouse off"
    }
}
