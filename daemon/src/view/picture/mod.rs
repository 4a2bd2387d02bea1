//! Pictures for reports: the tree and the timeline as SVG, and the tree for Graphviz.

mod bars;
mod dot;
mod job;
mod layout;
mod svg;
mod timeline;
mod tree;

pub use self::{bars::Timeline, dot::tree_dot, timeline::timeline_svg, tree::tree_svg};
