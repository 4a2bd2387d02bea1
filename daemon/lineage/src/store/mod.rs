//! All known tasks and thread groups, and the links between them.
//!
//! The fields of [`Store`] are private to this folder: the rest of the crate changes links, states, queues and counts by
//! methods that keep [`Store::check`] true.
//!
//! | file | what |
//! |---|---|
//! | `tables/` | slots that keep their place, the index by tid, interned paths, combinations of facts that groups share |
//! | `slot/` | what is stored of a task, of a thread group, of a parent |
//! | `extra` | facts that few groups have, in a small form for zombies; the tasks of a group |
//! | `side_tables` | facts that few groups have or that many groups share, stored outside of the group |
//! | `find`, `relatives` | find a task, its group and its parent; change nothing |
//! | `slots`, `links` | add and remove tasks; link them to their group and their parent |
//! | `state_transition`, `zombie`, `queue` | move tasks through their states and through the queues that a tick reads |
//! | `reaping` | who reaped a group, until it is released |
//! | `exact_start` | start times that are not known exactly |
//! | `prefetch` | fetches cache lines before they are needed |
//! | `candidates` | groups that may leak |
//! | `counts`, `check` | numbers of stored items; the invariants |

pub(crate) mod slot;
pub(crate) mod tables;

pub(crate) mod candidates;
mod check;
pub(crate) mod counts;
mod exact_start;
mod extra;
mod find;
mod links;
mod prefetch;
pub(crate) mod queue;
pub(crate) mod reaping;
mod relatives;
mod side_tables;
pub(crate) mod slots;
mod state_transition;
mod zombie;

use std::ops::{Index, IndexMut};

use crate::config::Room;
use crate::model::id::Ktime;
use crate::model::task::StateCounts;
use crate::model::usage::Descent;

use self::candidates::Candidates;
use self::queue::Queues;
use self::reaping::LastReaping;
use self::slot::group::{Extra, Group, Rare};
use self::slot::packed_usage::UsageStore;
use self::slot::parent_account::Account;
use self::slot::pending_reparent::PendingReparent;
use self::slot::small_extra::SmallExtra;
use self::slot::task::Task;
use self::tables::arena::{Arena, Ix};
use self::tables::id_map::IdMap;
use self::tables::index::TidTable;
use self::tables::paths::Paths;
use self::tables::profile::Profiles;

/// The newest task of each tid; older ones are linked by `Task::same_tid`.
type TidIndex = TidTable<Ix<Task>>;

/// All known tasks and thread groups.
pub(crate) struct Store {
    tasks: Arena<Task>,
    groups: Arena<Group>,
    extras: Arena<Extra>,
    small_extras: Arena<SmallExtra>,
    /// Zombies whose `Extra` may fit into a `SmallExtra` now.
    unpacked: Vec<Ix<Group>>,
    rares: Arena<Rare>,
    pending_reparents: Arena<PendingReparent>,
    usages: UsageStore,
    profiles: Profiles,
    debts: Arena<Account>,
    /// What the dead children of a group used, if it has any.
    sums: Arena<Descent>,
    index: TidIndex,
    queues: Queues,
    paths: Paths,
    /// Init of each pid namespace below the initial one.
    namespaces: IdMap<u32, Ix<Group>>,
    /// The number of groups that adopted orphans as subreapers.
    subreapers: u32,
    /// The number of dead leaders with live threads.
    dead_leaders: usize,
    state_counts: StateCounts,
    /// The last group whose reaper a record showed.
    last_reaping: Option<LastReaping>,
    /// The last group whose end was emitted, and when that was.
    last_group_exit: Option<(Ix<Group>, Ktime)>,
    /// Groups that may leak.
    candidates: Candidates,
}

impl Store {
    /// Returns an empty store. It calls `room` for each large piece of memory that it allocates.
    pub(crate) fn new(room: Option<Room>) -> Self {
        Self {
            tasks: Arena::new(room),
            groups: Arena::new(room),
            extras: Arena::new(room),
            small_extras: Arena::new(room),
            unpacked: Vec::new(),
            rares: Arena::new(room),
            pending_reparents: Arena::new(room),
            usages: UsageStore::new(room),
            profiles: Profiles::default(),
            debts: Arena::new(room),
            sums: Arena::new(room),
            index: TidIndex::default(),
            queues: Queues::default(),
            paths: Paths::default(),
            namespaces: IdMap::default(),
            subreapers: 0,
            dead_leaders: 0,
            state_counts: StateCounts::default(),
            last_reaping: None,
            last_group_exit: None,
            candidates: Candidates::default(),
        }
    }
}

/// Implements indexing of the store by each type of slot.
macro_rules! indexed {
    ($($arena:ident: $t:ty),* $(,)?) => {$(
        impl Index<Ix<$t>> for Store {
            type Output = $t;

            fn index(&self, ix: Ix<$t>) -> &$t {
                &self.$arena[ix]
            }
        }

        impl IndexMut<Ix<$t>> for Store {
            fn index_mut(&mut self, ix: Ix<$t>) -> &mut $t {
                &mut self.$arena[ix]
            }
        }
    )*};
}
indexed!(tasks: Task, groups: Group, rares: Rare, debts: Account, sums: Descent);
