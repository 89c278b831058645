//! What a program says that was run for a subject token.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tower_id_token::{Clock, ErrorKind};

use crate::http::fit_for_message;

/// A response of version 1 ([AIP-4117]), of success and not expired.
///
/// [AIP-4117]: https://google.aip.dev/auth/4117
pub(super) struct Response {
    pub(super) token: String,
    pub(super) expires_at: Option<SystemTime>,
}

/// Why a response is none to use.
pub(super) enum Unusable {
    /// The program says so itself, with a code and a message.
    Failed(String),
    Expired,
    Malformed(String),
}

impl Response {
    pub(super) fn parse(output: &[u8]) -> Result<Self, Unusable> {
        let malformed = |what: &str| Unusable::Malformed(what.to_owned());
        let missing = |name: &str| Unusable::Malformed(format!("JSON without `{name}`"));
        let json: Map<String, Value> = serde_json::from_slice(output)
            .map_err(|_| malformed("something that is no JSON object"))?;
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        match json.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(other) => {
                let what = format!("version {other} of the protocol, and only {VERSION} is known");
                return Err(Unusable::Malformed(what));
            }
            None => return Err(missing("version")),
        }
        match json.get("success").and_then(Value::as_bool) {
            Some(true) => {}
            Some(false) => {
                let code = text("code").unwrap_or("no code");
                let message = text("message").unwrap_or("no message");
                let told = fit_for_message(&format!("{code}: {message}"));
                return Err(Unusable::Failed(told));
            }
            None => return Err(missing("success")),
        }
        let field = match text("token_type").ok_or_else(|| missing("token_type"))? {
            JWT | ID_TOKEN => "id_token",
            SAML => "saml_response",
            _ => return Err(malformed("JSON with a `token_type` that is not known")),
        };
        let token = text(field).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| missing(field))?.to_owned();
        let expires_at = match json.get("expiration_time") {
            None | Some(Value::Null) => None,
            Some(seconds) => {
                let seconds = seconds.as_u64().filter(|seconds| *seconds <= LAST_SECOND);
                let seconds = seconds.ok_or_else(|| {
                    malformed("JSON with an `expiration_time` that is no point in time")
                })?;
                Some(UNIX_EPOCH + Duration::from_secs(seconds))
            }
        };
        if expires_at.is_some_and(|at| at <= Clock::default().now()) {
            return Err(Unusable::Expired);
        }
        Ok(Self { token, expires_at })
    }
}

impl Unusable {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Failed(_) => ErrorKind::Denied,
            Self::Expired | Self::Malformed(_) => ErrorKind::Malformed,
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "says that it failed: {why:?}"),
            Self::Expired => f.write_str("wrote a token that has expired"),
            Self::Malformed(what) => write!(f, "wrote {what}"),
        }
    }
}

const VERSION: u64 = 1;
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const SAML: &str = "urn:ietf:params:oauth:token-type:saml2";
/// The end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;
