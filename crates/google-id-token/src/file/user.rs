//! `authorized_user`: what `gcloud auth application-default login` writes.

use tower_id_token::SourceError;

use super::Fields;
use crate::endpoint::Endpoint;
use crate::source::GOOGLE_TOKEN_ENDPOINT;
use crate::universe::Universe;

pub(crate) struct UserFile {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) refresh_token: String,
    pub(crate) account: Option<String>,
    pub(crate) token_endpoint: Endpoint,
    pub(crate) universe: Universe,
}

impl UserFile {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let required = |name| fields.required(name).map(str::to_owned);
        let universe = fields.universe()?;
        let token_endpoint = match fields.endpoint("token_uri")? {
            Some(url) => url,
            None if universe.is_google() => Endpoint::known(GOOGLE_TOKEN_ENDPOINT),
            // Google's own knows the users of its own universe.
            None => return Err(fields.missing("token_uri")),
        };
        Ok(Self {
            client_id: required("client_id")?,
            client_secret: required("client_secret")?,
            refresh_token: required("refresh_token")?,
            // gcloud leaves it empty as often as not.
            account: fields.optional("account")?.map(str::to_owned),
            token_endpoint,
            universe,
        })
    }
}
