//! Makes packages with a stand-in for the program, and checks them: the same files give the same bytes, the SBOM follows its schema,
//! and rpm installs, upgrades and removes its package.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::generated::Generated;
use super::{Kind, VERSION, checksums, make, rpm};
use crate::arch::Arch;
use crate::{shell, vm};

/// A script in place of the program, for any architecture. It has the subcommands that packaging calls.
const STAND_IN: &str =
    "#!/bin/sh\ncase \"$1\" in\nman) echo page >\"$2/taskscope.1\" ;;\ncompletions) echo \"$2\" ;;\nesac\n";
/// A script in place of the programs of systemd that scripts of the package run. The scripts of the Debian package are tested in a
/// guest with systemd.
const SYSTEMD: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>/calls\n";
const CONFIGURATION: &str = "etc/taskscope/taskscope.toml";
const UPGRADE: &str = "999";

/// The package of the Python Package Index that has the schema of the SBOM and validates documents with it.
const CYCLONEDX: (&str, &str) = ("cyclonedx-python-lib[json-validation]", "11.12.0");
const VALIDATE: &str = "\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error) if error else 0)";

/// Makes and checks packages.
pub(super) fn main() -> Result<()> {
    let directory = shell::target_dir().join("packages/trial");
    let first = all(&directory.join("first"))?;
    let second = all(&directory.join("second"))?;
    let (ours, again) = (contents(&first)?, contents(&second)?);
    ensure!(ours.keys().eq(again.keys()), "two builds made {:?} and {:?}", ours.keys(), again.keys());
    for (name, bytes) in &ours {
        ensure!(
            again.get(name) == Some(bytes),
            "two builds of {name} from the same files differ: compare {} with {}",
            first.display(),
            second.display()
        );
    }
    eprintln!("two builds of {} gave the same bytes", ours.keys().cloned().collect::<Vec<_>>().join(", "));
    let arch = Arch::native()?;
    let python = vm::python_environment(CYCLONEDX.0, CYCLONEDX.1)?;
    let bill = first.join(format!("taskscope-{VERSION}-{arch}.cdx.json"));
    shell::run(Command::new(python).args(["-c", VALIDATE]).arg(&bill)).context("the SBOM is not valid")?;
    let (program, generated) = stand_in(&directory.join("upgrade"))?;
    let newer = rpm::build((arch, &program), &generated, UPGRADE, &directory.join("upgrade"))?;
    manager(&directory.join("root"), &first.join(rpm::name(arch, VERSION)), &newer)
}

/// Makes every package in a new directory with a stand-in; returns the directory.
fn all(out: &Path) -> Result<PathBuf> {
    let (program, generated) = stand_in(out)?;
    let programs: Vec<_> = Arch::ALL.into_iter().map(|arch| (arch, program.clone())).collect();
    let kinds = Kind::ALL.map(|kind| (kind, kind == Kind::Sbom));
    let mut made = Vec::new();
    for (kind, native) in kinds {
        // The list of an architecture names its compiler, which may be missing.
        let programs: Vec<_> =
            programs.iter().filter(|(arch, _)| !native || arch.is_host()).cloned().collect();
        made.extend(make(&[kind], &programs, &generated, out)?);
    }
    checksums(out, &made)?;
    Ok(out.to_owned())
}

/// Makes a new directory with a stand-in for the program and what it generates.
fn stand_in(out: &Path) -> Result<(PathBuf, Generated)> {
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display()))?;
    }
    let program = out.join("stand-in/taskscope");
    write_script(&program, STAND_IN)?;
    let generated = Generated::by(&program, out.join("generated"))?;
    Ok((program, generated))
}

/// Returns the files of a directory by name.
fn contents(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
        }
    }
    Ok(files)
}

/// Installs, upgrades and removes a package with rpm, in a root directory of its own with a shell and stand-ins for systemd.
fn manager(root: &Path, package: &Path, newer: &Path) -> Result<()> {
    let why = "rpm runs scripts of packages in another root directory";
    let as_root = |program: &str| shell::as_root(why, &[], program.as_ref());
    shell::run(as_root("rm")?.arg("-rf").arg(root))?;
    let busybox = vm::program("busybox-static", "busybox")?;
    fs::create_dir_all(root.join("bin")).with_context(|| format!("making {}", root.display()))?;
    fs::create_dir_all(root.join("run/systemd/system")).context("making the mark of systemd")?;
    let shell_of_root = root.join("bin/sh");
    fs::copy(&busybox, &shell_of_root).with_context(|| format!("copying {}", busybox.display()))?;
    for name in ["systemctl", "systemd-sysusers"] {
        write_script(&root.join("usr/bin").join(name), SYSTEMD)?;
    }
    let call = |args: &[&str], file: Option<&Path>| -> Result<()> {
        let mut rpm = as_root("rpm")?;
        // The root directory has neither the packages that ours needs nor a database of users.
        shell::run(rpm.arg("--root").arg(root).args(args).args(file))
    };
    let calls = |expected: &[&str]| -> Result<()> {
        let text = fs::read_to_string(root.join("calls")).context("no script of the package ran")?;
        for line in expected {
            ensure!(text.lines().any(|call| call == *line), "no script ran `{line}`, but:\n{text}");
        }
        shell::run(as_root("rm")?.arg(root.join("calls")))
    };
    call(&["--install", "--nodeps"], Some(package))?;
    call(&["--verify", "--nodeps", "taskscope"], None)?;
    calls(&["systemd-sysusers taskscope.conf", "systemctl --no-reload preset taskscope.service"])?;
    // The administrator's change survives an upgrade.
    let configuration = root.join(CONFIGURATION);
    let changed = "zombie_after = \"5s\"\n";
    shell::run(as_root("sh")?.arg("-c").arg(format!("printf '%s' '{changed}' >\"$0\"")).arg(&configuration))?;
    call(&["--upgrade", "--nodeps"], Some(newer))?;
    calls(&["systemctl try-restart taskscope.service"])?;
    let kept = fs::read_to_string(&configuration).context("an upgrade removed the configuration")?;
    ensure!(kept == changed, "an upgrade changed the administrator's configuration");
    call(&["--erase", "taskscope"], None)?;
    calls(&["systemctl --no-reload disable taskscope.service", "systemctl stop taskscope.service"])?;
    ensure!(!root.join("usr/bin/taskscope").exists(), "removing the package left the program");
    let saved = fs::read_to_string(root.join(format!("{CONFIGURATION}.rpmsave")));
    ensure!(
        saved.is_ok_and(|text| text == changed),
        "removing the package removed the administrator's configuration"
    );
    shell::run(as_root("rm")?.arg("-rf").arg(root))
}

fn write_script(file: &Path, text: &str) -> Result<()> {
    let parent = file.parent().unwrap_or(file);
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("setting the mode of {}", file.display()))
}
