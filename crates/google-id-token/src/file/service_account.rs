//! `service_account`: the key file that the IAM console makes.

use tower_id_token::SourceError;

use super::Fields;
use crate::endpoint::Endpoint;
use crate::source::{GOOGLE_TOKEN_ENDPOINT, Signer};
use crate::universe::Universe;

pub(crate) struct ServiceAccountFile {
    pub(crate) email: String,
    pub(crate) key_id: Option<String>,
    pub(crate) signer: Signer,
    pub(crate) token_endpoint: Endpoint,
    pub(crate) universe: Universe,
}

impl ServiceAccountFile {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let email = fields.required("client_email")?.to_owned();
        let key = fields.required("private_key")?;
        Ok(Self {
            key_id: fields.optional("private_key_id")?.map(str::to_owned),
            token_endpoint: fields
                .endpoint("token_uri")?
                .unwrap_or_else(|| Endpoint::known(GOOGLE_TOKEN_ENDPOINT)),
            signer: Signer::from_pem(key).map_err(|what| fields.wrong("private_key", &what))?,
            universe: fields.universe()?,
            email,
        })
    }
}
