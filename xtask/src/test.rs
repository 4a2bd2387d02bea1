//! `cargo xtask test`: runs the unit tests, then the integration tests on the running kernel and on other kernels in QEMU.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::arch::Arch;
use crate::steps::Steps;
use crate::suite::Suite;
use crate::{build, dist, ebpf, setup, shell, vm};

/// The version of schemathesis that the tests are written for.
const SCHEMATHESIS: &str = "4.32.5";

/// The version of `DuckDB` that reads the history.
const DUCKDB: &str = "2.0.1";

/// The version of Perfetto's bindings that decode traces.
const PERFETTO: &str = "0.59.1";
/// The version of the client that asks `taskscope mcp`.
const MCP: &str = "2.3.0";

/// The version of rotel, the collector that the output is tested with.
const ROTEL: &str = "0.0.1a15";

/// The packages that control the browser with the web page and check the page's accessibility.
const NODE_PACKAGES: [(&str, &str); 2] = [("playwright-core", "1.65.1"), ("axe-core", "4.14.1")];

/// The optional features of the daemon. Lints, unit tests and the binary with failpoints have all of them, so that its library is
/// compiled once; the release build has none.
pub(crate) const FEATURES: &str = "taskscope/failpoints,taskscope/nats";

/// What `cargo xtask test` takes.
#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// Run only the unit tests, which need no root.
    #[arg(long, conflicts_with = "native_only")]
    unit_only: bool,
    /// Run the unit tests and the tests on the running kernel, without virtual machines.
    #[arg(long)]
    native_only: bool,
    /// Arguments for the integration tests' runner, such as a part of a test's name.
    #[arg(last = true, value_name = "ARGS")]
    filter: Vec<OsString>,
}

/// Runs `cargo xtask test`.
pub(crate) fn main(args: &Args) -> Result<()> {
    let mut steps = Steps::new();
    all(&mut steps, args)?;
    steps.finish("test");
    Ok(())
}

/// Runs the steps of `test`, also for `ci`.
pub(crate) fn all(steps: &mut Steps, args: &Args) -> Result<()> {
    if !args.unit_only {
        shell::root_prefix("testing on the running kernel", &[])?;
    }
    steps.step("setup", || ebpf::ensure(Arch::native()?))?;
    if args.unit_only {
        return steps.step("unit tests", unit);
    }
    thread::scope(|scope| {
        // The guests need a static binary. Packages contain a static binary too, so the tests on this kernel use it instead of a second
        // build. It is compiled, and then the programs of the guests, while other steps do not use all CPUs.
        let (send, binary) = mpsc::channel();
        let building = scope.spawn(move || {
            if args.native_only {
                return send.send(build::release()).context("nobody waits for the binary");
            }
            lower_priority();
            send.send(vm::binary()).context("nobody waits for the binary")?;
            vm::build_short()
        });
        steps.step("unit tests", unit)?;
        steps.step("unit, alerts and dashboard of the packages", dist::check)?;
        let failing = steps.step("build with failpoints", failpoints)?;
        let binary = steps.step("release build", || {
            binary.recv().context("the thread that builds it panicked").flatten().and_then(has_no_failpoints)
        })?;
        let natively =
            steps.step("integration tests on the running kernel", || native(&binary, &failing, &args.filter));
        if !args.native_only {
            steps.step("programs of the virtual machines", || {
                building.join().map_err(|_| anyhow!("the thread that builds them panicked"))?
            })?;
        }
        natively
    })?;
    if !args.native_only {
        steps.step("integration tests in virtual machines", vm::run_short)?;
        steps.step("the Debian package on a Debian with systemd", vm::systemd::main)?;
    }
    Ok(())
}

/// Returns the command that builds and runs all tests except those of the package `taskscope-tests`, which need root.
fn unit_tests() -> Command {
    let packages =
        ["--no-fail-fast", "--workspace", "--exclude", "probe-ebpf", "--exclude", "taskscope-tests"];
    let mut cargo = shell::cargo();
    cargo.env_remove("AYA_BUILD_SKIP").args(["test", "--features", FEATURES]).args(packages);
    cargo
}

fn unit() -> Result<()> {
    shell::run_with_stdout(&mut unit_tests())
}

/// Lowers the priority of this thread, and of processes that it starts, so that they delay no others.
fn lower_priority() {
    // Without it they are only in the way of others.
    let _ = rustix::process::nice(19);
}

/// Copies the taskscope of the unit tests, which has failpoints and the client of NATS, into a directory of its own. It has debug
/// assertions and overflow checks.
fn failpoints() -> Result<PathBuf> {
    // The same command as for the unit tests: another selection of packages would compile it once more, with other features of crates.
    shell::run(unit_tests().arg("--no-run"))?;
    keep("debug", "failpoints")
}

/// Fails if a binary has failpoints: the shipped one must not.
fn has_no_failpoints(shipped: PathBuf) -> Result<PathBuf> {
    const VARIABLE: &[u8] = b"TASKSCOPE_FAILPOINTS";
    let bytes = fs::read(&shipped).with_context(|| format!("reading {}", shipped.display()))?;
    if bytes.windows(VARIABLE.len()).any(|window| window == VARIABLE) {
        bail!("{} was built with the feature failpoints", shipped.display());
    }
    Ok(shipped)
}

/// Builds taskscope in the release profile, with the client of NATS, into a directory of its own.
pub(crate) fn with_nats() -> Result<PathBuf> {
    let package = ["build", "--package", "taskscope", "--bin", "taskscope"];
    let options = ["--profile", "release", "--features", "taskscope/nats"];
    shell::run(shell::cargo().env_remove("AYA_BUILD_SKIP").args(package).args(options))?;
    keep("release", "nats")
}

/// Copies the taskscope in the directory `built`, where the next build overwrites it, to the directory `kept`.
fn keep(built: &str, kept: &str) -> Result<PathBuf> {
    let (built, kept) = (shell::target_dir().join(built).join("taskscope"), shell::target_dir().join(kept));
    fs::create_dir_all(&kept).with_context(|| format!("making {}", kept.display()))?;
    let kept = kept.join("taskscope");
    fs::copy(&built, &kept).with_context(|| format!("copying {} to {}", built.display(), kept.display()))?;
    Ok(kept)
}

/// Returns the program of the NATS server.
pub(crate) fn nats_server() -> Result<PathBuf> {
    vm::program("nats-server", "nats-server")
}

/// Returns the collector's program, which its Python package has beside its modules.
pub(crate) fn rotel() -> Result<PathBuf> {
    let python = vm::python_environment("rotel", ROTEL)?;
    let script =
        "import os, sysconfig; print(os.path.join(sysconfig.get_path('purelib'), 'rotel', 'rotel-agent'))";
    let found =
        Command::new(&python).args(["-c", script]).output().context("asking Python for rotel-agent")?;
    let path = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    if !path.is_file() {
        bail!("rotel {ROTEL} has no {}", path.display());
    }
    Ok(path)
}

/// Runs the tests of the package `taskscope-tests`: builds them as this user, runs them as root.
fn native(binary: &Path, failing: &Path, args: &[OsString]) -> Result<()> {
    // A test scrapes the service with a real Prometheus.
    let prometheus = vm::program("prometheus", "prometheus")?;
    let promtool = vm::program("prometheus", "promtool")?;
    // A test compares a histogram with that of runqlat.
    let runqlat = vm::program("libbpf-tools", "runqlat")?;
    // A test generates requests from the description of the API.
    let schemathesis = vm::python_environment("schemathesis", SCHEMATHESIS)?;
    // Tests run `taskscope top` in a real terminal.
    install_missing("the tests of `taskscope top` need a terminal", &[("tmux", "tmux")])?;
    // Tests of `fleet` run each daemon in a network namespace of its own.
    install_missing(
        "a test has hosts in network namespaces",
        &[("ip", "iproute2"), ("nsenter", "util-linux"), ("dnsmasq", "dnsmasq-base")],
    )?;
    // A test looks at jobs of cron.
    let cron = vm::program("cron", "cron")?;
    install_missing("tests look at processes that are traced", &[("gdb", "gdb"), ("strace", "strace")])?;
    // A test makes certificates, and asks over TLS.
    install_missing(
        "tests of TLS need certificates and a client",
        &[("openssl", "openssl"), ("curl", "curl")],
    )?;
    // A test reads the history with DuckDB.
    let duckdb = vm::python_environment("duckdb", DUCKDB)?;
    // A test decodes traces with Perfetto's bindings.
    let perfetto = vm::python_environment("perfetto", PERFETTO)?;
    // A client of the Model Context Protocol asks `taskscope mcp`.
    let mcp = vm::python_environment("mcp", MCP)?;
    // Outputs send to a real collector and to a real Alertmanager.
    let rotel = rotel()?;
    // The tests of TLS reach the collector through nginx.
    let nginx = vm::program("nginx", "nginx")?;
    let nats = nats_server()?;
    // Debian's Alertmanager looks for its templates at a fixed path, so it cannot be unpacked elsewhere.
    if !Path::new("/usr/share/prometheus/alertmanager/default.tmpl").is_file() {
        setup::install("a test sends alerts to a real Alertmanager", &["prometheus-alertmanager"])?;
    }
    let alertmanager = shell::which("prometheus-alertmanager")
        .context("no prometheus-alertmanager after its installation")?;
    let (chromium, modules) = browser("the tests of the web page need a browser, and node to drive it")?;
    // Each test that cannot run here adds a line.
    let skipped = shell::target_dir().join("skipped-tests");
    fs::write(&skipped, []).with_context(|| format!("emptying {}", skipped.display()))?;
    let env: [(&str, &OsStr); 18] = [
        ("TASKSCOPE_SKIPPED", skipped.as_os_str()),
        ("TASKSCOPE_BIN", binary.as_os_str()),
        ("TASKSCOPE_FAILPOINTS_BIN", failing.as_os_str()),
        ("TASKSCOPE_PROMETHEUS", prometheus.as_os_str()),
        ("TASKSCOPE_PROMTOOL", promtool.as_os_str()),
        ("TASKSCOPE_RUNQLAT", runqlat.as_os_str()),
        ("TASKSCOPE_CRON", cron.as_os_str()),
        ("TASKSCOPE_SCHEMATHESIS", schemathesis.as_os_str()),
        ("TASKSCOPE_DUCKDB", duckdb.as_os_str()),
        ("TASKSCOPE_PERFETTO", perfetto.as_os_str()),
        ("TASKSCOPE_MCP", mcp.as_os_str()),
        ("TASKSCOPE_ROTEL", rotel.as_os_str()),
        ("TASKSCOPE_NGINX", nginx.as_os_str()),
        ("TASKSCOPE_NATS_SERVER", nats.as_os_str()),
        ("TASKSCOPE_ALERTMANAGER", alertmanager.as_os_str()),
        ("TASKSCOPE_CHROMIUM", chromium.as_os_str()),
        ("TASKSCOPE_NODE_MODULES", modules.as_os_str()),
        ("RUST_BACKTRACE", "1".as_ref()),
    ];
    let prefix = shell::root_prefix("testing on the running kernel", &env)?;
    let outcome = Suite { prefix, args }.run();
    let text = fs::read_to_string(&skipped).with_context(|| format!("reading {}", skipped.display()))?;
    eprintln!("{} tests were skipped\n{text}", text.lines().count());
    outcome
}

/// Returns a browser, and the folder of the packages that drive it.
pub(crate) fn browser(why: &str) -> Result<(PathBuf, PathBuf)> {
    install_missing(why, &[("chromium", "chromium"), ("node", "nodejs"), ("npm", "npm")])?;
    let chromium = shell::which("chromium").context("there is no chromium after its installation")?;
    Ok((chromium, vm::node_modules(&NODE_PACKAGES)?))
}

/// Installs the packages of programs that are missing. The package of a program that exists is not installed: the program may come
/// from another vendor, whose package conflicts with the distribution's.
pub(crate) fn install_missing(why: &str, programs: &[(&str, &str)]) -> Result<()> {
    let missing = programs.iter().filter(|(program, _)| shell::which(program).is_none());
    let packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() { Ok(()) } else { setup::install(why, &packages) }
}
