//! The kernels of one call of `cargo xtask vm`: fetched, compiled here, and given as files.

use std::path::Path;

use anyhow::Context as _;

use super::own;
use super::table::Line;
use crate::arch::Arch;
use crate::vm::Args;
use crate::vm::fetch::cache::Cache;
use crate::vm::fetch::compile;
use crate::vm::fetch::kernels::{self, Found, Kernel};

/// Returns fetched lines, compiled kernels and given images, in the requested order.
pub(in crate::vm) fn collect(
    cache: &Cache,
    lines: &[Line],
    names: &[String],
    args: &Args,
) -> anyhow::Result<Vec<Found>> {
    let compiled: Vec<_> = names.iter().filter_map(|name| own::find(name)).collect();
    let fetched: Vec<String> = names.iter().filter(|name| own::find(name).is_none()).cloned().collect();
    let mut found = kernels::obtain(cache, lines, &fetched, args.refresh)?;
    found.extend(compile::obtain(cache, &compiled, false));
    found.sort_by_key(|(name, _)| names.iter().position(|other| other == name));
    found.extend(args.images.iter().map(|image| given(image, args.arch, args.images.len() > 1)));
    // `newest` and its line's own name are the same kernel, with one log.
    let mut seen = Vec::new();
    found.retain(|(name, kernel)| {
        let key = kernel.as_ref().map_or_else(|_| name.clone(), |kernel| kernel.name.clone());
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    Ok(found)
}

/// Returns the given images. Kernel trees use the same file name, so several images are distinguished by their whole paths.
fn given(image: &Path, arch: Arch, several: bool) -> Found {
    let name = if several {
        image.display().to_string().trim_start_matches('/').replace('/', "-")
    } else {
        image.file_name().map_or_else(|| "kernel".to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let kernel = image
        .canonicalize()
        .with_context(|| format!("no kernel image {}", image.display()))
        .map(|image| Kernel { name: name.clone(), arch, version: "given by path".to_owned(), image });
    (name, kernel)
}
