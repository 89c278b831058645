//! Any `gcp_auth::TokenProvider` as a source of access tokens.

use std::sync::Arc;
use std::task::{Context, Poll};

use gcp_auth::TokenProvider;
use tower::Service;
use tower_id_token::{ErrorKind, SourceError};

use super::Fetch;
use crate::{AccessToken, Scopes};

#[derive(Clone)]
pub(crate) struct Provider(pub(crate) Arc<dyn TokenProvider>);

impl Service<Scopes> for Provider {
    type Response = AccessToken;
    type Error = SourceError;
    type Future = Fetch<AccessToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, scopes: Scopes) -> Self::Future {
        let provider = Arc::clone(&self.0);
        Box::pin(async move {
            let scopes: Vec<_> = scopes.iter().collect();
            let token = provider.token(&scopes).await.map_err(failed)?;
            AccessToken::new(token.as_str(), token.expires_at().into())
        })
    }
}

fn failed(error: gcp_auth::Error) -> SourceError {
    // Errors of serde may quote the answer that they could not read: the cause stays behind.
    let what = match &error {
        gcp_auth::Error::Http(what, _)
        | gcp_auth::Error::Io(what, _)
        | gcp_auth::Error::Json(what, _)
        | gcp_auth::Error::Other(what, _)
        | gcp_auth::Error::Str(what) => what,
        _ => "no credentials",
    };
    SourceError::new(
        ErrorKind::Unavailable,
        format!("gcp_auth's token provider gave no access token: {what}"),
    )
}
