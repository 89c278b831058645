//! Access tokens and what they are asked for: what impersonation pays with.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ::http::HeaderValue;
use tower_id_token::{Expires, IdToken, SourceError};

/// The OAuth scopes of an access token: what a cache keys access tokens by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Scopes(Arc<str>);

impl Scopes {
    /// These scopes, in this order.
    pub fn new<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Self {
        let mut joined = String::new();
        for scope in scopes {
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(scope.as_ref());
        }
        Self(joined.into())
    }

    /// `https://www.googleapis.com/auth/cloud-platform`: everything that IAM allows.
    pub fn cloud_platform() -> Self {
        Self(CLOUD_PLATFORM.into())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|scope| !scope.is_empty())
    }

    /// All of them with a space between, as OAuth writes them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An access token: good at Google's APIs, refused by Cloud Run.
///
/// Its header value is marked sensitive, and `Debug` leaves it out. Clones share one buffer.
#[derive(Clone)]
pub struct AccessToken(IdToken);

impl AccessToken {
    /// A token that dies at `expires_at`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) where the token is empty or has a
    /// character that no bearer token may have.
    pub fn new(token: &str, expires_at: SystemTime) -> Result<Self, SourceError> {
        // The bytes of a bearer token are the same, whatever kind it is of.
        IdToken::new(token, expires_at).map(Self)
    }

    /// The whole header value, `Bearer <token>`, marked sensitive.
    pub fn header(&self) -> &HeaderValue {
        self.0.header()
    }

    /// The bare token. It is a secret: do not print it.
    pub fn secret(&self) -> &str {
        self.0.secret()
    }
}

impl Expires for AccessToken {
    fn expires_at(&self) -> SystemTime {
        self.0.expires_at()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
