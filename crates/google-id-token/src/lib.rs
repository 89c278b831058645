#![doc = include_str!("../README.md")]

mod access_token;
mod adc;
mod base;
mod builder;
mod certificate;
mod child;
mod credentials;
pub mod doctor;
mod endpoint;
mod env;
mod file;
mod http;
mod jwt;
mod sigv4;
mod source;
mod subject;
mod universe;
#[cfg(feature = "verify")]
pub mod verify;

#[doc(inline)]
pub use tower_id_token::*;

pub use self::access_token::{AccessToken, Scopes};
pub use self::adc::{Looked, Sight};
pub use self::builder::Builder;
pub use self::credentials::{Credentials, Kind};
pub use self::env::Env;
pub use self::http::HttpClient;
pub use self::jwt::{Claims, id_token_from_jwt};
pub use self::source::{
    CloudRunUser, Federated, FederatedUser, Fetch, GcloudCli, Impersonate, ImpersonateLayer,
    Metadata, SelfSigned, ServiceAccount, StaticToken, TokenFile, User,
};

pub use self::subject::SubjectSource;

/// ID tokens for whoever this process runs as: application default credentials, with the
/// default settings.
///
/// # Errors
///
/// Those of [`Builder::build`].
pub async fn id_tokens() -> Result<Cache<Audience, IdToken>, SourceError> {
    Ok(Builder::new().build().await?.id_tokens())
}
