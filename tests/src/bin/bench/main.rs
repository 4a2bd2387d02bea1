//! What observers cost and what they miss: the same workloads bare and under each observer in turn, interleaved and repeated.
//!
//! `cargo xtask bench` builds this, fetches the rivals and runs it as root.
#![expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

mod growth;
mod latency;
mod observers;
mod process;
mod storms;
mod table;
mod workload;

use std::{env, path::PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

/// What is measured with.
pub(crate) struct Setup {
    /// The program under test.
    pub(crate) taskscope: PathBuf,
    /// Other observers that could be had, by name.
    pub(crate) rivals: Vec<(String, PathBuf)>,
    /// How often each pair of workload and observer is run.
    pub(crate) rounds: usize,
    /// A part of everything, to see that it works.
    pub(crate) quick: bool,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [word, kind, count] = args.as_slice()
        && word == "workload"
    {
        return workload::run(kind, count.parse().context("the number of turns")?);
    }
    let setup = setup(&args)?;
    mount_tracefs();
    let storms = storms::measure(&setup)?;
    println!("{}", storms.text());
    let latency = latency::measure(&setup)?;
    println!("{}", latency.text());
    let growth = growth::measure(&setup)?;
    println!("{}", growth.text());
    let all = json!({ "storms": storms.json(), "latency": latency.json(), "growth": growth.json() });
    if let Some(path) = env::var_os("TASKSCOPE_BENCH_JSON") {
        std::fs::write(&path, format!("{all:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Some rivals need it. It is mounted for this process and its children only.
fn mount_tracefs() {
    let path = c"/sys/kernel/tracing";
    // SAFETY: strings that end with NUL; the data may be null. What fails shows as a rival that ends by itself.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS);
        libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        );
        libc::mount(c"tracefs".as_ptr(), path.as_ptr(), c"tracefs".as_ptr(), 0, std::ptr::null());
    }
}

/// `bench ROUNDS [quick] [NAME=PATH...]`.
fn setup(args: &[String]) -> anyhow::Result<Setup> {
    let Some((rounds, rest)) = args.split_first() else { bail!("bench ROUNDS [quick] [NAME=PATH...]") };
    let rivals = rest.iter().filter_map(|arg| arg.split_once('='));
    Ok(Setup {
        taskscope: taskscope_tests::setting::taskscope(),
        rivals: rivals.map(|(name, path)| (name.to_owned(), PathBuf::from(path))).collect(),
        rounds: rounds.parse().context("the number of rounds")?,
        quick: rest.iter().any(|arg| arg == "quick"),
    })
}
