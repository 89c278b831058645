//! An OAuth client that has to name itself to the token service.

use ::http::{HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tower_id_token::SourceError;

use super::Fields;
use crate::http::Call;

/// `client_id` and `client_secret` of a file, for HTTP Basic (RFC 6749, section 2.3.1).
pub(crate) struct Client {
    pub(crate) id: String,
    secret: String,
}

impl Client {
    /// Both, or neither.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Option<Self>, SourceError> {
        match (fields.optional(ID)?, fields.optional(SECRET)?) {
            (None, None) => Ok(None),
            (Some(id), Some(secret)) => Ok(Some(Self {
                id: id.to_owned(),
                secret: secret.to_owned(),
            })),
            (None, Some(_)) => Err(fields.missing(ID)),
            (Some(_), None) => Err(fields.missing(SECRET)),
        }
    }

    /// Puts them into a call, as they are: neither has a character that a form would change.
    pub(crate) fn authenticate(&self, call: Call) -> Call {
        let pair = STANDARD.encode(format!("{}:{}", self.id, self.secret));
        let mut value =
            HeaderValue::try_from(format!("Basic {pair}")).expect("base64 can stand in a header");
        value.set_sensitive(true);
        call.header(header::AUTHORIZATION, value)
            .secret(&self.secret)
            .secret(&pair)
    }
}

const ID: &str = "client_id";
const SECRET: &str = "client_secret";
