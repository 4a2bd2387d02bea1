//! Boots one kernel in QEMU under time limits, and reads the results.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::Context as _;

use super::CPUS;
use super::fetch::qemu::Qemu;
use super::monitor::Monitor;
use super::results::{self, Line};
use crate::arch::Arch;

/// Limit from QEMU's start to init's first line. A normal boot takes 2 to 5 s; on a busy host it can take minutes.
const BOOT_LIMIT: Duration = Duration::from_secs(240);
/// `kernel.threads-max` follows from the memory that the initramfs, of more than 200 MiB, leaves: the largest test has 6,000 threads.
const MEMORY: &str = "1280M";
/// A guest with more CPUs than this needs more time, because its CPUs start one after the other, and more memory, because the
/// kernel has data for each CPU.
const FEW_CPUS: u16 = 8;
const MEMORY_OF_MANY: &str = "4096M";
const BOOT_LIMIT_OF_MANY: Duration = Duration::from_secs(600);
/// Longer limits for stuck CPUs, because virtual CPUs wait for CPUs of the host.
const COMMAND_LINE_OF_MANY: &str = "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300";
/// `oops=panic panic=-1` with `-no-reboot` ends QEMU at the first oops. Level 5 shows warnings, `quiet` hides them.
///
/// A kernel that hangs detects that in most cases, and panics with the stacks of all tasks (`panic_print`): if a CPU does not
/// schedule or passes no quiescent state, or if a task waits uninterruptibly for a minute. `unknown_nmi_panic` is for hangs that
/// the kernel does not detect (see [`Monitor`]).
const COMMAND_LINE: &str = "loglevel=5 printk.time=1 panic=-1 oops=panic random.trust_cpu=on \
    softlockup_panic=1 hung_task_panic=1 sysrq_always_enabled unknown_nmi_panic panic_print=0x41 \
    sysctl.kernel.panic_on_rcu_stall=1 sysctl.kernel.hung_task_timeout_secs=60";

/// Returns the console of a guest, which is its first serial port, and the file of its second serial port, for results.
pub(super) const fn serial_ports(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::X86_64 => ("ttyS0", "/dev/ttyS1"),
        Arch::Aarch64 => ("ttyAMA0", "/dev/ttyAMA1"),
    }
}

/// Returns options that the command line of a kernel has only on this architecture.
///
/// With randomized kernel addresses, arm64 uses separate page tables for the kernel (a protection against Meltdown). Each system
/// call then switches page tables twice, and each switch empties TCG's TLB.
const fn command_line_of(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "",
        Arch::Aarch64 => " kpti=off",
    }
}

/// Longest wait for the next line of an interrupted guest.
const LAST_OUTPUT: Duration = Duration::from_secs(60);

/// The accelerator of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accel {
    Kvm,
    Tcg,
}

/// The root file system of the guest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Root<'a> {
    /// An archive in memory.
    Initramfs(&'a Path),
    /// A disk with a file system. What is written to it is lost with the guest.
    Disk(&'a Path),
}

/// The settings of a boot.
pub(super) struct Guest<'a> {
    pub(super) qemu: &'a Qemu,
    pub(super) accel: Accel,
    pub(super) image: &'a Path,
    pub(super) root: Root<'a>,
    /// A disk beside an [`Root::Initramfs`]: `/dev/nvme0n1`. What is written to it is lost with the guest.
    pub(super) disk: Option<PathBuf>,
    /// Path of the console log. The file of results is beside it.
    pub(super) console: PathBuf,
    /// Number of CPUs.
    pub(super) cpus: u16,
    /// Longest wait for init's first line.
    pub(super) boot_limit: Duration,
    /// Longest wait between two lines after that.
    pub(super) silence_limit: Duration,
    /// Longest run in all.
    pub(super) limit: Duration,
}

/// How a boot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// QEMU ended with this code; `None` if a signal ended it.
    Exited(Option<i32>),
    /// Init did not come up within the limit.
    NeverBooted(Duration),
    /// No line came within the limit, but the kernel responds.
    Silent(Duration),
    /// No line came within the limit, and the kernel does not respond: the kernel or QEMU hangs.
    Hung(Duration),
    /// The guest was not done within the limit of the whole run.
    TooLong(Duration),
}

/// A boot that is over.
#[derive(Debug)]
pub(super) struct Boot {
    pub(super) ending: Ending,
    /// The lines, each with the time since QEMU's start.
    pub(super) lines: Vec<(Duration, Line)>,
    /// Time from QEMU's start to init's first line.
    pub(super) init_time: Option<Duration>,
    pub(super) total_time: Duration,
    /// Standard error of QEMU.
    pub(super) stderr: String,
}

impl<'a> Guest<'a> {
    pub(super) fn new(
        qemu: &'a Qemu,
        accel: Accel,
        image: &'a Path,
        initramfs: &'a Path,
        console: PathBuf,
    ) -> Self {
        let silence_limit = Duration::from_secs(150);
        let limit = Duration::from_secs(20 * 60);
        let root = Root::Initramfs(initramfs);
        let disk = None;
        Self {
            qemu,
            accel,
            image,
            root,
            disk,
            console,
            cpus: CPUS,
            boot_limit: BOOT_LIMIT,
            silence_limit,
            limit,
        }
    }

    /// Sets the number of CPUs.
    pub(super) fn set_cpus(&mut self, cpus: u16) {
        self.cpus = cpus;
        if self.has_many_cpus() {
            self.boot_limit = BOOT_LIMIT_OF_MANY;
        }
    }

    const fn has_many_cpus(&self) -> bool {
        self.cpus > FEW_CPUS
    }

    /// Boots and waits for the end; calls `on_line` with each line.
    pub(super) fn run(&self, on_line: &mut dyn FnMut(&Line)) -> anyhow::Result<Boot> {
        let started = Instant::now();
        let monitor = Monitor::new();
        let mut command = self.command(&monitor);
        fs::write(self.console.with_extension("command"), format!("{command:?}\n"))
            .with_context(|| format!("writing beside {}", self.console.display()))?;
        let errors = self.console.with_extension("stderr");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&errors).context("making QEMU's log")?)
            .spawn()
            .context("starting QEMU under timeout(1)")?;
        let stdout = child.stdout.take().context("QEMU has no output")?;
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n') {
                let Ok(line) = line else { break };
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });

        let mut boot = Boot {
            ending: Ending::Exited(None),
            lines: Vec::new(),
            init_time: None,
            total_time: Duration::ZERO,
            stderr: String::new(),
        };
        let mut raw = String::new();
        let mut stopped = loop {
            let silence = if boot.init_time.is_some() { self.silence_limit } else { self.boot_limit };
            let rest = self.limit.saturating_sub(started.elapsed());
            match receiver.recv_timeout(silence.min(rest)) {
                Ok(text) => {
                    raw.push_str(&text);
                    raw.push('\n');
                    let line = results::parse(&text);
                    if matches!(line, Line::Boot(_)) {
                        boot.init_time = Some(started.elapsed());
                    }
                    on_line(&line);
                    boot.lines.push((started.elapsed(), line));
                }
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) if rest < silence => break Some(Ending::TooLong(self.limit)),
                Err(RecvTimeoutError::Timeout) if boot.init_time.is_none() => {
                    break Some(Ending::NeverBooted(silence));
                }
                Err(RecvTimeoutError::Timeout) => break Some(Ending::Silent(silence)),
            }
        };
        if let Some(ending) = &mut stopped {
            if let Ending::Silent(limit) | Ending::NeverBooted(limit) = *ending
                && !self.interrogate(&monitor, &receiver)
            {
                *ending = Ending::Hung(limit);
            }
            stop(&child)?;
        }
        let status = child.wait().context("waiting for QEMU")?;
        if reader.join().is_err() {
            anyhow::bail!("the thread that reads QEMU's output panicked");
        }
        boot.stderr = fs::read_to_string(&errors).context("reading QEMU's log")?;
        boot.ending = stopped.unwrap_or(Ending::Exited(status.code()));
        boot.total_time = started.elapsed();
        fs::write(self.console.with_extension("results"), raw).context("writing the results")?;
        Ok(boot)
    }

    /// Makes a guest that has stopped print what it can; the output is on the console and beside it.
    ///
    /// Returns whether its kernel responds.
    fn interrogate(&self, monitor: &Monitor, results: &Receiver<String>) -> bool {
        let into = self.console.with_extension("cpus");
        match monitor.interrogate(&into) {
            Ok(lives) => {
                // After the panic QEMU ends, which also ends the results.
                while results.recv_timeout(LAST_OUTPUT).is_ok() {}
                lives
            }
            Err(error) => {
                eprintln!("vm: asking the silent guest what it does: {error:#}");
                false
            }
        }
    }

    fn command(&self, monitor: &Monitor) -> Command {
        // timeout(1) ends QEMU even if xtask is killed.
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=5"]).arg((self.limit.as_secs() + 30).to_string());
        self.qemu.prepare(&mut command);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        // `max` of arm64 has pointer authentication, which takes most of the time of a guest in TCG; cortex-a72 has no pages of 16 KiB.
        let (machine, cpu) = match self.qemu.arch {
            Arch::X86_64 => ("q35", "max"),
            Arch::Aarch64 => ("virt", "neoverse-n1"),
        };
        command.args(["-machine", machine]);
        command.args(match self.accel {
            Accel::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Accel::Tcg => ["-accel", "tcg,thread=multi", "-cpu", cpu],
        });
        let (memory, line) = if self.has_many_cpus() {
            (MEMORY_OF_MANY, format!("{COMMAND_LINE} {COMMAND_LINE_OF_MANY}"))
        } else {
            (MEMORY, COMMAND_LINE.to_owned())
        };
        let arch = self.qemu.arch;
        let line = format!("console={} {line}{}", serial_ports(arch).0, command_line_of(arch));
        command.args(["-smp", &self.cpus.to_string(), "-m", memory]).arg("-kernel").arg(self.image);
        match self.root {
            Root::Initramfs(path) => {
                command.args(["-append", &line]).arg("-initrd").arg(path);
                if let Some(disk) = &self.disk {
                    attach(&mut command, "scratch", disk);
                }
            }
            Root::Disk(path) => {
                // Only one disk is attached, because the names of two depend on which is found first.
                command.arg("-append").arg(format!("{line} root=/dev/nvme0n1 rw"));
                attach(&mut command, "root", path);
            }
        }
        command.args(monitor.options(&self.console)).args(["-serial", "stdio"]);
        // On arm64, guest-init powers the machine off, and its verdict comes from the results.
        if self.qemu.arch == Arch::X86_64 {
            command.args(["-device", "isa-debug-exit,iobase=0x501,iosize=1"]);
        }
        command
    }
}

/// Adds a disk: drivers of `nvme` and ext4 are built into the kernels that Debian makes for clouds.
fn attach(command: &mut Command, id: &str, disk: &Path) {
    let path = disk.display();
    command.arg("-drive").arg(format!("if=none,id={id},format=raw,snapshot=on,file={path}"));
    command.arg("-device").arg(format!("nvme,serial=taskscope,drive={id}"));
}

/// Makes timeout(1) end QEMU, by SIGKILL after five seconds.
fn stop(child: &Child) -> anyhow::Result<()> {
    let status = Command::new("kill").arg(child.id().to_string()).status().context("running kill")?;
    if !status.success() {
        eprintln!("vm: QEMU of process {} had ended already", child.id());
    }
    Ok(())
}
