//! The panes, and what a row of one is.

/// A part of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// Parents that owe zombies a wait.
    ZombieParents,
    /// Processes that ended, and why.
    Deaths,
    /// Tasks that sleep uninterruptibly, and those that do not come out of `do_exit()`.
    Blocked,
    /// Processes that got another parent.
    Reparented,
    /// Every process.
    Tree,
    /// What happens.
    Events,
}

/// A column of a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Whether it holds numbers, which stand on the right.
    pub number: bool,
    /// Columns of a terminal that it takes; the last column of a pane takes the rest.
    pub width: u16,
    /// Columns more where the pane is wide.
    pub extra: u16,
}

/// What stands out, and why. A sign goes with it: a colour alone says nothing to many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing does.
    #[default]
    None,
    /// Somebody has to act.
    Bad,
    /// Worth a look.
    Odd,
    /// Read last.
    Faint,
}

impl Mark {
    /// The sign before the row.
    #[must_use]
    pub const fn sign(self) -> char {
        match self {
            Self::Bad => '!',
            Self::Odd => '*',
            Self::None | Self::Faint => ' ',
        }
    }
}

/// The process that a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its pid.
    pub pid: u32,
    /// Its identity, where that is known.
    pub entity_id: Option<String>,
    /// Its parent, where the row knows it.
    pub parent: Option<u32>,
}

/// A row. Its texts are escaped: no terminal acts on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What stands out.
    pub mark: Mark,
    /// A text for each column.
    pub cells: Vec<String>,
    /// The process that it is about.
    pub target: Option<Target>,
}

/// What the user chose in a pane, and the rows that follow from it.
#[derive(Debug, Default)]
pub(super) struct PaneState {
    /// In [`Pane::orders`].
    pub(super) order: usize,
    /// The chosen row, by position and by identity; the first has none, so that it stays first.
    pub(super) at: usize,
    pub(super) id: Option<u64>,
    /// Rows that are left after the filter, in order.
    pub(super) rows: Vec<u32>,
}

const fn number(title: &'static str, width: u16) -> Column {
    Column { title, number: true, width, extra: 0 }
}

const fn text(title: &'static str, width: u16, extra: u16) -> Column {
    Column { title, number: false, width, extra }
}

const TIME: Column = text("TIME", 8, 0);
const PROCESS: Column = text("PROCESS", 20, 4);

impl Pane {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::ZombieParents, Self::Deaths, Self::Blocked, Self::Reparented, Self::Tree, Self::Events];

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::ZombieParents => "Zombies by parent",
            Self::Deaths => "Deaths",
            Self::Blocked => "Blocked, stuck",
            Self::Reparented => "Reparented",
            Self::Tree => "Tree",
            Self::Events => "Events",
        }
    }

    /// What it says where it has no row.
    #[must_use]
    pub const fn nothing(self) -> &'static str {
        match self {
            Self::ZombieParents => "no parent owes a wait",
            Self::Deaths => "no process has ended but with exit code 0",
            Self::Blocked => "no task is blocked or stuck",
            Self::Reparented => "no process got another parent",
            Self::Tree => "no process is known yet",
            Self::Events => "nothing has happened yet",
        }
    }

    /// Its columns.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::ZombieParents => {
                const {
                    &[
                        number("ZOMBIES", 7),
                        number("OLDEST", 11),
                        number("/MIN", 6),
                        text("PARENT", 24, 8),
                        text("WHY", 0, 0),
                    ]
                }
            }
            Self::Deaths => const { &[TIME, text("CAUSE", 9, 3), PROCESS, text("WHY", 0, 0)] },
            Self::Blocked => {
                const { &[number("FOR", 11), text("STATE", 8, 8), PROCESS, text("WAITS FOR", 0, 0)] }
            }
            Self::Reparented => const { &[TIME, PROCESS, text("FROM", 18, 8), text("TO", 0, 0)] },
            Self::Tree => {
                const { &[number("CPU%", 6), number("CPU TIME", 11), number("PROCS", 6), text("PROCESS", 0, 0)] }
            }
            Self::Events => const { &[TIME, text("ACTION", 13, 2), PROCESS, text("WHAT", 0, 0)] },
        }
    }

    /// By what it can be sorted, the first to begin with.
    #[must_use]
    pub const fn orders(self) -> &'static [&'static str] {
        match self {
            Self::ZombieParents => &["zombies", "age", "rate", "name"],
            Self::Deaths => &["time", "cause", "name"],
            Self::Blocked => &["age", "name"],
            Self::Reparented | Self::Events => &["time", "name"],
            Self::Tree => &["cpu", "cpu time", "processes", "pid", "name"],
        }
    }
}
