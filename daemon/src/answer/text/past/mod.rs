//! Answers from the history as text: the lives of one process (`life`), the zombies of a past time, and the difference of two times.

mod difference;
mod life;
mod zombies;

pub use self::{difference::difference, life::past_lives, zombies::past_zombies};
