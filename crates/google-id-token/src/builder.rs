//! From settings to credentials: find them, and put what they need on top.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use gcp_auth::TokenProvider;
use tower::Layer;
use tower_id_token::{CacheBuilder, ErrorKind, SourceError};

use crate::adc::{self, Found, Proof};
use crate::base::Base;
use crate::file::CredentialFile;
use crate::source::{IMPERSONATE, Iam, Provider, Target};
use crate::{Credentials, Env, HttpClient, ImpersonateLayer, Kind};

/// Where credentials come from, and what is done with them.
///
/// With nothing set, it is application default credentials: what [`id_tokens`](crate::id_tokens)
/// gives.
///
/// ```
/// # async fn example() -> Result<(), google_id_token::SourceError> {
/// use google_id_token::Builder;
///
/// let credentials = Builder::new()
///     .impersonate("robot@project.iam.gserviceaccount.com")
///     .build()
///     .await?;
/// println!("{} from {}", credentials.kind(), credentials.found());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Builder {
    env: Env,
    file: Option<PathBuf>,
    json: Option<String>,
    provider: Option<Arc<dyn TokenProvider>>,
    impersonate: Option<String>,
    delegates: Vec<String>,
    cloud_run_user: bool,
    http: HttpClient,
    cache: CacheBuilder,
}

impl Builder {
    /// Application default credentials.
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment and the files to look in; the process's own by default.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// The credential file at this path, instead of application default credentials.
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// A credential file's content, instead of application default credentials.
    #[must_use]
    pub fn credentials_json(mut self, json: impl Into<String>) -> Self {
        self.json = Some(json.into());
        self
    }

    /// Access tokens from gcp_auth, instead of application default credentials, to
    /// [`impersonate`](Self::impersonate) a service account with.
    #[must_use]
    pub fn access_tokens(mut self, provider: Arc<dyn TokenProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// ID tokens of this service account, by its e-mail, on top of whatever credentials there
    /// are.
    ///
    /// Those need `roles/iam.serviceAccountOpenIdTokenCreator` on it. Where they are an
    /// impersonated account's file already, that account is the one who needs the role: it
    /// becomes a delegate, and no token is minted twice.
    #[must_use]
    pub fn impersonate(mut self, principal: impl Into<String>) -> Self {
        self.impersonate = Some(principal.into());
        self
    }

    /// The service accounts on the way to the one that is impersonated: the credentials act as
    /// the first, each as the next, and the last as the target.
    #[must_use]
    pub fn delegates(mut self, emails: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.delegates = emails.into_iter().map(Into::into).collect();
        self
    }

    /// Where the credentials are a user's, makes use of Cloud Run's exemption for gcloud.
    ///
    /// A user's ID tokens are for gcloud's own client id, whatever audience is asked for. Cloud
    /// Run takes them, and nothing else does; and a service that gets one can use it as that user
    /// at other Cloud Run services. So it is a choice, for a developer's own machine. Without it,
    /// a user's credentials are an error unless they impersonate a service account.
    #[must_use]
    pub fn user_tokens_for_cloud_run(mut self) -> Self {
        self.cloud_run_user = true;
        self
    }

    /// The HTTP client that credentials are exchanged over, or a server in its place.
    #[must_use]
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = http;
        self
    }

    /// The settings of the tokens' caches.
    #[must_use]
    pub fn cache(mut self, cache: CacheBuilder) -> Self {
        self.cache = cache;
        self
    }

    /// Finds the credentials and checks what can be checked without using them.
    ///
    /// Looks for a metadata server where it comes to that, for 5 s at most (or as long as
    /// `GCE_METADATA_TIMEOUT` says); fetches no token.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`] where there are no credentials, with all the places looked at.
    /// - [`ErrorKind::Config`] where there are, and something is wrong with them or with these
    ///   settings: the message names the file and the field, or the variable.
    /// - [`ErrorKind::Unavailable`] outside a tokio runtime.
    pub async fn build(self) -> Result<Credentials, SourceError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(SourceError::new(
                ErrorKind::Unavailable,
                "credentials are read inside a tokio runtime, and there is none here",
            ));
        }
        if !self.delegates.is_empty() && self.impersonate.is_none() {
            return Err(config(
                "delegates lead to a service account: name it with `impersonate`",
            ));
        }
        let (base, found, target) = self.find().await?;
        let target = self.target(&base, target)?;
        match target {
            Some(target) => {
                tracing::debug!(found, target = target.principal(), "impersonating");
                self.impersonated(base, found, target)
            }
            None => {
                tracing::debug!(found, "using these credentials");
                self.plain(base, found)
            }
        }
    }

    /// The credentials, where they were, and whom their file has them impersonate.
    async fn find(&self) -> Result<(Base, String, Option<Target>), SourceError> {
        let given = [
            self.file.is_some(),
            self.json.is_some(),
            self.provider.is_some(),
        ];
        if given.into_iter().filter(|it| *it).count() > 1 {
            return Err(config(
                "the builder got credentials twice: give it one of a file, JSON and a provider",
            ));
        }
        if let Some(provider) = &self.provider {
            let base = Base::Provider(Provider(Arc::clone(provider)));
            return Ok((base, "the gcp_auth provider given".to_owned(), None));
        }
        let Found { proof, origin } = match (&self.file, &self.json) {
            (Some(path), _) => adc::read(&self.env, path, path.display().to_string()).await?,
            (_, Some(json)) => adc::parse(json.clone().into(), "the JSON given".to_owned()).await?,
            (None, None) => adc::find(&self.env, &self.http).await?,
        };
        let (file, target) = match proof {
            Proof::Metadata(metadata) => return Ok((Base::Metadata(metadata), origin, None)),
            Proof::File(CredentialFile::Impersonated(file)) => (file.source, Some(file.target)),
            Proof::File(CredentialFile::External(file)) => {
                let target = file.target.clone();
                (CredentialFile::External(file), target)
            }
            Proof::File(file) => (file, None),
        };
        let base = Base::of(file, self.http.clone(), &self.env)?;
        Ok((base, origin, target))
    }

    /// Whom to impersonate in the end, by the file and by these settings.
    fn target(&self, base: &Base, file: Option<Target>) -> Result<Option<Target>, SourceError> {
        let Some(principal) = &self.impersonate else {
            return Ok(file);
        };
        let own = match &file {
            Some(file) => file.sibling(principal),
            None => {
                let iam = Iam::of(&self.env)?.endpoint(&base.universe());
                Target::new(&iam, principal)
            }
        };
        let own = self
            .delegates
            .iter()
            .try_fold(own.map_err(config)?, |own, delegate| own.through(delegate))
            .map_err(config)?;
        Ok(Some(match file {
            None => own,
            // Asking for whom the file names anyway.
            Some(file) if file.principal() == own.principal() && self.delegates.is_empty() => file,
            Some(file) => file.then(own),
        }))
    }

    fn impersonated(
        self,
        base: Base,
        found: String,
        target: Target,
    ) -> Result<Credentials, SourceError> {
        let principal = target.principal().to_owned();
        let mut layer = ImpersonateLayer::to(base.http_above(self.http), target)
            .called_by(base.member())
            .patience(base.patience());
        if let Base::Metadata(metadata) = &base
            && !Iam::of(&self.env)?.is_named()
        {
            layer = layer.in_universe_of(metadata.clone());
        }
        // One access token below serves all audiences above.
        let access = base.access_tokens(self.cache.clone());
        let cache = base.cache_above(self.cache);
        Ok(Credentials {
            id_tokens: cache.build(layer.layer(access)),
            access_tokens: None,
            kind: base.kind_above(),
            found,
            principal: Some(principal),
        })
    }

    fn plain(self, base: Base, found: String) -> Result<Credentials, SourceError> {
        let access_tokens = base.access_tokens(self.cache.clone());
        let principal = base.principal().map(str::to_owned);
        let (kind, id_tokens) = match base {
            Base::Metadata(source) => (Kind::Metadata, self.cache.build(source)),
            Base::ServiceAccount(source) => (Kind::ServiceAccount, self.cache.build(source)),
            Base::User(source) if self.cloud_run_user => {
                let source = source
                    .for_cloud_run()
                    .map_err(|error| config(format!("{found}: {error}")))?;
                (Kind::User, self.cache.build(source))
            }
            Base::User(_) => {
                return Err(config(format!(
                    "{found} holds a user's credentials, and Google mints ID tokens of a user for \
                     gcloud's own client id only, never for an audience of choice. {IMPERSONATE}"
                )));
            }
            Base::Federated(_) => return Err(config(format!("{found} {NO_TARGET}"))),
            Base::FederatedUser(_) => return Err(config(format!("{found} {NO_TARGET_OF_USER}"))),
            Base::Provider(_) => {
                return Err(config(
                    "a gcp_auth provider has access tokens only: name the service account whose \
                     ID tokens they are to pay for with `impersonate`",
                ));
            }
        };
        Ok(Credentials {
            id_tokens,
            access_tokens: Some(access_tokens),
            kind,
            found,
            principal,
        })
    }
}

fn config(message: impl Into<std::borrow::Cow<'static, str>>) -> SourceError {
    SourceError::new(ErrorKind::Config, message)
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("env", &self.env)
            .field("file", &self.file)
            .field("impersonate", &self.impersonate)
            .field("delegates", &self.delegates)
            .field("cloud_run_user", &self.cloud_run_user)
            .finish_non_exhaustive()
    }
}

/// There are two ways out, and both have to be in here.
const NO_TARGET: &str = "holds an external account, which has access tokens and no ID tokens: those \
    are a service account's. Name one in the file (`service_account_impersonation_url`, which \
    `gcloud iam workload-identity-pools create-cred-config` writes with \
    `--service-account=EMAIL`), or to the builder (`impersonate`); the external identity needs \
    roles/iam.serviceAccountOpenIdTokenCreator on it";
const NO_TARGET_OF_USER: &str = "holds a workforce user's login, which has access tokens and no ID \
    tokens: those are a service account's. Name one by `gcloud auth application-default login \
    --login-config=FILE --impersonate-service-account=EMAIL`, or to the builder (`impersonate`); \
    the user needs roles/iam.serviceAccountOpenIdTokenCreator on it";
