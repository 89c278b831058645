//! gcp_auth's access tokens, by a service account's key: a shared token, a new header for each
//! request.

use std::sync::Arc;

use gcp_auth::{CustomServiceAccount, TokenProvider};
use google_emulator::Credential;
use http::{HeaderValue, Request, header};
use tower::{BoxError, Service, ServiceExt, service_fn};

use crate::request::Hosts;
use crate::row::Row;
use crate::runner::{Bare, Use};
use crate::world::World;

pub(super) async fn row(world: &World) -> Result<Row, BoxError> {
    let key = world.server.credentials(&Credential::service_account());
    let provider = Arc::new(CustomServiceAccount::from_json(&key.to_string())?);
    provider.token(SCOPES).await?;
    let service = service_fn(move |request| add_token(Arc::clone(&provider), request));
    Ok(Row::new(
        "gcp_auth 0.12.7, access token",
        "gcp-auth",
        Hosts::Run(1),
        Use::Again,
        service,
    ))
}

async fn add_token(
    provider: Arc<CustomServiceAccount>,
    mut request: Request<()>,
) -> Result<<Bare as Service<Request<()>>>::Response, BoxError> {
    let token = provider.token(SCOPES).await?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.as_str()))?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(Bare.oneshot(request).await?)
}

const SCOPES: &[&str] = &["https://www.googleapis.com/auth/cloud-platform"];
