//! The address of a server, as the configuration names it.

use std::net::IpAddr;

use axum::http::{
    HeaderName, HeaderValue, Uri,
    uri::{Authority, Scheme},
};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The text of the configuration.
    pub text: String,
    /// Name or address of the host, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// For the header `host`.
    pub(super) authority: Authority,
    pub(super) path: String,
}

impl Url {
    /// Parses `http://host:port/path`; `path` is used if the text has none.
    pub(super) fn parse(text: &str, port: u16, path: &str) -> Result<Self, String> {
        let example = || format!("`{text}` is not an address such as http://127.0.0.1:{port}");
        let uri: Uri = text.parse().map_err(|_| example())?;
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return Err(format!(
                "`{text}`: taskscope speaks no TLS; send to a collector or proxy on this host, which does"
            ));
        }
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(example());
        }
        let authority = uri.authority().cloned().ok_or_else(example)?;
        if authority.as_str().contains('@') {
            return Err("has a user name or password; use `headers` instead".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(example());
        }
        let own = uri.path_and_query().map_or("", |path| path.as_str());
        let path = if own.is_empty() || own == "/" { path } else { own };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self { text: text.to_owned(), host, port, authority, path: path.to_owned() })
    }

    /// The host's address, unless it is a name.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Parses a header such as `X-Scope-OrgID: 7`.
pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || format!("`{text}` is not a header such as `X-Scope-OrgID: 7`");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_usual_one() {
        let url = |text| Url::parse(text, 4318, "/v1/logs").unwrap();
        assert_eq!((url("http://h").port, url("http://h/").path.as_str()), (4318, "/v1/logs"));
        assert_eq!((url("http://[::1]:9/x").ip(), url("http://[::1]:9/x").port), ("::1".parse().ok(), 9));
        assert_eq!(url("http://otel.example/otlp/v1/logs?a=b").path, "/otlp/v1/logs?a=b");
        assert_eq!(url("http://otel.example").ip(), None);
    }

    #[test]
    fn what_cannot_be_reached_is_refused_with_a_reason() {
        for (text, why) in [
            ("https://h:1", "no TLS"),
            ("h:4318", "such as http://"),
            ("unix:/run/x", "such as http://"),
            ("http://me:secret@h", "headers"),
            ("http://", "such as http://"),
            ("", "such as http://"),
        ] {
            let error = Url::parse(text, 4318, "/").unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(header("nothing").is_err() && header("a b: c").is_err() && header("A: b\n").is_ok());
    }
}
