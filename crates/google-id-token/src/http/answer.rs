//! An answer of 2xx, and what can be wrong with it all the same.

use ::http::{HeaderMap, Uri};
use bytes::Bytes;
use serde_json::{Map, Value};
use tower_id_token::{ErrorKind, SourceError};

use super::Call;
use crate::endpoint::shown;

/// An answer that is whole.
pub(crate) struct Answer {
    whom: &'static str,
    uri: Uri,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    pub(super) fn new(call: &Call, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            whom: call.whom,
            uri: call.uri.clone(),
            headers,
            body,
        }
    }

    /// The body as text, without the white space around it.
    pub(crate) fn text(&self) -> Result<&str, SourceError> {
        std::str::from_utf8(&self.body)
            .map(str::trim)
            .map_err(|_| self.malformed("something that is no text"))
    }

    /// The body as a JSON object.
    pub(crate) fn json(&self) -> Result<Map<String, Value>, SourceError> {
        // serde's own message could quote what is in there.
        serde_json::from_slice(&self.body).map_err(|error| {
            let start = self.body.trim_ascii_start().first();
            self.malformed(match start {
                None => "nothing",
                Some(b'<') => "a page of HTML where JSON should be",
                Some(_) if error.is_eof() => "half a JSON document",
                Some(_) => "something that is no JSON object",
            })
        })
    }

    /// A text in the JSON body that has to be there.
    pub(crate) fn field(&self, name: &str) -> Result<String, SourceError> {
        match self.json()?.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(self.malformed(&format!("JSON without a text at `{name}`"))),
        }
    }

    /// An error for an answer that has the right status and the wrong content.
    pub(crate) fn malformed(&self, what: &str) -> SourceError {
        let message = format!("{} at {} answered with {what}", self.whom, shown(&self.uri));
        SourceError::new(ErrorKind::Malformed, message)
    }

    /// The same error, for content that another file has found wrong.
    pub(crate) fn spoiled(&self, error: &SourceError) -> SourceError {
        let message = format!(
            "{} at {} gave an answer that is of no use: {error}",
            self.whom,
            shown(&self.uri)
        );
        SourceError::new(error.kind(), message)
    }
}
