//! How a server is reached: its address, headers, and files for TLS.

use std::path::PathBuf;

use super::{OutputDraft, ServerSettings, SettingError, TlsFiles};
use crate::outputs::url::{Url, UrlKind, header};

impl OutputDraft {
    pub(super) fn server(&self, kind: UrlKind) -> Result<ServerSettings, SettingError> {
        let text = self.url.as_deref().ok_or(("url", "is missing: where the server listens".to_owned()))?;
        let url = Url::parse(text, kind).map_err(|what| ("url", what))?;
        let headers = self.headers.iter().flatten();
        let headers = headers.map(|text| header(text)).collect::<Result<_, _>>();
        let headers = headers.map_err(|what| ("headers", what))?;
        let tls = self.tls(&url, kind)?;
        Ok(ServerSettings { url, headers, tls })
    }

    /// Returns the files for TLS, if the server's address asks for it.
    fn tls(&self, url: &Url, kind: UrlKind) -> Result<Option<TlsFiles>, SettingError> {
        let ca = file("ca", self.ca.as_deref())?;
        let (cert, key) = (file("cert", self.cert.as_deref())?, file("key", self.key.as_deref())?);
        if !url.is_secure {
            let given = [("ca", &ca), ("cert", &cert), ("key", &key)];
            let given = given.into_iter().find(|(_, path)| path.is_some());
            let ((plain, _), (secure, _)) = (kind.plain, kind.secure);
            let wrong = |key| {
                (key, format!("is for a server with TLS: `url` must begin with {secure}://, not {plain}://"))
            };
            return given.map_or(Ok(None), |(key, _)| Err(wrong(key)));
        }
        let pair = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(("cert", "needs `key`, the file with its key".into())),
            (None, Some(_)) => return Err(("key", "needs `cert`, the file with its certificate".into())),
        };
        Ok(Some(TlsFiles { ca, pair }))
    }
}

/// Returns the path of a file, which must be absolute; an empty text is none.
pub(super) fn file(key: &'static str, text: Option<&str>) -> Result<Option<PathBuf>, SettingError> {
    match text.filter(|path| !path.is_empty()).map(PathBuf::from) {
        Some(path) if !path.is_absolute() => {
            Err((key, format!("`{}` is not an absolute path", path.display())))
        }
        path => Ok(path),
    }
}
