//! The keys of an output as the file has them.

use std::path::PathBuf;

use super::{
    DEFAULT_JOURNAL_SOCKET, OtlpProtocol, OutputSettings, QUEUE, QUEUE_MOST, SPILL_LEAST, SPILL_SIZE,
    SettingError, TARGETS, TargetSettings, server::file,
};
use crate::{
    export::{EventSelection, schema::Schema},
    lineage::{ActionKind, WantedDeaths},
    outputs::url::UrlKind,
    size,
};

/// The types that send over HTTP.
const OVER_HTTP: &[&str] = &["otlp", "alertmanager", "http"];

/// The address of an HTTP server that takes documents; the ports are those of HTTP.
const DOCUMENTS: UrlKind = UrlKind { plain: ("http", 80), secure: ("https", 443), path: "/" };

/// The address of a NATS server.
const NATS: UrlKind = UrlKind { plain: ("nats", 4222), secure: ("tls", 4222), path: "" };

/// Keys that only some types have.
const OWN_KEYS: [(&str, &[&str]); 9] = [
    ("url", &["otlp", "alertmanager", "http", "nats"]),
    ("headers", OVER_HTTP),
    ("protocol", &["otlp"]),
    // An output of type otlp has one schema, and accepts its name.
    ("schema", &["http", "nats", "otlp"]),
    ("credentials", &["nats"]),
    ("ca", OVER_HTTP),
    ("cert", OVER_HTTP),
    ("key", OVER_HTTP),
    ("socket", &["journald"]),
];

/// An output as the configuration has it; `None` is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a key of the file: docs/outputs.md describes them")]
pub struct OutputDraft {
    pub target: Option<String>,
    pub name: Option<String>,
    pub url: Option<String>,
    pub headers: Option<Vec<String>>,
    pub protocol: Option<String>,
    pub schema: Option<String>,
    pub credentials: Option<String>,
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
    pub socket: Option<String>,
    pub actions: Option<Vec<String>>,
    pub deaths: Option<String>,
    pub pids: Option<Vec<u32>>,
    pub subtree: Option<u32>,
    pub comms: Option<Vec<String>>,
    pub units: Option<Vec<String>>,
    pub containers: Option<Vec<String>>,
    pub queue: Option<usize>,
    pub spill: Option<String>,
    pub spill_size: Option<String>,
}

impl OutputDraft {
    /// Adds the defaults and checks the settings.
    pub fn settle(self) -> Result<OutputSettings, SettingError> {
        let target = self.target()?;
        let has_own_actions = self.actions.is_some();
        let actions = self
            .actions
            .unwrap_or_else(|| target.default_actions().iter().map(|kind| kind.name().to_owned()).collect());
        if let Some(name) = actions.iter().find(|name| ActionKind::from_name(name).is_none()) {
            return Err(("actions", format!("{name}: no such action; there are: {}", ActionKind::list())));
        }
        let deaths = match self.deaths.as_deref() {
            Some("foreign") => WantedDeaths::Foreign,
            Some("signals") => WantedDeaths::Signals,
            Some("all") => WantedDeaths::All,
            Some(other) => {
                return Err(("deaths", format!("`{other}` is not one of foreign, signals, all")));
            }
            None if matches!(target, TargetSettings::Journald { .. }) && !has_own_actions => {
                WantedDeaths::Foreign
            }
            None => WantedDeaths::All,
        };
        let queue = self.queue.unwrap_or(QUEUE);
        if !(1..=QUEUE_MOST).contains(&queue) {
            return Err(("queue", format!("{queue} is not between 1 and {QUEUE_MOST}")));
        }
        let spill = self.spill.filter(|path| !path.is_empty()).map(PathBuf::from);
        if spill.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(("spill", "it is not an absolute path such as /var/lib/taskscope/otlp.spill".into()));
        }
        let spill_size = match self.spill_size.as_deref() {
            None => SPILL_SIZE,
            Some(text) => size::parse(text).map_err(|what| ("spill_size", what))?,
        };
        if spill_size < SPILL_LEAST {
            return Err(("spill_size", format!("{spill_size} is less than {}", size::text(SPILL_LEAST))));
        }
        let name = self.name.unwrap_or_else(|| target.name().to_owned());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
            return Err(("name", format!("`{name}` is not 1 to 64 letters, digits, `.`, `_` or `-`")));
        }
        let selection = EventSelection {
            actions,
            pids: self.pids.unwrap_or_default(),
            subtree: self.subtree,
            comms: self.comms.unwrap_or_default(),
            units: self.units.unwrap_or_default(),
            containers: self.containers.unwrap_or_default(),
            lives: false,
        };
        Ok(OutputSettings { name, target, selection, deaths, queue, spill, spill_size })
    }

    fn target(&self) -> Result<TargetSettings, SettingError> {
        let kind = self.target.as_deref();
        let kind = kind.ok_or_else(|| ("type", format!("is missing: one of {}", TARGETS.join(", "))))?;
        if !TARGETS.contains(&kind) {
            return Err(("type", format!("`{kind}` is not one of {}", TARGETS.join(", "))));
        }
        self.check_keys(kind)?;
        match kind {
            "otlp" => self.otlp(),
            "nats" => self.nats(),
            "http" => Ok(TargetSettings::Http { server: self.server(DOCUMENTS)?, schema: self.schema()? }),
            "alertmanager" => Ok(TargetSettings::Alertmanager {
                server: self.server(UrlKind::http(9093, "/api/v2/alerts"))?,
            }),
            _ => {
                let socket = self.socket.as_deref().unwrap_or(DEFAULT_JOURNAL_SOCKET);
                if !socket.starts_with('/') {
                    return Err(("socket", format!("`{socket}` is not an absolute path")));
                }
                Ok(TargetSettings::Journald { socket: socket.into() })
            }
        }
    }

    fn nats(&self) -> Result<TargetSettings, SettingError> {
        if !cfg!(feature = "nats") {
            let what = "`nats` needs a taskscope that was built with its cargo feature: cargo build --release --features nats";
            return Err(("type", what.into()));
        }
        let server = self.server(NATS)?;
        if server.url.is_secure {
            let what = "asks for TLS, which taskscope does not support for NATS: send to a leaf node on this host by nats://";
            return Err(("url", what.into()));
        }
        if server.url.path != NATS.path {
            return Err(("url", format!("`{}` has a path; give only host and port", server.url.text)));
        }
        let credentials = file("credentials", self.credentials.as_deref())?;
        Ok(TargetSettings::Nats { server, schema: self.schema()?, credentials })
    }

    fn schema(&self) -> Result<Schema, SettingError> {
        let schema = self.schema.as_deref().map_or(Ok(Schema::default()), Schema::from_name);
        schema.map_err(|error| ("schema", error.to_string()))
    }

    fn otlp(&self) -> Result<TargetSettings, SettingError> {
        if self.schema.is_some() && self.schema()? != Schema::Otel {
            let what =
                "OTLP has only the names of OpenTelemetry's semantic conventions (otel); remove this key";
            return Err(("schema", what.into()));
        }
        let known = OtlpProtocol::ALL.map(OtlpProtocol::name);
        let protocol = match self.protocol.as_deref() {
            None => OtlpProtocol::default(),
            Some(name) => OtlpProtocol::ALL
                .into_iter()
                .find(|protocol| protocol.name() == name)
                .ok_or_else(|| ("protocol", format!("`{name}` is not one of {}", known.join(", "))))?,
        };
        if protocol == OtlpProtocol::Grpc && !cfg!(feature = "grpc") {
            let what = "`grpc` needs a taskscope that was built with its cargo feature `grpc`, which is on by default";
            return Err(("protocol", what.into()));
        }
        let kind = protocol.url();
        let server = self.server(kind)?;
        if protocol == OtlpProtocol::Grpc && server.url.path != kind.path {
            let what =
                format!("`{}` has a path; gRPC uses its own, so give only host and port", server.url.text);
            return Err(("url", what));
        }
        Ok(TargetSettings::Otlp { server, protocol })
    }

    /// Checks that an output of this type has the keys that are given.
    fn check_keys(&self, kind: &str) -> Result<(), SettingError> {
        let given = [
            ("url", self.url.is_some()),
            ("headers", self.headers.is_some()),
            ("protocol", self.protocol.is_some()),
            ("schema", self.schema.is_some()),
            ("credentials", self.credentials.is_some()),
            ("ca", self.ca.is_some()),
            ("cert", self.cert.is_some()),
            ("key", self.key.is_some()),
            ("socket", self.socket.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            let types = OWN_KEYS.iter().find(|(own, _)| *own == key).map_or(&TARGETS[..], |(_, types)| types);
            if !types.contains(&kind) {
                return Err((key, format!("is for an output of type {}", types.join(" or "))));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{TlsFiles, journal, needs_all},
        *,
    };

    fn draft(target: &str) -> OutputDraft {
        let url = (target != "journald").then(|| "http://127.0.0.1".to_owned());
        OutputDraft { target: Some(target.into()), url, ..OutputDraft::default() }
    }

    fn secure() -> OutputDraft {
        OutputDraft { url: Some("https://h".into()), ..draft("otlp") }
    }

    #[test]
    fn https_uses_the_authorities_of_the_system_or_those_of_a_file() {
        let tls = |draft: OutputDraft| draft.settle().unwrap().target.server().unwrap().tls.clone();
        assert_eq!(tls(draft("otlp")), None);
        assert_eq!(tls(secure()), Some(TlsFiles::default()));
        let some = |text: &str| Some(text.to_owned());
        let own = OutputDraft { ca: some("/a"), cert: some("/c"), key: some("/k"), ..secure() };
        let files = tls(own).unwrap();
        assert_eq!(files.all().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), ["/a", "/c", "/k"]);
    }

    #[cfg(not(feature = "nats"))]
    #[test]
    fn nats_without_its_feature_says_so() {
        let (key, what) =
            OutputDraft { target: Some("nats".into()), ..OutputDraft::default() }.settle().unwrap_err();
        assert!(key == "type" && what.contains("--features nats"), "{key}: {what}");
    }

    #[cfg(feature = "nats")]
    #[test]
    fn an_address_of_nats_has_neither_tls_nor_a_path() {
        let settle = |url: &str| OutputDraft { url: Some(url.into()), ..draft("nats") }.settle();
        let target = settle("nats://h").unwrap().target;
        assert_eq!((target.server().unwrap().url.port, target.schema()), (4222, Some(Schema::Native)));
        for wrong in ["tls://h", "nats://h/x", "http://h", "nats://me:secret@h"] {
            assert_eq!(settle(wrong).unwrap_err().0, "url", "{wrong}");
        }
        let file =
            OutputDraft { credentials: Some("x".into()), url: Some("nats://h".into()), ..draft("nats") };
        assert_eq!(file.settle().unwrap_err().0, "credentials");
    }

    #[test]
    fn each_protocol_of_otlp_has_its_port() {
        let port = |protocol: Option<&str>| {
            let draft = OutputDraft { protocol: protocol.map(str::to_owned), ..draft("otlp") };
            draft.settle().unwrap().target.server().unwrap().url.port
        };
        assert_eq!([port(None), port(Some("http/protobuf")), port(Some("grpc"))], [4318, 4318, 4317]);
    }

    #[test]
    fn documents_have_the_schema_that_is_asked_for() {
        let schema = |name: Option<&str>, target: &str| {
            let draft = OutputDraft { schema: name.map(str::to_owned), ..draft(target) };
            draft.settle().unwrap().target.schema()
        };
        assert_eq!(
            (schema(None, "http"), schema(Some("ecs"), "http")),
            (Some(Schema::Native), Some(Schema::Ecs))
        );
        assert_eq!((schema(None, "otlp"), schema(Some("otel"), "otlp")), (None, None));
    }

    #[test]
    fn the_default_of_journald_is_what_an_operator_must_see() {
        assert_eq!(draft("journald").settle().unwrap(), journal());
        assert!(!needs_all(journal().wanted(7)));
        let otlp = draft("otlp").settle().unwrap();
        assert_eq!((otlp.deaths, needs_all(otlp.wanted(7))), (WantedDeaths::All, false));
        let all = OutputDraft { actions: Some(vec![]), ..draft("otlp") }.settle().unwrap();
        assert!(needs_all(all.wanted(7)));
        let tree = OutputDraft { subtree: Some(1), ..draft("otlp") }.settle().unwrap();
        assert!(needs_all(tree.wanted(7)));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        let some = |text: &str| Some(text.to_owned());
        for (draft, key) in [
            (OutputDraft::default(), "type"),
            (draft("kafka"), "type"),
            (OutputDraft { url: None, ..draft("otlp") }, "url"),
            (OutputDraft { url: some("http://h"), ..draft("journald") }, "url"),
            (OutputDraft { protocol: some("http/json"), ..draft("otlp") }, "protocol"),
            (OutputDraft { protocol: some("grpc"), ..draft("alertmanager") }, "protocol"),
            (OutputDraft { url: some("http://h/v1/logs"), protocol: some("grpc"), ..draft("otlp") }, "url"),
            (OutputDraft { schema: some("ecs"), ..draft("otlp") }, "schema"),
            (OutputDraft { schema: some("cef"), ..draft("otlp") }, "schema"),
            (OutputDraft { schema: some("cef"), ..draft("http") }, "schema"),
            (OutputDraft { schema: some("native"), ..draft("journald") }, "schema"),
            (OutputDraft { ca: some("/x"), ..draft("journald") }, "ca"),
            (OutputDraft { ca: some("/x"), ..draft("otlp") }, "ca"),
            (OutputDraft { ca: some("x"), ..secure() }, "ca"),
            (OutputDraft { cert: some("/x"), ..secure() }, "cert"),
            (OutputDraft { key: some("/x"), ..secure() }, "key"),
            (OutputDraft { socket: some("/x"), ..draft("otlp") }, "socket"),
            (OutputDraft { socket: some("x"), ..draft("journald") }, "socket"),
            (OutputDraft { headers: Some(vec!["x".into()]), ..draft("otlp") }, "headers"),
            (OutputDraft { actions: Some(vec!["died".into()]), ..draft("otlp") }, "actions"),
            (OutputDraft { deaths: some("some"), ..draft("otlp") }, "deaths"),
            (OutputDraft { queue: Some(0), ..draft("otlp") }, "queue"),
            (OutputDraft { spill: some("x"), ..draft("otlp") }, "spill"),
            (OutputDraft { spill_size: some("1K"), ..draft("otlp") }, "spill_size"),
            (OutputDraft { name: some("a b"), ..draft("otlp") }, "name"),
        ] {
            assert_eq!(draft.settle().unwrap_err().0, key);
        }
    }
}
