//! Lines of taskscope as data: an event, conditions on it, the normal form of a stream, the tree that a stream describes.

pub mod event;
pub mod life;
pub mod matcher;
pub mod normal;
pub mod replay;
pub mod stream;
pub mod view;
