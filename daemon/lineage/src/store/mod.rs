//! What is known of every task and thread group, and the links between them.
//!
//! The fields of [`Store`] are private to this folder: the rest of the crate changes links, states, queues and counts by
//! methods that keep [`Store::check`] true.
//!
//! | file | what |
//! |---|---|
//! | `arena` | slots that keep their place |
//! | `index` | from a tid to the newest task that has it |
//! | `task`, `group`, `parent_account` | what is stored of a task, of a thread group, of a parent |
//! | `side_tables` | what few groups have, kept beside them |
//! | `find`, `relatives` | looks a task, its group and its parents up; changes nothing |
//! | `slots`, `links` | adds and removes tasks; joins them to their group and their parent |
//! | `state_transition`, `zombie`, `queue` | moves tasks through their states and the queues that time works on |
//! | `exact_start` | start times that are known by their tick only |
//! | `counts` | how much is stored |
//! | `paths`, `tgid_hash` | each path once; a hash for small numbers |
//! | `prefetch` | fetches cache lines before they are needed |
//! | `check` | the invariants |

pub(crate) mod arena;
pub(crate) mod group;
pub(crate) mod index;
pub(crate) mod parent_account;
pub(crate) mod paths;
pub(crate) mod task;
pub(crate) mod tgid_hash;

mod check;
mod counts;
mod exact_start;
mod find;
mod links;
mod prefetch;
pub(crate) mod queue;
mod relatives;
mod side_tables;
mod slots;
mod state_transition;
mod zombie;

use std::collections::HashMap;
use std::ops::{Index, IndexMut};

use crate::model::state_counts::Census;
use crate::model::usage::Descent;

use self::arena::{Arena, Ix, Room};
use self::group::{Group, Rare};
use self::index::TidIndex;
use self::parent_account::Account;
use self::paths::Paths;
use self::queue::Queues;
use self::task::Task;

/// Every task and thread group that is known.
pub(crate) struct Store {
    tasks: Arena<Task>,
    groups: Arena<Group>,
    rares: Arena<Rare>,
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
    census: Census,
}

impl Store {
    /// An empty store. `room` is told of each large piece of memory that it takes.
    pub(crate) fn new(room: Option<Room>) -> Self {
        Self {
            tasks: Arena::new(room),
            groups: Arena::new(room),
            rares: Arena::new(room),
            debts: Arena::new(room),
            sums: Arena::new(room),
            index: TidIndex::default(),
            queues: Queues::default(),
            paths: Paths::default(),
            namespaces: HashMap::new(),
            subreapers: 0,
            dead_leaders: 0,
            census: Census::default(),
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
