//! The token endpoint of OAuth: what its answers hold.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tower_id_token::SourceError;

use crate::AccessToken;
use crate::http::Answer;

/// The access token in an answer (RFC 6749, section 5.1); its life counts from when it was
/// asked for.
pub(super) fn access_token(
    answer: &Answer,
    asked_at: SystemTime,
) -> Result<AccessToken, SourceError> {
    let token = answer.field("access_token")?;
    let json = answer.json()?;
    let seconds = match json.get("expires_in") {
        Some(Value::String(seconds)) => seconds.trim().parse().ok(),
        Some(seconds) => seconds.as_u64(),
        None => None,
    };
    let expires_at = seconds
        .filter(|seconds| *seconds <= LONGEST_LIFE)
        .and_then(|seconds| asked_at.checked_add(Duration::from_secs(seconds)))
        .ok_or_else(|| answer.malformed("an access token without a usable `expires_in`"))?;
    AccessToken::new(&token, expires_at).map_err(|error| answer.spoiled(&error))
}

pub(crate) const GOOGLE_TOKEN_ENDPOINT: &str = "https://oauth2.googleapis.com/token";
/// Ten years, in seconds. Access tokens live an hour, or twelve.
const LONGEST_LIFE: u64 = 10 * 365 * 24 * 60 * 60;
