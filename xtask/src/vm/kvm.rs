//! Finds out whether KVM can really run a guest here.
//!
//! It is not enough that the device opens: under some hypervisors a guest starts and never finishes booting. So one guest without
//! tests is booted, and the result is stored for this host kernel and QEMU.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::boot::{Accel, Guest};
use super::fetch::cache::Cache;
use super::fetch::kernels::Kernel;
use super::fetch::qemu::Qemu;
use super::guest::{Binaries, Plan};
use super::run::Run;

const DEVICE: &str = "/dev/kvm";
/// With KVM a guest boots within two seconds; if it takes longer than this, KVM is not faster than TCG.
const LIMIT: Duration = Duration::from_secs(12);

/// Chooses the accelerator. Boots a guest if there is no stored result.
pub(super) fn choose(
    cache: &Cache,
    qemu: &Qemu,
    kernel: &Kernel,
    binaries: &Binaries,
    logs: &Path,
) -> anyhow::Result<Accel> {
    if !kernel.arch.is_host() || OpenOptions::new().read(true).write(true).open(DEVICE).is_err() {
        return Ok(Accel::Tcg);
    }
    let host =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the host's kernel release")?;
    let key = format!("{} / {}", host.trim(), qemu.version);
    let path = cache.path("kvm");
    if let Some(known) = fs::read_to_string(&path).ok().and_then(|text| remembered(&text, &key)) {
        return Ok(known);
    }
    eprintln!("vm: booting a guest to test KVM, for {} s at most", LIMIT.as_secs());
    let accel = if finishes(qemu, kernel, binaries, logs)? { Accel::Kvm } else { Accel::Tcg };
    fs::write(&path, format!("{key}\n{}\n", word(accel)))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(accel)
}

/// Returns the name of an accelerator in the cache and in messages.
pub(super) const fn word(accel: Accel) -> &'static str {
    match accel {
        Accel::Kvm => "kvm",
        Accel::Tcg => "tcg",
    }
}

fn finishes(qemu: &Qemu, kernel: &Kernel, binaries: &Binaries, logs: &Path) -> anyhow::Result<bool> {
    let nothing = Plan { jobs: 1, test_timeout_s: 1, ..Plan::default() };
    let initramfs = logs.join("kvm-trial.cpio");
    binaries.only_init().initramfs(&nothing, &initramfs)?;
    let console = logs.join("kvm-trial.console");
    let mut guest = Guest::new(qemu, Accel::Kvm, &kernel.image, &initramfs, console.clone());
    guest.boot_limit = LIMIT;
    guest.limit = LIMIT;
    let boot = guest.run(&mut |_| {})?;
    let text = fs::read(&console).unwrap_or_default();
    let run = Run::judge(&boot, &String::from_utf8_lossy(&text));
    if let Some(trouble) = run.trouble.first() {
        eprintln!("vm: KVM does not work ({trouble}): using TCG");
    }
    Ok(run.succeeded())
}

fn remembered(text: &str, key: &str) -> Option<Accel> {
    let mut lines = text.lines();
    if lines.next()? != key {
        return None;
    }
    let answer = lines.next()?;
    [Accel::Kvm, Accel::Tcg].into_iter().find(|accel| word(*accel) == answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_its_host_kernel_and_qemu_alone() {
        assert_eq!(remembered("6.18 / QEMU 10\ntcg\n", "6.18 / QEMU 10"), Some(Accel::Tcg));
        assert_eq!(remembered("6.18 / QEMU 10\nkvm\n", "6.18 / QEMU 10"), Some(Accel::Kvm));
        assert_eq!(remembered("6.18 / QEMU 10\nkvm\n", "6.19 / QEMU 10"), None);
        assert_eq!(remembered("6.18 / QEMU 10\n", "6.18 / QEMU 10"), None);
    }
}
