//! Credentials that stand on their own: what everything else is built upon.

use tower_id_token::{Cache, CacheBuilder};

use crate::file::CredentialFile;
use crate::source::Provider;
use crate::{AccessToken, HttpClient, Kind, Metadata, Scopes, ServiceAccount, User};

/// One identity, not yet impersonating another.
pub(crate) enum Base {
    Metadata(Metadata),
    ServiceAccount(ServiceAccount),
    User(User),
    Provider(Provider),
}

impl Base {
    /// The credentials of a file that impersonates nobody.
    pub(crate) fn of(file: CredentialFile, http: HttpClient) -> Self {
        match file {
            CredentialFile::ServiceAccount(file) => {
                Self::ServiceAccount(ServiceAccount::new(http, file))
            }
            CredentialFile::User(file) => Self::User(User::new(http, file)),
            CredentialFile::Impersonated(_) => unreachable!("chains are flattened when read"),
        }
    }

    /// Its access tokens, which every kind has.
    pub(crate) fn access_tokens(&self, cache: CacheBuilder) -> Cache<Scopes, AccessToken> {
        match self {
            Self::Metadata(source) => cache.build(source.clone()),
            Self::ServiceAccount(source) => cache.build(source.clone()),
            Self::User(source) => cache.build(source.clone()),
            Self::Provider(source) => cache.build(source.clone()),
        }
    }

    /// What kind of credentials it is; none for access tokens alone.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Metadata(_) => Some(Kind::Metadata),
            Self::ServiceAccount(_) => Some(Kind::ServiceAccount),
            Self::User(_) => Some(Kind::User),
            Self::Provider(_) => None,
        }
    }

    /// Its e-mail, where that is known.
    pub(crate) fn principal(&self) -> Option<&str> {
        match self {
            Self::ServiceAccount(account) => Some(account.principal()),
            Self::User(user) => user.principal(),
            Self::Metadata(_) | Self::Provider(_) => None,
        }
    }

    /// Its name in IAM's policies, where that is known.
    pub(crate) fn member(&self) -> Option<String> {
        let kind = match self {
            Self::User(_) => "user",
            _ => "serviceAccount",
        };
        Some(format!("{kind}:{}", self.principal()?))
    }
}
