//! When a unit or container began and ended, as text.

use super::{Ink, Style, columns, moment};
use crate::answer::scope::ScopeStory;

/// One line: when it ended, or when it began if it has not ended, and the summary.
#[must_use]
pub fn scope(story: &ScopeStory, style: Style) -> String {
    const INDENT: usize = 4;
    let at = story.ended.as_ref().or(story.began.as_ref());
    let time = at.map_or_else(|| "-".into(), |at| moment(at, style));
    let ink = match (&story.end, &story.first_death) {
        (Some(_), Some(_)) => Ink::Bad,
        (Some(_), None) => Ink::Odd,
        (None, _) => Ink::Good,
    };
    let text = style.wrap_after(&story.summary, columns(&time) + 2, INDENT);
    format!("{}  {}\n", style.paint(Ink::Faint, &time), style.paint(ink, &text))
}
