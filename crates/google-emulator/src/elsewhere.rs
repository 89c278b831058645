//! What the emulator plays of other clouds: where subject tokens come from.

use serde_json::json;

use crate::{
    answer::{self, Answer},
    asked::Asked,
    federation,
    world::World,
};

impl World {
    /// A metadata server in the shape of Azure's, for `credential_source.url`.
    pub(crate) fn subject_token_url(&self, asked: &Asked) -> Answer {
        let marked = asked.parts.headers.get("metadata");
        if marked.is_none_or(|value| !value.as_bytes().eq_ignore_ascii_case(b"true")) {
            let what = "Required metadata header not specified";
            let error = json!({ "error": "invalid_request", "error_description": what });
            return answer::json(400, &error);
        }
        let token = self.subject_token(federation::SUBJECT, SUBJECT_TOKEN_LIFE);
        answer::json(
            200,
            &json!({
                "access_token": token,
                "expires_in": SUBJECT_TOKEN_LIFE.to_string(),
                "resource": asked.query("resource"),
                "token_type": "Bearer",
            }),
        )
    }

    /// A subject token that lives this many seconds.
    pub(crate) fn subject_token(&self, subject: &str, life: i64) -> String {
        let now = self.clock.unix();
        federation::subject_token(subject, now, now + life)
    }
}

/// A week: whoever starts the emulator in the morning has its files work in the evening.
pub(crate) const SUBJECT_TOKEN_LIFE: i64 = 7 * 24 * 3600;
