//! tame-oauth's access tokens, by a service account's key: the caller does the fetching.

use std::sync::Arc;

use bytes::Bytes;
use google_emulator::Credential;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tame_oauth::gcp::{ServiceAccountInfo, ServiceAccountProvider, TokenOrRequest, TokenProvider};
use tower::{BoxError, Service, ServiceExt, service_fn};

use crate::request::Hosts;
use crate::row::Row;
use crate::runner::{Bare, Use};
use crate::world::World;

pub(super) async fn row(world: &World) -> Result<Row, BoxError> {
    let key = world.server.credentials(&Credential::service_account());
    let key = ServiceAccountInfo::deserialize(key.to_string())?;
    let provider = Arc::new(ServiceAccountProvider::new(key)?);
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
    let token = match provider.get_token(SCOPES)? {
        TokenOrRequest::Token(token) => token,
        TokenOrRequest::Request {
            request,
            scope_hash,
            ..
        } => {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let answer = client
                .request(request.map(|body| Full::new(Bytes::from(body))))
                .await?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            provider.parse_token_response(scope_hash, http::Response::from_parts(parts, body))?
        }
    };
    let mut value = HeaderValue::try_from(token)?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(Bare.oneshot(request).await?)
}

const SCOPES: &[&str] = &["https://www.googleapis.com/auth/cloud-platform"];
