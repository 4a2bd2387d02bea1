//! Takes batches from the owner of the lineage, and appends each event to the buffers of the outputs that want it. An event is encoded
//! once for all outputs of one encoding.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::mpsc;

use super::{
    batch::{Batch, OutputLine, Waiting},
    deliver::Outlet,
    spill::Record,
    target::{Encoding, Happened},
};
use crate::{export::Filter, host::Identity, kernel::clock, lineage::WantedActions};

/// One output, as the dispatcher knows it.
pub(super) struct Route {
    pub(super) filter: Filter,
    pub(super) wanted: WantedActions,
    pub(super) encoding: Encoding,
    pub(super) outlet: Arc<Outlet>,
}

/// The receiving end of the queue.
pub(super) struct Dispatcher {
    pub(super) routes: Vec<Route>,
    pub(super) host: Arc<Identity>,
    pub(super) instance: String,
    pub(super) waiting: Waiting,
}

impl Dispatcher {
    /// Runs until the owner is gone.
    pub(super) async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            self.take(&batch);
            for route in &self.routes {
                // The sender then reports the events that the owner could not queue, as a gap.
                route.outlet.changed.notify_one();
            }
        }
        for route in &self.routes {
            route.outlet.close();
        }
    }

    fn take(&mut self, batch: &Batch) {
        let Self { routes, host, instance, waiting } = self;
        for line in &batch.lines {
            match line {
                OutputLine::Event(effect, sequence, place) => {
                    let happened = Happened {
                        effect,
                        sequence: *sequence,
                        stamp: &batch.stamp,
                        place: place.as_deref(),
                        instance,
                        host,
                    };
                    let mut encoded: Vec<(Encoding, Option<Bytes>)> = Vec::new();
                    for route in &mut *routes {
                        // The filter follows a subtree by all events.
                        let is_chosen = route.filter.wants(effect, happened.place);
                        if !is_chosen || !route.wanted.has(&effect.action) {
                            continue;
                        }
                        let known = encoded.iter().find(|(encoding, _)| *encoding == route.encoding);
                        let bytes = if let Some((_, bytes)) = known {
                            bytes.clone()
                        } else {
                            let bytes = route.encoding.event(&happened);
                            encoded.push((route.encoding, bytes.clone()));
                            bytes
                        };
                        if let Some(bytes) = bytes {
                            route.outlet.push(Record { bytes, is_event: true });
                        }
                    }
                }
                OutputLine::Gap(place, lost) => {
                    for route in &*routes {
                        let wall_ns = batch.stamp.wall_ns(clock::boottime());
                        let bytes = route.encoding.gap(place, *lost, wall_ns, host);
                        route.outlet.push(Record { bytes, is_event: false });
                    }
                }
            }
        }
        waiting.less(batch.lines.len());
    }
}
