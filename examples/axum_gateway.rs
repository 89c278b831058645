//! How does an axum gateway forward requests to a private service?
//!
//! ```text
//! cargo run -p examples --example axum_gateway
//! cargo run -p examples --example axum_gateway -- https://hello-abc123-uc.a.run.app
//! ```

use std::time::Duration;

use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::http::{StatusCode, Uri, Version};
use examples::{Stage, http_client};
use google_id_token::{AddIdTokenLayer, Builder, PerOrigin, SourceError};
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let stage = Stage::from_args("hello").await?;
    let gateway = gateway(stage.url, stage.credentials).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("Try: curl -i http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, gateway).await?)
}

/// Everything that comes in goes to the service, as the gateway and not as its caller.
pub(crate) async fn gateway(service: Uri, credentials: Builder) -> Result<Router, BoxError> {
    let tokens = credentials.build().await?.id_tokens();
    let policy = PerOrigin::new().host("127.0.0.1").refuse_others();
    let forward = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(bad_gateway))
        .map_request(move |request| addressed(request, &service))
        .layer(AddIdTokenLayer::new(policy, tokens))
        .timeout(Duration::from_secs(30))
        .service(http_client()?);
    Ok(Router::new().fallback_service(forward))
}

/// The caller's request with the service's address on it.
///
/// The caller's own `Authorization` stays for the app to read: the layer then puts the gateway's
/// token into `X-Serverless-Authorization`, which is not the caller's to set.
fn addressed(mut request: Request, service: &Uri) -> Request {
    let mut url = service.clone().into_parts();
    url.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(url).expect("a URL with another path is a URL");
    *request.version_mut() = Version::HTTP_11;
    for name in NOT_FORWARDED {
        request.headers_mut().remove(name);
    }
    request
}

/// The whole story is for the gateway's log; its caller can do nothing about it.
async fn bad_gateway(error: BoxError) -> (StatusCode, &'static str) {
    eprintln!("not forwarded: {error}");
    if error.is::<tower::timeout::error::Elapsed>() {
        return (StatusCode::GATEWAY_TIMEOUT, "The service takes too long.\n");
    }
    match SourceError::find(&*error) {
        Some(_) => (StatusCode::BAD_GATEWAY, "The gateway has no ID token.\n"),
        None => (StatusCode::BAD_GATEWAY, "The service does not answer.\n"),
    }
}

/// What is between the caller and the gateway, and what only the gateway may say.
const NOT_FORWARDED: [&str; 9] = [
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "x-serverless-authorization",
];
