//! Basic authentication against bcrypt hashes.
//!
//! A bcrypt hash takes some 70 ms of CPU time on purpose. So the outcome is remembered. Passwords are checked one at a time, on a
//! thread that completes answers, and after a wrong password there is a pause. Peers that guess passwords therefore take at most a
//! fifth of one CPU, however many they are.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::crypto::{GetRandomFailed, ring};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{OwnedMutexGuard, oneshot},
    time::sleep,
};

use crate::service::http::{Workers, connections::peer::Peer, error::ApiError};

/// The hash with which the password of an unknown user is compared, so that the time of the answer does not show which users exist.
/// No password with this hash is known.
const NOBODY: &str = "$2b$10$U7JSs3ziRnK/cftF1lM6velSI1Oi0AEGrBkrMAqUHWLM1vo27vcDq";

/// The most accepted passwords that are remembered, and the most refused ones.
const REMEMBERED: usize = 100;

/// The most requests that wait for a check, in all and of one peer.
const WAITING: usize = 16;
const WAITING_OF_PEER: usize = 4;

/// The pause after a wrong password: this many times the duration of the check, and its maximum.
const PAUSE_FACTOR: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The digest of a user, a hash and a password, with a salt of this run.
type Digest = [u8; 32];

/// Digests that were seen; the oldest is forgotten first.
#[derive(Debug, Default)]
struct Seen {
    set: HashSet<Digest>,
    order: VecDeque<Digest>,
}

impl Seen {
    fn insert(&mut self, digest: Digest) {
        if self.set.insert(digest) {
            self.order.push_back(digest);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.set.remove(&oldest);
            }
        }
    }
}

/// The passwords that were checked lately, and how many requests of each peer wait for a check.
#[derive(Debug, Default)]
struct Known {
    accepted: Seen,
    refused: Seen,
    waiting: HashMap<Peer, usize>,
}

/// The state of basic authentication.
#[derive(Debug)]
pub(super) struct BasicAuth {
    salt: [u8; 32],
    known: Arc<Mutex<Known>>,
    /// The lock of the request that is checking a password.
    check: Arc<tokio::sync::Mutex<()>>,
}

/// A request that waits for a check.
struct Waiting<'a>(&'a BasicAuth, Peer);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known();
        if let Some(count) = known.waiting.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                known.waiting.remove(&self.1);
            }
        }
    }
}

impl BasicAuth {
    /// Fails if there is no random number.
    pub(super) fn new() -> Result<Self, GetRandomFailed> {
        let mut salt = [0; 32];
        ring::default_provider().secure_random.fill(&mut salt)?;
        Ok(Self { salt, known: Arc::default(), check: Arc::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    fn digest(&self, user: &[u8], hash: &str, password: &[u8]) -> Digest {
        let mut digest = Sha256::new_with_prefix(self.salt);
        for part in [user, hash.as_bytes(), password] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn remembered(&self, digest: &Digest) -> Option<bool> {
        let known = self.known();
        if known.accepted.set.contains(digest) {
            return Some(true);
        }
        known.refused.set.contains(digest).then_some(false)
    }

    /// Returns a place among those who wait, or `None` if there are too many.
    fn wait(&self, peer: Peer) -> Option<Waiting<'_>> {
        let mut known = self.known();
        let waiting: usize = known.waiting.values().sum();
        let of_peer = known.waiting.get(&peer).copied().unwrap_or_default();
        if waiting >= WAITING || of_peer >= WAITING_OF_PEER {
            return None;
        }
        *known.waiting.entry(peer).or_default() += 1;
        drop(known);
        Some(Waiting(self, peer))
    }

    /// Refuses a request without a password of one of the users.
    pub(super) async fn admit(
        &self,
        users: &BTreeMap<String, String>,
        headers: &HeaderMap,
        peer: Peer,
        workers: &Workers,
    ) -> Result<(), ApiError> {
        let Some((user, password)) = credentials(headers) else { return Err(ApiError::unauthorized()) };
        let known_user = std::str::from_utf8(&user).ok().and_then(|user| users.get(user));
        let hash = known_user.map_or(NOBODY, String::as_str);
        let digest = self.digest(&user, hash, &password);
        let is_right = if let Some(is_right) = self.remembered(&digest) {
            is_right
        } else {
            let _waiting = self.wait(peer).ok_or_else(ApiError::too_many_passwords)?;
            let turn = Arc::clone(&self.check).lock_owned().await;
            if let Some(is_right) = self.remembered(&digest) {
                is_right
            } else {
                let (outcome, checked) = oneshot::channel();
                let check = Check { digest, password, hash: hash.to_owned(), is_known: known_user.is_some() };
                // A task of its own: a client that goes away does not shorten the pause.
                tokio::spawn(check.run(turn, Arc::clone(&self.known), workers.clone(), outcome));
                checked.await.map_err(|_| ApiError::stopping())?
            }
        };
        if is_right { Ok(()) } else { Err(ApiError::unauthorized()) }
    }
}

/// The comparison of a password with a hash.
struct Check {
    digest: Digest,
    password: Vec<u8>,
    hash: String,
    /// Whether the user exists.
    is_known: bool,
}

impl Check {
    async fn run(
        self,
        turn: OwnedMutexGuard<()>,
        known: Arc<Mutex<Known>>,
        workers: Workers,
        outcome: oneshot::Sender<bool>,
    ) {
        let Self { digest, password, hash, is_known } = self;
        let compared = workers.run(move || {
            let began = Instant::now();
            let is_same = bcrypt::verify(&password, &hash).unwrap_or(false);
            (is_same, began.elapsed())
        });
        // Without an outcome the daemon is stopping.
        let Ok((is_same, took)) = compared.await else { return };
        let is_right = is_same && is_known;
        let seen = |known: &mut Known| {
            if is_right { known.accepted.insert(digest) } else { known.refused.insert(digest) }
        };
        seen(&mut lock(&known));
        // The client may be gone.
        let _ = outcome.send(is_right);
        if !is_right {
            sleep((took * PAUSE_FACTOR).min(LONGEST_PAUSE)).await;
        }
        drop(turn);
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns user and password of the `Authorization` header.
fn credentials(headers: &HeaderMap) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decoded.get(..colon)?.to_vec(), decoded.get(colon + 1..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asked(user: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
    }

    fn users(cost: u32) -> BTreeMap<String, String> {
        BTreeMap::from([("alice".to_owned(), bcrypt::hash("a:secret", cost).unwrap())])
    }

    #[tokio::test]
    async fn only_a_right_password_is_admitted_and_is_remembered() {
        let (auth, workers, users) = (BasicAuth::new().unwrap(), Workers::start().unwrap(), users(4));
        for (headers, expected) in [
            (asked("alice", "a:secret"), true),
            (asked("alice", "secret"), false),
            (asked("bob", "a:secret"), false),
            (HeaderMap::new(), false),
            (HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Basic !"))]), false),
            (HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"))]), false),
        ] {
            for _ in 0..2 {
                let outcome = auth.admit(&users, &headers, Peer::Unknown, &workers).await;
                assert_eq!(outcome.is_ok(), expected, "{headers:?}");
            }
        }
        assert_eq!(auth.known().accepted.order.len(), 1);
        assert_eq!(auth.known().refused.order.len(), 2);
        assert!(auth.known().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_new_hash_needs_a_new_check() {
        let (auth, workers) = (BasicAuth::new().unwrap(), Workers::start().unwrap());
        let headers = asked("alice", "a:secret");
        assert!(auth.admit(&users(4), &headers, Peer::Unknown, &workers).await.is_ok());
        let changed = BTreeMap::from([("alice".to_owned(), bcrypt::hash("other", 4).unwrap())]);
        assert!(auth.admit(&changed, &headers, Peer::Unknown, &workers).await.is_err());
    }

    #[tokio::test]
    async fn those_who_guess_are_limited_and_do_not_displace_an_accepted_password() {
        let (auth, workers, users) = (BasicAuth::new().unwrap(), Workers::start().unwrap(), users(4));
        let right = asked("alice", "a:secret");
        assert!(auth.admit(&users, &right, Peer::Unknown, &workers).await.is_ok());
        for number in 0..2 * REMEMBERED {
            let digest = auth.digest(b"alice", "hash", &number.to_le_bytes());
            auth.known().refused.insert(digest);
        }
        assert_eq!(auth.known().refused.set.len(), REMEMBERED);
        let held: Vec<_> = (0..WAITING_OF_PEER).map(|_| auth.wait(Peer::User(1)).unwrap()).collect();
        assert!(auth.wait(Peer::User(1)).is_none(), "one peer has too many");
        let others: Vec<_> = (2..).map_while(|user| auth.wait(Peer::User(user))).collect();
        assert_eq!(held.len() + others.len(), WAITING);
        assert!(auth.admit(&users, &asked("alice", "new"), Peer::User(1), &workers).await.is_err());
        assert!(auth.admit(&users, &right, Peer::User(1), &workers).await.is_ok(), "no check is needed");
        drop((held, others));
        assert!(auth.known().waiting.is_empty());
    }

    #[test]
    fn the_hash_for_unknown_users_is_valid() {
        assert!(NOBODY.parse::<bcrypt::HashParts>().is_ok());
    }
}
