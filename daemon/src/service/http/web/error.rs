//! Errors of the web configuration file. Each names the file and the place.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why the web configuration cannot be used.
#[derive(Debug, Error)]
pub enum WebError {
    /// The file, or one that it names, cannot be read.
    #[error("reading {}: {source}{}", file.display(), remedy(source))]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not YAML.
    #[error("{}: line {line}: {what}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A key is unknown or its value is invalid.
    #[error("{}: line {line}: {key}: {what}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key with those above it.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A certificate, a key or a list of certificates cannot be used.
    #[error("{name}: {what}")]
    Tls {
        /// The file, or the key of an inline text.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A reload would turn TLS on or off.
    #[error("{}: TLS cannot be turned on or off while the daemon runs: restart it", file.display())]
    Switched {
        /// The file.
        file: PathBuf,
    },
}

/// What helps if the daemon may not read a file.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; the daemon's user must be able to read it; if it was moved to another directory, restart the daemon"
        }
        _ => "",
    }
}
