//! Landlock: restricts which files the daemon can access, whatever its user may read and write.
//!
//! The rules handle every access that the crate knows, so that a newer kernel denies more without a change here. They allow:
//!
//! | path | access | why |
//! |---|---|---|
//! | /proc | read | facts of processes, limits, itself |
//! | /sys | read | cgroups, what attaching hooks again needs |
//! | /var/log/pods, /var/log/containers | list | names of pods and containers |
//! | the configuration's directory | read | SIGHUP; the directory, since editors and Kubernetes replace the file |
//! | the directories of the web configuration and of its certificates | read | renewed certificates |
//! | the socket's directory | remove a file | the socket, at the end |
//! | the history's directory, with `history` | read, write, make, cut and remove files | its segments |
//! | the socket of `NOTIFY_SOCKET` | send (ABI 9) | notifications to systemd |
//!
//! With outputs they also allow TCP connections to the ports of the servers, and reading the directories of the certificates, keys and
//! credentials for them, because these can be renewed. For servers with host names, they allow TCP and UDP to port 53 and reading the
//! files of the resolver. For the journal, they allow sending to journald's socket (ABI 9), by a rule for its directory, because systemd can
//! create the socket again.
//!
//! No other TCP (ABI 4) and no UDP (ABI 10) socket can be bound or connected; existing listeners keep working. Signals (ABI 6) and
//! abstract Unix sockets of others (ABI 6) are out of reach.
//!
//! A process that is restricted by Landlock cannot trace other processes either, and the kernel treats reading
//! /proc/PID/{exe,fd,syscall,wchan} as tracing. The daemon loses little: without `CAP_SYS_PTRACE`, which it drops, it cannot read
//! these files of nearly all processes anyway. If the capability is kept, Landlock is left out.

use std::{
    env, fmt, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use caps::{CapSet, Capability};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    RestrictSelfAttr as _, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};
use thiserror::Error;

use super::Paths;

/// The newest ABI that is tested.
const NEWEST: ABI = ABI::V10;

/// The files of the C library's resolver; /etc/resolv.conf is often a link to one of the directories.
const RESOLVER: [&str; 9] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];

/// The port of name servers.
const DNS: u16 = 53;

/// Why Landlock is not in force.
#[derive(Debug, Error)]
pub enum LandlockError {
    /// No such system call, or the security module is off.
    #[error(
        "this kernel has no Landlock: Linux 5.13 and later have it, unless lsm= on the kernel's command line leaves it out"
    )]
    NotInKernel,
    /// Landlock would take away what `CAP_SYS_PTRACE` is for.
    #[error("not used because CAP_SYS_PTRACE was kept: Landlock would make it useless")]
    CanTrace,
    /// The kernel refuses the call.
    #[error("{0}")]
    Refused(#[from] RulesetError),
}

/// Landlock's version in force. What each one adds: landlock(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi(pub i32);

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "landlock abi {}", self.0)
    }
}

/// Restricts the calling thread and threads that it makes; from ABI 8 on, all threads.
pub fn restrict(paths: &Paths) -> Result<Abi, LandlockError> {
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_PTRACE).unwrap_or(false) {
        return Err(LandlockError::CanTrace);
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let notify = env::var_os("NOTIFY_SOCKET");
    // An abstract socket of systemd would be inaccessible too.
    let has_abstract_notify = notify.as_ref().is_some_and(|name| name.as_bytes().starts_with(b"@"));
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::Signal)?;
    if !has_abstract_notify {
        ruleset = ruleset.scope(Scope::AbstractUnixSocket)?;
    }
    let mut rules = vec![(PathBuf::from("/proc"), read), ("/sys".into(), read)];
    rules.extend(paths.cgroups.iter().map(|mount| (mount.clone(), read)));
    // Only the names in these directories may be read. Their files have the output of containers.
    let there = paths.names.iter().filter(|directory| directory.is_dir());
    rules.extend(there.map(|directory| (directory.clone(), AccessFs::ReadDir.into())));
    let web = paths.web.iter().flat_map(|file| config_directories(file));
    rules.extend(web.map(|directory| (directory, read)));
    rules.extend(config_directories(&paths.config).into_iter().map(|directory| (directory, read)));
    let socket_directory = paths.socket.as_deref().map(directory_of);
    rules.extend(socket_directory.map(|directory| (directory, AccessFs::RemoveFile.into())));
    let keep = read | AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    rules.extend(paths.history.iter().map(|directory| (directory.clone(), keep)));
    if let Some(socket) = notify.filter(|_| !has_abstract_notify) {
        rules.push((socket.into(), AccessFs::ResolveUnix.into()));
    }
    let outputs = &paths.outputs;
    let tls = outputs.files.iter().flat_map(|file| config_directories(file));
    rules.extend(tls.map(|directory| (directory, read)));
    let sockets = outputs.sockets.iter().filter(|socket| socket.exists());
    rules.extend(sockets.map(|socket| (directory_of(socket), AccessFs::ResolveUnix.into())));
    if outputs.names {
        let there = RESOLVER.iter().map(PathBuf::from).filter(|path| path.exists());
        rules.extend(there.map(|path| {
            let access = if path.is_dir() { read } else { AccessFs::ReadFile.into() };
            (path, access)
        }));
    }
    let mut ruleset = ruleset.create()?;
    for &port in &outputs.ports {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    if outputs.names {
        ruleset = ruleset.add_rule(NetPort::new(DNS, AccessNet::ConnectTcp | AccessNet::ConnectSendUdp))?;
        // The kernel binds a UDP socket to a free port by itself when it is first used; port 0 stands for that.
        ruleset = ruleset.add_rule(NetPort::new(0, AccessNet::BindUdp))?;
    }
    for (path, access) in rules {
        ruleset = allow(ruleset, &path, access)?;
    }
    let status = ruleset.all_threads(true)?.restrict_self()?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err(LandlockError::NotInKernel),
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(Abi(effective_abi as i32)),
        _ => Err(LandlockError::NotInKernel),
    }
}

fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => ruleset.add_rule(PathBeneath::new(opened, access)),
        Err(error) => {
            log::warn!("{error}: {} cannot be accessed until the next start", path.display());
            Ok(ruleset)
        }
    }
}

/// Returns the directories of a configuration: that of the path and that of its link target. If a directory does not exist yet,
/// its nearest existing ancestor is used.
fn config_directories(config: &Path) -> Vec<PathBuf> {
    let named = directory_of(config);
    let nearest = named.ancestors().find(|directory| directory.is_dir()).map(Path::to_owned);
    let linked = config.canonicalize().ok().as_deref().map(directory_of);
    let mut directories: Vec<PathBuf> = nearest.into_iter().chain(linked).collect();
    directories.dedup();
    directories
}

/// Returns the directory of a path; the current one for a bare name.
fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Returns the version that this kernel offers, and restricts nothing. The crate `landlock` does not export this query.
pub fn offered() -> Result<Abi, io::Error> {
    /// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel reads nothing through the pointer, which must be null.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0, VERSION)
    };
    if abi < 0 { Err(io::Error::last_os_error()) } else { Ok(Abi(abi as i32)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_may_come_opens_the_nearest_directory_above_it() {
        assert_eq!(config_directories(Path::new("/proc/no/such/t.toml")), [PathBuf::from("/proc")]);
        assert_eq!(config_directories(Path::new("t.toml")), [PathBuf::from(".")]);
    }

    #[test]
    fn a_configuration_behind_a_link_opens_both_directories() {
        let directory = std::env::temp_dir().join(format!("taskscope-landlock-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let link = directory.join("t.toml");
        std::os::unix::fs::symlink("/proc/version", &link).unwrap();
        let directories = config_directories(&link);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(directories, [directory, PathBuf::from("/proc")]);
    }
}
