//! Tasks of the event loop that the daemon cannot do without: if one panics, the daemon shuts down.

use tokio::sync::mpsc;

/// Runs a part of the daemon that it cannot do without. If a panic ends that part, the daemon ends in order.
pub(super) async fn vital(
    part: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
    ended: mpsc::Sender<&'static str>,
) {
    if tokio::spawn(task).await.is_err_and(|error| error.is_panic()) {
        // A second signal changes nothing.
        let _ = ended.try_send(part);
    }
}
