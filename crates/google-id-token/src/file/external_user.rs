//! `external_account_authorized_user`: a workforce user's login by gcloud.

use tower_id_token::SourceError;

use super::Fields;
use super::client::Client;
use super::pool::Pool;
use crate::endpoint::Endpoint;
use crate::universe::Universe;

/// What `gcloud auth application-default login --login-config` writes.
pub(crate) struct ExternalUserFile {
    pub(crate) pool: Option<Pool>,
    pub(crate) refresh_token: String,
    pub(crate) token_endpoint: Endpoint,
    pub(crate) client: Client,
    pub(crate) universe: Universe,
}

impl ExternalUserFile {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let url = "token_url";
        Ok(Self {
            pool: fields.optional("audience")?.and_then(Pool::of),
            refresh_token: fields.required("refresh_token")?.to_owned(),
            token_endpoint: fields.endpoint(url)?.ok_or_else(|| fields.missing(url))?,
            client: Client::read(fields)?.ok_or_else(|| fields.missing("client_id"))?,
            universe: fields.universe()?,
        })
    }
}
