//! How does an axum service know who calls it?
//!
//! ```text
//! cargo run -p examples --example axum_service
//! cargo run -p examples --example axum_service -- https://hello.example
//! ```
//!
//! With an audience as its argument it lets in whom Google vouches for; without, whom an emulator
//! of its own does, and it says what to type.

use axum::Router;
use axum::routing::get;
use google_emulator::Emulator;
use google_id_token::verify::{Caller, Issuer, RequireIdToken, Verifier, VerifierBuilder};
use tokio::net::TcpListener;
use tower::BoxError;
use tower_http::auth::AsyncRequireAuthorizationLayer;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    let verifier = Verifier::builder();
    if let Some(audience) = std::env::args().nth(1) {
        println!(
            "Try: curl -i {here}/ -H \"authorization: Bearer $(gcloud auth print-identity-token \\"
        );
        println!(
            "         --impersonate-service-account=ACCOUNT --include-email --audiences={audience})\""
        );
        return Ok(axum::serve(listener, service(verifier.audience(audience))?).await?);
    }
    let google = Emulator::new().serve().await?;
    let token = google
        .emulator()
        .mint(google.emulator().claims("you@example.com", &here));
    println!("Try: curl -i {here}/");
    println!("And: curl -i {here}/ -H 'authorization: Bearer {token}'");
    let verifier = verifier
        .audience(here)
        .keys_url(Issuer::Google, google.certs_url());
    Ok(axum::serve(listener, service(verifier)?).await?)
}

/// Everything below the layer is for callers with a good token; the health check is for all.
pub(crate) fn service(verifier: VerifierBuilder) -> Result<Router, BoxError> {
    let verifier = verifier.build()?;
    Ok(Router::new()
        .route("/", get(hello))
        .layer(AsyncRequireAuthorizationLayer::new(RequireIdToken::new(
            verifier,
        )))
        .route("/healthz", get(async || "ok")))
}

/// Who calls is an argument like any other.
async fn hello(caller: Caller) -> String {
    format!("Hello, {}!\n", caller.email().unwrap_or(caller.subject()))
}
