//! How a subject token lies in what was read: as all of it, or in a field of JSON.

use serde_json::Value;
use tower_id_token::SourceError;

use crate::file::Fields;

/// The object `format` of a credential source.
pub(super) enum Format {
    Text,
    Json { field: String },
}

impl Format {
    /// Reads it; where it is missing, the token is text.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let Some(format) = fields.inside_if_any("format")? else {
            return Ok(Self::Text);
        };
        match format.optional("type")? {
            None | Some("text") => Ok(Self::Text),
            Some("json") => {
                let field = format.required("subject_token_field_name")?.to_owned();
                Ok(Self::Json { field })
            }
            Some(_) => Err(format.wrong("type", "it is neither text nor json")),
        }
    }

    /// The token in this content; the error says what is there instead.
    pub(super) fn token(&self, content: &str) -> Result<String, String> {
        let token = match self {
            Self::Text => content.trim().to_owned(),
            Self::Json { field } => match serde_json::from_str(content) {
                Ok(Value::Object(mut json)) => match json.remove(field) {
                    Some(Value::String(token)) => token.trim().to_owned(),
                    _ => return Err(format!("JSON without a text at `{field}`")),
                },
                _ => return Err("something that is no JSON object".to_owned()),
            },
        };
        match token.is_empty() {
            true => Err("nothing".to_owned()),
            false => Ok(token),
        }
    }
}
