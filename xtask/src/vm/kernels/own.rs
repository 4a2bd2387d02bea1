//! The kernels that are compiled here, from Debian's sources with other options than Debian's kernels have.

use crate::vm::session::FAMILIES;

/// A kernel of this machine's own.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::vm) struct Own {
    pub(in crate::vm) name: &'static str,
    /// Debian's package with the source.
    pub(in crate::vm) source: &'static str,
    pub(in crate::vm) suites: &'static [&'static str],
    /// Settings that replace or extend those of [`BASE`].
    options: &'static str,
    /// The attach families that it supports.
    pub(in crate::vm) families: &'static [&'static str],
    /// The only test binaries that run on it; empty: all.
    pub(in crate::vm) tests: &'static [&'static str],
    pub(in crate::vm) note: &'static str,
}

/// Merged over tinyconfig for every kernel. These are the settings of `noinline`, from which the other kernels differ.
const BASE: &str = include_str!("../../../vm/own/noinline.config");
const SUITES: &[&str] = &["bookworm", "bookworm-security"];

/// All kernels; those of one source are compiled in the same tree, so they follow one another.
pub(in crate::vm) const KERNELS: [Own; 3] = [
    Own {
        name: "noinline",
        source: "linux-source-6.1",
        suites: SUITES,
        options: "",
        families: &FAMILIES,
        tests: &[],
        note: "exit_notify is not inlined",
    },
    Own {
        name: "no-kprobes",
        source: "linux-source-6.12",
        suites: SUITES,
        options: include_str!("../../../vm/own/no-kprobes.config"),
        families: &["tracepoint"],
        tests: &[],
        note: "neither CONFIG_KPROBES nor ftrace: tracepoints only; HZ 1000, PREEMPT",
    },
    Own {
        name: "no-btf",
        source: "linux-source-6.12",
        suites: SUITES,
        options: include_str!("../../../vm/own/no-btf.config"),
        // Nothing is attached.
        families: &["auto"],
        tests: &["no_btf"],
        note: "no CONFIG_DEBUG_INFO_BTF: taskscope refuses to start; HZ 100",
    },
];

/// Returns the kernel called `name`.
pub(in crate::vm) fn find(name: &str) -> Option<&'static Own> {
    KERNELS.iter().find(|own| own.name == name)
}

/// Parses an argument of the command line.
pub(in crate::vm) fn parse(name: &str) -> Result<&'static Own, String> {
    find(name).ok_or_else(|| format!("no kernel `{name}` is compiled here: there are {}", names().join(", ")))
}

/// Returns the names of all kernels.
pub(in crate::vm) fn names() -> [&'static str; KERNELS.len()] {
    KERNELS.each_ref().map(|own| own.name)
}

/// Whether a test binary belongs to one of these kernels.
pub(in crate::vm) fn has_tests(binary: &str) -> bool {
    KERNELS.iter().any(|own| own.tests.contains(&binary))
}

impl Own {
    /// Returns all settings that are merged over tinyconfig, each option once.
    pub(in crate::vm) fn settings(&self) -> String {
        let own: Vec<&str> = settings(self.options).collect();
        let base = settings(BASE).filter(|line| !own.iter().any(|other| option(other) == option(line)));
        let mut text = base.chain(own.iter().copied()).collect::<Vec<_>>().join("\n");
        text.push('\n');
        text
    }

    /// Returns a hash that distinguishes kernels of different settings.
    pub(in crate::vm) fn mark(&self) -> String {
        // This is FNV-1a, because the standard library's hasher may differ between toolchains.
        let hash = BASE
            .bytes()
            .chain(self.options.bytes())
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        format!("+{hash:08x}")
    }
}

/// Returns the lines of a fragment that are not comments.
fn settings(fragment: &str) -> impl Iterator<Item = &str> {
    fragment.lines().filter(|line| line.starts_with("CONFIG_"))
}

fn option(setting: &str) -> &str {
    setting.split_once('=').map_or(setting, |(name, _)| name)
}

/// Returns the settings that the final configuration lacks: Kconfig drops options with unmet dependencies without a message.
pub(in crate::vm) fn dropped<'a>(settings: &'a str, config: &str) -> Vec<&'a str> {
    let has = |setting: &str| match setting.strip_suffix("=n") {
        Some(name) => !config.lines().any(|line| line.starts_with(&format!("{name}="))),
        None => config.lines().any(|line| line == setting),
    };
    settings.lines().filter(|line| !has(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels::table;

    #[test]
    fn a_setting_that_kconfig_dropped_is_found() {
        let settings = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_VT=n\nCONFIG_N=4\n";
        assert_eq!(dropped(settings, "CONFIG_A=y\n# CONFIG_VT is not set\nCONFIG_N=4\n"), ["CONFIG_B=y"]);
        assert_eq!(dropped(settings, "CONFIG_A=y\nCONFIG_B=y\nCONFIG_VT=y\nCONFIG_N=4\n"), ["CONFIG_VT=n"]);
    }

    #[test]
    fn a_kernel_has_the_settings_of_the_base_except_those_that_it_replaces() {
        let has = |name: &str, setting: &str| {
            find(name).unwrap().settings().lines().filter(|line| *line == setting).count() == 1
        };
        assert!(has("noinline", "CONFIG_DEBUG_SECTION_MISMATCH=y") && has("noinline", "CONFIG_KPROBES=y"));
        assert!(has("no-kprobes", "CONFIG_KPROBES=n") && !has("no-kprobes", "CONFIG_KPROBES=y"));
        assert!(has("no-btf", "CONFIG_DEBUG_INFO_BTF=n") && has("no-btf", "CONFIG_BPF_SYSCALL=y"));
        assert!(!has("no-btf", "CONFIG_DEBUG_INFO_BTF=y"));
    }

    #[test]
    fn own_kernels_have_names_and_marks_of_their_own() {
        let lines = table::lines().unwrap();
        for (place, own) in KERNELS.iter().enumerate() {
            assert!(!lines.iter().any(|line| line.name == own.name), "{own:?}");
            assert!(KERNELS[..place].iter().all(|other| other.mark() != own.mark()), "{own:?}");
        }
        assert!(parse("no-such").unwrap_err().contains("no-kprobes"));
    }
}
