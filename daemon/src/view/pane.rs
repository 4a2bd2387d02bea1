//! The panes, and their rows and columns.

/// A part of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// Parents that do not reap their zombies.
    ZombieParents,
    /// Processes that ended, and why.
    Deaths,
    /// Tasks in uninterruptible sleep, and tasks that are stuck in `do_exit()`.
    Blocked,
    /// Processes that were reparented.
    Reparented,
    /// Every process.
    Tree,
    /// The stream of events.
    Events,
}

/// A column of a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Whether it has numbers, which are aligned to the right.
    pub number: bool,
    /// Its width in columns of the terminal; the last column of a pane takes the rest.
    pub width: u16,
    /// Additional width in a wide pane.
    pub extra: u16,
}

/// How urgent a row is. Each mark has a sign, because not everybody can see colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing unusual.
    #[default]
    None,
    /// A process or an operator has to act.
    Bad,
    /// Unusual.
    Odd,
    /// Less important.
    Faint,
}

impl Mark {
    /// Returns the sign before the row.
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
    /// Its identity, if known.
    pub entity_id: Option<String>,
    /// Its parent, if the row has it.
    pub parent: Option<u32>,
}

/// A row. Its texts are escaped for a terminal.
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
    /// Index in [`Pane::orders`].
    pub(super) order: usize,
    /// The selected row, by position and by identity (`id`). If the first row is selected it is selected by position alone, so that
    /// the first row stays selected when a new row comes before it.
    pub(super) at: usize,
    pub(super) id: Option<u64>,
    /// Rows that are left after the filter, in order.
    pub(super) rows: Vec<u32>,
}

pub(super) const fn number(title: &'static str, width: u16) -> Column {
    Column { title, number: true, width, extra: 0 }
}

pub(super) const fn text(title: &'static str, width: u16, extra: u16) -> Column {
    Column { title, number: false, width, extra }
}

const TIME: Column = text("TIME", 8, 0);
const PROCESS: Column = text("PROCESS", 20, 4);

impl Pane {
    /// All panes, in the order of their numbers.
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

    /// Returns the text for a pane without rows.
    #[must_use]
    pub const fn nothing(self) -> &'static str {
        match self {
            Self::ZombieParents => "no parent has zombies",
            Self::Deaths => "no process has ended with a signal or a code other than 0",
            Self::Blocked => "no task is blocked or stuck",
            Self::Reparented => "no process was reparented",
            Self::Tree => "no process is known yet",
            Self::Events => "nothing has happened yet",
        }
    }

    /// Returns the text for a pane without rows while a past time is shown.
    #[must_use]
    pub const fn nothing_then(self) -> &'static str {
        match self {
            Self::ZombieParents => "no parent had zombies",
            Self::Deaths => {
                "no process is known to have ended with a signal or a code other than 0 until then"
            }
            Self::Blocked | Self::Reparented => "known for the present only",
            Self::Tree => "no process is known of that time",
            Self::Events => "known for the present only; taskscope events --since reads older ones",
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

    /// Returns the orders in which it can be sorted; the first is the default.
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
