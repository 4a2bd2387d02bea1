//! Takes over new settings at SIGHUP.

use std::sync::Arc;

use tokio::{signal::unix::Signal, sync::mpsc};

use super::{
    Service,
    config::{ConfigError, RELOADABLE, Settings},
    http::web::Web,
};
use crate::{duration, runtime::Question};

/// Applies new settings at each SIGHUP, if they can change at run time.
pub(super) async fn reload_on(
    mut hangup: Signal,
    reload: Box<dyn Fn() -> Result<Settings, ConfigError> + Send>,
    mut now: Settings,
    web: Option<Arc<Web>>,
    questions: mpsc::Sender<Question<Service>>,
) {
    while hangup.recv().await.is_some() {
        if let Some(web) = &web {
            web.read_again();
        }
        let new = match reload() {
            Ok(new) => new,
            Err(error) => {
                log::error!("reloading: {error}; the settings stay as they are");
                continue;
            }
        };
        let changes = now.changes(&new);
        let (taken, refused): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|key| RELOADABLE.contains(key));
        let word = |keys: &[&str]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        log::info!("reloaded: {} changed; needs a restart: {}", word(&taken), word(&refused));
        now.zombie_after = new.zombie_after;
        now.blocked_after = new.blocked_after;
        now.leak_window = new.leak_window;
        now.thread_leak = new.thread_leak;
        now.respawn_loop = new.respawn_loop;
        now.fork_storm = new.fork_storm;
        now.living_orphans = new.living_orphans;
        now.top = new.top;
        let settings = now.clone();
        let question: Question<Service> = Box::new(move |pipeline, service| {
            pipeline.lineage.set_zombie_after(settings.zombie_after);
            pipeline.lineage.set_blocked_after(settings.blocked_after);
            pipeline.lineage.set_leaks(settings.leaks());
            service.outputs.set_zombie_ns(duration::ns(settings.zombie_after));
            service.settings = settings;
        });
        if questions.send(question).await.is_err() {
            return;
        }
    }
}
