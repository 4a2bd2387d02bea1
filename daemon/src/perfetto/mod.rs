//! SHELL: lives of processes as a trace that Perfetto shows (<https://ui.perfetto.dev>): docs/perfetto.md.
//!
//! | file | what |
//! |---|---|
//! | `trace` | the messages of a trace, and the file |
//! | `tracks` | which slices are open on which track |
//! | `effects` | a trace from the effects of a replayed recording |
//! | `lives` | a trace from records of lives |
//!
//! The messages have 8 types with about 30 fields, and the encoder of recordings already writes that encoding. So there is no crate
//! for protocol buffers, and no generated code.

mod effects;
mod lives;
mod trace;
mod tracks;

pub use self::{effects::EffectTrace, lives::LifeTrace, trace::Written};
