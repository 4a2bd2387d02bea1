//! Tests every branch of the choice.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::debian::Package;
use super::super::facts::Linker;
use super::*;

const CORE: &str = "/sysroot/library/core";

fn rustc(compiler: Compiler, version: (u32, u32), llvm: u32, core: bool) -> Rustc {
    let nightly = matches!(&compiler, Compiler::Rustup(name) if name.starts_with("nightly"));
    let suffix = if nightly { "-nightly" } else { "" };
    Rustc {
        fingerprint: format!("rustc {}.{}.0{suffix}, LLVM version: {llvm}.1.0", version.0, version.1),
        compiler,
        version,
        llvm,
        core: core.then(|| CORE.into()),
    }
}

fn nightly(llvm: u32, core: bool) -> Rustc {
    rustc(Compiler::Rustup("nightly".to_owned()), (1, 97), llvm, core)
}

fn system(version: (u32, u32), llvm: u32, core: bool) -> Rustc {
    rustc(Compiler::Directory("/usr/bin".into()), version, llvm, core)
}

fn linker(llvm: u32) -> Linker {
    Linker { path: format!("/cache/{llvm}/bpf-linker").into(), version: BPF_LINKER_VERSION.to_vec(), llvm }
}

fn package(installed: bool, candidate: &str) -> Package {
    Package { installed, candidate: Some(candidate.to_owned()) }
}

/// Returns facts of a Debian with the compiler for browsers at `version`, an old ordinary compiler, and LLVM 22.
fn debian(version: &str) -> Debian {
    let packages = [
        ("rustc-web", package(false, version)),
        ("cargo-web", package(false, version)),
        ("rust-web-src", package(false, version)),
        ("rustc", package(false, "1.63.0+dfsg1-2")),
        ("cargo", package(false, "0.66.0")),
        ("rust-src", package(false, "1.63.0+dfsg1-2")),
        ("libllvm22", package(false, "1:22.1.8-1")),
    ];
    Debian { packages: packages.map(|(name, package)| (name.to_owned(), package)).into(), refreshed: false }
}

/// Returns facts of a machine with rustup and root only.
fn bare() -> Facts {
    Facts { rustup: true, may_install: true, ..Facts::default() }
}

fn llvm(major: u32) -> BTreeMap<u32, PathBuf> {
    BTreeMap::from([(major, format!("/lib/libLLVM-{major}.so").into())])
}

fn ready(plan: Result<Plan, Missing>) -> Record {
    match plan {
        Ok(Plan::Ready(record)) => record,
        other => panic!("not ready: {other:?}"),
    }
}

fn reasons(plan: Result<Plan, Missing>) -> String {
    plan.expect_err("a way was found").reasons.join("\n")
}

fn web() -> Plan {
    Plan::Install(["rustc-web", "cargo-web", "rust-web-src"].map(str::to_owned).to_vec())
}

#[test]
fn a_nightly_with_source_and_a_linker_that_reads_it_is_ready() {
    let record =
        ready(choose(&Facts { nightlies: vec![nightly(22, true)], linkers: vec![linker(22)], ..bare() }));
    assert_eq!(record.compiler, Compiler::Rustup("nightly".to_owned()));
    assert!(!record.bootstrap, "a nightly needs no RUSTC_BOOTSTRAP");
    assert_eq!(record.core, PathBuf::from(CORE));
    assert_eq!(record.linker, PathBuf::from("/cache/22/bpf-linker"));
}

#[test]
fn of_several_linkers_the_one_nearest_to_the_compiler_is_taken() {
    let linkers = vec![linker(21), linker(23), linker(22)];
    let record = ready(choose(&Facts { nightlies: vec![nightly(22, true)], linkers, ..bare() }));
    assert_eq!(record.linker, PathBuf::from("/cache/22/bpf-linker"));
}

#[test]
fn a_linker_with_a_newer_llvm_reads_older_bitcode() {
    let record =
        ready(choose(&Facts { nightlies: vec![nightly(22, true)], linkers: vec![linker(23)], ..bare() }));
    assert_eq!(record.linker, PathBuf::from("/cache/23/bpf-linker"));
}

#[test]
fn a_linker_with_an_older_llvm_is_not_taken_but_one_is_built() {
    let facts =
        Facts { nightlies: vec![nightly(22, true)], linkers: vec![linker(21)], llvm: llvm(22), ..bare() };
    assert_eq!(choose(&facts), Ok(Plan::BuildLinker { llvm: 22, library: "/lib/libLLVM-22.so".into() }));
}

#[test]
fn a_linker_of_an_older_version_is_not_taken() {
    let old = Linker { version: vec![0, 9, 15], ..linker(22) };
    let facts = Facts { nightlies: vec![nightly(22, true)], linkers: vec![old], llvm: llvm(22), ..bare() };
    assert_eq!(choose(&facts), Ok(Plan::BuildLinker { llvm: 22, library: "/lib/libLLVM-22.so".into() }));
}

#[test]
fn llvm_for_a_nightly_is_installed_where_debian_has_it() {
    let facts = Facts { nightlies: vec![nightly(22, true)], debian: Some(debian("1.96.0")), ..bare() };
    assert_eq!(choose(&facts), Ok(Plan::Install(vec!["libllvm22".to_owned()])));
}

#[test]
fn a_nightly_whose_llvm_is_not_available_is_passed_over_for_debian() {
    let facts = Facts {
        nightlies: vec![nightly(23, true)],
        debian: Some(Debian { refreshed: true, ..debian("1.96.0") }),
        ..bare()
    };
    assert_eq!(choose(&facts), Ok(web()));
    let facts = Facts { nightlies: vec![nightly(24, true)], debian: Some(debian("1.96.0")), ..bare() };
    assert_eq!(choose(&facts), Ok(web()));
}

#[test]
fn a_nightly_without_source_is_passed_over_for_the_next_nightly_and_then_for_debian() {
    let dated = rustc(Compiler::Rustup("nightly-2026-01-01".to_owned()), (1, 95), 21, true);
    let facts = Facts { nightlies: vec![nightly(22, false), dated], linkers: vec![linker(22)], ..bare() };
    assert_eq!(ready(choose(&facts)).compiler, Compiler::Rustup("nightly-2026-01-01".to_owned()));

    let facts = Facts { nightlies: vec![nightly(22, false)], debian: Some(debian("1.96.0")), ..bare() };
    assert_eq!(choose(&facts), Ok(web()));
}

#[test]
fn debians_ordinary_compiler_serves_where_it_is_new_enough() {
    let mut debian = debian("1.85.0");
    for name in ["rustc", "cargo", "rust-src"] {
        debian.packages.insert(name.to_owned(), package(false, "1.95.0+dfsg1-1"));
    }
    let packages = ["rustc", "cargo", "rust-src"].map(str::to_owned).to_vec();
    assert_eq!(choose(&Facts { debian: Some(debian), ..bare() }), Ok(Plan::Install(packages)));
}

#[test]
fn an_index_without_the_packages_or_with_old_ones_is_fetched_once() {
    for known in [debian("1.85.0"), Debian::default()] {
        let facts = Facts { debian: Some(known.clone()), ..bare() };
        assert_eq!(choose(&facts), Ok(Plan::Refresh));
        let facts = Facts { debian: Some(Debian { refreshed: true, ..known }), ..bare() };
        assert!(choose(&facts).is_err());
    }
}

#[test]
fn an_index_without_the_matching_source_is_fetched_once() {
    let mut debian = debian("1.96.0");
    debian.packages.remove("rust-web-src");
    assert_eq!(choose(&Facts { debian: Some(debian.clone()), ..bare() }), Ok(Plan::Refresh));
    debian.refreshed = true;
    assert!(
        reasons(choose(&Facts { debian: Some(debian), ..bare() })).contains("rust-web-src is not available")
    );
}

#[test]
fn on_an_old_debian_the_error_has_the_versions_of_its_compilers() {
    let facts = Facts { debian: Some(Debian { refreshed: true, ..debian("1.85.0") }), ..bare() };
    let reasons = reasons(choose(&facts));
    assert!(reasons.contains("rustc-web is 1.85, older than 1.91"), "{reasons}");
    assert!(reasons.contains("rustc is 1.63, older than 1.91"), "{reasons}");
}

#[test]
fn packages_that_conflict_with_installed_ones_are_not_installed() {
    for other in ["rustup", "rustc"] {
        let mut debian = Debian { refreshed: true, ..debian("1.96.0") };
        debian.packages.insert(other.to_owned(), package(true, "1.63.0"));
        let reasons = reasons(choose(&Facts { debian: Some(debian), ..bare() }));
        assert!(reasons.contains(&format!("rustc-web conflicts with the installed {other}")), "{reasons}");
    }
}

#[test]
fn without_root_the_error_names_the_packages() {
    let facts = Facts { debian: Some(debian("1.96.0")), may_install: false, ..bare() };
    let reasons = reasons(choose(&facts));
    assert!(reasons.contains("rustc-web cargo-web rust-web-src cannot be installed"), "{reasons}");
}

#[test]
fn an_index_is_not_fetched_without_root() {
    let facts = Facts { debian: Some(Debian::default()), may_install: false, ..bare() };
    assert!(choose(&facts).is_err());
}

#[test]
fn the_distributions_compiler_is_given_a_linker_and_then_linked_into_rustup() {
    let mut facts =
        Facts { system: Some(system((1, 96), 22, true)), debian: Some(debian("1.96.0")), ..bare() };
    facts.llvm = llvm(22);
    assert_eq!(choose(&facts), Ok(Plan::Link));
    facts.linked = true;
    assert_eq!(choose(&facts), Ok(Plan::BuildLinker { llvm: 22, library: "/lib/libLLVM-22.so".into() }));
    facts.linkers = vec![linker(22)];
    let record = ready(choose(&facts));
    assert_eq!(record.compiler, Compiler::Rustup(LINKED.to_owned()));
    assert!(record.bootstrap, "a release compiler needs RUSTC_BOOTSTRAP");
}

#[test]
fn without_rustup_the_distributions_compiler_is_used_where_it_is() {
    let facts = Facts {
        rustup: false,
        system: Some(system((1, 96), 22, true)),
        linkers: vec![linker(22)],
        ..Facts::default()
    };
    assert_eq!(ready(choose(&facts)).compiler, Compiler::Directory("/usr/bin".into()));
}

#[test]
fn without_rustup_debians_compiler_is_installed() {
    let facts = Facts { rustup: false, debian: Some(debian("1.96.0")), ..bare() };
    assert_eq!(choose(&facts), Ok(web()));
}

#[test]
fn the_distributions_compiler_without_its_source_is_completed() {
    let mut debian = debian("1.96.0");
    debian.packages.insert("rustc-web".to_owned(), package(true, "1.96.0"));
    let facts = Facts { system: Some(system((1, 96), 22, false)), debian: Some(debian), ..bare() };
    assert_eq!(choose(&facts), Ok(web()));
}

#[test]
fn an_old_compiler_of_debian_is_upgraded() {
    let mut debian = debian("1.96.0");
    debian.packages.insert("rustc-web".to_owned(), package(true, "1.96.0"));
    let facts = Facts { system: Some(system((1, 85), 19, true)), debian: Some(debian), ..bare() };
    assert_eq!(choose(&facts), Ok(web()));
}

#[test]
fn a_compiler_whose_llvm_no_linker_is_built_for_is_refused() {
    let facts = Facts { system: Some(system((1, 99), 24, true)), llvm: llvm(24), ..bare() };
    assert!(reasons(choose(&facts)).contains("has LLVM 24, and bpf-linker is built for LLVM 21 to 23"));
}

#[test]
fn nothing_at_all_gives_one_error_that_lists_every_way() {
    let facts = Facts { rustup: false, ..Facts::default() };
    let missing = choose(&facts).expect_err("there is nothing");
    let text = missing.to_string();
    for part in [
        "there is no rustup, so no nightly",
        "/usr/bin has no rustc",
        "rustup toolchain install nightly --component rust-src",
        "apt-get install rustc-web cargo-web rust-web-src",
        "LLVM 21 to 23",
        "cargo xtask setup",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn elsewhere_a_compiler_without_source_is_named() {
    let facts = Facts { system: Some(system((1, 96), 22, false)), ..bare() };
    let reasons = reasons(choose(&facts));
    assert!(reasons.contains("rustup has no nightly"), "{reasons}");
    assert!(reasons.contains("/usr/bin/rustc lacks the source of its core library"), "{reasons}");
}
