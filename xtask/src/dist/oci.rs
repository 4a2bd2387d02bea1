//! Creates OCI images without a container engine: an image layout as an archive, with an image of one layer for each architecture.
//!
//! Format: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::VERSION;
use super::tarball::pack;
use super::tree::{Tree, gzip};
use crate::arch::Arch;
use crate::shell;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Packs `taskscope-VERSION-oci.tar` with an image for each program. If there are several, their index chooses one by architecture.
pub(super) fn build(programs: &[(Arch, PathBuf)], out: &Path) -> Result<PathBuf> {
    let file = out.join(format!("taskscope-{VERSION}-oci.tar"));
    let tree = Tree::new(file.with_extension("tree"))?;
    let layout = Layout(tree.beside("layout")?);
    fs::create_dir_all(layout.0.join("blobs/sha256")).context("making the layout")?;
    let mut images = Vec::new();
    for (arch, program) in programs {
        images.push(image(&layout, &tree, *arch, program)?);
    }
    let mut named = match <[Value; 1]>::try_from(images) {
        Ok([image]) => image,
        Err(images) => {
            layout.add(INDEX, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": images }))?
        }
    };
    named["annotations"] = json!({
        "org.opencontainers.image.ref.name": VERSION,
        // podman and containerd take the name of a loaded image from this annotation.
        "io.containerd.image.name": format!("localhost/taskscope:{VERSION}"),
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [named] });
    fs::write(layout.0.join("index.json"), index.to_string()).context("writing index.json")?;
    fs::write(layout.0.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .context("writing oci-layout")?;
    pack(&layout.0, ".", &file, "")?;
    Ok(file)
}

/// Adds the image of one architecture to the layout; returns its descriptor.
fn image(layout: &Layout, tree: &Tree, arch: Arch, program: &Path) -> Result<Value> {
    tree.copy(program, "usr/bin/taskscope", 0o755)?;
    tree.copy_packaging("taskscope.toml", "etc/taskscope/taskscope.toml")?;
    // getgrnam(3) reads this file to find the socket's group.
    tree.write(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/:/sbin/nologin\ntaskscope:x:65532:65532::/:/sbin/nologin\n",
    )?;
    tree.write("etc/group", 0o644, b"root:x:0:\ntaskscope:x:65532:\n")?;
    let layer = tree.beside("layer")?.join("layer.tar");
    pack(&tree.root(), ".", &layer, "")?;
    let unpacked = sha256(&layer)?;
    gzip(&layer)?;
    let layer = layout.add_file(LAYER, &layer.with_extension("tar.gz"))?;
    let config = layout.add(
        CONFIG,
        &json!({
            "architecture": arch.debian(),
            "os": "linux",
            "config": {
                "Entrypoint": ["/usr/bin/taskscope"],
                "Cmd": ["run"],
                "ExposedPorts": { "9753/tcp": {} },
                "Labels": labels(),
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{unpacked}")] },
            "history": [{ "created_by": "cargo xtask dist" }],
        }),
    )?;
    let mut manifest = layout.add(
        MANIFEST,
        &json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] }),
    )?;
    manifest["platform"] = json!({ "architecture": arch.debian(), "os": "linux" });
    Ok(manifest)
}

fn labels() -> Value {
    json!({
        "org.opencontainers.image.title": "taskscope",
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "org.opencontainers.image.description": "Watches every Linux task from copy_process() to release_task()",
    })
}

/// The directory of the image layout, with blobs by their digest.
struct Layout(PathBuf);

impl Layout {
    /// Adds a document; returns its descriptor.
    fn add(&self, kind: &str, content: &Value) -> Result<Value> {
        let place = self.0.join("blobs/new");
        fs::write(&place, content.to_string()).with_context(|| format!("writing {}", place.display()))?;
        self.add_file(kind, &place)
    }

    /// Moves a file into the layout; returns its descriptor.
    fn add_file(&self, kind: &str, file: &Path) -> Result<Value> {
        let digest = sha256(file)?;
        let size = fs::metadata(file).with_context(|| format!("looking at {}", file.display()))?.len();
        let place = self.0.join("blobs/sha256").join(&digest);
        fs::rename(file, &place).with_context(|| format!("moving {}", file.display()))?;
        Ok(json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size }))
    }
}

fn sha256(file: &Path) -> Result<String> {
    let text = shell::answer(Command::new("sha256sum").arg("--").arg(file))
        .with_context(|| format!("sha256sum of {}", file.display()))?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}
