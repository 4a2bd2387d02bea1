//! What an output sends to.

use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue};

use crate::{
    export::schema::Schema,
    lineage::ActionKind,
    outputs::url::{Url, UrlKind},
};

/// What an output sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSettings {
    /// The journal.
    Journald {
        /// journald's socket.
        socket: PathBuf,
    },
    /// An OpenTelemetry collector, by OTLP.
    Otlp {
        /// Where it listens.
        server: ServerSettings,
        /// How requests are sent.
        protocol: OtlpProtocol,
    },
    /// An Alertmanager, by its API v2.
    Alertmanager {
        /// Where it listens.
        server: ServerSettings,
    },
    /// A server that takes JSON documents, one a line.
    Http {
        /// Where it listens.
        server: ServerSettings,
        /// The schema of the documents.
        schema: Schema,
    },
    /// Streams of NATS `JetStream`.
    Nats {
        /// Where it listens.
        server: ServerSettings,
        /// The schema of the messages.
        schema: Schema,
        /// The file with the client's credentials.
        credentials: Option<PathBuf>,
    },
}

/// How requests of OTLP are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Over HTTP/1.1, with protobuf.
    #[default]
    HttpProtobuf,
    /// By gRPC.
    Grpc,
}

impl OtlpProtocol {
    /// All protocols.
    pub(in crate::outputs) const ALL: [Self; 2] = [Self::HttpProtobuf, Self::Grpc];

    /// Returns the value of the key `protocol`, which is a value of the variable `OTEL_EXPORTER_OTLP_PROTOCOL` too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http/protobuf",
            Self::Grpc => "grpc",
        }
    }

    /// Returns the default port and the path.
    pub(super) const fn url(self) -> UrlKind {
        match self {
            Self::HttpProtobuf => UrlKind::http(4318, "/v1/logs"),
            Self::Grpc => UrlKind::http(4317, "/opentelemetry.proto.collector.logs.v1.LogsService/Export"),
        }
    }
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it listens.
    pub url: Url,
    /// Additional headers of each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Certificates and keys, if `url` asks for TLS.
    pub tls: Option<TlsFiles>,
}

/// Files with certificates and keys, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities that may have signed the server's certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its key.
    pub pair: Option<(PathBuf, PathBuf)>,
}

/// Files with the certificates of public authorities: on Debian, Alpine and Arch; on RHEL and Fedora (two); on SUSE; on other systems.
pub(in crate::outputs) const SYSTEM_AUTHORITIES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl TlsFiles {
    /// Returns the file with the authorities: that of the configuration, or the one that this system has.
    pub(in crate::outputs) fn authorities(&self) -> Option<&Path> {
        let system = || SYSTEM_AUTHORITIES.map(Path::new).into_iter().find(|path| path.exists());
        self.ca.as_deref().or_else(system)
    }

    /// Returns all files.
    pub(in crate::outputs) fn all(&self) -> impl Iterator<Item = &Path> {
        let pair = self.pair.iter().flat_map(|(cert, key)| [cert.as_path(), key.as_path()]);
        self.authorities().into_iter().chain(pair)
    }
}

impl TargetSettings {
    /// Returns `type` of the configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Journald { .. } => "journald",
            Self::Otlp { .. } => "otlp",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Http { .. } => "http",
            Self::Nats { .. } => "nats",
        }
    }

    /// Returns how the server is reached; `None` for the journal.
    #[must_use]
    pub const fn server(&self) -> Option<&ServerSettings> {
        match self {
            Self::Journald { .. } => None,
            Self::Otlp { server, .. }
            | Self::Alertmanager { server }
            | Self::Http { server, .. }
            | Self::Nats { server, .. } => Some(server),
        }
    }

    /// Returns the schema of documents; `None` for a target that takes no documents.
    #[must_use]
    pub const fn schema(&self) -> Option<Schema> {
        match self {
            Self::Http { schema, .. } | Self::Nats { schema, .. } => Some(*schema),
            Self::Journald { .. } | Self::Otlp { .. } | Self::Alertmanager { .. } => None,
        }
    }

    /// Returns the files that are read again for new connections: certificates, keys and credentials.
    pub(in crate::outputs) fn files(&self) -> impl Iterator<Item = &Path> {
        let tls = self.server().and_then(|server| server.tls.as_ref());
        let credentials = match self {
            Self::Nats { credentials, .. } => credentials.as_deref(),
            _ => None,
        };
        tls.into_iter().flat_map(TlsFiles::all).chain(credentials)
    }

    /// Returns the actions that are sent if the configuration names none.
    pub(super) const fn default_actions(&self) -> &'static [ActionKind] {
        match self {
            Self::Journald { .. } => &[ActionKind::ZombieFlagged, ActionKind::GroupExited],
            Self::Otlp { .. } | Self::Http { .. } | Self::Nats { .. } => &[
                ActionKind::BlockedFlagged,
                ActionKind::BlockedCleared,
                ActionKind::LeakFlagged,
                ActionKind::LeakCleared,
                ActionKind::ExitStuck,
                ActionKind::GroupExited,
                ActionKind::ZombieFlagged,
            ],
            Self::Alertmanager { .. } => &[
                ActionKind::BlockedFlagged,
                ActionKind::BlockedCleared,
                ActionKind::LeakFlagged,
                ActionKind::LeakCleared,
                ActionKind::ExitStuck,
                ActionKind::ZombieFlagged,
                ActionKind::Reaped,
            ],
        }
    }
}
