//! Who calls: what a token says that was found to be good.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;

use super::Issuer;

/// Who calls, by the claims of a token that was checked.
///
/// There is no way to make one but by a [`Verifier`](super::Verifier). Clones share one buffer.
/// `Debug` shows the claims that name the caller, and nothing that could be used as a token.
#[derive(Clone)]
pub struct Caller(pub(super) Arc<Claims>);

pub(super) struct Claims {
    pub(super) issuer: Issuer,
    pub(super) audience: Arc<str>,
    pub(super) subject: String,
    pub(super) email: Option<String>,
    pub(super) hosted_domain: Option<String>,
    pub(super) authorized_party: Option<String>,
    /// Seconds since 1970, both.
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
    /// The whole payload.
    pub(super) json: Vec<u8>,
}

impl Caller {
    /// Who issued the token.
    pub fn issuer(&self) -> Issuer {
        self.0.issuer
    }

    /// Which of your audiences the token was for (`aud`).
    pub fn audience(&self) -> &str {
        &self.0.audience
    }

    /// The caller's id, which never changes and is never used again for somebody else (`sub`):
    /// digits, with `accounts.google.com:` before them where IAP issued the token.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The caller's e-mail. Where Google issued the token, it is here only if `email_verified` is
    /// true; IAP vouches for all that it names.
    pub fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// The Google Workspace domain that the caller's account belongs to (`hd`).
    pub fn hosted_domain(&self) -> Option<&str> {
        self.0.hosted_domain.as_deref()
    }

    /// To whom the token was issued (`azp`).
    pub fn authorized_party(&self) -> Option<&str> {
        self.0.authorized_party.as_deref()
    }

    /// When the token was issued (`iat`).
    pub fn issued_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.issued_at)
    }

    /// When the token ends (`exp`).
    pub fn expires_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.expires_at)
    }

    /// All claims, read into a type of yours: each call reads them anew.
    ///
    /// # Errors
    ///
    /// Where the claims do not fit the type.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0.json)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("issuer", &self.0.issuer)
            .field("subject", &self.0.subject)
            .field("email", &self.0.email)
            .field("audience", &self.0.audience)
            .finish_non_exhaustive()
    }
}
