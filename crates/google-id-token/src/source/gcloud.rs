//! The gcloud CLI: whoever is logged in there.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::process::Command;
use tokio::time::Instant;
use tower::Service;
use tower_id_token::{Audience, ErrorKind, IdToken, SourceError};

use super::given::{Exemption, check};
use super::{Fetch, IMPERSONATE};
use crate::Env;
use crate::child::{self, Failed, Output};
use crate::http::{deadline, fit_for_message};

/// ID tokens by `gcloud auth print-identity-token`.
///
/// It is never found by itself: who wants it says so, as it takes a second and more a token, and
/// the identity is whatever `gcloud config set account` made it. A program is run and not waited
/// for longer than 9.5 s; then it is killed, with all that it started.
///
/// gcloud chooses an audience for service accounts only, its own or
/// [impersonated](Self::impersonate) ones. For a user, there is
/// [`user_tokens_for_cloud_run`](Self::user_tokens_for_cloud_run).
#[derive(Clone, Debug)]
pub struct GcloudCli {
    env: Env,
    program: Option<PathBuf>,
    /// Delegates first, as gcloud wants them.
    chain: Arc<[String]>,
    full: bool,
    exemption: Exemption,
}

impl GcloudCli {
    /// The `gcloud` (on Windows `gcloud.cmd`) of the process's `PATH`.
    pub fn new() -> Self {
        Self {
            env: Env::process(),
            program: None,
            chain: Arc::default(),
            full: false,
            exemption: Exemption::None,
        }
    }

    /// The environment whose `PATH` is searched, and which the program gets; the process's own by
    /// default.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// The program at this path, and no search.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// Tokens of this service account, by its e-mail, on top of who is logged in
    /// (`--impersonate-service-account`, with `--include-email`).
    #[must_use]
    pub fn impersonate(self, principal: impl Into<String>) -> Self {
        self.impersonate_through(Vec::<String>::new(), principal)
    }

    /// The same by way of these service accounts: who is logged in acts as the first, each as the
    /// next, and the last as the principal.
    #[must_use]
    pub fn impersonate_through(
        mut self,
        delegates: impl IntoIterator<Item = impl Into<String>>,
        principal: impl Into<String>,
    ) -> Self {
        let delegates = delegates.into_iter().map(Into::into);
        self.chain = delegates.chain([principal.into()]).collect();
        self
    }

    /// On a machine of Google's whose own account gcloud uses: tokens with the e-mail and the
    /// machine's details in them (`--token-format=full`).
    #[must_use]
    pub fn full_format(mut self) -> Self {
        self.full = true;
        self
    }

    /// Where a user is logged in, makes use of Cloud Run's exemption for gcloud: the token is for
    /// gcloud itself, whatever audience is asked for.
    ///
    /// See [`Builder::user_tokens_for_cloud_run`](crate::Builder::user_tokens_for_cloud_run).
    #[must_use]
    pub fn user_tokens_for_cloud_run(mut self) -> Self {
        self.exemption = Exemption::CloudRun;
        self
    }

    /// Whom it impersonates.
    pub(crate) fn principal(&self) -> Option<&str> {
        self.chain.last().map(String::as_str)
    }

    async fn fetch(&self, audience: &Audience) -> Result<IdToken, SourceError> {
        let deadline = deadline();
        let program = self.find().await?;
        let asked = self.run(&program, Some(audience), deadline).await;
        let (said, exemption) = match asked {
            Err(Refused::NoAudience) if self.exemption == Exemption::CloudRun => {
                let said = self.run(&program, None, deadline).await;
                (said, Exemption::CloudRun)
            }
            asked => (asked, Exemption::None),
        };
        let late = (ErrorKind::Malformed, "gcloud printed an old one");
        let jwt = said.map_err(Refused::into_error)?;
        check(COMMAND, &jwt, audience, exemption, late)
    }

    async fn find(&self) -> Result<PathBuf, SourceError> {
        if let Some(program) = &self.program {
            return Ok(program.clone());
        }
        let (name, path) = (self.env.name_of("gcloud"), self.env.value("PATH"));
        for directory in std::env::split_paths(&path.unwrap_or_default()) {
            // An empty entry would be the working directory, which anybody may have filled.
            let is_named = !directory.as_os_str().is_empty();
            let program = self.env.join(directory, &name);
            if is_named && self.env.has(&program).await.unwrap_or(false) {
                return Ok(program);
            }
        }
        Err(SourceError::new(
            ErrorKind::NotFound,
            format!(
                "there is no {name} in PATH: install the Google Cloud CLI \
                 (https://cloud.google.com/sdk/docs/install), or name the program's path"
            ),
        ))
    }

    /// The command, run once.
    async fn run(
        &self,
        program: &PathBuf,
        audience: Option<&Audience>,
        deadline: Instant,
    ) -> Result<String, Refused> {
        let mut command = Command::new(program);
        self.env.give_to(&mut command);
        command.env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1");
        command.args(["auth", "print-identity-token"]);
        if let Some(audience) = audience {
            command.arg(format!("--audiences={audience}"));
        }
        if !self.chain.is_empty() {
            let chain = self.chain.join(",");
            command.arg(format!("--impersonate-service-account={chain}"));
            command.arg("--include-email");
        }
        if self.full {
            command.arg("--token-format=full");
        }
        tracing::debug!(program = %program.display(), ?audience, "running gcloud");
        match child::run(command, deadline).await {
            Ok(Output { status, stdout, .. }) if status.success() => String::from_utf8(stdout)
                .map_err(|_| {
                    Refused::error(ErrorKind::Malformed, "something that is no text".to_owned())
                }),
            Ok(output) => Err(self.refused(&output)),
            Err(failed) => Err(Refused::failed(&failed, program)),
        }
    }

    fn refused(&self, output: &Output) -> Refused {
        let stderr = String::from_utf8_lossy(&output.stderr);
        if stderr.contains("Invalid account type for `--audiences`") {
            return Refused::NoAudience;
        }
        // Warnings go before it, and advice of gcloud's own after it.
        let said = stderr.find("ERROR:").map_or(&*stderr, |at| &stderr[at..]);
        let said = fit_for_message(said);
        let has = |parts: &[&str]| parts.iter().any(|part| stderr.contains(part));
        let (kind, advice) = if has(&["active account selected", "gcloud config set account"]) {
            (
                ErrorKind::NotFound,
                "Log in with `gcloud auth login`".to_owned(),
            )
        } else if has(&["PERMISSION_DENIED", "getOpenIdToken"]) {
            let advice = match self.principal() {
                Some(principal) => format!(
                    "Who is logged in needs roles/iam.serviceAccountOpenIdTokenCreator on it: \
                     `gcloud iam service-accounts add-iam-policy-binding {principal} \
                     --member=user:YOUR_EMAIL --role=roles/iam.serviceAccountOpenIdTokenCreator`"
                ),
                None => "Who is logged in may not do this".to_owned(),
            };
            (ErrorKind::Denied, advice)
        } else if has(&["eauthentication", "invalid_grant", "gcloud auth login"]) {
            let advice = "The login has expired or was revoked: run `gcloud auth login` again";
            (ErrorKind::Denied, advice.to_owned())
        } else {
            let advice = "Run it by hand to see more".to_owned();
            (ErrorKind::Unavailable, advice)
        };
        let ended = match output.status.code() {
            Some(code) => format!("ended with {code}"),
            None => "was killed".to_owned(),
        };
        Refused::error(kind, format!("{ended}: {said:?}. {advice}"))
    }
}

/// Why gcloud printed no token.
enum Refused {
    /// A user is logged in.
    NoAudience,
    Error(SourceError),
}

impl Refused {
    fn error(kind: ErrorKind, what: String) -> Self {
        Self::Error(SourceError::new(kind, format!("{COMMAND}: {what}")))
    }

    fn failed(failed: &Failed, program: &std::path::Path) -> Self {
        let program = program.display();
        match failed {
            Failed::Start(error) => Self::error(
                ErrorKind::Config,
                format!("{program} cannot be run: {error}"),
            ),
            Failed::Late => Self::error(
                ErrorKind::Unavailable,
                format!("{program} was not done in time, and was killed"),
            ),
            Failed::TooLong => Self::error(
                ErrorKind::Malformed,
                format!("{program} printed more than {} bytes", child::LONGEST),
            ),
            Failed::Read(error) => Self::error(
                ErrorKind::Unavailable,
                format!("{program}'s output cannot be read: {error}"),
            ),
        }
    }

    fn into_error(self) -> SourceError {
        match self {
            Self::Error(error) => error,
            Self::NoAudience => SourceError::new(
                ErrorKind::Config,
                format!(
                    "{COMMAND}: a user is logged in, and gcloud mints ID tokens of a user for \
                     itself only, never for an audience of choice. {IMPERSONATE}"
                ),
            ),
        }
    }
}

impl Default for GcloudCli {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<Audience> for GcloudCli {
    type Response = IdToken;
    type Error = SourceError;
    type Future = Fetch<IdToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, audience: Audience) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.fetch(&audience).await })
    }
}

const COMMAND: &str = "gcloud auth print-identity-token";
