//! The files of the web page, each as it is and compressed, as a table that the daemon includes. Nothing else is done with them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

/// Bytes of the digest that an entity tag has.
const TAG: usize = 8;

/// Writes `page.rs` and the compressed files to `out_dir`.
pub(crate) fn build(daemon: &Path, out_dir: &Path) -> Result<()> {
    let root = daemon.join("page");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    list(&root, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let packed = out_dir.join(format!("page-{number}.gz"));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes).context("compressing")?;
        let compressed = encoder.finish().context("compressing")?;
        fs::write(&packed, compressed).with_context(|| format!("writing {}", packed.display()))?;
        let name = file.strip_prefix(&root).context("a file outside of the folder of the page")?;
        let [name, file, packed] =
            [name, file, &packed].map(|path: &Path| path.to_str().context("a file name that is not UTF-8"));
        let (name, file, packed) = (name?, file?, packed?);
        let tag = Sha256::digest(&bytes).iter().take(TAG).fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        writeln!(
            table,
            "    Asset {{ name: {name:?}, kind: {:?}, tag: \"W/\\\"{tag}\\\"\", plain: include_bytes!({file:?}), gzip: include_bytes!({packed:?}) }},",
            kind(Path::new(file))?
        )?;
    }
    table.push_str("]\n");
    fs::write(out_dir.join("page.rs"), table).context("writing page.rs")
}

fn kind(file: &Path) -> Result<&'static str> {
    Ok(match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => bail!("{}: no type is known for files with this ending", file.display()),
    })
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
