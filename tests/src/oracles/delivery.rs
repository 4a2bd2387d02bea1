//! Whether a target of an output got every event, or a gap in its place.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Bound,
};

/// A record that a target got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// An event, by its sequence number.
    Event(u64),
    /// A gap.
    Gap {
        /// Where events or records were lost.
        place: String,
        /// How many.
        lost: u64,
        /// Identifies the gap: a repetition has the same.
        id: String,
    },
}

/// What a target got in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The events, each once.
    pub events: BTreeSet<u64>,
    /// Events that the gaps of the output count as lost.
    pub lost: u64,
    /// Gaps of the output.
    pub gaps: u64,
    /// Records that came more than once, because their acknowledgement was lost.
    pub repeated: u64,
}

/// Checks the records that a target got, in order: each event of `wanted` is among them, or a gap in its place counts it.
pub fn check(got: &[Got], wanted: &BTreeSet<u64>) -> Result<Delivery, String> {
    let mut delivery = Delivery::default();
    let (mut gaps, mut last, mut open) = (HashSet::new(), 0, 0);
    for record in got {
        match record {
            Got::Event(number) if delivery.events.contains(number) => delivery.repeated += 1,
            Got::Event(number) => {
                if *number < last {
                    return Err(format!("event {number} came after event {last}"));
                }
                missing(wanted, last, Bound::Excluded(*number), open)?;
                delivery.events.insert(*number);
                (last, open) = (*number, 0);
            }
            Got::Gap { place, lost, id } if place == "output" => {
                if gaps.insert((id, lost)) {
                    delivery.lost += lost;
                    delivery.gaps += 1;
                    open += lost;
                } else {
                    delivery.repeated += 1;
                }
            }
            // Records that were lost in the kernel have no sequence numbers.
            Got::Gap { .. } => {}
        }
    }
    missing(wanted, last, Bound::Unbounded, open)?;
    Ok(delivery)
}

/// Fails if more events are missing between two events than the gap there says.
fn missing(wanted: &BTreeSet<u64>, last: u64, next: Bound<u64>, told: u64) -> Result<(), String> {
    let numbers: Vec<_> = wanted.range((Bound::Excluded(last), next)).collect();
    if numbers.len() as u64 > told {
        return Err(format!(
            "{} events after {last} are missing, from {:?} to {:?}, and the gap there has {told}",
            numbers.len(),
            numbers.first(),
            numbers.last()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(lost: u64, id: &str) -> Got {
        Got::Gap { place: "output".into(), lost, id: id.into() }
    }

    #[test]
    fn a_missing_event_must_be_in_a_gap_at_its_place() {
        let wanted: BTreeSet<u64> = (1..=6).collect();
        let of = |got: &[Got]| check(got, &wanted);
        let event = Got::Event;
        let whole = of(&[event(1), event(2), gap(2, "a"), event(5), event(6)]).unwrap();
        assert_eq!((whole.events.len(), whole.lost, whole.gaps, whole.repeated), (4, 2, 1, 0));
        // A batch that is sent again.
        let again = of(&[event(1), gap(3, "a"), event(1), gap(3, "a"), event(5), event(6)]).unwrap();
        assert_eq!((again.lost, again.repeated), (3, 2));
        assert!(of(&[event(1), event(2), gap(4, "a")]).is_ok(), "a gap at the end");
        for wrong in [
            &[event(1), event(2), event(5), event(6)][..],
            &[event(1), event(2), gap(1, "a"), event(5), event(6)],
            &[gap(2, "a"), event(1), event(2), event(5), event(6)],
            &[event(1), event(2), event(3), event(4), event(5)],
            &[event(2), event(1), event(3), event(4), event(5), event(6)],
            &[event(1), Got::Gap { place: "ring".into(), lost: 9, id: "a".into() }],
        ] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }
}
