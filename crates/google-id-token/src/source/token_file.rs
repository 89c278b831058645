//! A file whose token somebody else keeps fresh.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;
use tower_id_token::{Audience, ErrorKind, IdToken, SourceError};

use super::Fetch;
use super::given::{Exemption, check};
use crate::Env;
use crate::env::LARGEST_FILE;

/// The ID token in a file, read anew whenever one is fetched: what Kubernetes [projects] into a
/// pod and renews there.
///
/// It lives as long as its own `exp` says. Asked for another audience than its own, it fails
/// with [`ErrorKind::Config`] and names both.
///
/// [projects]: https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#launch-a-pod-using-service-account-token-projection
#[derive(Clone, Debug)]
pub struct TokenFile {
    env: Env,
    path: Arc<Path>,
    exemption: Exemption,
}

impl TokenFile {
    /// The token in the file at this path.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            env: Env::process(),
            path: path.as_ref().into(),
            exemption: Exemption::None,
        }
    }

    /// Read from the files of this environment; the disk by default.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// Takes a user's token, which is for gcloud itself, for any audience: Cloud Run's exemption.
    ///
    /// See [`Builder::user_tokens_for_cloud_run`](crate::Builder::user_tokens_for_cloud_run).
    #[must_use]
    pub fn user_tokens_for_cloud_run(mut self) -> Self {
        self.exemption = Exemption::CloudRun;
        self
    }

    pub(crate) fn origin(&self) -> String {
        self.path.display().to_string()
    }

    async fn read(&self, audience: &Audience) -> Result<IdToken, SourceError> {
        let origin = self.origin();
        let wrong = |what: &str| SourceError::new(ErrorKind::Config, format!("{origin}: {what}"));
        let contents = self
            .env
            .read(&self.path)
            .await
            .map_err(|error| wrong(&format!("the file cannot be read: {error}")))?;
        if contents.len() as u64 > LARGEST_FILE {
            return Err(wrong("the file is larger than 1 MiB, and no token is"));
        }
        let jwt = std::str::from_utf8(&contents).map_err(|_| wrong("the file is no text"))?;
        let late = (
            ErrorKind::Unavailable,
            "whoever renews the file has not done so",
        );
        check(&origin, jwt, audience, self.exemption, late)
    }
}

impl Service<Audience> for TokenFile {
    type Response = IdToken;
    type Error = SourceError;
    type Future = Fetch<IdToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, audience: Audience) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.read(&audience).await })
    }
}
