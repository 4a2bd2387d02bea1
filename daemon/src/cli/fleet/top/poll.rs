//! One poll of one host: its status, zombies, new deaths and limits, over one connection.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use tokio::time::{Duration, Instant};

use crate::{
    answer::fleet::{DeathsPart, ErrorKind, HostSample, HostStatus, LimitsPart, NewDeaths, ZombiesPart},
    cli::fleet::{
        access::Access,
        client::{self, Failure, Session},
        hosts::Host,
        remote,
    },
};

/// The most bytes of an answer. The longest answers of real hosts have a few hundred KiB.
const ANSWER_MAX: usize = 2 << 20;

/// The most deaths of one answer.
const DEATHS: usize = 200;

/// How long the addresses of a name are kept.
const ADDRESSES_FOR: Duration = Duration::from_secs(60);

/// What is known of a host from one poll to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// The addresses of its name, and when they were looked up.
    addresses: Option<(Instant, Vec<IpAddr>)>,
    /// When the last process ended, on the host's `CLOCK_BOOTTIME`, ns.
    newest_death_ns: u64,
}

/// Asks a host within the time limit.
pub(super) async fn host(access: &Access, host: &Host, memory: &mut Memory) -> Result<HostSample, Failure> {
    let outcome = client::within(access, ask(access, host, memory)).await;
    if outcome.is_err() {
        // The host may have another address now. The view forgets the deaths of a host that does not answer, so all are asked for again.
        *memory = Memory::default();
    }
    outcome
}

async fn ask(access: &Access, host: &Host, memory: &mut Memory) -> Result<HostSample, Failure> {
    let addresses = match &memory.addresses {
        Some((at, addresses)) if at.elapsed() < ADDRESSES_FOR => addresses.clone(),
        _ => {
            let addresses = client::addresses(host).await?;
            memory.addresses = Some((Instant::now(), addresses.clone()));
            addresses
        }
    };
    let mut session = Session::start(access, host, addresses).await?;
    session.is_shared = true;
    let status: HostStatus = get(&mut session, "/v1/status").await?;
    let mut sample = HostSample { status: status.bounded(), ..HostSample::default() };
    sample.zombies = part(get(&mut session, "/v1/zombies").await, "zombies", &mut sample.missing)?
        .map(|part: ZombiesPart| part.into());
    sample.fullest = part(get(&mut session, "/v1/limits").await, "limits", &mut sample.missing)?
        .and_then(|part: LimitsPart| part.fullest());
    let path = format!("/v1/deaths?limit={DEATHS}&after={}", memory.newest_death_ns);
    let deaths = part(get(&mut session, &path).await, "deaths", &mut sample.missing)?;
    sample.deaths = deaths.map(|part: DeathsPart| NewDeaths::of(part, DEATHS));
    if let Some(deaths) = &sample.deaths {
        let newest = deaths.deaths.first().map_or(memory.newest_death_ns, |(at, _)| *at);
        // After a restart of the host, its clock begins at 0.
        memory.newest_death_ns = newest.min(deaths.boottime_ns);
    }
    Ok(sample)
}

async fn get<T: DeserializeOwned>(session: &mut Session<'_>, path: &str) -> Result<T, Failure> {
    remote::parsed(&session.get(path, ANSWER_MAX).await?)
}

/// Returns an answer; `None` if the daemon refuses the request, for example because it is busy, or if the answer cannot be parsed.
fn part<T>(
    answer: Result<T, Failure>,
    what: &str,
    missing: &mut Option<String>,
) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.is_refusal() || failure.kind == ErrorKind::Nonsense => {
            missing.get_or_insert_with(|| format!("its {what} are not known: {}", failure.message));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
