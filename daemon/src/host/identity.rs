//! What distinguishes this host from others.

use std::path::Path;

use super::read_up_to;

/// The longest file that is read.
const FILE_MAX: usize = 16 << 10;

/// The identity of a host and of its system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// machine-id(5).
    pub(crate) id: Option<String>,
    /// The name of uname(2).
    pub(crate) name: String,
    /// The kernel's release, as `uname -r` prints it.
    pub(crate) release: String,
    /// `PRETTY_NAME` of os-release(5).
    pub(crate) os_name: Option<String>,
    /// Id of the boot, from the kernel.
    pub(crate) boot_id: Option<String>,
}

impl Identity {
    /// Reads the files that have these facts. A fact that cannot be read is unknown.
    #[must_use]
    pub(crate) fn read() -> Self {
        let first = |paths: &[&str]| paths.iter().find_map(|path| text(path));
        let uname = rustix::system::uname();
        Self {
            id: first(&["/etc/machine-id", "/var/lib/dbus/machine-id"]).filter(|id| is_machine_id(id)),
            name: uname.nodename().to_string_lossy().into_owned(),
            release: uname.release().to_string_lossy().into_owned(),
            os_name: first(&["/etc/os-release", "/usr/lib/os-release"]).and_then(|text| pretty_name(&text)),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
        }
    }
}

fn text(path: &str) -> Option<String> {
    let bytes = read_up_to(Path::new(path), FILE_MAX).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Whether a text is 32 hexadecimal digits; the file can also say `uninitialized`.
fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_the_files_of_the_system() {
        assert_eq!(pretty_name("ID=x\nPRETTY_NAME=\"Debian 12\"\n").as_deref(), Some("Debian 12"));
        assert_eq!(pretty_name("ID=x"), None);
        assert!(is_machine_id("0123456789abcdef0123456789abcdef") && !is_machine_id("uninitialized"));
        let own = Identity::read();
        assert!(!own.name.is_empty() && !own.release.is_empty());
    }
}
