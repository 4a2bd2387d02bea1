//! What handlers share: the channel to the owner of the lineage, and the limits on requests.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{caught::asked, connections::reader_places::ReaderPlaces, error::ApiError, workers::Workers};
use crate::{
    runtime::{Pipeline, Question},
    service::Service,
};

/// The most questions that wait for the owner of the lineage at once. A scrape waits for no more than these.
const ASKING: usize = 8;

/// The most requests that ask or wait for their turn. Further ones are refused, because each holds a connection.
const ASKING_OR_WAITING: usize = 32;

/// What every handler has: a channel to the owner of the lineage, and the limits of its address.
#[derive(Clone)]
pub(in crate::service) struct Api {
    pub(super) questions: mpsc::Sender<Question<Service>>,
    pub(super) workers: Workers,
    pub(super) instance: Arc<str>,
    asking: Arc<Semaphore>,
    asking_or_waiting: Arc<Semaphore>,
    pub(super) readers: Arc<ReaderPlaces>,
}

impl Api {
    /// Returns the state for an address that serves this many connections at once.
    pub(in crate::service) fn new(
        questions: mpsc::Sender<Question<Service>>,
        workers: Workers,
        instance: &str,
        connections: usize,
    ) -> Self {
        Self {
            questions,
            workers,
            instance: instance.into(),
            asking: Arc::new(Semaphore::new(ASKING)),
            asking_or_waiting: Arc::new(Semaphore::new(ASKING_OR_WAITING)),
            readers: ReaderPlaces::new(connections),
        }
    }

    /// Asks the owner of the lineage, in turn.
    pub(in crate::service) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Pipeline, &mut Service) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _place = self.asking_or_waiting.try_acquire().map_err(|_| ApiError::too_many_questions())?;
        let _turn = self.asking.acquire().await.map_err(|_| ApiError::stopping())?;
        self.ask_first(question).await
    }

    /// Asks the owner of the lineage before the questions that wait for their turn. It is for requests that must always be
    /// answered.
    pub(in crate::service) async fn ask_first<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Pipeline, &mut Service) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let (answer, answered) = oneshot::channel();
        let question: Question<Service> = Box::new(move |pipeline, service| {
            // The receiver is gone if the request was dropped.
            let _ = answer.send(asked(pipeline, service, question));
        });
        self.questions.send(question).await.map_err(|_| ApiError::stopping())?;
        Ok(answered.await.map_err(|_| ApiError::stopping())??)
    }
}
