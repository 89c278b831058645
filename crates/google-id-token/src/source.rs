//! The sources: each a tower service from an audience to an ID token, or from scopes to an
//! access token, or both.

mod assertion;
mod cloud_run_user;
mod federated;
mod federated_user;
mod gcloud;
mod given;
mod impersonate;
pub(crate) mod metadata;
mod oauth;
mod pem;
mod provider;
mod self_signed;
mod service_account;
mod signer;
mod static_token;
mod target;
mod token_file;
mod user;

use std::pin::Pin;

use tower_id_token::{Audience, IdToken, SourceError};

pub use self::cloud_run_user::CloudRunUser;
pub(crate) use self::cloud_run_user::{GCLOUD, IMPERSONATE};
pub use self::federated::Federated;
pub use self::federated_user::FederatedUser;
pub use self::gcloud::GcloudCli;
pub use self::impersonate::{Impersonate, ImpersonateLayer};
pub use self::metadata::Metadata;
pub(crate) use self::oauth::GOOGLE_TOKEN_ENDPOINT;
pub(crate) use self::provider::Provider;
pub use self::self_signed::SelfSigned;
pub use self::service_account::ServiceAccount;
pub(crate) use self::signer::Signer;
pub use self::static_token::StaticToken;
pub(crate) use self::target::{Iam, Target};
pub use self::token_file::TokenFile;
pub use self::user::User;

use crate::http::Answer;
use crate::jwt::{Claims, id_token_from_jwt};

/// A token under way.
pub type Fetch<T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send>>;

/// The ID token in an answer. One for somebody else is handed on, as the door that it is for
/// will judge it, but is not passed over in silence.
fn minted(answer: &Answer, jwt: &str, audience: &Audience) -> Result<IdToken, SourceError> {
    let token = id_token_from_jwt(jwt).map_err(|error| answer.spoiled(&error))?;
    let aud = Claims::unverified(&token)?.aud;
    if aud.as_deref() != Some(audience.as_str()) {
        tracing::warn!(asked = %audience, got = ?aud, "the token that came back is for another audience");
    }
    Ok(token)
}
