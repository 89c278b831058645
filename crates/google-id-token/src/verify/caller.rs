//! Who calls: what a token says that was found to be good.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
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
    pub(super) audience: Text,
    pub(super) subject: Text,
    pub(super) email: Option<Text>,
    pub(super) hosted_domain: Option<Text>,
    pub(super) authorized_party: Option<Text>,
    /// Seconds since 1970, both.
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
    /// The whole payload.
    pub(super) json: String,
}

/// A text among the claims.
pub(super) enum Text {
    /// As it stands in the payload.
    Of(Range<usize>),
    /// One that is escaped there, or comes from elsewhere.
    Escaped(String),
}

impl Text {
    /// A text that was read from this payload.
    pub(super) fn new(text: Cow<'_, str>, json: &str) -> Self {
        match text {
            Cow::Borrowed(text) => {
                let start = text.as_ptr().addr().wrapping_sub(json.as_ptr().addr());
                let range = start..start.saturating_add(text.len());
                match json.get(range.clone()) {
                    Some(found) if found == text => Self::Of(range),
                    _ => Self::Escaped(text.to_owned()),
                }
            }
            Cow::Owned(text) => Self::Escaped(text),
        }
    }

    fn of<'a>(&'a self, json: &'a str) -> &'a str {
        match self {
            Self::Of(range) => &json[range.clone()],
            Self::Escaped(text) => text,
        }
    }
}

impl Claims {
    fn text<'a>(&'a self, text: &'a Option<Text>) -> Option<&'a str> {
        text.as_ref().map(|text| text.of(&self.json))
    }
}

impl Caller {
    /// Who issued the token.
    pub fn issuer(&self) -> Issuer {
        self.0.issuer
    }

    /// Which of your audiences the token was for (`aud`).
    pub fn audience(&self) -> &str {
        self.0.audience.of(&self.0.json)
    }

    /// The caller's id, which never changes and is never used again for somebody else (`sub`):
    /// digits, with `accounts.google.com:` before them where IAP issued the token.
    pub fn subject(&self) -> &str {
        self.0.subject.of(&self.0.json)
    }

    /// The caller's e-mail. Where Google issued the token, it is here only if `email_verified` is
    /// true; IAP vouches for all that it names.
    pub fn email(&self) -> Option<&str> {
        self.0.text(&self.0.email)
    }

    /// The Google Workspace domain that the caller's account belongs to (`hd`).
    pub fn hosted_domain(&self) -> Option<&str> {
        self.0.text(&self.0.hosted_domain)
    }

    /// To whom the token was issued (`azp`).
    pub fn authorized_party(&self) -> Option<&str> {
        self.0.text(&self.0.authorized_party)
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
        serde_json::from_str(&self.0.json)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("issuer", &self.0.issuer)
            .field("subject", &self.subject())
            .field("email", &self.email())
            .field("audience", &self.audience())
            .finish_non_exhaustive()
    }
}
