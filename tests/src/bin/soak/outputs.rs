//! `soak outputs`: sends the events of a storm to real servers that are stopped, killed and paused, and checks that each server got each
//! event, or a gap that counts it.
//!
//! A reader of the API with the same filter is the oracle: it gets the sequence number of each event that an output has to send.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use taskscope_tests::{
    delivery::{self, Delivery},
    nats::{self, NatsServer},
    scenario::Scenario,
    servers::{self, Rotel},
    service::{self, Service},
};

/// How often each server is stopped or paused.
const FAULTS: u32 = 10;

/// The shortest pause of a server, longer than the daemon waits for an answer.
const PAUSE_LEAST: Duration = Duration::from_secs(11);

/// Events that happen at once while the servers are away: more than a queue holds.
const FLOOD: &str = "600";

/// How long the daemon may take to send what waits. The longest pause between two attempts is 30 s.
const DEADLINE: Duration = Duration::from_secs(120);

/// A server, and the output that sends to it.
struct Target {
    name: &'static str,
    server: Kind,
}

enum Kind {
    Collector(Rotel),
    Stream(NatsServer),
}

impl Target {
    /// Makes the server unavailable: pauses it, or ends it.
    fn away(&mut self, pauses: bool) {
        match &mut self.server {
            Kind::Collector(rotel) if pauses => rotel.signal(libc::SIGSTOP),
            // The log has everything that the collector has acknowledged only if SIGTERM ends the collector.
            Kind::Collector(rotel) => rotel.stop(),
            Kind::Stream(nats) if pauses => nats.signal(libc::SIGSTOP),
            Kind::Stream(nats) => nats.kill(),
        }
    }

    fn back(&mut self, pauses: bool) {
        match &mut self.server {
            Kind::Collector(rotel) if pauses => rotel.signal(libc::SIGCONT),
            Kind::Collector(rotel) => rotel.start_again(),
            Kind::Stream(nats) if pauses => nats.signal(libc::SIGCONT),
            Kind::Stream(nats) => nats.start_again(),
        }
    }

    /// Returns the lines of its output in the configuration.
    fn lines(&self, directory: &Path) -> String {
        let (kind, more) = match &self.server {
            Kind::Collector(rotel) if self.name == "grpc" => {
                ("otlp", format!("protocol = \"grpc\"\nurl = \"http://{}\"\n", rotel.grpc))
            }
            Kind::Collector(rotel) => ("otlp", format!("url = \"http://{}\"\n", rotel.http)),
            Kind::Stream(nats) => ("nats", format!("url = \"nats://{}\"\n", nats.address)),
        };
        let spill = if self.name == "spill" {
            format!("spill = {:?}\n", directory.join("spill").to_string_lossy())
        } else {
            String::new()
        };
        format!(
            "[[output]]\ntype = {kind:?}\nname = {:?}\n{more}{spill}actions = [\"group_exited\", \"zombie_flagged\"]\ncomms = [\"scenario\"]\n\
             queue = 300\n",
            self.name
        )
    }

    /// Returns what the server has.
    fn delivery(&self, wanted: &BTreeSet<u64>) -> Result<Delivery, String> {
        match &self.server {
            Kind::Collector(rotel) => delivery::check(&rotel.got(), wanted),
            Kind::Stream(nats) => delivery::check(&nats::got(&nats.client().messages("TASKSCOPE")), wanted),
        }
    }
}

/// Sequence numbers that a reader of the API got.
#[derive(Default)]
struct Wanted {
    numbers: BTreeSet<u64>,
    /// The line that shows that numbers are missing.
    incomplete: Option<String>,
}

/// Reads the events that the outputs have to send, until the daemon ends.
fn read(service: &Service, wanted: &Arc<Mutex<Wanted>>) -> JoinHandle<()> {
    let mut lines = service.events("?action=group_exited,zombie_flagged&comm=scenario", "");
    let wanted = Arc::clone(wanted);
    thread::spawn(move || {
        while let Some(line) = lines.next_line() {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            match (event["event"]["action"].as_str(), event["event"]["sequence"].as_u64()) {
                (Some("heartbeat"), _) => {}
                (Some("group_exited" | "zombie_flagged"), Some(number)) => wanted.numbers.extend([number]),
                // Records that the kernel lost are a gap too, but no output lost an event.
                (Some("gap"), _) if event["gap"]["place"] != "output" => {}
                _ => wanted.incomplete = Some(line),
            }
        }
    })
}

/// Makes ended processes and flagged zombies until `stop` is set.
fn storm(stop: &Arc<AtomicBool>) -> anyhow::Result<JoinHandle<()>> {
    let (stop, built) = (Arc::clone(stop), scenario()?);
    Ok(thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let mut zombie = Scenario::start(&built, "zombie", &[]);
            zombie.pause("zombie");
            Scenario::start(&built, "burst", &["40"]).finish();
            // This is longer than the age at which zombies are flagged.
            sleep(Duration::from_secs(1));
            zombie.go();
            zombie.finish();
        }
    }))
}

fn scenario() -> anyhow::Result<String> {
    let beside = env::current_exe().context("finding this program")?.with_file_name("scenario");
    Ok(beside.to_string_lossy().into_owned())
}

/// A counter of an output.
fn count(service: &Service, name: &str, counter: &str) -> u64 {
    let value = service.metrics().get(&format!("taskscope_output_{counter}{{output=\"{name}\"}}")).copied();
    value.and_then(|value| value.to_string().parse().ok()).unwrap_or_default()
}

/// Waits until a condition returns a value.
fn until<T>(mut find: impl FnMut() -> Result<T, String>) -> anyhow::Result<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        match find() {
            Ok(value) => return Ok(value),
            Err(why) => ensure!(Instant::now() < end, "after {} s: {why}", DEADLINE.as_secs()),
        }
        sleep(Duration::from_millis(200));
    }
}

/// Runs for a time; the table goes to stdout.
pub(crate) fn all(lasting: Duration) -> anyhow::Result<()> {
    let directory = service::directory();
    let mut targets = vec![
        Target { name: "http", server: Kind::Collector(Rotel::start(&directory)) },
        Target { name: "grpc", server: Kind::Collector(Rotel::start(&directory)) },
        Target { name: "spill", server: Kind::Collector(Rotel::start(&directory)) },
    ];
    if env::var_os("TASKSCOPE_NATS_SERVER").is_some() {
        let nats = NatsServer::start(&directory, &[]);
        nats.client().add_stream("TASKSCOPE", "taskscope.>");
        targets.push(Target { name: "nats", server: Kind::Stream(nats) });
    }
    let lines: String = targets.iter().map(|target| target.lines(&directory)).collect();
    let service = servers::daemon(directory.clone(), &lines, &["--zombie-after", "300ms"]);
    let wanted = Arc::new(Mutex::new(Wanted::default()));
    let reader = read(&service, &wanted);
    let (stop, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let storm = storm(&stop)?;
    let mut memory = Vec::new();
    for fault in 0..FAULTS {
        faults(&mut targets, fault, lasting / FAULTS)?;
        memory.push(service.kib("VmRSS"));
        let line = targets.iter().map(|target| {
            let of = |counter| count(&service, target.name, counter);
            format!("{} {} sent, {} dropped", target.name, of("events_total"), of("dropped_events_total"))
        });
        let line = line.collect::<Vec<_>>().join("; ");
        eprintln!("soak: {} s, fault {}: {line}", begun.elapsed().as_secs(), fault + 1);
    }
    stop.store(true, Ordering::Relaxed);
    ensure!(storm.join().is_ok(), "the storm panicked");
    let mut table = vec![format!(
        "{:<6} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8}",
        "output", "wanted", "sent", "in gaps", "gaps", "repeated", "retries"
    )];
    for target in &targets {
        let row = verdict(&service, target, &wanted)
            .with_context(|| format!("logs and configuration stay in {}", directory.display()))?;
        table.push(row);
    }
    let (first, last) = (memory.first().copied().unwrap_or(0), memory.last().copied().unwrap_or(0));
    let (end, _) = service.stop();
    end.assert_clean();
    ensure!(reader.join().is_ok(), "the reader panicked");
    println!("{}", table.join("\n"));
    println!(
        "{FAULTS} faults of each server in {} s; memory of the daemon {first} to {last} KiB",
        begun.elapsed().as_secs()
    );
    drop(targets);
    fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))
}

/// Makes all servers unavailable once within a time, and causes a flood of events meanwhile.
fn faults(targets: &mut [Target], fault: u32, lasting: Duration) -> anyhow::Result<()> {
    let pauses = |at: usize| (fault as usize + at) % 2 == 1;
    sleep(lasting / 3);
    for (at, target) in targets.iter_mut().enumerate() {
        target.away(pauses(at));
    }
    let away = Instant::now();
    Scenario::start(&scenario()?, "burst", &[FLOOD]).finish();
    sleep((lasting / 3).max(PAUSE_LEAST).saturating_sub(away.elapsed()));
    for (at, target) in targets.iter_mut().enumerate() {
        target.back(pauses(at));
    }
    sleep(lasting / 3);
    Ok(())
}

/// Fails if the oracle lacks events.
fn complete(wanted: &Wanted) -> anyhow::Result<()> {
    match &wanted.incomplete {
        Some(line) => {
            bail!("the reader that is the oracle missed events; run this while no other storm runs: {line}")
        }
        None => Ok(()),
    }
}

/// Waits until an output has sent everything, and compares what its server has with the oracle. Returns a row of the table.
fn verdict(service: &Service, target: &Target, wanted: &Mutex<Wanted>) -> anyhow::Result<String> {
    let name = target.name;
    let of = |counter: &str| count(service, name, counter);
    complete(&wanted.lock().unwrap_or_else(PoisonError::into_inner))?;
    until(|| {
        let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner).numbers.len() as u64;
        let (sent, dropped, queued) = (of("events_total"), of("dropped_events_total"), of("queue_records"));
        let is_done = queued == 0 && sent + dropped == wanted;
        let why = || format!("{name}: {sent} sent, {dropped} dropped, {queued} wait; wanted: {wanted}");
        if is_done { Ok(()) } else { Err(why()) }
    })?;
    let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
    complete(&wanted)?;
    let counted = (of("events_total"), of("dropped_events_total"));
    let delivery = until(|| {
        let delivery = target.delivery(&wanted.numbers)?;
        let found = (delivery.events.len() as u64, delivery.lost);
        if found == counted {
            Ok(delivery)
        } else {
            Err(format!("{name}: counted {counted:?}, found {found:?}"))
        }
    })?;
    ensure!(delivery.events.is_subset(&wanted.numbers), "{name}: the server has events that are unexpected");
    ensure!(name == "spill" || delivery.gaps > 0, "{name}: no event was dropped: the faults were too short");
    ensure!(
        name != "spill" || delivery.lost == 0,
        "{name}: {} events were dropped with a spill file",
        delivery.lost
    );
    Ok(format!(
        "{name:<6} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8}",
        wanted.numbers.len(),
        delivery.events.len(),
        delivery.lost,
        delivery.gaps,
        delivery.repeated,
        of("retries_total")
    ))
}
