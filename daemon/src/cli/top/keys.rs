//! What the keys do.

mod mouse;

use std::borrow::Cow;

use ratatui::layout::Rect;

use crate::{
    answer::TaskSelector,
    cli::full_screen::{input::Key, scroll, switch_mouse, type_filter},
    view::{Pane, View},
};

/// The help text of the keys.
pub(super) const HELP: &str = "\
Panes
  Tab, Shift-Tab, 1 to 6   choose the pane that keys act on
  z                        show this pane alone, or all panes

Rows
  Up Down k j, PgUp PgDn   choose a row
  Home End, g G            choose the first or the last row
  Enter                    what `taskscope explain` prints for the process
  p                        its parent in the tree
  c                        on a zombie: the parent that has not waited for it; on that parent: its place in the tree

What is shown
  /                        only rows with the text that you type; Enter keeps the filter, Esc removes it
  s                        change the sort order
  f                        in the tree: fold a subtree, or unfold a row `x 500`
  x                        in the tree: processes of one name as one row, or each on its own row
  Space                    pause or continue; events in the meantime are added then
  t                        a past time, such as 10m (ago), 14:30 or 2026-11-20 14:30; no time, or Esc: the present

m                          mouse on or off: a click chooses a row or a pane, the wheel moves the selection; while it is
                           on, most terminals select text with Shift
q, Ctrl-C                  quit
?                          show these keys

! needs action             * may need action";

/// What is shown over the panes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing.
    #[default]
    Nothing,
    /// A text, and its first line that is shown.
    Text(&'static str, String, u16),
    /// A filter is being typed.
    Typing,
    /// A time is being typed.
    Time(String),
}

/// A pane where it was drawn last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DrawnPane {
    pub(super) pane: Pane,
    pub(super) place: Rect,
}

/// The user's choices that are not part of the view.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) over: Over,
    /// Whether one pane is shown alone.
    pub(super) alone: bool,
    /// A message about a key that could not be handled, until the next key.
    pub(super) note: Option<Cow<'static, str>>,
    /// Rows of the focused pane, as last drawn.
    pub(super) page: usize,
    /// Whether the terminal reports the mouse.
    pub(super) mouse: bool,
    /// The panes, as last drawn.
    pub(super) drawn: Vec<DrawnPane>,
    /// For each pane, the first row that is visible.
    pub(super) first_rows: [usize; Pane::ALL.len()],
}

/// What the caller must do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Go,
    Quit,
    Explain(TaskSelector),
    /// Show the time that this text says.
    Past(String),
    /// Show the present again.
    Present,
}

/// Handles a key.
pub(super) fn press(key: Key, view: &mut View, choice: &mut Choice) -> Then {
    choice.note = None;
    if matches!(key, Key::Control('c' | 'd')) {
        return Then::Quit;
    }
    if let Key::Mouse(mouse) = key {
        mouse::point(mouse, view, choice);
        return Then::Go;
    }
    match &mut choice.over {
        Over::Time(text) => {
            match key {
                Key::Char(c) => text.push(c),
                Key::Backspace => {
                    text.pop();
                }
                Key::Enter | Key::Escape => {
                    let text = if key == Key::Enter { std::mem::take(text) } else { String::new() };
                    choice.over = Over::Nothing;
                    return if text.trim().is_empty() { Then::Present } else { Then::Past(text) };
                }
                _ => {}
            }
            Then::Go
        }
        Over::Typing => typed(key, view, choice),
        Over::Text(_, text, at) => {
            if !scroll(key, text, at) {
                choice.over = Over::Nothing;
            }
            Then::Go
        }
        Over::Nothing => chosen(key, view, choice),
    }
}

fn typed(key: Key, view: &mut View, choice: &mut Choice) -> Then {
    let mut filter = view.filter().to_owned();
    if !type_filter(key, &mut filter) {
        choice.over = Over::Nothing;
    }
    view.set_filter(filter);
    Then::Go
}

fn chosen(key: Key, view: &mut View, choice: &mut Choice) -> Then {
    let page = isize::try_from(choice.page.max(1)).unwrap_or(isize::MAX);
    let focus = view.focus() as usize;
    let nth = |n: usize| Pane::ALL.get(n % Pane::ALL.len()).copied().unwrap_or(Pane::ZombieParents);
    match key {
        Key::Char('q') => return Then::Quit,
        Key::Escape if view.past().is_some() => return Then::Present,
        Key::Escape => {
            view.set_filter(String::new());
            choice.alone = false;
        }
        Key::Char('?' | 'h') | Key::Help => choice.over = Over::Text("Keys", HELP.into(), 0),
        Key::Tab | Key::Right => view.set_focus(nth(focus + 1)),
        Key::BackTab | Key::Left => view.set_focus(nth(focus + Pane::ALL.len() - 1)),
        Key::Char(c @ '1'..='6') => view.set_focus(nth((c as usize).saturating_sub('1' as usize))),
        Key::Char('z') => choice.alone = !choice.alone,
        Key::Down | Key::Char('j') => view.move_by(1),
        Key::Up | Key::Char('k') => view.move_by(-1),
        Key::PageDown => view.move_by(page),
        Key::PageUp => view.move_by(-page),
        Key::Home | Key::Char('g') => view.move_by(isize::MIN),
        Key::End | Key::Char('G') => view.move_by(isize::MAX),
        Key::Char('/') => choice.over = Over::Typing,
        Key::Char('t') => choice.over = Over::Time(String::new()),
        Key::Char('m') => choice.note = Some(switch_mouse(&mut choice.mouse).into()),
        Key::Char('s') => view.next_order(),
        Key::Char('f') => view.toggle_fold(),
        Key::Char('x') => view.toggle_groups(),
        Key::Char(' ') => view.toggle_pause(),
        Key::Char('p') if !view.jump_to_parent() => {
            choice.note = Some("its parent is not in the tree".into());
        }
        Key::Char('c') => {
            let missing = match view.focus() {
                Pane::ZombieParents => "it is not in the tree yet",
                _ => "no parent has to wait for it",
            };
            choice.note = (!view.jump_to_responsible()).then(|| missing.into());
        }
        Key::Enter => {
            let Some(target) = view.target() else { return Then::Go };
            let selector = target.entity_id.map_or(TaskSelector::Pid(target.pid), TaskSelector::Entity);
            return Then::Explain(selector);
        }
        _ => {}
    }
    Then::Go
}
