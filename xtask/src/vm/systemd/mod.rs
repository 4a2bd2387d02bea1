//! `cargo xtask vm --systemd`: tests the Debian package on a Debian with systemd as process 1.
//!
//! The guest's program is `tests/src/bin/guest-systemd`; it installs, starts, reloads, upgrades and removes the package.

mod rootfs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::boot::{Guest, Root};
use super::fetch::cache::Cache;
use super::fetch::kernels::{self, Kernel};
use super::fetch::qemu::Qemu;
use super::guest::Binaries;
use super::kernels::table;
use super::report::{self, Row};
use super::run::Run;
use super::tail::Tail;
use super::{kvm, session};
use crate::arch::Arch;
use crate::{dist, shell};

/// Takes the place of the attach family in results.
const FAMILY: &str = "systemd";
const PROGRAM: &str = "guest-systemd";
/// The program that the guest's containers run.
const SCENARIO: &str = "scenario";
/// The image, which contains the binary of the tests, because that of the packages takes minutes to build.
const IMAGE: &str = "taskscope-oci.tar";
/// The oldest and the newest kernel, because the needed privileges depend on the kernel.
const KERNELS: [&str; 2] = ["5.10", table::NEWEST];
/// Limit of a run, which normally takes one or two minutes.
const LIMIT: Duration = Duration::from_secs(600);
const SILENCE: Duration = Duration::from_secs(90);

/// Runs the guests of `cargo xtask test`.
pub(crate) fn main() -> anyhow::Result<()> {
    run(&Cache::open()?, &[], false)
}

/// Boots each kernel; the default is the oldest and the newest.
pub(super) fn run(cache: &Cache, names: &[String], verbose: bool) -> anyhow::Result<()> {
    let names: Vec<String> =
        if names.is_empty() { KERNELS.map(str::to_owned).to_vec() } else { names.to_vec() };
    let lines = table::lines()?;
    let qemu = Qemu::obtain(cache, Arch::X86_64)?;
    let kernels = kernels::obtain(cache, &lines, &names, false)?;
    let root = rootfs::obtain(cache)?;
    let binaries = Binaries::build(Arch::X86_64, &[])?;
    let logs = session::logs_dir();
    fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    let disk = disk(&root, &binaries, &logs)?;
    let one = |asked: String, kernel: anyhow::Result<Kernel>| {
        let name = kernel.as_ref().map_or(asked.as_str(), |kernel| kernel.name.as_str()).to_owned();
        let outcome = kernel.and_then(|kernel| {
            let accel = kvm::choose(cache, &qemu, &kernel, &binaries, &logs)?;
            let console = logs.join(format!("systemd-{}.console", kernel.name));
            let mut guest = Guest::new(&qemu, accel, &kernel.image, Path::new(""), console);
            guest.root = Root::Disk(&disk);
            guest.limit = LIMIT;
            guest.silence_limit = SILENCE;
            boot(&kernel, &guest, verbose)
        });
        let outcome = outcome.map_err(|error| format!("{error:#}"));
        Row { asked, name, arch: Arch::X86_64.debian(), outcome }
    };
    // No guest changes the disk: each has a snapshot of its own.
    let at_once = if verbose { 1 } else { session::GUESTS_MAX };
    let (mut kernels, mut rows) = (kernels.into_iter(), Vec::new());
    while kernels.len() > 0 {
        let (one, some) = (&one, kernels.by_ref().take(at_once));
        let ended: anyhow::Result<Vec<Row>> = thread::scope(|scope| {
            let guests: Vec<_> =
                some.map(|(asked, kernel)| scope.spawn(move || one(asked, kernel))).collect();
            guests
                .into_iter()
                .map(|guest| guest.join().map_err(|_| anyhow!("the thread of a guest panicked")))
                .collect()
        });
        rows.extend(ended?);
    }
    if let Some(reports) = report::reports(&rows) {
        println!("\n{reports}");
    }
    println!("\n{}", report::verdicts(&rows, &[FAMILY.to_owned()]));
    let failed = rows.iter().filter(|row| !row.succeeded()).count();
    anyhow::ensure!(
        failed == 0,
        "{failed} of {} guests failed; the logs are in {}",
        rows.len(),
        logs.display()
    );
    Ok(())
}

fn boot(kernel: &Kernel, guest: &Guest<'_>, verbose: bool) -> anyhow::Result<Run> {
    let label = format!("systemd on {}", kernel.name);
    eprintln!("vm: booting {label} ({})", kernel.version);
    // A report of an earlier boot would be mistaken for the report of this one.
    let _ = fs::remove_file(&guest.console);
    let tail = verbose.then(|| Tail::follow(guest.console.clone()));
    let boot = guest.run(&mut |line| session::show(&label, line, verbose))?;
    drop(tail);
    let console = fs::read(&guest.console).with_context(|| format!("reading {}", guest.console.display()))?;
    let console = String::from_utf8_lossy(&console);
    let mut run = Run::judge(&boot, &console);
    run.demand(&[FAMILY.to_owned()]);
    session::explain(&label, &run, &console, verbose);
    Ok(run)
}

/// Makes a copy of the root file system, with an archive of the files that the guest needs.
fn disk(root: &Path, binaries: &Binaries, logs: &Path) -> anyhow::Result<PathBuf> {
    let directory = logs.with_file_name("systemd");
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}", directory.display()));
        }
        _ => {}
    }
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    for name in [PROGRAM, SCENARIO] {
        let program = binaries.program(name)?;
        fs::copy(program, directory.join(name)).with_context(|| format!("copying {}", program.display()))?;
    }
    let image = dist::image(binaries.program("taskscope")?, &directory)?;
    fs::rename(&image, directory.join(IMAGE)).with_context(|| format!("renaming {}", image.display()))?;
    let taskscope = binaries.program("taskscope")?;
    dist::package(taskscope, dist::VERSION, &directory.join("taskscope.deb"))?;
    dist::package(
        taskscope,
        &format!("{}+upgrade", dist::VERSION),
        &directory.join("taskscope-upgrade.deb"),
    )?;
    let mut tar = Command::new("tar");
    tar.current_dir(&directory).args(["--create", "--owner=0", "--group=0", "--file=payload.tar"]);
    shell::run(tar.args([PROGRAM, SCENARIO, IMAGE, "taskscope.deb", "taskscope-upgrade.deb"]))?;
    let disk = logs.with_file_name("systemd.ext4");
    shell::run(Command::new("cp").args(["--sparse=always", "--"]).arg(root).arg(&disk))?;
    // debugfs writes into the file system without mounting it, which would need root. It is in /usr/sbin, beside mkfs.ext4.
    let debugfs = shell::which("debugfs").unwrap_or_else(|| PathBuf::from("/usr/sbin/debugfs"));
    let mut write = Command::new(debugfs);
    write.current_dir(&directory).args(["-w", "-R", "write payload.tar payload.tar"]).arg(&disk);
    shell::run(&mut write).context("debugfs comes with mkfs.ext4, in e2fsprogs")?;
    Ok(disk)
}
