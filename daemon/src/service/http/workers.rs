//! Threads that complete answers from /proc. They start with the daemon, so that an answer needs no new thread, even when no pid
//! is left.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};

use super::{caught::completed, error::ApiError};

/// The number of threads, and so of answers that are completed at once.
const WORKERS: usize = 2;

/// The job of a thread.
type Job = Box<dyn FnOnce() + Send>;

/// The threads cannot be started.
#[derive(Debug, Error)]
#[error(
    "starting a thread that completes answers: {0}; raise pids.max (TasksMax= of the unit) or RLIMIT_NPROC"
)]
pub struct WorkersError(#[from] io::Error);

/// The worker threads. They end when the last clone of this is dropped.
#[derive(Clone)]
pub(in crate::service) struct Workers {
    jobs: SyncSender<Job>,
    /// One permit for each thread: the holder of a permit finds an idle thread.
    idle: Arc<Semaphore>,
}

impl Workers {
    /// Starts the threads. They inherit the capabilities of the calling thread.
    pub(in crate::service) fn start() -> Result<Self, WorkersError> {
        let (jobs, queue) = sync_channel(WORKERS);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..WORKERS {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("answer-{number}")).spawn(move || work(&queue))?;
        }
        Ok(Self { jobs, idle: Arc::new(Semaphore::new(WORKERS)) })
    }

    /// Completes an answer on one of the threads, once one is idle.
    pub(in crate::service) async fn run<T: Send + 'static>(
        &self,
        complete: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.idle).acquire_owned().await.map_err(|_| ApiError::stopping())?;
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            let completed = completed(complete);
            // The permit is returned before the answer, so the thread is idle before the next request comes.
            drop(permit);
            // The receiver is gone if the request was dropped.
            let _ = answer.send(completed);
        });
        self.jobs.try_send(job).map_err(|_| ApiError::internal("no thread takes this answer"))?;
        answered.await.map_err(|_| ApiError::stopping())?
    }
}

/// Runs jobs until all senders are gone.
fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_answers_than_threads_are_all_completed() {
        let workers = Workers::start().unwrap();
        let running: Vec<_> = (0..50)
            .map(|number| {
                let workers = workers.clone();
                tokio::spawn(async move { workers.run(move || number * 2).await })
            })
            .collect();
        for (number, answer) in running.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap().unwrap(), number * 2);
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waits_for_frees_its_thread() {
        let workers = Workers::start().unwrap();
        for _ in 0..2 * WORKERS {
            let answer = workers.run(|| ());
            // Polled once, then dropped.
            let _ = tokio::time::timeout(std::time::Duration::ZERO, answer).await;
        }
        assert!(workers.run(|| ()).await.is_ok());
    }
}
