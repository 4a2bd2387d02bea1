//! `cargo xtask vm --list`.

use super::own::KERNELS;
use super::table::{Line, NEWEST, SHORT};
use crate::arch::Arch;
use crate::vm::fetch::cache::Cache;
use crate::vm::fetch::{compile, kernels};
use crate::vm::report::aligned;

/// Returns every line with its cached kernel and its source. Reads only the cache.
pub(in crate::vm) fn text(cache: &Cache, lines: &[Line]) -> String {
    let mut table =
        vec![["line", "arch", "cached", "set", "flavour", "suites", "note"].map(str::to_owned).to_vec()];
    let newest = lines.iter().rfind(|line| line.arch == Arch::X86_64).map(|line| line.name.as_str());
    for line in lines {
        let cached = kernels::cached(cache, &line.name, line.arch).map(|kernel| kernel.version);
        let name = if newest == Some(line.name.as_str()) { NEWEST } else { line.name.as_str() };
        let short = SHORT.contains(&name) || SHORT.contains(&line.name.as_str());
        table.push(row(
            &line.name,
            line.arch,
            cached,
            short,
            &line.flavour,
            &line.suites.join(","),
            &line.note,
        ));
    }
    for own in &KERNELS {
        let cached = compile::current(cache, own).map(|kernel| kernel.version);
        let suites = own.suites.join(",");
        table.push(row(own.name, Arch::X86_64, cached, false, "own", &suites, own.note));
    }
    aligned(&table)
}

fn row(
    name: &str,
    arch: Arch,
    cached: Option<String>,
    short: bool,
    flavour: &str,
    suites: &str,
    note: &str,
) -> Vec<String> {
    let cached = cached.unwrap_or_else(|| "no".to_owned());
    let set = if short { "short" } else { "all" };
    [name, arch.debian(), &cached, set, flavour, suites, note].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels::table;

    #[test]
    fn every_line_is_listed_whether_cached_or_not() {
        let root = std::env::temp_dir().join(format!("taskscope-list-{}", std::process::id()));
        let cache = Cache::at(root.clone()).unwrap();
        std::fs::create_dir_all(cache.path("kernels/6.1")).unwrap();
        std::fs::write(cache.path("kernels/6.1/linux-image-6.1.0-9_6.1.99-1.vmlinuz"), "").unwrap();
        let lines = table::lines().unwrap();
        let text = text(&cache, &lines);
        assert_eq!(text.lines().count(), lines.len() + KERNELS.len() + 1);
        assert!(text.lines().any(|line| line.starts_with("no-btf ")), "{text}");
        assert!(text.lines().any(|line| line.starts_with("6.1 ") && line.contains("6.1.99-1")), "{text}");
        assert!(text.lines().any(|line| line.starts_with("5.10 ") && line.contains(" no ")), "{text}");
        std::fs::remove_dir_all(root).unwrap();
    }
}
