//! Replaces names by hashes, so that a recording can be passed on: comms, paths, arguments, names of cgroups, and user ids.
//!
//! The hash is SHA-256 with a key (HMAC, RFC 2104). The same name has the same hash in one recording, so that it is still visible which
//! processes run the same program. Without the key nobody can find a name by hashing candidates.

use std::{fs::File, io::Read as _, path::Path, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{RecordingError, entry::Entry, header::Header};
use crate::{
    cgroup::Place,
    lineage::{
        Arguments,
        record::{Comm, Exec, Fact, Record, TaskPlace},
    },
};

/// Block size of SHA-256, bytes. HMAC pads the key to this length.
const BLOCK: usize = 64;

/// Hex digits of a hash: with an `x` before them they fit into a comm.
const DIGITS: usize = 14;

/// Suffixes of cgroups that are kept, because they say what kind of unit it is.
const SUFFIXES: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// Replaces names by hashes.
#[derive(Clone)]
pub struct Redaction {
    key: [u8; BLOCK],
}

impl Redaction {
    /// Uses a random key that nobody knows: two recordings cannot be compared by their hashes.
    pub fn with_random_key() -> std::io::Result<Self> {
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self::with_key(&key))
    }

    /// Uses the content of a file as the key, so that recordings with the same key have the same hashes.
    pub fn with_key_of(path: &Path) -> Result<Self, RecordingError> {
        let wrong = |source| RecordingError::Key { path: path.to_owned(), source };
        let key = crate::bounded::read(path, 64 << 10).map_err(wrong)?;
        if key.len() < 16 {
            return Err(wrong(std::io::Error::other("a key has 16 bytes at least")));
        }
        Ok(Self::with_key(&key))
    }

    fn with_key(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        let short: Vec<u8> = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
        for (to, from) in block.iter_mut().zip(short) {
            *to = from;
        }
        Self { key: block }
    }

    fn digest(&self, name: &[u8]) -> [u8; 32] {
        let padded = |pad: u8| self.key.map(|byte| byte ^ pad);
        let inner = Sha256::new().chain_update(padded(0x36)).chain_update(name).finalize();
        Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
    }

    fn hash(&self, name: &[u8]) -> String {
        let mut text = String::with_capacity(DIGITS + 1);
        text.push('x');
        for byte in self.digest(name).iter().take(DIGITS / 2) {
            for half in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(half), 16));
            }
        }
        text
    }

    fn comm(&self, comm: Comm) -> Comm {
        // An empty comm names nobody.
        if comm.bytes().is_empty() {
            return comm;
        }
        let mut hashed = [0; 16];
        for (to, from) in hashed.iter_mut().zip(self.hash(comm.bytes()).into_bytes()) {
            *to = from;
        }
        Comm(hashed)
    }

    /// Replaces each name of a path separately, so that two paths in one directory keep the same prefix.
    fn path(&self, path: &[u8]) -> Vec<u8> {
        const DELETED: &[u8] = b" (deleted)";
        let (path, mark) = match path.strip_suffix(DELETED) {
            Some(path) => (path, DELETED),
            None => (path, &b""[..]),
        };
        let is_kept = |name: &[u8]| matches!(name, b"" | b"." | b".." | b"...");
        let names: Vec<Vec<u8>> = path
            .split(|&byte| byte == b'/')
            .map(|name| if is_kept(name) { name.to_vec() } else { self.hash(name).into_bytes() })
            .collect();
        let mut hashed = names.join(&b'/');
        hashed.extend_from_slice(mark);
        hashed
    }

    fn cgroup_name(&self, name: &str) -> String {
        let suffix = SUFFIXES.into_iter().find(|suffix| name.ends_with(suffix)).unwrap_or_default();
        if name.is_empty() { String::new() } else { self.hash(name.as_bytes()) + suffix }
    }

    fn cgroup_path(&self, path: &str) -> String {
        path.split('/').map(|name| self.cgroup_name(name)).collect::<Vec<_>>().join("/")
    }

    /// Replaces a user id. 0 stays 0, because verdicts depend on root, and root identifies nobody.
    fn user(&self, uid: u32) -> u32 {
        let [a, b, c, d, ..] = self.digest(&uid.to_be_bytes());
        // The result is never 0 (root) or u32::MAX (no user).
        if uid == 0 { 0 } else { u32::from_be_bytes([a & 0x7f, b, c, d]).max(1) }
    }

    fn arguments(&self, args: &[Vec<u8>]) -> Vec<Vec<u8>> {
        args.iter().map(|argument| self.hash(argument).into_bytes()).collect()
    }

    fn place(&self, place: &mut TaskPlace) {
        if let Some((real, effective)) = &mut place.credentials {
            (*real, *effective) = (self.user(*real), self.user(*effective));
        }
    }

    pub(super) fn record(&self, record: &Record) -> Record {
        let mut record = record.clone();
        let comm = |comm: &mut Option<Comm>| *comm = comm.map(|comm| self.comm(comm));
        match &mut record.fact {
            Fact::New(new) => {
                self.place(&mut new.place);
                comm(&mut new.comm);
            }
            Fact::CloneFailed(failed) => {
                if let Some(limit) = &mut failed.refused_by {
                    let name = match limit.name.parse() {
                        Ok(uid) => self.user(uid).to_string(),
                        Err(_) => self.cgroup_path(&limit.name),
                    };
                    Arc::make_mut(limit).name = name;
                }
            }
            Fact::Exec(exec) => self.exec(exec),
            Fact::ExecArgs(args) => args.args = self.arguments(&args.args),
            Fact::Renamed(renamed) => {
                (renamed.old, renamed.new) = (self.comm(renamed.old), self.comm(renamed.new));
            }
            Fact::Snapshot(seen) => {
                self.place(&mut seen.place);
                comm(&mut seen.comm);
            }
            Fact::Signal(sent) => {
                comm(&mut sent.sender_comm);
                sent.sender_uid = sent.sender_uid.map(|uid| self.user(uid));
                sent.sender_login_uid = sent.sender_login_uid.map(|uid| self.user(uid));
            }
            Fact::OomVictim(oom) => {
                comm(&mut oom.trigger_comm);
                if let Some(limit) = &mut oom.limit {
                    limit.cgroup_name = limit.cgroup_name.as_deref().map(|name| self.cgroup_name(name));
                    if let Some(cgroup) = &mut limit.cgroup {
                        cgroup.path = self.cgroup_path(&cgroup.path);
                    }
                }
            }
            Fact::CgroupChanged(changed) => {
                changed.name = changed.name.as_deref().map(|name| self.cgroup_name(name).into());
            }
            Fact::Exiting(_)
            | Fact::Exited(_)
            | Fact::Reparented(_)
            | Fact::Released(_)
            | Fact::CgroupAttached(_) => {}
        }
        record
    }

    fn exec(&self, exec: &mut Exec) {
        self.place(&mut exec.place);
        exec.comm = exec.comm.map(|comm| self.comm(comm));
        exec.path = exec.path.as_deref().map(|path| self.path(path));
        exec.executable = exec.executable.as_deref().map(|path| self.path(path));
    }

    pub(super) fn entry(&self, entry: Entry) -> Entry {
        match entry {
            Entry::Header(header) => {
                let command = self.arguments(&header.command);
                Entry::Header(Box::new(Header { command, ..*header }))
            }
            Entry::Record { record, now } => Entry::Record { record: self.record(&record), now },
            Entry::Executable(group, path) => Entry::Executable(group, self.path(&path)),
            Entry::Arguments(group, Arguments { args, truncated }) => {
                Entry::Arguments(group, Arguments { args: self.arguments(&args), truncated })
            }
            Entry::Asleep(at, mut figures) => {
                for of in &mut figures {
                    of.name = of.name.map(|comm| self.comm(comm));
                }
                Entry::Asleep(at, figures)
            }
            Entry::Cgroup(id, place) => {
                let hashed = Place::of(&self.cgroup_path(&place.path));
                let place = match &place.controller_path {
                    Some(path) => hashed.joined(&Place::of(&self.cgroup_path(path))),
                    None => hashed,
                };
                Entry::Cgroup(id, place)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_hmac() {
        // RFC 4231, test case 2.
        let redaction = Redaction::with_key(b"Jefe");
        let digest = redaction.digest(b"what do ya want for nothing?");
        assert_eq!(digest[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        // Test case 6: a key longer than a block.
        let digest = Redaction::with_key(&[0xaa; 131])
            .digest(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(digest[..4], [0x60, 0xe4, 0x31, 0x59]);
    }

    #[test]
    fn names_differ_by_key_and_keep_their_form() {
        let (one, other) = (Redaction::with_key(b"one"), Redaction::with_key(b"other"));
        let name = Comm(*b"nginx\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(one.comm(name), one.comm(name));
        assert_ne!(one.comm(name), other.comm(name));
        assert_eq!(one.comm(name).bytes().len(), 15);
        let path = String::from_utf8(one.path(b"/usr/sbin/nginx (deleted)")).unwrap();
        assert_eq!(path.matches('/').count(), 3);
        assert!(path.ends_with(" (deleted)") && !path.contains("nginx"), "{path}");
        assert!(path.contains(&one.hash(b"nginx")), "a comm and the name of its file stay the same");
        let place = Place::of(&one.cgroup_path("/system.slice/nginx.service"));
        assert!(place.unit.is_some_and(|unit| unit.ends_with(".service") && !unit.contains("nginx")));
        assert_eq!((one.user(0), one.user(1000) == one.user(1000)), (0, true));
        assert_ne!(one.user(1000), other.user(1000));
        assert!(one.user(1000) < 1 << 31);
    }
}
