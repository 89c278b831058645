//! From settings to credentials: find them, and put what they need on top.

mod located;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use gcp_auth::TokenProvider;
use tower::Layer;
use tower_id_token::{CacheBuilder, ErrorKind, SourceError};

use self::located::Located;
use crate::adc::{self, Found, Proof};
use crate::base::Base;
use crate::file::CredentialFile;
use crate::source::{IMPERSONATE, Iam, Provider, Target};
use crate::{
    Credentials, Env, GcloudCli, HttpClient, ImpersonateLayer, Kind, Looked, StaticToken, TokenFile,
};

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
    own: Option<Base>,
    impersonate: Option<String>,
    delegates: Vec<String>,
    cloud_run_user: bool,
    self_signed: bool,
    http: Option<HttpClient>,
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
        self.own = Some(Base::Provider(Provider(provider)));
        self
    }

    /// The gcloud CLI, instead of application default credentials.
    ///
    /// [`impersonate`](Self::impersonate) and
    /// [`user_tokens_for_cloud_run`](Self::user_tokens_for_cloud_run) go for it too.
    #[must_use]
    pub fn gcloud(mut self, gcloud: GcloudCli) -> Self {
        self.own = Some(Base::Gcloud(gcloud));
        self
    }

    /// This one token, instead of application default credentials.
    #[must_use]
    pub fn static_token(mut self, token: StaticToken) -> Self {
        self.own = Some(Base::Token(token));
        self
    }

    /// A file whose token somebody else renews, instead of application default credentials.
    #[must_use]
    pub fn token_file(mut self, file: TokenFile) -> Self {
        self.own = Some(Base::File(file));
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

    /// JWTs that the service account signs itself, in place of Google's ID tokens.
    ///
    /// Identity-Aware Proxy takes them, with the URL of the resource as the audience; Cloud Run
    /// does not. A key file signs them here; an account that is [impersonated](Self::impersonate)
    /// has IAM sign them, for which the credentials need `roles/iam.serviceAccountTokenCreator`
    /// on it. Other credentials are an error then.
    #[must_use]
    pub fn self_signed(mut self) -> Self {
        self.self_signed = true;
        self
    }

    /// The HTTP client that credentials are exchanged over, or a server in its place. The default
    /// one takes proxies and root certificates from the [`env`](Self::env).
    #[must_use]
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
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
        let this = self.map_http(|http| http);
        let mut looked = Vec::new();
        let located = this.locate(&mut looked).await?;
        let credentials = this.assemble(located)?;
        Ok(Credentials {
            looked,
            ..credentials
        })
    }

    /// Finds the credentials, and leaves word of every place that it looked at.
    pub(crate) async fn locate(&self, looked: &mut Vec<Looked>) -> Result<Located, SourceError> {
        if !self.delegates.is_empty() && self.impersonate.is_none() {
            return Err(config(
                "delegates lead to a service account: name it with `impersonate`",
            ));
        }
        let (base, found, target) = self.find(looked).await?;
        let target = match &base {
            // It impersonates by itself.
            Base::Gcloud(_) => None,
            _ => self.target(&base, target)?,
        };
        Ok(Located {
            base,
            found,
            target,
        })
    }

    /// Puts what the credentials need on top of them.
    pub(crate) fn assemble(self, located: Located) -> Result<Credentials, SourceError> {
        let Located {
            base,
            found,
            target,
        } = located;
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

    /// The same, with its HTTP client, the default one perhaps, made into another.
    pub(crate) fn map_http(self, change: impl FnOnce(HttpClient) -> HttpClient) -> Self {
        let http = self.client();
        Self {
            http: Some(change(http)),
            ..self
        }
    }

    fn client(&self) -> HttpClient {
        let own = self.http.clone();
        own.unwrap_or_else(|| HttpClient::from_env(&self.env))
    }

    /// The credentials, where they were, and whom their file has them impersonate.
    async fn find(
        &self,
        looked: &mut Vec<Looked>,
    ) -> Result<(Base, String, Option<Target>), SourceError> {
        let given = [self.file.is_some(), self.json.is_some(), self.own.is_some()];
        if given.into_iter().filter(|it| *it).count() > 1 {
            return Err(config(
                "the builder got credentials twice: give it one of a file, JSON and a source",
            ));
        }
        if let Some(base) = &self.own {
            let found = base.origin();
            looked.push(Looked::given(&found, &Ok::<_, SourceError>(())));
            return Ok((self.set_up(base.clone()), found, None));
        }
        let found = match (&self.file, &self.json) {
            (Some(path), _) => adc::read(&self.env, path, path.display().to_string()).await,
            (_, Some(json)) => adc::parse(json.clone().into(), JSON.to_owned()).await,
            (None, None) => adc::find(&self.env, &self.client(), looked).await,
        };
        match (&self.file, &self.json) {
            (Some(path), _) => looked.push(Looked::given(path.display(), &found)),
            (_, Some(_)) => looked.push(Looked::given(JSON, &found)),
            (None, None) => {}
        }
        let Found { proof, origin } = found?;
        let (file, target) = match proof {
            Proof::Metadata(metadata) => return Ok((Base::Metadata(metadata), origin, None)),
            Proof::File(CredentialFile::Impersonated(file)) => (file.source, Some(file.target)),
            Proof::File(CredentialFile::External(file)) => {
                let target = file.target.clone();
                (CredentialFile::External(file), target)
            }
            Proof::File(file) => (file, None),
        };
        let base = Base::of(file, self.client(), &self.env)?;
        Ok((base, origin, target))
    }

    /// A source that was given, with the settings that it sees to itself.
    fn set_up(&self, base: Base) -> Base {
        let exempt = self.cloud_run_user;
        match base {
            Base::Gcloud(mut source) => {
                if let Some(principal) = &self.impersonate {
                    source = source.impersonate_through(&self.delegates, principal);
                }
                Base::Gcloud(match exempt {
                    true => source.user_tokens_for_cloud_run(),
                    false => source,
                })
            }
            Base::Token(source) if exempt => Base::Token(source.user_tokens_for_cloud_run()),
            Base::File(source) if exempt => Base::File(source.user_tokens_for_cloud_run()),
            base => base,
        }
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
        let mut layer = ImpersonateLayer::to(base.http_above(self.client()), target)
            .called_by(base.member())
            .patience(base.patience());
        if let Base::Metadata(metadata) = &base
            && !Iam::of(&self.env)?.is_named()
        {
            layer = layer.in_universe_of(metadata.clone());
        }
        // One access token below serves all audiences above.
        let Some(access) = base.access_tokens(self.cache.clone()) else {
            return Err(config(format!(
                "{found} has no access tokens, and it takes those to impersonate {principal}"
            )));
        };
        layer = layer.renewing(access.clone());
        if self.self_signed {
            layer = layer.self_signed();
        }
        let cache = base.cache_above(self.cache);
        Ok(Credentials {
            id_tokens: cache.build(layer.layer(access)),
            access_tokens: None,
            kind: base.kind_above(),
            found,
            principal: Some(principal),
            looked: Vec::new(),
        })
    }

    fn plain(self, base: Base, found: String) -> Result<Credentials, SourceError> {
        let access_tokens = base.access_tokens(self.cache.clone());
        let principal = base.principal().map(str::to_owned);
        let (kind, id_tokens) = match base {
            Base::ServiceAccount(source) if self.self_signed => (
                Kind::ServiceAccount,
                self.cache.build(source.self_signed()?),
            ),
            _ if self.self_signed => {
                return Err(config(format!(
                    "{found} has no key to sign JWTs with: name the service account that is to \
                     sign them with `impersonate` (it may be the credentials' own)"
                )));
            }
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
            Base::Gcloud(source) => (Kind::GcloudCli, self.cache.build(source)),
            Base::Token(source) => (Kind::StaticToken, self.cache.build(source)),
            Base::File(source) => (Kind::TokenFile, self.cache.build(source)),
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
            access_tokens,
            kind,
            found,
            principal,
            looked: Vec::new(),
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
            .field("self_signed", &self.self_signed)
            .finish_non_exhaustive()
    }
}

const JSON: &str = "the JSON given";
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
