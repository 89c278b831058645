//! A token as the layer needs it: a finished header value and the time at which it dies.

use std::fmt;
use std::time::SystemTime;

use http::HeaderValue;

use crate::{ErrorKind, SourceError};

/// Something that is good until a point in time, and so can be cached until then.
pub trait Expires {
    /// When this stops being good, by the wall clock.
    fn expires_at(&self) -> SystemTime;
}

/// An ID token, ready to be sent.
///
/// Holds `Bearer <token>` as a header value that is marked sensitive, so that `http`'s `Debug`
/// and HPACK's tables leave it out. Clones share one buffer.
#[derive(Clone)]
pub struct IdToken {
    header: HeaderValue,
    expires_at: SystemTime,
}

impl IdToken {
    /// A token that dies at `expires_at` (a JWT's `exp` claim).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] where the token is empty or has a character that RFC 6750's
    /// `b68token` does not: white space, a line break, a quote, anything outside ASCII.
    pub fn new(token: &str, expires_at: SystemTime) -> Result<Self, SourceError> {
        if token.is_empty() {
            return Err(SourceError::new(ErrorKind::Malformed, "the token is empty"));
        }
        if !token.bytes().all(is_b68) {
            return Err(SourceError::new(
                ErrorKind::Malformed,
                "the token has a character that no bearer token may have, \
                 such as a space or a line break",
            ));
        }
        let header = HeaderValue::try_from(format!("{BEARER}{token}")).map_err(|error| {
            SourceError::new(ErrorKind::Malformed, "not a header value").with_cause(error)
        })?;
        Ok(Self {
            header: shared(header),
            expires_at,
        })
    }

    /// The whole header value, `Bearer <token>`, marked sensitive.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// The same header in a buffer of its own, where clones of the two meet in no counter.
    pub(crate) fn copy_header(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.header.as_bytes()).map_or_else(|_| self.header.clone(), shared)
    }

    pub(crate) fn into_header(self) -> HeaderValue {
        self.header
    }

    /// The bare token, for the places that take no header. It is a secret: do not print it.
    pub fn secret(&self) -> &str {
        // The value was made from a `str` and is never changed.
        self.header
            .to_str()
            .map_or("", |value| &value[BEARER.len()..])
    }
}

impl Expires for IdToken {
    fn expires_at(&self) -> SystemTime {
        self.expires_at
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A sensitive value, ready for being cloned in requests.
fn shared(mut header: HeaderValue) -> HeaderValue {
    header.set_sensitive(true);
    // The first clone of a buffer allocates its counter: take it here, not in a request. And keep
    // that clone: it knows of the counter, where the first value looks each time.
    header.clone()
}

/// RFC 6750, section 2.1: `b68token`.
fn is_b68(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

const BEARER: &str = "Bearer ";
