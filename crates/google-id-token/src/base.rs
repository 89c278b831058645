//! Credentials that stand on their own: what everything else is built upon.

use tower_id_token::{Cache, CacheBuilder};

use crate::file::CredentialFile;
use crate::source::Provider;
use crate::{
    AccessToken, GcloudCli, HttpClient, Kind, Metadata, Scopes, ServiceAccount, StaticToken,
    TokenFile, User,
};

/// One identity, not yet impersonating another.
#[derive(Clone)]
pub(crate) enum Base {
    Metadata(Metadata),
    ServiceAccount(ServiceAccount),
    User(User),
    Provider(Provider),
    Gcloud(GcloudCli),
    Token(StaticToken),
    File(TokenFile),
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

    /// Its access tokens; none where ID tokens are all there is.
    pub(crate) fn access_tokens(&self, cache: CacheBuilder) -> Option<Cache<Scopes, AccessToken>> {
        Some(match self {
            Self::Metadata(source) => cache.build(source.clone()),
            Self::ServiceAccount(source) => cache.build(source.clone()),
            Self::User(source) => cache.build(source.clone()),
            Self::Provider(source) => cache.build(source.clone()),
            Self::Gcloud(_) | Self::Token(_) | Self::File(_) => return None,
        })
    }

    /// What kind of credentials it is; none for access tokens alone.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Metadata(_) => Some(Kind::Metadata),
            Self::ServiceAccount(_) => Some(Kind::ServiceAccount),
            Self::User(_) => Some(Kind::User),
            Self::Provider(_) => None,
            Self::Gcloud(_) => Some(Kind::GcloudCli),
            Self::Token(_) => Some(Kind::StaticToken),
            Self::File(_) => Some(Kind::TokenFile),
        }
    }

    /// Where it is, in words, for those that the builder was given.
    pub(crate) fn origin(&self) -> String {
        match self {
            Self::Provider(_) => "the gcp_auth provider given".to_owned(),
            Self::Gcloud(_) => "the gcloud CLI".to_owned(),
            Self::Token(source) => source.origin().to_owned(),
            Self::File(source) => source.origin(),
            Self::Metadata(_) | Self::ServiceAccount(_) | Self::User(_) => "given".to_owned(),
        }
    }

    /// Its e-mail, where that is known.
    pub(crate) fn principal(&self) -> Option<&str> {
        match self {
            Self::ServiceAccount(account) => Some(account.principal()),
            Self::User(user) => user.principal(),
            Self::Gcloud(source) => source.principal(),
            Self::Metadata(_) | Self::Provider(_) | Self::Token(_) | Self::File(_) => None,
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
