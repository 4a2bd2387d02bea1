//! The web page: files that are embedded in the binary, sent compressed to clients that accept gzip. Sending one allocates nothing
//! but headers.

use axum::{
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};

use super::error::{self, ApiError};

/// A file.
struct Asset {
    /// Its path in `daemon/page`.
    name: &'static str,
    /// Its content type.
    kind: &'static str,
    /// An entity tag made of its content.
    tag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// All files, sorted by name; the build script writes the table.
const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The file that a browser opens.
const INDEX: &str = "index.html";

/// The content security policy of the page: scripts, styles, images and requests from and to this daemon only, nothing inline, and
/// no text that is parsed as HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Headers of each file. A browser asks each time whether the file has changed, so that it does not mix files of two versions.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// The page for clients that want HTML, `text` for all others.
pub(super) fn index(headers: &HeaderMap, text: &'static str) -> Response {
    let wants_page = list(headers, header::ACCEPT).any(|kind| kind == "text/html");
    let mut answer = match ASSETS.iter().find(|asset| asset.name == INDEX) {
        Some(asset) if wants_page => send(asset, headers),
        _ => text.into_response(),
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    answer
}

/// `/page/{*name}`.
pub(super) async fn file(
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    match ASSETS.iter().find(|asset| asset.name == name && asset.name != INDEX) {
        Some(asset) => Ok(send(asset, &headers)),
        None => Err(error::no_such_path(uri).await),
    }
}

fn send(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let tag = HeaderValue::from_static(asset.tag);
    let has_it = list(headers, header::IF_NONE_MATCH).any(|tag| tag == asset.tag || tag == "*");
    let is_packed = list(headers, header::ACCEPT_ENCODING).any(|coding| coding == "gzip");
    let body = match (has_it, is_packed) {
        (true, _) => Body::empty(),
        (false, true) => Body::from(Bytes::from_static(asset.gzip)),
        (false, false) => Body::from(Bytes::from_static(asset.plain)),
    };
    let mut answer = Response::new(body);
    let head = answer.headers_mut();
    head.extend(HEADERS);
    head.insert(header::ETAG, tag);
    head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if has_it {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return answer;
    }
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    if is_packed {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// The values of a header that is a list, without their parameters. A value with `q=0` is left out.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|item| {
        let (value, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        (weight != Some(0.0)).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the whole page may have, compressed.
    const MOST: usize = 150 * 1024;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_whole_page_is_small() {
        let sum: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        assert!(sum <= MOST, "{sum} bytes");
        assert!(ASSETS.iter().any(|asset| asset.name == INDEX));
    }

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.plain).unwrap();
            for inline in
                ["<style", " style=\"", " onclick=", "javascript:", "innerHTML", "outerHTML", "eval("]
            {
                assert!(!text.contains(inline), "{}: {inline}", asset.name);
            }
            // The name of a namespace is no request.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            let addresses = text.matches("://").count() - text.matches("http://x/").count();
            assert_eq!(addresses, 0, "{}", asset.name);
        }
    }

    #[test]
    fn every_module_that_is_imported_is_there() {
        for asset in ASSETS.iter().filter(|asset| asset.kind.contains("javascript")) {
            let text = std::str::from_utf8(asset.plain).unwrap();
            for import in text.split(" from '").skip(1).filter_map(|rest| rest.split('\'').next()) {
                let folder = asset.name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let path = match import.strip_prefix("../") {
                    Some(rest) => rest.to_owned(),
                    None => format!("{folder}/{}", import.trim_start_matches("./")),
                };
                let path = path.trim_start_matches('/');
                assert!(ASSETS.iter().any(|asset| asset.name == path), "{}: {import}", asset.name);
            }
        }
    }

    #[test]
    fn a_browser_gets_the_page_and_others_a_text() {
        let of = |accept| index(&headers(&[(header::ACCEPT, accept)]), "text");
        let is_page = |answer: &Response| answer.headers().contains_key(header::CONTENT_SECURITY_POLICY);
        assert!(is_page(&of("text/html,application/xhtml+xml,*/*;q=0.8")));
        assert!(!is_page(&of("*/*")));
        assert!(!is_page(&of("text/html;q=0")));
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let asset = &ASSETS[0];
        let answer = send(asset, &headers(&[(header::ACCEPT_ENCODING, "br, gzip")]));
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(send(asset, &HeaderMap::new()).headers().get(header::CONTENT_ENCODING), None);
        let answer = send(asset, &headers(&[(header::IF_NONE_MATCH, asset.tag)]));
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert!(answer.headers().contains_key(header::ETAG));
    }
}
