//! Where requests go: one upstream, its name in metrics, and its counters.

use std::fmt;
use std::sync::Arc;

use google_id_token::{SourceError, is_loopback};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

use super::client::Transport;
use crate::error::Error;
use crate::metrics::Counters;

/// One way through the proxy.
#[derive(Debug)]
pub(crate) struct Route {
    /// The name in metrics and logs: the host that callers use, or `default` or `egress`.
    pub(crate) name: String,
    /// The service; `None` where each request names its own.
    pub(crate) upstream: Option<Upstream>,
    pub(crate) counters: Arc<Counters>,
}

/// A service's place: scheme, host, and the path that stands before each request's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// Without a slash at its end; empty for none.
    pub(crate) prefix: String,
    /// h2 without TLS, and without asking (`h2c://`).
    pub(crate) h2c: bool,
}

impl Route {
    /// The host for messages.
    pub(crate) fn host(&self) -> &str {
        self.upstream
            .as_ref()
            .map_or(&self.name, |upstream| upstream.authority.as_str())
    }
}

impl Upstream {
    /// Reads a service's URL.
    ///
    /// # Errors
    ///
    /// For what is not an `https://`, `http://` or `h2c://` URL, and for plain text to another
    /// machine: a token would be there for all to read.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::config(format!("{url:?} is not a service's URL: {why}"));
        let (url_text, h2c) = match url.strip_prefix("h2c://") {
            Some(rest) => (format!("http://{rest}"), true),
            None => (url.to_owned(), false),
        };
        let uri: Uri = url_text
            .parse()
            .map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong("it wants a scheme and a host, as in https://host"));
        };
        if scheme != Scheme::HTTPS && scheme != Scheme::HTTP {
            return Err(wrong("its scheme is none of https, http and h2c"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong("a user or password in it would be sent to nobody"));
        }
        if scheme == Scheme::HTTP && !is_loopback(authority.host()) {
            return Err(wrong(
                "by http, anybody on the way can read the token: only https goes to other machines",
            ));
        }
        let path = parts.path_and_query.as_ref();
        if path.is_some_and(|path| path.query().is_some()) {
            return Err(wrong("it must have no query"));
        }
        let prefix = path.map_or("", PathAndQuery::path).trim_end_matches('/');
        Ok(Self {
            scheme,
            authority,
            prefix: prefix.to_owned(),
            h2c,
        })
    }

    /// The upstream of a request that names its service itself, as to an `HTTP_PROXY`.
    pub(crate) fn named(authority: &Authority) -> Self {
        let text = authority.as_str();
        // The port of the plain scheme that the caller had to use is not the service's.
        let authority = match text.strip_suffix(":80").map(str::parse) {
            Some(Ok(bare)) => bare,
            _ => authority.clone(),
        };
        let scheme = if is_loopback(authority.host()) {
            Scheme::HTTP
        } else {
            Scheme::HTTPS
        };
        Self {
            scheme,
            authority,
            prefix: String::new(),
            h2c: false,
        }
    }

    /// How it is reached.
    pub(crate) fn transport(&self) -> Transport {
        if self.h2c {
            Transport::H2c
        } else if self.scheme == Scheme::HTTP {
            Transport::Plain
        } else {
            Transport::Tls
        }
    }

    /// The `Host` of requests to it, where they travel by HTTP/1.1 for sure.
    pub(crate) fn plain_host(&self) -> Option<HeaderValue> {
        if self.transport() != Transport::Plain {
            return None;
        }
        let host = self.authority.as_str();
        HeaderValue::try_from(host.strip_suffix(":80").unwrap_or(host)).ok()
    }

    /// The URL at the service for a request's own.
    pub(crate) fn url(&self, uri: &Uri) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        let own = uri.path_and_query();
        parts.path_and_query = Some(if self.prefix.is_empty() {
            own.cloned().unwrap_or(PathAndQuery::from_static("/"))
        } else {
            let own = own.map_or("/", PathAndQuery::as_str);
            // Both halves were paths already, `*` excepted.
            format!("{}{own}", self.prefix)
                .parse()
                .unwrap_or(PathAndQuery::from_static("/"))
        });
        // Scheme, authority and path are all there, which is all that this checks.
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// The URL of the service itself, from which its audience is derived.
    pub(crate) fn root(&self) -> Uri {
        self.url(&Uri::from_static("/"))
    }

    /// `Location` as the caller must follow it: back through the proxy.
    ///
    /// `None` where it leads elsewhere, or is right as it stands.
    pub(crate) fn localize(
        &self,
        location: &HeaderValue,
        local: &HeaderValue,
    ) -> Option<HeaderValue> {
        let location = location.to_str().ok()?;
        let whole = ["https://", "http://"]
            .iter()
            .find_map(|scheme| location.strip_prefix(scheme));
        let back = match whole {
            Some(rest) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, path) = rest.split_at(end);
                if !self.is_host(host) {
                    return None;
                }
                format!("http://{}{}", local.to_str().ok()?, self.own(path))
            }
            None if location.starts_with('/') && !location.starts_with("//") => {
                let own = self.own(location);
                if own.len() == location.len() {
                    return None;
                }
                // Nothing is left of the service's root but the root.
                format!("/{}", own.trim_start_matches('/'))
            }
            None => return None,
        };
        HeaderValue::try_from(back).ok()
    }

    fn is_host(&self, host: &str) -> bool {
        let bare = |host: &'_ str| host.strip_suffix(":443").unwrap_or(host).to_owned();
        bare(host).eq_ignore_ascii_case(&bare(self.authority.as_str()))
    }

    /// A path at the service without the prefix that the proxy puts before every path.
    fn own<'a>(&self, path: &'a str) -> &'a str {
        match path.strip_prefix(&*self.prefix) {
            Some(own) if own.is_empty() || own.starts_with(['/', '?', '#']) => own,
            _ => path,
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Self::config(error.to_string())
    }
}
