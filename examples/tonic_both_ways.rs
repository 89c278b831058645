//! How do a tonic client and a tonic server trust each other by ID tokens?
//!
//! ```text
//! cargo run -p examples --example tonic_both_ways
//! ```
//!
//! The standard health service stands for yours. A refusal arrives as a gRPC status.

use google_emulator::{Credential, Emulator, Server};
use google_id_token::verify::{Caller, Issuer, RequireIdToken, Verifier};
use google_id_token::{AddIdTokenLayer, Builder, PerOrigin};
use http::Uri;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server as Grpc};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{BoxError, ServiceBuilder};
use tower_http::auth::AsyncRequireAuthorizationLayer;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let google = Emulator::new().serve().await?;
    let url = serve(&google).await?;
    println!("with a token:    {:?}", check(&url, Some(&google)).await?);
    println!(
        "without a token: {:?}",
        check(&url, None).await?.map_err(|status| status.code())
    );
    Ok(())
}

/// A server whose every method wants a token for the server's own URL.
pub(crate) async fn serve(google: &Server) -> Result<Uri, BoxError> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let here = format!("http://{}", incoming.local_addr()?);
    let verifier = Verifier::builder()
        .audience(&here)
        .keys_url(Issuer::Google, google.certs_url())
        .build()?;
    let (_reporter, health) = tonic_health::server::health_reporter();
    let server = Grpc::builder()
        .layer(AsyncRequireAuthorizationLayer::new(RequireIdToken::new(
            verifier,
        )))
        .add_service(InterceptedService::new(health, greet));
    tokio::spawn(server.serve_with_incoming(incoming));
    Ok(here.parse()?)
}

/// The caller is in the extensions of each request, here and in the methods.
fn greet(request: Request<()>) -> Result<Request<()>, Status> {
    let caller = request.extensions().get::<Caller>();
    println!(
        "the server is called by {:?}",
        caller.and_then(Caller::email)
    );
    Ok(request)
}

/// Calls once, with tokens from this Google if there is one.
pub(crate) async fn check(
    url: &Uri,
    google: Option<&Server>,
) -> Result<Result<String, Status>, BoxError> {
    let channel = Endpoint::new(url.clone())?.connect_lazy();
    let request = HealthCheckRequest::default();
    let answer = match google {
        None => HealthClient::new(channel).check(request).await,
        Some(google) => {
            let key = google.credentials(&Credential::service_account());
            let credentials = Builder::new().credentials_json(key.to_string());
            let tokens = credentials.build().await?.id_tokens();
            let policy = PerOrigin::new().host("127.0.0.1");
            let channel = ServiceBuilder::new()
                .layer(AddIdTokenLayer::new(policy, tokens))
                .service(channel);
            HealthClient::with_origin(channel, url.clone())
                .check(request)
                .await
        }
    };
    Ok(answer.map(|answer| format!("{:?}", answer.into_inner().status())))
}
