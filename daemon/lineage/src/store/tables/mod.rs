//! The tables of the store.
//!
//! | file | what |
//! |---|---|
//! | `arena` | slots that keep their place, numbered by `Ix` |
//! | `id_map` | maps from ids that the kernel assigns in sequence |
//! | `index` | an entry for each tid, without a hash |
//! | `paths` | the path of each program, kept once |
//! | `profile` | combinations of cgroup, pid namespace, uid and clone flags, each kept once |

pub(crate) mod arena;
pub(crate) mod id_map;
pub(crate) mod index;
pub(crate) mod paths;
pub(crate) mod profile;
