//! What an ID token says, and the check of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The claims of an ID token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claims {
    /// Who issued it: `https://accounts.google.com`.
    pub iss: String,
    /// Who it is for.
    pub aud: String,
    /// Who it is about, as a 21-digit id.
    pub sub: String,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
    /// The e-mail of whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether Google vouches for the e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// Every other claim.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// It is not an ID token at all: an access token, say.
    Malformed,
    /// No key of Google's has its key id.
    UnknownKey,
    /// Its signature is not that of the key it names, or not RS256.
    Signature,
    /// Google did not issue it.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// It has expired.
    Expired,
    /// It was issued in the future.
    NotYet,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not an ID token",
            Self::UnknownKey => "signed by an unknown key",
            Self::Signature => "the signature does not fit",
            Self::Issuer => "not issued by Google",
            Self::Audience => "meant for another audience",
            Self::Expired => "expired",
            Self::NotYet => "issued in the future",
        })
    }
}

impl std::error::Error for Rejection {}
