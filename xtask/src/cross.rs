//! Builds for an architecture: static binaries, for this machine's or another one.
//!
//! For another architecture, cargo needs a standard library of exactly the compiler's version, a C compiler and a C library. They
//! come from Debian's packages, unpacked into the user's cache; nothing is installed but the compiler, if it is missing.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::arch::Arch;
use crate::vm::fetch::cross as debian;
use crate::{setup, shell};

/// The programs of the C toolchain that a build runs; each has a script of this name in `DIR/bin`.
const PROGRAMS: [&str; 3] = ["gcc", "ar", "strip"];

/// The compiler of Debian's packages. Debian also has its standard library for other architectures.
const DEBIAN_COMPILER: &str = "/usr/bin/rustc";

/// Returns a cargo with the settings for static binaries of `arch`. `flags` are more flags of rustc's.
pub(crate) fn cargo(arch: Arch, flags: &str) -> Result<Command> {
    let mut rustflags = OsString::from("-C target-feature=+crt-static");
    if !flags.is_empty() {
        rustflags.push(" ");
        rustflags.push(flags);
    }
    let mut cargo = if arch.is_host() {
        shell::cargo()
    } else {
        let tools = Tools::obtain(arch)?;
        let mut cargo = tools.cargo();
        let triple = arch.triple().replace('-', "_");
        cargo.env(arch.variable("LINKER"), tools.program("gcc"));
        cargo.env(format!("CC_{triple}"), tools.program("gcc"));
        cargo.env(format!("AR_{triple}"), tools.program("ar"));
        if tools.has_library {
            rustflags.push(" --sysroot=");
            rustflags.push(tools.root.join("usr"));
        }
        cargo
    };
    // These flags are for this target only; build scripts and the eBPF object are built without them.
    cargo.env(arch.variable("RUSTFLAGS"), rustflags);
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // With this variable, the binary would contain no eBPF programs.
    cargo.env_remove("AYA_BUILD_SKIP");
    Ok(cargo)
}

/// Returns the version of the compiler that [`cargo`] uses for `arch`.
pub(crate) fn compiler_version(arch: Arch) -> Result<String> {
    let own = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = if arch.is_host() || library_of_cargo(arch) { own } else { DEBIAN_COMPILER.into() };
    let text = shell::answer(Command::new(&rustc).arg("--version"));
    // The second word of `rustc 1.96.0 (HASH DATE)`.
    let version = text.as_deref().and_then(|text| text.split_whitespace().nth(1));
    Ok(version.with_context(|| format!("{} --version failed", rustc.display()))?.to_owned())
}

/// Returns a strip(1) for binaries of `arch`.
pub(crate) fn strip(arch: Arch) -> Result<Command> {
    if arch.is_host() {
        return Ok(Command::new("strip"));
    }
    Ok(Command::new(Tools::obtain(arch)?.program("strip")))
}

/// What builds for another architecture.
pub(crate) struct Tools {
    /// Where the packages are unpacked.
    root: PathBuf,
    /// Whether the standard library is there too; otherwise rustup has it.
    has_library: bool,
}

impl Tools {
    /// Returns the tools, and fetches what is missing.
    pub(crate) fn obtain(arch: Arch) -> Result<Self> {
        if Arch::HOST != Some(Arch::X86_64) || arch != Arch::Aarch64 {
            bail!("builds for {arch} are made on {arch}, or for aarch64 on x86_64");
        }
        let in_rustup = library_of_cargo(arch);
        let compiler = if in_rustup { None } else { Some(setup::debian_compiler()?) };
        let root = debian::root(arch, compiler.as_ref())?;
        let tools = Self { root, has_library: compiler.is_some() };
        for program in PROGRAMS {
            tools.wrap(arch, program)?;
        }
        Ok(tools)
    }

    /// Returns the cargo whose compiler has a standard library for the target.
    fn cargo(&self) -> Command {
        if !self.has_library {
            return shell::cargo();
        }
        let mut cargo = Command::new("/usr/bin/cargo");
        cargo.current_dir(shell::workspace()).env("CARGO_TARGET_DIR", shell::target_dir());
        // Remove variables that the cargo that runs this xtask has set to its own compiler.
        for key in
            ["CARGO", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTUP_TOOLCHAIN", "CARGO_BUILD_TARGET"]
        {
            cargo.env_remove(key);
        }
        cargo.env("RUSTC", DEBIAN_COMPILER);
        cargo
    }

    fn program(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// Writes a script that runs a program with the libraries beside it, because the dynamic loader does not search that directory.
    fn wrap(&self, arch: Arch, name: &str) -> Result<()> {
        let root = self.root.display();
        let libraries = Arch::HOST.map_or("", Arch::gnu);
        let sysroot = if name == "gcc" { format!(" --sysroot='{root}'") } else { String::new() };
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{root}/usr/lib/{libraries}' exec '{root}/usr/bin/{}-{name}'{sysroot} \"$@\"\n",
            arch.gnu()
        );
        let file = self.program(name);
        if fs::read_to_string(&file).is_ok_and(|old| old == script) {
            return Ok(());
        }
        write_script(&file, &script).with_context(|| format!("writing {}", file.display()))
    }
}

fn write_script(file: &Path, script: &str) -> std::io::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    // Another build may run the old one.
    let new = file.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, script)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(new, file)
}

/// Whether the compiler of the cargo that runs this xtask has a standard library for `arch`.
fn library_of_cargo(arch: Arch) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    let place = shell::answer(rustc.args(["--print", "target-libdir", "--target", arch.triple()]));
    let entries = place.and_then(|place| fs::read_dir(place.trim()).ok());
    entries
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}
