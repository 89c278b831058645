//! What a JWT says about itself, read without checking its signature.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tower_id_token::{ErrorKind, IdToken, SourceError};

/// An ID token from a JWT; it dies when the JWT's own `exp` says so.
///
/// # Errors
///
/// [`ErrorKind::Malformed`] for what is no JWT, for a JWT without a usable `exp`, and for
/// characters that no header may have.
pub fn id_token_from_jwt(jwt: &str) -> Result<IdToken, SourceError> {
    let payload = payload(jwt)?;
    let expires_at = time(&payload, "exp")?
        .ok_or_else(|| malformed("the token does not say when it expires (no `exp` claim)"))?;
    IdToken::new(jwt, expires_at)
}

/// What an ID token says about itself, **unverified**: for diagnosis, never for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// Who minted it.
    pub iss: Option<String>,
    /// Whom it is for; several are joined with commas.
    pub aud: Option<String>,
    /// Whom it stands for, by number.
    pub sub: Option<String>,
    /// Whom it stands for, by e-mail.
    pub email: Option<String>,
    /// When it expires.
    pub exp: Option<SystemTime>,
    /// When it was minted.
    pub iat: Option<SystemTime>,
}

impl Claims {
    /// Reads the claims of a token, and leaves the signature unread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] for what is no JWT.
    pub fn unverified(token: &IdToken) -> Result<Self, SourceError> {
        let payload = payload(token.secret())?;
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            iss: text("iss"),
            aud: payload.get("aud").and_then(audience),
            sub: text("sub"),
            email: text("email"),
            exp: time(&payload, "exp")?,
            iat: time(&payload, "iat")?,
        })
    }
}

fn audience(value: &Value) -> Option<String> {
    match value {
        Value::String(one) => Some(one.clone()),
        Value::Array(several) => {
            let several: Vec<_> = several.iter().filter_map(Value::as_str).collect();
            Some(several.join(", "))
        }
        _ => None,
    }
}

/// The claims of a JWT in its compact form (RFC 7519, section 3.1).
fn payload(jwt: &str) -> Result<Map<String, Value>, SourceError> {
    let mut parts = jwt.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed(
            "what came back is no JWT: it has not the three parts of one",
        ));
    };
    // Nothing of what is inside may show: serde's own message could quote it.
    URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| malformed("what came back is no JWT: its middle part holds no claims"))
}

/// A `NumericDate` (RFC 7519, section 2), whole or with a fraction.
fn time(
    payload: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<SystemTime>, SourceError> {
    let Some(value) = payload.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    value
        .as_u64()
        .or_else(|| {
            let fraction = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
            Some(fraction as u64)
        })
        .filter(|seconds| *seconds <= LAST_SECOND)
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .map(Some)
        .ok_or_else(|| malformed(format!("the token's `{name}` claim is no point in time")))
}

fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> SourceError {
    SourceError::new(ErrorKind::Malformed, message)
}

/// The end of the year 9999, past which not every system's clock can count.
const LAST_SECOND: u64 = 253_402_300_799;
