//! A small disk with an ext4 file system for each guest, so that a test can fill a real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Size of the disk: a test fills it within a second on an emulated machine, and mkfs.ext4 accepts it.
const BYTES: u64 = 16 << 20;
/// Paths of mkfs.ext4 in distributions, which the PATH of users may not contain.
const PROGRAMS: [&str; 3] = ["mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"];

/// Makes the disk's image. Returns `None` after a message on standard error if this machine has no mkfs.ext4: tests that need the
/// disk are skipped then.
pub(super) fn make(path: &Path) -> anyhow::Result<Option<PathBuf>> {
    let file = fs::File::create(path).with_context(|| format!("making {}", path.display()))?;
    file.set_len(BYTES).with_context(|| format!("making room in {}", path.display()))?;
    for program in PROGRAMS {
        // No blocks are reserved for root, because the tests run as root and the daemon may not.
        let mut command = Command::new(program);
        command.args(["-q", "-F", "-m", "0"]).arg(path);
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("running {program}")),
            Ok(output) if output.status.success() => return Ok(Some(path.to_owned())),
            Ok(output) => anyhow::bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }
    }
    eprintln!("vm: no mkfs.ext4 (e2fsprogs): guests have no disk to fill");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_has_an_ext4_file_system() {
        let path = std::env::temp_dir().join(format!("taskscope-disk-{}", std::process::id()));
        let disk = make(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        // `s_magic` of the superblock: https://docs.kernel.org/filesystems/ext4/super.html
        let magic = bytes.get(1024 + 0x38..1024 + 0x3a).unwrap();
        assert_eq!(disk.is_some(), magic == [0x53, 0xef]);
    }
}
