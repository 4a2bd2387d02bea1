//! The sandbox, tested from inside. For each attempt the test starts itself again, installs the daemon's filters and makes one
//! forbidden call, which must get EPERM, ENOSYS or SIGSYS. The calls that the daemon needs must work.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    env,
    ffi::{CStr, CString},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd as _, FromRawFd as _},
        linux::net::SocketAddrExt as _,
        unix::{
            net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
            process::ExitStatusExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use taskscope::{
    outputs::Reach,
    service::sandbox::{Paths, landlock, seccomp},
};

/// Names the attempt to a process of this test.
const ATTEMPT: &str = "TASKSCOPE_SANDBOX_ATTEMPT";
/// Its directory.
const DIRECTORY: &str = "TASKSCOPE_SANDBOX_DIRECTORY";

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Worked,
    Errno(i32),
    Signal(i32),
}

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("taskscope-sandbox-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("config")).unwrap();
        fs::create_dir_all(path.join("run")).unwrap();
        fs::create_dir_all(path.join("history")).unwrap();
        fs::create_dir_all(path.join("web")).unwrap();
        fs::create_dir_all(path.join("names/pod")).unwrap();
        fs::write(path.join("names/pod/0.log"), "x").unwrap();
        fs::write(path.join("config/t.toml"), "top = 3\n").unwrap();
        fs::write(path.join("secret"), "x").unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes one attempt in a process of its own.
fn attempt(name: &str) -> End {
    let directory = Directory::new(name);
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "inside", "--nocapture", "--test-threads=1"])
        .env(ATTEMPT, name)
        .env(DIRECTORY, &directory.0)
        .env("NOTIFY_SOCKET", directory.0.join("notify"))
        .output()
        .unwrap();
    if let Some(signal) = output.status.signal() {
        return End::Signal(signal);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let reported =
        text.lines().find_map(|line| line.split_once("attempt: ")).map(|(_, reported)| reported.trim());
    match reported {
        Some("worked") => End::Worked,
        Some(errno) => End::Errno(errno.parse().unwrap()),
        None => panic!("{name} reported nothing: {output:?}"),
    }
}

/// What a process of [`attempt`] runs. Without the variable it is an ordinary run of all tests, and there is nothing to do.
#[test]
fn inside() {
    let (Some(name), Some(directory)) = (env::var_os(ATTEMPT), env::var_os(DIRECTORY)) else { return };
    let directory = PathBuf::from(directory);
    let outcome = Inside::new(name.to_str().unwrap(), &directory).run();
    match outcome {
        Ok(()) => println!("attempt: worked"),
        Err(error) => println!("attempt: {}", error.raw_os_error().unwrap_or(0)),
    }
}

/// What exists before the sandbox is installed.
struct Inside<'a> {
    name: &'a str,
    directory: &'a Path,
    listener: TcpListener,
    neighbour: Child,
    notify: UnixListener,
}

impl<'a> Inside<'a> {
    fn new(name: &'a str, directory: &'a Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let neighbour = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let notify = UnixListener::bind(directory.join("run/other")).unwrap();
        Self { name, directory, listener, neighbour, notify }
    }

    fn run(mut self) -> io::Result<()> {
        let (to_thread, go) = mpsc::channel::<()>();
        let (done, from_thread) = mpsc::channel();
        let directory = self.directory.to_owned();
        let elder = thread::spawn(move || {
            go.recv().unwrap();
            done.send(OpenOptions::new().append(true).open(directory.join("secret")).map(drop)).unwrap();
        });
        let inner = UnixDatagram::unbound()?;
        let reported = UnixDatagram::bind(self.directory.join("notify"))?;
        let history = File::open(self.directory.join("history"))?;
        let other = TcpListener::bind("127.0.0.1:0")?;
        let (below, what) = self.name.split_once(": ").unwrap();
        if below.contains("landlock") {
            self.restrict_files(self.reach(below));
        }
        if below.contains("seccomp") {
            let history = below.contains("history").then_some(history.as_raw_fd());
            seccomp::install(history, &self.reach(below)).unwrap();
        }
        let outcome = match what {
            "execute" => Self::execute(),
            "exec by another thread" => thread::scope(|scope| scope.spawn(Self::execute).join().unwrap()),
            "trace" => self.trace(),
            "write by an elder thread" => {
                to_thread.send(()).unwrap();
                from_thread.recv().unwrap()
            }
            "write" => OpenOptions::new().append(true).open(self.directory.join("secret")).map(drop),
            "write to the history" => keep(&history),
            "write elsewhere from the history" => {
                open_at(&history, c"../secret", libc::O_WRONLY | libc::O_APPEND).map(drop)
            }
            "make a file" => File::create(self.directory.join("new")).map(drop),
            "connect" => TcpStream::connect(self.listener.local_addr()?).map(drop),
            "connect to another port" => TcpStream::connect(other.local_addr()?).map(drop),
            "connect to an open socket" => self.connect_again(),
            "listen" => TcpListener::bind("127.0.0.1:0").map(drop),
            "connect to a Unix socket" => UnixStream::connect(self.directory.join("run/other")).map(drop),
            "send to an abstract socket" => Self::send_abstract(&inner, self.directory),
            "signal" => self.signal(),
            "kill itself" => raw(libc::SYS_kill, [i64::from(std::process::id()), 0, 0, 0]),
            "change identity" => raw(libc::SYS_setresuid, [1, 1, 1, 0]),
            "unshare" => raw(libc::SYS_unshare, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0]),
            "make a namespace" => Self::clone(libc::CLONE_NEWUSER),
            "mount" => raw(libc::SYS_mount, [0, 0, 0, 0]),
            "load a module" => raw(libc::SYS_finit_module, [-1, 0, 0, 0]),
            "load a program" => raw(libc::SYS_bpf, [5, 0, 0, 0]),
            "make a map" => raw(libc::SYS_bpf, [0, 0, 0, 0]),
            "an unknown call" => raw(9999, [0, 0, 0, 0]),
            "a ring for other calls" => raw(libc::SYS_io_uring_setup, [1, 0, 0, 0]),
            "clone3" => raw(libc::SYS_clone3, [0, 0, 0, 0]),
            "make memory code" => raw(libc::SYS_mmap, [0, 4096, 5, 0x22]),
            "type for the terminal" => raw(libc::SYS_ioctl, [0, 0x5412, 0, 0]),
            "read a secret" => fs::read(self.directory.join("secret")).map(drop),
            "list a directory" => fs::read_dir(self.directory).map(drop),
            "remove a file elsewhere" => fs::remove_file(self.directory.join("secret")),
            "make a file beside the socket" => File::create(self.directory.join("run/new")).map(drop),
            "work" => self.work(&inner, &reported),
            other => panic!("no such attempt: {other}"),
        };
        drop(to_thread);
        drop(elder);
        // If killing it is not allowed, the neighbour ends by itself.
        let _ = self.neighbour.kill();
        drop(self.notify);
        outcome
    }

    /// Returns what outputs reach: the port of the listener.
    fn reach(&self, below: &str) -> Reach {
        let port = self.listener.local_addr().unwrap().port();
        if below.contains("outputs") {
            Reach { ports: [port].into(), ..Reach::default() }
        } else {
            Reach::default()
        }
    }

    fn restrict_files(&self, outputs: Reach) {
        // Landlock is left out while the process has this capability, so drop it first.
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_PTRACE).unwrap();
        let paths = Paths {
            config: self.directory.join("config/t.toml"),
            socket: Some(self.directory.join("run/socket")),
            cgroups: None,
            names: vec![self.directory.join("names")],
            web: vec![self.directory.join("web/web.yml")],
            history: Some(self.directory.join("history")),
            outputs,
        };
        landlock::restrict(&paths).unwrap();
    }

    fn execute() -> io::Result<()> {
        let path = CString::new("/bin/true").unwrap();
        let argv = [path.as_ptr(), std::ptr::null()];
        // SAFETY: a path and an argument vector that end with NUL and null, and live until the call returns.
        unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
        Err(io::Error::last_os_error())
    }

    fn trace(&self) -> io::Result<()> {
        raw(libc::SYS_ptrace, [i64::from(libc::PTRACE_SEIZE), i64::from(self.neighbour.id()), 0, 0])
    }

    fn signal(&self) -> io::Result<()> {
        raw(libc::SYS_kill, [i64::from(self.neighbour.id()), 0, 0, 0])
    }

    /// The address is in the socket's own family: only the call counts.
    fn connect_again(&self) -> io::Result<()> {
        raw(libc::SYS_connect, [i64::from(self.listener.as_raw_fd()), 0, 0, 0])
    }

    fn send_abstract(from: &UnixDatagram, directory: &Path) -> io::Result<()> {
        let name = directory.to_str().unwrap().as_bytes();
        from.send_to_addr(b"x", &SocketAddr::from_abstract_name(name)?).map(drop)
    }

    fn clone(flags: i32) -> io::Result<()> {
        // SAFETY: without CLONE_VM the child has memory of its own, and ends at once.
        match unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) } {
            // SAFETY: ends the child, which has the only thread that this is called on.
            0 => unsafe { libc::_exit(0) },
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// What the daemon does while it runs.
    fn work(&self, inner: &UnixDatagram, reported: &UnixDatagram) -> io::Result<()> {
        fs::read("/proc/self/status")?;
        fs::read_dir("/proc")?.try_for_each(|entry| entry.map(drop))?;
        fs::read_dir("/sys/kernel")?;
        assert_eq!(fs::read(self.directory.join("config/t.toml"))?, b"top = 3\n");
        // The names of the kubelet's directories, and not what containers print.
        assert_eq!(fs::read_dir(self.directory.join("names"))?.count(), 1);
        let log = fs::read(self.directory.join("names/pod/0.log"));
        let is_landlocked = fs::read(self.directory.join("secret")).is_err();
        assert_eq!(log.is_err(), is_landlocked, "{log:?}");
        inner.send_to(b"READY=1", self.directory.join("notify"))?;
        let mut word = [0; 16];
        assert_eq!(reported.recv(&mut word)?, 7);
        thread::spawn(|| vec![7_u8; 4 << 20]).join().unwrap();
        Self::clone(0)?;
        // SAFETY: a null status pointer is allowed.
        assert!(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL) } > 0);
        fs::remove_file(self.directory.join("run/other"))
    }
}

/// Opens a file relative to a directory.
fn open_at(directory: &File, name: &CStr, flags: i32) -> io::Result<File> {
    // SAFETY: a descriptor that is open, and a name that ends with NUL.
    match unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags | libc::O_CLOEXEC, 0o640) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the call has just created this descriptor, and nothing else owns it.
        fd => Ok(unsafe { File::from_raw_fd(fd) }),
    }
}

/// What the daemon does with a segment.
fn keep(directory: &File) -> io::Result<()> {
    let mut segment = open_at(directory, c"open", libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?;
    segment.write_all(b"xx")?;
    segment.set_len(1)?;
    segment.sync_data()?;
    let (old, new, fd) = (c"open", c"closed", directory.as_raw_fd());
    // SAFETY: a descriptor that is open, and names that end with NUL.
    let renamed = unsafe {
        libc::syscall(libc::SYS_renameat2, fd, old.as_ptr(), fd, new.as_ptr(), libc::RENAME_NOREPLACE)
    };
    if renamed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the same.
    if unsafe { libc::unlinkat(fd, new.as_ptr(), 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn raw(number: i64, arguments: [i64; 4]) -> io::Result<()> {
    let [a, b, c, d] = arguments;
    // SAFETY: the kernel checks every argument, and each pointer here is null.
    if unsafe { libc::syscall(number, a, b, c, d, -1, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[track_caller]
fn all_end(below: &str, attempts: &[&str], end: &End) {
    for what in attempts {
        assert_eq!(attempt(&format!("{below}: {what}")), *end, "{what} below {below}");
    }
}

#[test]
fn a_deadly_call_ends_the_process() {
    let attempts = [
        "execute",
        "exec by another thread",
        "trace",
        "change identity",
        "unshare",
        "mount",
        "load a module",
    ];
    all_end("seccomp", &attempts, &End::Signal(libc::SIGSYS));
}

#[test]
fn what_is_not_needed_is_refused_and_the_process_goes_on() {
    let attempts = [
        "write",
        "write by an elder thread",
        "make a file",
        "connect",
        "connect to an open socket",
        "connect to a Unix socket",
        "listen",
        "signal",
        "kill itself",
        "make a namespace",
        "load a program",
        "make a map",
        "an unknown call",
        "a ring for other calls",
        "make memory code",
        "type for the terminal",
    ];
    all_end("seccomp", &attempts, &End::Errno(libc::EPERM));
    // C libraries try clone then.
    all_end("seccomp", &["clone3"], &End::Errno(libc::ENOSYS));
}

/// Landlock alone denies access to files. On a kernel without Landlock nothing is denied.
#[test]
fn files_are_out_of_reach_where_the_kernel_has_landlock() {
    let Ok(abi) = landlock::offered() else {
        println!("skipped: this kernel has no Landlock");
        return;
    };
    let denied = [
        "read a secret",
        "list a directory",
        "write",
        "make a file",
        "make a file beside the socket",
        "remove a file elsewhere",
        "execute",
    ];
    all_end("landlock", &denied, &End::Errno(libc::EACCES));
    all_end("landlock", &["trace"], &End::Errno(libc::EPERM));
    if abi.0 >= 4 {
        all_end("landlock", &["connect", "listen"], &End::Errno(libc::EACCES));
    }
    if abi.0 >= 6 {
        all_end("landlock", &["signal"], &End::Errno(libc::EPERM));
    }
}

#[test]
fn what_the_daemon_does_works() {
    all_end("seccomp", &["work"], &End::Worked);
    if landlock::offered().is_ok() {
        all_end("landlock and seccomp", &["work"], &End::Worked);
    }
}

#[test]
fn outputs_reach_their_ports_and_nothing_else() {
    all_end("seccomp and outputs", &["connect"], &End::Worked);
    let refused = ["listen", "write", "make a file", "connect to a Unix socket"];
    all_end("seccomp and outputs", &refused, &End::Errno(libc::EPERM));
    if landlock::offered().is_ok_and(|abi| abi.0 >= 4) {
        all_end("landlock, seccomp and outputs", &["connect"], &End::Worked);
        let elsewhere = ["connect to another port"];
        all_end("landlock, seccomp and outputs", &elsewhere, &End::Errno(libc::EACCES));
    }
}

#[test]
fn history_is_written_in_its_directory_and_nowhere_else() {
    all_end("seccomp and history", &["write to the history"], &End::Worked);
    all_end("seccomp", &["write to the history"], &End::Errno(libc::EPERM));
    all_end("seccomp and history", &["write", "make a file"], &End::Errno(libc::EPERM));
    if landlock::offered().is_ok() {
        all_end("landlock, seccomp and history", &["write to the history"], &End::Worked);
        let elsewhere = ["write elsewhere from the history"];
        all_end("landlock, seccomp and history", &elsewhere, &End::Errno(libc::EACCES));
    }
}
