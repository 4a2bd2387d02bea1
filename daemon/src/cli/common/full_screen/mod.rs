//! Views that take the whole terminal: `top` and `fleet top`.
//!
//! - `app`: draws a view and passes keys to it, until a key or a signal ends it
//! - `taken`: takes the terminal, and restores it however the view ends
//! - `input`: keys, from the bytes that a terminal sends
//! - `pen`: draws lines, rows and texts within an area
//! - `over`: what keys do to a text over the view, to a filter, and to the mouse
//! - `frame`: one frame as text

mod app;
mod frame;
pub(in crate::cli) mod input;
mod over;
mod pen;
mod taken;

pub(in crate::cli) use self::{
    app::{App, Due, Ended, show},
    frame::print,
    over::{scroll, switch_mouse, type_filter},
    pen::{Pen, TerminalCaps, columns, overlay, places, row_at},
    taken::Taken,
};
