//! Metrics of a replay: the counters of events, which depend on nothing but the events.

use prometheus::{Encoder as _, Registry, TextEncoder};

use super::effects::EffectCounters;
use crate::lineage::{Brief, Lineage, effect::Effect};
use crate::service::metrics::{ended::EndedMetrics, families::Families};

/// Counters of events.
pub struct EventMetrics {
    registry: Registry,
    effects: EffectCounters,
    ended: EndedMetrics,
}

impl EventMetrics {
    /// Returns all of them, at zero.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let mut effects = EffectCounters::register(&registry)?;
        effects.register_failures(&registry)?;
        let ended = EndedMetrics::register(&Families(&registry))?;
        Ok(Self { registry, effects, ended })
    }

    /// Counts an effect.
    pub fn count(&self, effect: &Effect) {
        self.effects.count(&Brief::of(effect));
    }

    /// Returns the text of a scrape at the end.
    pub fn text(&self, lineage: &Lineage) -> prometheus::Result<String> {
        self.effects.flush();
        self.ended.read(lineage);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
