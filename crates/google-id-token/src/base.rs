//! Credentials that stand on their own: what everything else is built upon.

use std::time::Duration;

use tower_id_token::{Cache, CacheBuilder, SourceError};

use crate::file::CredentialFile;
use crate::source::{Iam, Provider};
use crate::universe::Universe;
use crate::{
    AccessToken, Env, Federated, FederatedUser, GcloudCli, HttpClient, Kind, Metadata, Scopes,
    ServiceAccount, StaticToken, TokenFile, User,
};

/// One identity, not yet impersonating another.
#[derive(Clone)]
pub(crate) enum Base {
    Metadata(Metadata),
    ServiceAccount(ServiceAccount),
    User(User),
    Federated(Federated),
    FederatedUser(FederatedUser),
    Provider(Provider),
    Gcloud(GcloudCli),
    Token(StaticToken),
    File(TokenFile),
}

impl Base {
    /// The credentials of a file that impersonates nobody.
    pub(crate) fn of(
        file: CredentialFile,
        http: HttpClient,
        env: &Env,
    ) -> Result<Self, SourceError> {
        Ok(match file {
            CredentialFile::ServiceAccount(file) => {
                Self::ServiceAccount(ServiceAccount::new(http, file, &Iam::of(env)?)?)
            }
            CredentialFile::User(file) => Self::User(User::new(http, file)),
            CredentialFile::External(file) => {
                Self::Federated(Federated::new(http, env.clone(), *file)?)
            }
            CredentialFile::ExternalUser(file) => {
                Self::FederatedUser(FederatedUser::new(http, *file))
            }
            CredentialFile::Impersonated(_) => unreachable!("chains are flattened when read"),
        })
    }

    /// Its access tokens; none where ID tokens are all there is.
    pub(crate) fn access_tokens(&self, cache: CacheBuilder) -> Option<Cache<Scopes, AccessToken>> {
        Some(match self {
            Self::Metadata(source) => cache.build(source.clone()),
            Self::ServiceAccount(source) => cache.build(source.clone()),
            Self::User(source) => cache.build(source.clone()),
            Self::Federated(source) => {
                let cache = match source.patience() {
                    Duration::ZERO => cache,
                    patience => cache.deadline(patience + FLIGHT),
                };
                cache.build(source.clone())
            }
            Self::FederatedUser(source) => cache.build(source.clone()),
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
            Self::Federated(source) => Some(Kind::External(source.subject_source())),
            Self::FederatedUser(_) => Some(Kind::ExternalUser),
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
            Self::Metadata(_)
            | Self::ServiceAccount(_)
            | Self::User(_)
            | Self::Federated(_)
            | Self::FederatedUser(_) => "given".to_owned(),
        }
    }

    /// Its e-mail, where that is known.
    pub(crate) fn principal(&self) -> Option<&str> {
        match self {
            Self::ServiceAccount(account) => Some(account.principal()),
            Self::User(user) => user.principal(),
            Self::Gcloud(source) => source.principal(),
            Self::Metadata(_)
            | Self::Provider(_)
            | Self::Federated(_)
            | Self::FederatedUser(_)
            | Self::Token(_)
            | Self::File(_) => None,
        }
    }

    /// Its name in IAM's policies, where that is known.
    pub(crate) fn member(&self) -> Option<String> {
        let kind = match self {
            Self::Federated(source) => return source.member(),
            Self::FederatedUser(source) => return source.member(),
            Self::User(_) => "user",
            _ => "serviceAccount",
        };
        Some(format!("{kind}:{}", self.principal()?))
    }

    /// The settings of a cache that waits for this one's.
    pub(crate) fn cache_above(&self, cache: CacheBuilder) -> CacheBuilder {
        match self.patience() {
            Duration::ZERO => cache,
            patience => cache.deadline(patience + 2 * FLIGHT),
        }
    }

    /// The client that its access tokens are shown over.
    pub(crate) fn http_above(&self, http: HttpClient) -> HttpClient {
        match self {
            Self::Federated(source) => source.http().clone(),
            _ => http,
        }
    }

    /// How much longer than a request its access tokens may take.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Federated(source) => source.patience(),
            _ => Duration::ZERO,
        }
    }

    /// What kind of credentials it is once it impersonates somebody: federation always does, so
    /// it keeps its name.
    pub(crate) fn kind_above(&self) -> Kind {
        match self {
            Self::Federated(source) => Kind::External(source.subject_source()),
            Self::FederatedUser(_) => Kind::ExternalUser,
            _ => Kind::Impersonated,
        }
    }

    /// The universe that its file names; googleapis.com without one.
    pub(crate) fn universe(&self) -> Universe {
        match self {
            Self::ServiceAccount(source) => source.universe().clone(),
            Self::User(source) => source.universe().clone(),
            Self::Federated(source) => source.universe().clone(),
            Self::FederatedUser(source) => source.universe().clone(),
            Self::Metadata(_)
            | Self::Provider(_)
            | Self::Gcloud(_)
            | Self::Token(_)
            | Self::File(_) => Universe::default(),
        }
    }
}

/// What a cache's flight takes at most where nothing is slow.
pub(crate) const FLIGHT: Duration = Duration::from_secs(10);
