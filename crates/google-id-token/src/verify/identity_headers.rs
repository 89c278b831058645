//! Passes the caller on to a service that is not in this process, in headers.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use tower_id_token::{ErrorKind, SourceError};

use super::{Caller, Issuer};

/// The headers that tell a service behind a proxy who calls: by default `x-caller-issuer`,
/// `x-caller-audience`, `x-caller-subject`, and `x-caller-email` and `x-caller-domain` where the
/// token names them.
///
/// All headers of that prefix that came with a request are taken out, and so are
/// `X-Serverless-Authorization`, IAP's assertion and IAP's own unsigned headers; those with an
/// underscore for a hyphen, too (CGI and WSGI make one of both). So what the service sees was set
/// here, as long as nothing else than this proxy can reach it. What becomes of `Authorization` is
/// up to [`RequireIdToken`](super::RequireIdToken::identity_headers).
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    prefix: Arc<str>,
    names: Arc<[HeaderName; 5]>,
}

impl IdentityHeaders {
    /// `x-caller-…`.
    pub fn new() -> Self {
        Self::prefixed("x-caller-").expect("this is the start of a header's name")
    }

    /// Headers that begin in another way, such as `x-acme-caller-`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] where no header begins so, and for a prefix of less than three
    /// characters or without a hyphen at its end: every header that begins so is taken out of the
    /// requests.
    pub fn prefixed(prefix: &str) -> Result<Self, SourceError> {
        let prefix = prefix.to_ascii_lowercase().replace('_', "-");
        let refused = || {
            let message = format!("{prefix:?} is not a prefix of headers such as `x-caller-`");
            SourceError::new(ErrorKind::Config, message)
        };
        if prefix.len() < 3 || !prefix.ends_with('-') {
            return Err(refused());
        }
        let name = |rest: &str| format!("{prefix}{rest}").parse().map_err(|_| refused());
        let names = [
            name("issuer")?,
            name("audience")?,
            name("subject")?,
            name("email")?,
            name("domain")?,
        ];
        Ok(Self {
            names: Arc::new(names),
            prefix: prefix.into(),
        })
    }

    /// Takes out what the client sent of such headers: for requests that go on unchecked, and for
    /// trailers.
    pub fn strip(&self, headers: &mut HeaderMap) {
        self.strip_but(headers, |_| false);
    }

    /// Takes out what the client sent of such headers, and names the caller in them. A claim that
    /// does not fit into a header is left out rather than bent.
    pub fn replace(&self, headers: &mut HeaderMap, caller: &Caller) {
        self.replace_but(headers, caller, |_| false);
    }

    /// The same, with these left where they are.
    pub(super) fn replace_but(
        &self,
        headers: &mut HeaderMap,
        caller: &Caller,
        kept: impl Fn(&HeaderName) -> bool,
    ) {
        self.strip_but(headers, kept);
        let issuer = match caller.issuer() {
            Issuer::Google => "google",
            Issuer::Iap => "iap",
        };
        let values = [
            Some(issuer),
            Some(caller.audience()),
            Some(caller.subject()),
            caller.email(),
            caller.hosted_domain(),
        ];
        for (name, value) in self.names.iter().zip(values) {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name.clone(), value);
            }
        }
    }

    fn strip_but(&self, headers: &mut HeaderMap, kept: impl Fn(&HeaderName) -> bool) {
        let forged = |name: &&HeaderName| {
            let sent = name.as_str();
            let others = || VOUCHED.iter().any(|it| is_spelled(sent, it));
            (begins_with(sent, &self.prefix) || others()) && !kept(name)
        };
        let forged: Vec<HeaderName> = headers.keys().filter(forged).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
    }
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self::new()
    }
}

fn is_spelled(name: &str, ours: &str) -> bool {
    name.len() == ours.len() && begins_with(name, ours)
}

/// With `_` for `-`, too.
fn begins_with(name: &str, ours: &str) -> bool {
    let mut name = name.bytes();
    ours.bytes().all(|ours| match name.next() {
        Some(b'_') => ours == b'-',
        other => other == Some(ours),
    })
}

/// What is believed because somebody in front has checked it, and what IAP sets beside its
/// assertion: without that, anybody can.
const VOUCHED: [&str; 4] = [
    "x-serverless-authorization",
    "x-goog-iap-jwt-assertion",
    "x-goog-authenticated-user-email",
    "x-goog-authenticated-user-id",
];
