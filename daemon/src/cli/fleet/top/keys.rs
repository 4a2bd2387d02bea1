//! What the keys do.

use std::borrow::Cow;

use ratatui::layout::Rect;

use crate::{
    cli::full_screen::{
        input::{Key, Mouse, MouseAction},
        scroll, switch_mouse, type_filter,
    },
    view::fleet::FleetView,
};

/// The help text of the keys.
pub(super) const HELP: &str = "\
Hosts
  Up Down k j, PgUp PgDn   choose a host
  Home End, g G            choose the first or the last host
  Enter                    the view of this host, as `taskscope top` shows it; q there returns to the hosts

What is shown
  /                        only hosts whose name, state, version or causes of deaths contain the text that you type;
                           Enter keeps the filter, Esc removes it
  s                        change the sort order
  Space                    pause or continue; no host is asked meanwhile

m                          mouse on or off: a click chooses a host, the wheel moves the selection; while it is on,
                           most terminals select text with Shift
q, Ctrl-C                  quit
?                          show these keys

Columns
  ZOMB, ZOMBIES  all zombies            OLD     those that are flagged
  OLDEST         age of the oldest      DEBT    sum of the ages of all zombies
  PIDS           how much of the fullest limit on pids is used
  /MIN           processes that ended within the last minute, without those that exited with code 0
  LOST, DRIFT    lost records, and differences from the kernel that no known loss explains

! needs action: no answer, not ready, flagged zombies, a full limit
* may need action: drift, a limit that is at least 80 % full, deaths by oom, fault, seccomp or cpu_limit,
  a problem that the daemon reports, an incomplete answer";

/// Rows that one step of the wheel moves.
const STEP: isize = 3;

/// What is shown over the hosts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing.
    #[default]
    Nothing,
    /// The help, and its first line that is shown.
    Help(u16),
    /// A filter is being typed.
    Typing,
}

/// The user's choices that are not part of the view.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) over: Over,
    /// A message until the next key.
    pub(super) note: Option<Cow<'static, str>>,
    /// Whether the terminal reports the mouse.
    pub(super) mouse: bool,
    /// The place of the rows, as last drawn.
    pub(super) rows: Rect,
    /// The first row that is visible.
    pub(super) first_row: usize,
}

/// What the caller must do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Go,
    Quit,
    /// Show the host with this number.
    Open(usize),
}

/// Handles a key.
pub(super) fn press(key: Key, view: &mut FleetView, choice: &mut Choice) -> Then {
    choice.note = None;
    if matches!(key, Key::Control('c' | 'd')) {
        return Then::Quit;
    }
    view.refresh();
    match &mut choice.over {
        Over::Help(at) => {
            if !scroll(key, HELP, at) {
                choice.over = Over::Nothing;
            }
            Then::Go
        }
        Over::Typing => {
            typed(key, view, choice);
            Then::Go
        }
        Over::Nothing => chosen(key, view, choice),
    }
}

fn typed(key: Key, view: &mut FleetView, choice: &mut Choice) {
    let mut filter = view.filter().to_owned();
    if !type_filter(key, &mut filter) {
        choice.over = Over::Nothing;
    }
    view.set_filter(filter);
}

fn chosen(key: Key, view: &mut FleetView, choice: &mut Choice) -> Then {
    let page = isize::try_from(choice.rows.height.max(1)).unwrap_or(1);
    match key {
        Key::Char('q') => return Then::Quit,
        Key::Escape => view.set_filter(String::new()),
        Key::Char('?' | 'h') | Key::Help => choice.over = Over::Help(0),
        Key::Down | Key::Char('j') => view.move_by(1),
        Key::Up | Key::Char('k') => view.move_by(-1),
        Key::PageDown => view.move_by(page),
        Key::PageUp => view.move_by(-page),
        Key::Home | Key::Char('g') => view.move_by(isize::MIN),
        Key::End | Key::Char('G') => view.move_by(isize::MAX),
        Key::Char('/') => choice.over = Over::Typing,
        Key::Char('s') => view.next_order(),
        Key::Char(' ') => view.toggle_pause(),
        Key::Char('m') => choice.note = Some(switch_mouse(&mut choice.mouse).into()),
        Key::Mouse(mouse) => point(mouse, view, choice),
        Key::Enter => return view.chosen().map_or(Then::Go, Then::Open),
        _ => {}
    }
    Then::Go
}

fn point(mouse: Mouse, view: &mut FleetView, choice: &Choice) {
    match mouse.what {
        MouseAction::WheelDown => view.move_by(STEP),
        MouseAction::WheelUp => view.move_by(-STEP),
        MouseAction::Click if choice.rows.contains((mouse.x, mouse.y).into()) => {
            view.select(choice.first_row + usize::from(mouse.y - choice.rows.y));
        }
        MouseAction::Click => {}
    }
}
