//! A report as text, Markdown and HTML, all of the same sections.

pub(super) mod html;
pub(super) mod markdown;
pub(super) mod sections;
pub(super) mod text;
