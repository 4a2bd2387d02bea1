//! `cargo xtask ebpf`: compiles the committed eBPF object.
//!
//! The same sources give the same programs on every machine with the same compiler and linker. The sources are compiled at a fixed
//! path, because the order of types in .BTF depends on hashes of paths, and all other paths are remapped. Debug information, which
//! is 5/6 of the object and contains paths, is removed; the kernel needs only .BTF.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail};
use object::build::elf::{Builder, SectionData};
use object::{Object as _, ObjectSection as _};

use crate::arch::Arch;
use crate::setup::{self, Record};
use crate::shell;

#[path = "../../daemon/build/committed.rs"]
pub(crate) mod committed;
#[path = "../../daemon/build/compile.rs"]
mod compile;

// `compile.rs` uses this as `super::record`.
use crate::setup::record;

use committed::BuiltFrom;
use compile::OBJECT;

/// The directory in which the sources are compiled.
const PLACE: &str = "/tmp/taskscope-ebpf-build";

/// What `cargo xtask ebpf` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail if the committed object differs from the one that its sources give
    #[arg(long)]
    check: bool,
}

/// Runs `cargo xtask ebpf`.
pub(crate) fn main(args: &Args) -> Result<()> {
    if args.check { check() } else { write() }
}

/// Creates the eBPF toolchain if the daemon for `arch` cannot be built with the committed object.
pub(crate) fn ensure(arch: Arch) -> Result<()> {
    let sources = committed::hash_sources(shell::workspace())?;
    if committed::load(&dir(arch)).is_none_or(|committed| committed.sources != sources) {
        setup::ensure()?;
    }
    Ok(())
}

fn dir(arch: Arch) -> PathBuf {
    committed::dir(&shell::workspace().join("daemon"), arch.name())
}

fn write() -> Result<()> {
    for (arch, object, built_from) in build(&Arch::ALL)? {
        let dir = dir(arch);
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        for (name, bytes) in [(OBJECT, object.as_slice()), ("built-from", built_from.to_text().as_bytes())] {
            let file = dir.join(name);
            fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))?;
        }
        eprintln!("wrote {}, {} bytes", dir.join(OBJECT).display(), object.len());
    }
    Ok(())
}

const REMEDY: &str = "run `cargo xtask ebpf` and commit daemon/ebpf";

/// Compares the committed objects of all architectures with their sources.
pub(crate) fn check() -> Result<()> {
    let all = Arch::ALL.map(|arch| committed_object(arch).map(|committed| (arch, committed)));
    let all = all.into_iter().collect::<Result<Vec<_>>>()?;
    let record = setup::ensure()?;
    let (compiler, linker) = (record.fingerprint.clone(), linker_version(&record)?);
    let mut comparable = Vec::new();
    for (arch, committed) in all {
        if (&compiler, &linker) == (&committed.compiler, &committed.linker) {
            comparable.push(arch);
        } else {
            eprintln!(
                "not compared: the committed object for {arch} was built by {}, {}; this machine has {compiler}, {linker}",
                committed.compiler, committed.linker
            );
        }
    }
    if comparable.is_empty() {
        return Ok(());
    }
    build(&comparable)?.into_iter().try_for_each(|(arch, rebuilt, _)| compare(arch, &rebuilt))
}

/// Returns the record of a committed object, after checking that both belong to these sources.
fn committed_object(arch: Arch) -> Result<BuiltFrom> {
    let dir = dir(arch);
    let Some(committed) = committed::load(&dir) else {
        bail!("there is no {}: {REMEDY}", dir.join("built-from").display());
    };
    let object = dir.join(OBJECT);
    let bytes = fs::read(&object).with_context(|| format!("reading {}", object.display()))?;
    if committed::hash(&bytes) != committed.object {
        bail!("{} is not the object that built-from describes: {REMEDY}", object.display());
    }
    if committed::hash_sources(shell::workspace())? != committed.sources {
        bail!("{} was built from other sources: {REMEDY}", object.display());
    }
    Ok(committed)
}

fn compare(arch: Arch, rebuilt: &[u8]) -> Result<()> {
    let object = dir(arch).join(OBJECT);
    let bytes = fs::read(&object).with_context(|| format!("reading {}", object.display()))?;
    if sections(rebuilt)? != sections(&bytes)? {
        let kept = shell::target_dir().join(format!("{OBJECT}-{arch}"));
        fs::write(&kept, rebuilt).with_context(|| format!("writing {}", kept.display()))?;
        bail!(
            "{} differs from the object that its sources give, which is in {}: {REMEDY}",
            object.display(),
            kept.display()
        );
    }
    eprintln!("{}: its sources give the same programs, {} bytes", object.display(), bytes.len());
    Ok(())
}

/// Returns the sections of an object except its types, because two types in .BTF sometimes change places.
fn sections(object: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let file = object::File::parse(object).context("reading the eBPF object")?;
    let named = |section: object::Section<'_, '_>| -> Result<(Vec<u8>, Vec<u8>)> {
        Ok((section.name_bytes()?.to_vec(), section.data()?.to_vec()))
    };
    let mut all = file.sections().map(named).collect::<Result<Vec<_>>>()?;
    all.retain(|(name, _)| !name.starts_with(b".BTF") && !name.starts_with(b".rel.BTF"));
    Ok(all)
}

/// Compiles the programs for kernels of each architecture, all at once; returns the objects, with the record of their sources and
/// tools.
fn build(archs: &[Arch]) -> Result<Vec<(Arch, Vec<u8>, BuiltFrom)>> {
    let record = setup::ensure()?;
    let workspace = shell::workspace();
    let (place, _lock) = own_place()?;
    let _removed = Removed(&place);
    copy_sources(workspace, &place)?;
    let remapped = remapped(&record, &place)?;
    let (sources, linker) = (committed::hash_sources(workspace)?, linker_version(&record)?);
    let one = &|arch: Arch| -> Result<(Arch, Vec<u8>, BuiltFrom)> {
        let target = place.join("target").join(arch.name());
        let object = compile::compile(&record, &place, arch.name(), &target, &remapped)?;
        let object = fs::read(&object).with_context(|| format!("reading {}", object.display()))?;
        let object = without_debug_information(&object)?;
        let built_from = BuiltFrom {
            sources: sources.clone(),
            object: committed::hash(&object),
            compiler: record.fingerprint.clone(),
            linker: linker.clone(),
        };
        Ok((arch, object, built_from))
    };
    thread::scope(|scope| {
        let builds: Vec<_> = archs.iter().map(|&arch| (arch, scope.spawn(move || one(arch)))).collect();
        let joined = builds.into_iter().map(|(arch, build)| {
            build.join().unwrap_or_else(|_| bail!("the thread that compiles for {arch} panicked"))
        });
        joined.collect()
    })
}

/// Creates an empty directory at the fixed path, locked for this process.
fn own_place() -> Result<(PathBuf, File)> {
    let place = PathBuf::from(PLACE);
    let lock = place.with_extension("lock");
    let lock = File::create(&lock).with_context(|| format!("making {}", lock.display()))?;
    lock.lock().context("waiting for another build of the eBPF object")?;
    if let Ok(left) = fs::symlink_metadata(&place) {
        let me = fs::metadata("/proc/self").context("reading /proc/self")?.uid();
        if !left.is_dir() || left.uid() != me {
            bail!("{PLACE} belongs to another user: remove it");
        }
        fs::remove_dir_all(&place).with_context(|| format!("removing {PLACE}"))?;
    }
    fs::DirBuilder::new().mode(0o700).create(&place).with_context(|| format!("making {PLACE}"))?;
    Ok((place, lock))
}

/// The directory, removed when this is dropped.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(self.0) {
            eprintln!("removing {}: {error}", self.0.display());
        }
    }
}

/// Copies the sources of the programs as a workspace.
fn copy_sources(workspace: &Path, place: &Path) -> Result<()> {
    for source in committed::SOURCES.into_iter().chain(["Cargo.lock"]) {
        let to = place.join(source);
        let parent = to.parent().unwrap_or(place);
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        shell::run(Command::new("cp").arg("-r").arg(workspace.join(source)).arg(parent))?;
    }
    let manifest = workspace.join("Cargo.toml");
    let manifest =
        fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let manifest: Vec<&str> = manifest.lines().filter(|line| !line.starts_with("default-members")).collect();
    let manifest = manifest.iter().map(|line| {
        if line.starts_with("members") { "members = [\"probe-common\", \"probe-ebpf\"]" } else { line }
    });
    let manifest = manifest.collect::<Vec<_>>().join("\n");
    fs::write(place.join("Cargo.toml"), manifest).context("writing the manifest of the copy")
}

/// Returns flags that remap directories that differ between machines: those of the registry's sources and of `core`.
fn remapped(record: &Record, place: &Path) -> Result<Vec<String>> {
    let mut cargo = shell::cargo();
    let metadata = shell::answer(cargo.current_dir(place).args(["metadata", "--format-version", "1"]))
        .context("cargo metadata of the eBPF programs failed")?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let manifest = packages.iter().find(|package| package["name"] == "aya-ebpf");
    let manifest = manifest.and_then(|package| package["manifest_path"].as_str());
    let registry = manifest.and_then(|manifest| Path::new(manifest).ancestors().nth(2));
    let registry = registry.context("cargo metadata does not say where aya-ebpf is")?;
    let rust = record.core.ancestors().nth(2).context("the source of core has no directory around it")?;
    Ok([(registry, "/registry"), (rust, "/rust"), (place, "/taskscope")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .into())
}

fn without_debug_information(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object).context("reading the eBPF object")?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug") || name.starts_with(b".rel.debug");
    }
    // LLVM stores the names of sections in the string table of symbols.
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut written = Vec::new();
    builder.write(&mut written).context("writing the eBPF object")?;
    Ok(written)
}

fn linker_version(record: &Record) -> Result<String> {
    let version = shell::answer(Command::new(&record.linker).arg("--version"));
    let version = version.with_context(|| format!("{} --version failed", record.linker.display()))?;
    Ok(version.trim().to_owned())
}
