//! Which requests the daemon answers. A web page can make a browser send requests to any address, also by a host name that the
//! page's owner lets resolve to this host (DNS rebinding). Such a request has that name in `Host`, and the page's site in `Origin`.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, Version, header, uri::Authority};

use super::error::ApiError;

/// Which requests an address answers.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// The Unix socket answers every process that may open it, for any host name.
    Socket,
    /// TCP answers requests for an IP address, for localhost, or for one of these names.
    Names(Vec<String>),
}

impl Access {
    /// Refuses a request for another host name, or from a page of another site.
    pub(super) fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = host(version, uri, headers)?;
        if let Self::Names(names) = self
            && let Some(host) = &host
            && !is_ours(host.host(), names)
        {
            return Err(ApiError::misdirected(format!(
                "{} is not a name of this daemon: ask by IP address or as localhost, or start it with --allowed-host {}",
                host.host(),
                host.host()
            )));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let is_same = page
            .zip(host.as_ref())
            .is_some_and(|((_, page), host)| page.parse::<Authority>().is_ok_and(|page| page == *host));
        if is_same {
            return Ok(());
        }
        Err(ApiError::forbidden(format!(
            "a page of {} may not ask this daemon",
            String::from_utf8_lossy(origin.as_bytes())
        )))
    }
}

/// Returns the host name of the request. HTTP/1.0 does not require one.
fn host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, ApiError> {
    if let Some(authority) = uri.authority() {
        return Ok(Some(authority.clone()));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return if version < Version::HTTP_11 {
            Ok(None)
        } else {
            Err(ApiError::bad_request("the Host header is missing, which HTTP/1.1 requires"))
        };
    };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let authority = authority.filter(|authority| !authority.as_str().contains('@'));
    match authority {
        Some(authority) if hosts.next().is_none() => Ok(Some(authority)),
        _ => Err(ApiError::bad_request("there is more than one Host header, or it is not a name and a port")),
    }
}

fn is_ours(host: &str, names: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = host.strip_suffix('.').unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn status(access: &Access, headers: &[(header::HeaderName, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let outcome = access.check(Version::HTTP_11, &Uri::from_static("/metrics"), &map);
        outcome.map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    #[test]
    fn only_addresses_localhost_and_configured_names_are_answered() {
        let access = Access::Names(vec!["node1.example.org".into()]);
        for (host, expected) in [
            ("127.0.0.1:9753", 200),
            ("10.1.2.3", 200),
            ("[::1]:9753", 200),
            ("[fe80::1]", 200),
            ("localhost:9753", 200),
            ("LOCALHOST.", 200),
            ("node1.example.org:9753", 200),
            ("NODE1.example.org.", 200),
            ("node2.example.org", 421),
            ("evil.example:9753", 421),
            ("127.0.0.1.evil.example", 421),
            ("localhost.evil.example", 421),
            ("2130706433", 421),
            ("user@127.0.0.1", 400),
            ("", 400),
            ("a b", 400),
        ] {
            assert_eq!(status(&access, &[(header::HOST, host)]), expected, "{host}");
            let by_socket = status(&Access::Socket, &[(header::HOST, host)]);
            assert_eq!(by_socket, if expected == 421 { 200 } else { expected }, "{host}");
        }
        assert_eq!(status(&access, &[]), 400);
        assert_eq!(status(&access, &[(header::HOST, "127.0.0.1"), (header::HOST, "localhost")]), 400);
    }

    #[test]
    fn an_old_client_need_not_say_how_it_calls_the_daemon() {
        let access = Access::Names(Vec::new());
        let outcome = access.check(Version::HTTP_10, &Uri::from_static("/metrics"), &HeaderMap::new());
        assert!(outcome.is_ok());
        let outcome = access.check(
            Version::HTTP_11,
            &Uri::from_static("http://evil.example/metrics"),
            &HeaderMap::new(),
        );
        assert!(outcome.is_err(), "a URI with a name says it, too");
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        let access = Access::Names(Vec::new());
        for (origin, expected) in [
            ("http://127.0.0.1:9753", 200),
            ("http://127.0.0.1:80", 403),
            ("https://evil.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            for access in [&access, &Access::Socket] {
                let headers = [(header::HOST, "127.0.0.1:9753"), (header::ORIGIN, origin)];
                assert_eq!(status(access, &headers), expected, "{origin}");
            }
        }
    }
}
