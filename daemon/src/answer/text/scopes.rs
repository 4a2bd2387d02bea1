//! Lives of units and containers as text: a line each.

use super::{Ink, Style, escape, moment};
use crate::answer::scope::{ScopeStory, Scopes};

/// The answer as text.
#[must_use]
pub fn scopes(answer: &Scopes, style: Style) -> String {
    if !answer.watched {
        return "the kernel does not report when units and containers begin and end: the hook cgroup_notify_populated is missing\n".into();
    }
    if answer.scopes.is_empty() {
        return "no such unit or container has begun or ended since taskscope runs\n".into();
    }
    answer.scopes.iter().map(|it| scope(it, style)).collect()
}

/// One life: when it began or ended, and what is known.
#[must_use]
pub fn scope(story: &ScopeStory, style: Style) -> String {
    const INDENT: usize = 4;
    let at = story.ended.as_ref().or(story.began.as_ref());
    let time = at.map_or_else(|| "-".into(), |at| style.paint(Ink::Faint, &moment(at, style)));
    let ink = match (&story.end, &story.first_death) {
        (Some(_), Some(_)) => Ink::Bad,
        (Some(_), None) => Ink::Odd,
        (None, _) => Ink::Good,
    };
    format!("{time}  {}\n", style.paint(ink, &style.wrap(&escape(&story.summary), INDENT)))
}
