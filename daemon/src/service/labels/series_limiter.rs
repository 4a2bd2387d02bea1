//! Which label values have a time series of their own: a bounded number; all others are summed as one series.
//!
//! Four kinds of metrics use this: parents that do not reap, tasks of a unit, what ended tasks of a unit used, and units that
//! waited for a CPU. They differ only in the weight of a key, and in when a key without a series replaces a key that has one.
//! Gauges always show the keys with the largest weights. The series of a counter must not come and go with every scrape, so a key
//! replaces another one only if its weight is clearly larger, or if the other key has ended.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// The keys that have a series of their own.
#[derive(Debug)]
pub(in crate::service) struct SeriesLimiter<K> {
    named: BTreeSet<K>,
}

/// How a choice changes which keys have a series.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::service) struct Change<K> {
    /// Keys whose series end.
    pub(in crate::service) ended: Vec<K>,
    /// Keys whose series begin, the heaviest first.
    pub(in crate::service) begun: Vec<K>,
}

impl<K> Default for SeriesLimiter<K> {
    fn default() -> Self {
        Self { named: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> SeriesLimiter<K> {
    /// Whether a key has a series.
    pub(in crate::service) fn is_named(&self, key: &K) -> bool {
        self.named.contains(key)
    }

    /// Returns the keys that have a series.
    pub(in crate::service) fn named(&self) -> impl Iterator<Item = &K> {
        self.named.iter()
    }

    /// Gives a key a series if fewer than `most` have one. Returns whether it has one.
    pub(in crate::service) fn admit(&mut self, key: &K, most: usize) -> bool {
        self.is_named(key) || self.named.len() < most && self.named.insert(key.clone())
    }

    /// Chooses again which keys have a series, `most` of them. Free series go to the keys with the largest weights. After that, a
    /// key without a series replaces the key with the smallest weight among those that have one, if its own weight `outdoes` that
    /// weight. A key that has a series but is not in `weights` has ended, and any other key replaces it. Of keys with equal weights
    /// the smaller key comes first.
    pub(in crate::service) fn choose<W: Ord>(
        &mut self,
        most: usize,
        weights: impl IntoIterator<Item = (K, W)>,
        outdoes: impl Fn(&W, &W) -> bool,
    ) -> Change<K> {
        let mut waiting = BTreeSet::new();
        let mut shown: BTreeSet<(Option<W>, Reverse<K>)> = BTreeSet::new();
        let mut listed: BTreeMap<K, W> = BTreeMap::new();
        listed.extend(weights);
        for key in &self.named {
            shown.insert((listed.remove(key), Reverse(key.clone())));
        }
        waiting.extend(listed.into_iter().map(|(key, weight)| (weight, Reverse(key))));
        let mut change = Change { ended: Vec::new(), begun: Vec::new() };
        while shown.len() > most
            && let Some((_, Reverse(key))) = shown.pop_first()
        {
            change.ended.push(key);
        }
        while most > 0
            && let Some((weight, Reverse(key))) = waiting.pop_last()
        {
            if shown.len() == most {
                let is_outdone = |lightest: &Option<W>| match lightest {
                    Some(lightest) => outdoes(&weight, lightest),
                    None => true,
                };
                match shown.pop_first() {
                    Some((lightest, Reverse(ended))) if is_outdone(&lightest) => change.ended.push(ended),
                    _ => break,
                }
            }
            shown.insert((Some(weight), Reverse(key.clone())));
            change.begun.push(key);
        }
        for key in &change.ended {
            self.named.remove(key);
        }
        self.named.extend(change.begun.iter().cloned());
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(ended: &[&'static str], begun: &[&'static str]) -> Change<&'static str> {
        Change { ended: ended.to_vec(), begun: begun.to_vec() }
    }

    #[test]
    fn free_places_go_to_the_heaviest_and_to_the_first_of_equal_ones() {
        let mut limiter = SeriesLimiter::default();
        let weights = [("a", 1), ("b", 3), ("c", 2), ("d", 2)];
        assert_eq!(limiter.choose(2, weights, |_, _| false), change(&[], &["b", "c"]));
        assert_eq!(limiter.choose(3, weights, |_, _| false), change(&[], &["d"]));
        assert_eq!(limiter.choose(1, weights, |_, _| false), change(&["d", "c"], &[]));
        assert_eq!(limiter.choose(0, weights, |_, _| true), change(&["b"], &[]));
        assert_eq!(limiter.named.len(), 0);
    }

    #[test]
    fn a_key_that_has_ended_keeps_its_series_until_another_one_needs_it() {
        let mut limiter = SeriesLimiter::default();
        assert!(limiter.admit(&"a", 1) && limiter.admit(&"a", 1) && !limiter.admit(&"b", 1));
        assert_eq!(limiter.choose::<u32>(1, [], |_, _| false), change(&[], &[]));
        assert_eq!(limiter.choose(1, [("b", 0)], |_, _| false), change(&["a"], &["b"]));
    }

    #[test]
    fn a_key_takes_the_place_of_one_that_it_outdoes() {
        let mut limiter = SeriesLimiter::default();
        let is_twice = |one: &u32, other: &u32| *one > 2 * *other;
        limiter.choose(2, [("a", 4), ("b", 1)], is_twice);
        assert_eq!(limiter.choose(2, [("a", 4), ("b", 1), ("c", 2)], is_twice), change(&[], &[]));
        assert_eq!(limiter.choose(2, [("a", 4), ("b", 1), ("c", 3)], is_twice), change(&["b"], &["c"]));
        assert!(limiter.is_named(&"a") && !limiter.is_named(&"b"));
    }
}
