//! Lists all components of a binary: a software bill of materials (SBOM) in JSON of `CycloneDX` 1.6.
//!
//! Format: <https://cyclonedx.org/docs/1.6/json/>

mod graph;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::graph::{Crate, Graph};
use super::{VERSION, binary, committed};
use crate::arch::Arch;
use crate::{cross, hex, shell};

/// The architecture of the eBPF programs, which the binary carries as an object.
const BPF: &str = "bpfel-unknown-none";

/// Writes `taskscope-VERSION-ARCH.cdx.json` in `out` for a program; returns its path.
pub(super) fn build((arch, program): (Arch, &Path), out: &Path) -> Result<PathBuf> {
    let lock = shell::workspace().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("reading {}", lock.display()))?;
    let mut graph = Graph::of("taskscope", arch.triple())?;
    let programs = Graph::of("probe-ebpf", BPF)?;
    graph.include(programs);
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let mut toolchain = vec![library("rust-std", &cross::compiler_version(arch)?, "MIT OR Apache-2.0")];
    if let Some(version) = binary::c_library(&bytes) {
        toolchain.push(library("glibc", &version, "LGPL-2.1-or-later"));
    }
    let document = document(arch, &graph, &lock, toolchain, &bytes)?;
    let file = out.join(format!("taskscope-{VERSION}-{arch}.cdx.json"));
    let text = format!("{document:#}\n");
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// Makes the document. `toolchain` are the libraries that are linked into every program.
fn document(arch: Arch, graph: &Graph, lock: &str, toolchain: Vec<Value>, program: &[u8]) -> Result<Value> {
    let root = graph.root()?;
    let crates = graph.crates().filter(|each| *each != root);
    let mut components: Vec<Value> = crates.map(|each| component(each, lock)).collect();
    let linked: Vec<Value> = toolchain.iter().map(|library| library["bom-ref"].clone()).collect();
    let mut dependencies = graph.dependencies();
    for library in &linked {
        dependencies.push(json!({ "ref": library, "dependsOn": [] }));
    }
    if let Some(list) = dependencies
        .iter_mut()
        .find(|entry| entry["ref"] == root.reference())
        .map(|entry| &mut entry["dependsOn"])
        && let Some(list) = list.as_array_mut()
    {
        list.extend(linked);
    }
    components.extend(toolchain);
    let mut main = component(root, lock);
    main["type"] = json!("application");
    main["hashes"] = json!([{ "alg": "SHA-256", "content": hex::encode(&Sha256::digest(program)) }]);
    main["properties"] = json!([{ "name": "taskscope:architecture", "value": arch.name() }]);
    let mut document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": committed("%cI", "-Iseconds"),
            "tools": { "components": [{ "type": "application", "name": "cargo xtask dist", "version": VERSION }] },
            "component": main,
        },
        "components": components,
        "dependencies": dependencies,
    });
    document["serialNumber"] = json!(serial(&document.to_string()));
    Ok(document)
}

/// Returns a UUID that depends on the document only, so that the same document has the same serial number.
fn serial(document: &str) -> String {
    let mut hash = hex::encode(&Sha256::digest(document));
    // Version 8 of RFC 9562 is for UUIDs that are made in any other way, such as from a hash. The variant is in the two highest
    // bits.
    hash.replace_range(12..13, "8");
    hash.replace_range(16..17, "a");
    format!("urn:uuid:{}-{}-{}-{}-{}", &hash[..8], &hash[8..12], &hash[12..16], &hash[16..20], &hash[20..32])
}

fn component(of: &Crate, lock: &str) -> Value {
    let mut component = library(&of.name, &of.version, &of.license);
    component["bom-ref"] = json!(of.reference());
    if let Some(checksum) = checksum(lock, of) {
        component["purl"] = json!(of.reference());
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

fn library(name: &str, version: &str, license: &str) -> Value {
    json!({
        "type": "library",
        "bom-ref": format!("{name}@{version}"),
        "name": name,
        "version": version,
        "licenses": [{ "expression": license }],
    })
}

/// Returns the checksum of a crate in Cargo.lock; crates of the workspace have none.
fn checksum<'a>(lock: &'a str, of: &Crate) -> Option<&'a str> {
    let value = |table: &'a str, key: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|value| value.trim_matches('"'))
    };
    let mut tables = lock.split("[[package]]");
    let table = tables.find(|table| {
        value(table, "name") == Some(&of.name) && value(table, "version") == Some(&of.version)
    })?;
    value(table, "checksum")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"x\"\nchecksum = \"aa\"\n\n\
        [[package]]\nname = \"a\"\nversion = \"2.0.0\"\nchecksum = \"bb\"\n\n[[package]]\nname = \"top\"\nversion = \"0.1.0\"\n";

    const TREE: &str = "0\ttop v0.1.0 (/x/top)\tMIT\n1\ta v2.0.0\tMIT/Apache-2.0\n";

    fn example() -> Value {
        let graph = Graph::parse(TREE).unwrap();
        document(Arch::Aarch64, &graph, LOCK, vec![library("glibc", "2.36", "LGPL-2.1-or-later")], b"x")
            .unwrap()
    }

    #[test]
    fn components_have_versions_licenses_and_checksums_and_name_what_they_depend_on() {
        let document = example();
        let a = &document["components"][0];
        assert_eq!((a["purl"].as_str(), a["version"].as_str()), (Some("pkg:cargo/a@2.0.0"), Some("2.0.0")));
        assert_eq!(a["hashes"][0]["content"], "bb");
        assert_eq!(a["licenses"][0]["expression"], "MIT OR Apache-2.0");
        let top = &document["metadata"]["component"];
        assert_eq!((top["name"].as_str(), top["type"].as_str()), (Some("top"), Some("application")));
        assert!(top.get("purl").is_none(), "crates of the workspace are not on crates.io");
        let depends = document["dependencies"].as_array().unwrap();
        let top = depends.iter().find(|entry| entry["ref"] == "top@0.1.0").unwrap();
        assert_eq!(top["dependsOn"], json!(["pkg:cargo/a@2.0.0", "glibc@2.36"]));
    }

    #[test]
    fn the_serial_number_depends_on_the_document() {
        let serial = example()["serialNumber"].clone();
        assert_eq!(serial, example()["serialNumber"]);
        let serial = serial.as_str().unwrap();
        let lengths: Vec<_> = serial["urn:uuid:".len()..].split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_ne!(super::serial("a"), super::serial("b"));
    }
}
