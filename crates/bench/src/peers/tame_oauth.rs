//! tame-oauth's access tokens: it does no I/O of its own, so it is handed the endpoint's answer.

use std::sync::Arc;

use google_emulator::Credential;
use http::{HeaderValue, Request, Response, header};
use tame_oauth::gcp::{ServiceAccountInfo, ServiceAccountProvider, TokenOrRequest, TokenProvider};
use tower::{BoxError, Service, ServiceExt, service_fn};

use crate::request::Hosts;
use crate::row::{Row, token};
use crate::runner::{Bare, Use};
use crate::world::World;

pub(super) fn row(world: &World) -> Result<Row, BoxError> {
    let key = world.server.credentials(&Credential::service_account());
    let key = ServiceAccountInfo::deserialize(key.to_string())?;
    let provider = Arc::new(ServiceAccountProvider::new(key)?);
    if let TokenOrRequest::Request { scope_hash, .. } = provider.get_token(SCOPES)? {
        let answer = format!(
            r#"{{"access_token": "{}", "token_type": "Bearer", "expires_in": 3600}}"#,
            token()
        );
        provider.parse_token_response(scope_hash, Response::new(answer))?;
    }
    let service = service_fn(move |request| add_token(Arc::clone(&provider), request));
    Ok(Row::new(
        "tame-oauth 0.10, access token",
        "tame-oauth",
        Hosts::Run(1),
        Use::Again,
        service,
    ))
}

async fn add_token(
    provider: Arc<ServiceAccountProvider>,
    mut request: Request<()>,
) -> Result<<Bare as Service<Request<()>>>::Response, BoxError> {
    let TokenOrRequest::Token(token) = provider.get_token(SCOPES)? else {
        return Err("the token is gone".into());
    };
    let mut value: HeaderValue = token.try_into()?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(Bare.oneshot(request).await?)
}

const SCOPES: &[&str] = &["https://www.googleapis.com/auth/cloud-platform"];
