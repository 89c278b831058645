//! An answer that is no success: what it says, and what that means.

use std::fmt;
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use tower_id_token::{Clock, ErrorKind};

use super::redact::{LONGEST_TEXT, Redact};

/// What an endpoint said instead of yes.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: String,
    detail: String,
    page: bool,
    pub(crate) headers: HeaderMap,
}

impl Refusal {
    /// Reads `{"error", "error_description"}` (RFC 6749, section 5.2), Google's
    /// `{"error": {"status", "message"}}`, or a short text.
    pub(super) fn read(
        status: StatusCode,
        headers: HeaderMap,
        body: &[u8],
        secrets: &[String],
    ) -> Self {
        let redact = Redact::new(secrets);
        let mut refusal = Self {
            status,
            code: String::new(),
            detail: String::new(),
            page: body.trim_ascii_start().starts_with(b"<"),
            headers,
        };
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(json)) => {
                let error = &json.get("error");
                let text = |value: Option<&Value>| {
                    let text = value.and_then(Value::as_str).unwrap_or_default();
                    redact.text(text, LONGEST_TEXT)
                };
                match error {
                    Some(Value::Object(error)) => {
                        refusal.code = text(error.get("status"));
                        refusal.detail = text(error.get("message"));
                    }
                    _ => {
                        refusal.code = text(*error);
                        refusal.detail = text(json.get("error_description"));
                    }
                }
            }
            _ if refusal.page => {}
            _ => refusal.detail = redact.text(&String::from_utf8_lossy(body), LONGEST_TEXT),
        }
        refusal
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// OAuth's error code or Google's status: `invalid_grant`, `PERMISSION_DENIED`.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// What it means wherever nobody knows better.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self.status.as_u16() {
            _ if self.may_pass() => ErrorKind::Unavailable,
            401 | 403 => ErrorKind::Denied,
            400 if DENIALS.contains(&self.code()) => ErrorKind::Denied,
            400 => ErrorKind::Config,
            404 => ErrorKind::NotFound,
            _ => ErrorKind::Malformed,
        }
    }

    pub(super) fn may_pass(&self) -> bool {
        matches!(self.status.as_u16(), 408 | 429) || self.status.is_server_error()
    }

    /// Seconds or a date (RFC 9110, section 10.2.3).
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
        }
        let until: SystemTime = httpdate::parse_http_date(text).ok()?;
        let wait = until.duration_since(Clock::default().now());
        Some(wait.unwrap_or_default().min(LONGEST_RETRY_AFTER))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {}", self.status.as_u16())?;
        if let Some(reason) = self.status.canonical_reason() {
            write!(f, " {reason}")?;
        }
        if self.status.is_redirection() {
            f.write_str(" (credentials follow no redirects)")?;
        }
        match (self.code.is_empty(), self.detail.is_empty()) {
            (false, false) => write!(f, ", {}: {:?}", self.code, self.detail),
            (false, true) => write!(f, ", {}", self.code),
            (true, false) => write!(f, ": {:?}", self.detail),
            (true, true) if self.page => f.write_str(", with a page of HTML"),
            (true, true) => Ok(()),
        }
    }
}

/// The codes of RFC 6749, section 5.2, that refuse a credential rather than a request.
const DENIALS: [&str; 4] = [
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "access_denied",
];
/// A day: anything longer is a mistake, and would not fit every clock.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
