//! A URL that secrets may be sent to: https, or plain http on loopback.

use std::fmt;

use ::http::Uri;
use ::http::uri::Authority;
use tower_id_token::{ErrorKind, SourceError, is_loopback};

/// An address that was checked when it was read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(Uri);

impl Endpoint {
    /// The URL that `named_by` gives: a file and its field, or a variable.
    pub(crate) fn parse(text: &str, named_by: impl fmt::Display) -> Result<Self, SourceError> {
        Self::checked(text, named_by, is_loopback)
    }

    /// The same, or plain http to the metadata server of another cloud, which speaks no other.
    pub(crate) fn parse_near(text: &str, named_by: impl fmt::Display) -> Result<Self, SourceError> {
        Self::checked(text, named_by, |host| {
            is_loopback(host) || is_link_local(host)
        })
    }

    /// A URL of a metadata server, and of nothing else (loopback stands for one).
    pub(crate) fn parse_metadata(
        text: &str,
        named_by: impl fmt::Display,
    ) -> Result<Self, SourceError> {
        let url = Self::parse_near(text, &named_by)?;
        match url.0.host() {
            Some(host) if is_loopback(host) || is_link_local(host) => Ok(url),
            _ => Err(SourceError::new(
                ErrorKind::Config,
                format!(
                    "{named_by}: it has to be at the metadata server, 169.254.169.254 or \
                     [fd00:ec2::254]"
                ),
            )),
        }
    }

    fn checked(
        text: &str,
        named_by: impl fmt::Display,
        is_plain: impl FnOnce(&str) -> bool,
    ) -> Result<Self, SourceError> {
        let refuse = |why: &str| SourceError::new(ErrorKind::Config, format!("{named_by}: {why}"));
        let uri: Uri = text.parse().map_err(|_| refuse("not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refuse("not a whole URL: scheme or host is missing"));
        };
        if authority.as_str().contains('@') {
            return Err(refuse("the URL has a user name or password in it"));
        }
        if !has_sound_port(authority) {
            return Err(refuse("the URL's port is no number"));
        }
        match scheme {
            "https" => Ok(Self(uri)),
            "http" if is_plain(authority.host()) => Ok(Self(uri)),
            "http" => Err(refuse(&format!(
                "credentials are not sent to {} by plain http: use https (plain http is for \
                 loopback only)",
                authority.host(),
            ))),
            _ => Err(refuse(&format!("{scheme} URLs cannot be asked: use https"))),
        }
    }

    /// One of Google's own, written in this crate.
    pub(crate) fn known(url: &'static str) -> Self {
        Self(Uri::from_static(url))
    }

    /// One that this crate has put together from parts that it has checked.
    pub(crate) fn own(url: &str) -> Self {
        Self(url.parse().expect("a domain name makes a URL"))
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }
}

/// Without the query.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where other clouds have their metadata servers: an address that no router passes on.
fn is_link_local(host: &str) -> bool {
    METADATA.contains(&host.to_ascii_lowercase().as_str())
}

/// Whether the port, if there is one, is one. `http` itself does not look at it.
pub(crate) fn has_sound_port(authority: &Authority) -> bool {
    authority.port_u16().is_some() || authority.as_str() == authority.host()
}

/// A URL as it may stand in a message: without the query, which may hold anything.
pub(crate) fn shown(uri: &Uri) -> String {
    format!(
        "{}://{}{}",
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map_or("", |authority| authority.as_str()),
        uri.path(),
    )
}

/// AWS's and Azure's, and AWS's by IPv6.
const METADATA: [&str; 2] = ["169.254.169.254", "[fd00:ec2::254]"];
