//! What is known of every task and thread group, and the links between them.
//!
//! The fields of [`Store`] are private to this folder: the rest of the crate changes links, states, queues and counts by
//! methods that keep [`Store::check`] true.
//!
//! | file | what |
//! |---|---|
//! | `tables/` | slots that keep their place, the index by tid, interned paths, combinations of facts that groups share |
//! | `slot/` | what is stored of a task, of a thread group, of a parent |
//! | `extra` | what few groups have: in full, or small in a zombie; the tasks of a group |
//! | `side_tables` | what few groups have, and what many share, kept beside them |
//! | `find`, `relatives` | look a task, its group and its parents up; change nothing |
//! | `slots`, `links` | add and remove tasks; join them to their group and their parent |
//! | `state_transition`, `zombie`, `queue` | move tasks through their states and through the queues that time works on |
//! | `reaping` | who reaped a group, until it is released |
//! | `exact_start` | start times that are known by their tick only |
//! | `prefetch` | fetches cache lines before they are needed |
//! | `counts`, `check` | how much is stored; the invariants |

pub(crate) mod slot;
pub(crate) mod tables;

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

use std::collections::HashMap;
use std::ops::{Index, IndexMut};

use crate::config::Room;
use crate::model::id::Ktime;
use crate::model::task::StateCounts;
use crate::model::usage::Descent;

use self::queue::Queues;
use self::reaping::LastReaping;
use self::slot::group::{Extra, Group, Rare};
use self::slot::packed_usage::UsageStore;
use self::slot::parent_account::Account;
use self::slot::pending_reparent::PendingReparent;
use self::slot::small_extra::SmallExtra;
use self::slot::task::Task;
use self::tables::arena::{Arena, Ix};
use self::tables::index::TidIndex;
use self::tables::paths::Paths;
use self::tables::profile::Profiles;

/// Every task and thread group that is known.
pub(crate) struct Store {
    tasks: Arena<Task>,
    groups: Arena<Group>,
    extras: Arena<Extra>,
    small_extras: Arena<SmallExtra>,
    /// Zombies whose extra may have come to fit in the small form.
    unpacked: Vec<Ix<Group>>,
    rares: Arena<Rare>,
    pending_reparents: Arena<PendingReparent>,
    usages: UsageStore,
    profiles: Profiles,
    debts: Arena<Account>,
    /// What the dead children of a group used, where it has any.
    sums: Arena<Descent>,
    index: TidIndex,
    queues: Queues,
    paths: Paths,
    /// Init of each pid namespace below the initial one.
    namespaces: HashMap<u32, Ix<Group>>,
    /// Groups that were seen to adopt orphans.
    subreapers: u32,
    /// Dead leaders with live threads.
    dead_leaders: usize,
    state_counts: StateCounts,
    /// The last group of which a record showed who reaped it.
    last_reaping: Option<LastReaping>,
    /// The last group whose end was emitted, and when that was.
    last_group_exit: Option<(Ix<Group>, Ktime)>,
}

impl Store {
    /// An empty store. `room` is told of each large piece of memory that it takes.
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
            namespaces: HashMap::new(),
            subreapers: 0,
            dead_leaders: 0,
            state_counts: StateCounts::default(),
            last_reaping: None,
            last_group_exit: None,
        }
    }
}

/// Gives each kind of place in the store its slot.
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
