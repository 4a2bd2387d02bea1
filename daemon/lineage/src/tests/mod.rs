//! Lives told record by record, as one kernel or another tells them.
//!
//! | file | what |
//! |---|---|
//! | `scene` | a lineage that is fed record by record, with its invariants checked after each |
//! | `life` | what a life shows, alive and afterwards |
//! | `usage` | what groups and their children used |
//! | `memory` | budgets in bytes: a live task, a zombie, a remembered life |

mod life;
mod memory;
mod scene;
mod usage;
