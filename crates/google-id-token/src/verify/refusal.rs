//! Why a token is not accepted, and what the one who sent it is told.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use ::http::{HeaderValue, StatusCode};
use tower_id_token::SourceError;

/// Why a request or its token is refused.
///
/// It never holds the token or a part of it. The layer puts it into the extensions of its answer.
#[derive(Clone, Debug)]
pub struct Refusal {
    kind: RefusalKind,
    claim: Option<&'static str>,
    cause: Option<SourceError>,
}

/// What is wrong, so that one can count it, log it, or answer in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The request brings no token: no header for it, or one of another scheme than `Bearer`.
    Missing,
    /// The header that the token is in is there twice.
    Ambiguous,
    /// Longer than 16 KiB: not looked at.
    TooLong,
    /// Not of three parts: an access token, say, or an encrypted JWT.
    NotJwt,
    /// A part is not base64url, or has characters that no token has.
    Encoding,
    /// The header is no JSON object, or says that this is another kind of token.
    Header,
    /// The payload is no JSON object.
    Payload,
    /// A name stands twice in the header or among the claims.
    Duplicate,
    /// `alg` is missing, is not that of a configured issuer, or not that of the issuer expected.
    Algorithm,
    /// The header has `crit`, and nothing that could be critical is known here.
    Critical,
    /// No key id, or one that the issuer's keys do not have, though they are fresh.
    UnknownKey,
    /// Cloud Run has checked this token and removed its signature
    /// (`SIGNATURE_REMOVED_BY_GOOGLE`), so that it proves nothing here.
    SignatureRemoved,
    /// The signature is not that of the key.
    Signature,
    /// Not issued by whom the algorithm and the keys belong to.
    Issuer,
    /// For somebody else, or for several.
    Audience,
    /// A claim is missing that has to be there.
    MissingClaim,
    /// A claim is not of the type it has to be of.
    InvalidClaim,
    /// Past its `exp`.
    Expired,
    /// Its `iat` or `nbf` is in the future.
    NotYetValid,
    /// It lives longer than its issuer makes tokens live.
    Lifetime,
    /// The caller would be let in by its e-mail, had Google verified that.
    EmailNotVerified,
    /// The caller is who it says, and is not one of those who may call.
    NotAllowed,
    /// There are no public keys to check with at the moment.
    KeysUnavailable,
}

impl Refusal {
    pub(super) fn keys(cause: SourceError) -> Self {
        Self {
            cause: Some(cause),
            ..RefusalKind::KeysUnavailable.into()
        }
    }

    pub(super) fn claim(kind: RefusalKind, claim: &'static str) -> Self {
        Self {
            claim: Some(claim),
            ..kind.into()
        }
    }

    /// What is wrong.
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The claim that is meant, where it is one: `exp`.
    pub fn claim_name(&self) -> Option<&'static str> {
        self.claim
    }

    /// The status to answer with: 401 where another token might do (RFC 6750, section 3.1), 403
    /// where none of this caller's would, 400 where the request makes no sense, 503 where there
    /// are no keys.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            RefusalKind::Ambiguous => StatusCode::BAD_REQUEST,
            RefusalKind::EmailNotVerified | RefusalKind::NotAllowed => StatusCode::FORBIDDEN,
            RefusalKind::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The `WWW-Authenticate` of the answer (RFC 6750, section 3): without an error where there
    /// was no token, and none at all where asking for another one would not help.
    pub fn challenge(&self) -> Option<HeaderValue> {
        let error = match self.status() {
            _ if self.kind == RefusalKind::Missing => {
                return Some(HeaderValue::from_static("Bearer"));
            }
            StatusCode::UNAUTHORIZED => "invalid_token",
            StatusCode::BAD_REQUEST => "invalid_request",
            _ => return None,
        };
        // No text of ours has a quote or a backslash in it.
        let challenge = format!("Bearer error=\"{error}\", error_description=\"{self}\"");
        HeaderValue::try_from(challenge).ok()
    }

    /// How long to wait before asking again, where that is worth while at all.
    pub fn retry_after(&self) -> Option<Duration> {
        let asked = self.cause.as_ref().and_then(SourceError::retry_after);
        (self.kind == RefusalKind::KeysUnavailable).then(|| asked.unwrap_or(RETRY_AFTER))
    }
}

impl From<RefusalKind> for Refusal {
    fn from(kind: RefusalKind) -> Self {
        Self {
            kind,
            claim: None,
            cause: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.claim {
            Some(claim) => write!(f, " ({claim})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "an ID token is needed and there is none",
            Self::Ambiguous => "the header of the token is there twice",
            Self::TooLong => "the token is longer than 16 KiB",
            Self::NotJwt => "the token is no signed JWT; an access token is not an ID token",
            Self::Encoding => "the token is not base64url in all of its parts",
            Self::Header => "the token has not the header of an ID token",
            Self::Payload => "the token has no claims in it",
            Self::Duplicate => "the token says something twice",
            Self::Algorithm => "the token is not signed by the algorithm of its issuer",
            Self::Critical => "the token wants extensions understood, and none is",
            Self::UnknownKey => "the token is not signed by a key of its issuer",
            Self::SignatureRemoved => {
                "Cloud Run has checked this token and removed its signature: send it in \
                 Authorization and in X-Serverless-Authorization, so that one arrives intact"
            }
            Self::Signature => "the signature does not fit the token",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is for another audience",
            Self::MissingClaim => "the token lacks a claim",
            Self::InvalidClaim => "the token has a claim that makes no sense",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Lifetime => "the token lives longer than its issuer makes them live",
            Self::EmailNotVerified => "the e-mail of the caller is not verified",
            Self::NotAllowed => "the caller is not one of those who may call",
            Self::KeysUnavailable => "there are no keys to check the token with at the moment",
        })
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// The longest that a cache of keys waits between two attempts while it has none.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_one_is_told_when_to_ask_again_and_otherwise_not() {
        let wait = |kind: RefusalKind| Refusal::from(kind).retry_after();
        assert_eq!(wait(RefusalKind::KeysUnavailable), Some(RETRY_AFTER));
        assert_eq!(wait(RefusalKind::Expired), None);
    }
}
