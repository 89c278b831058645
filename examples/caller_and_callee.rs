//! How do the two ends fit together: the layer that sends tokens, and the one that checks them?
//!
//! ```text
//! cargo run -p examples --example caller_and_callee
//! ```
//!
//! Both are in this process, with an emulated Google between them: nothing but the keys' URL and
//! the key file would differ with the real one.

use axum::body::Body;
use examples::http_client;
use google_emulator::{Credential, Emulator, Server};
use google_id_token::verify::{Issuer, Verifier};
use google_id_token::{AddIdTokenLayer, Builder, PerOrigin};
use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder, ServiceExt};

// The callee is the service of another example.
#[allow(dead_code)]
#[path = "axum_service.rs"]
pub(crate) mod axum_service;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let google = Emulator::new().serve().await?;
    let callee = callee(&google).await?;
    let (status, text) = call(&callee, &google).await?;
    println!("with a token:    {status}: {text}");

    let request = Request::get(callee).body(Body::empty())?;
    let answer = http_client()?.request(request).await?;
    println!(
        "without a token: {}: {:?}",
        answer.status(),
        answer.headers()["www-authenticate"]
    );
    Ok(())
}

/// Checks tokens for its own URL, and lets one account in.
pub(crate) async fn callee(google: &Server) -> Result<Uri, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    let verifier = Verifier::builder()
        .audience(&here)
        .allow_email("caller@demo-project.iam.gserviceaccount.com")
        .keys_url(Issuer::Google, google.certs_url());
    let service = axum_service::service(verifier)?;
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(here.parse()?)
}

/// Sends a token for the URL that it calls.
pub(crate) async fn call(callee: &Uri, google: &Server) -> Result<(StatusCode, String), BoxError> {
    let key = google.credentials(&Credential::service_account());
    let credentials = Builder::new().credentials_json(key.to_string());
    let tokens = credentials.build().await?.id_tokens();
    let client = ServiceBuilder::new()
        .layer(AddIdTokenLayer::new(
            PerOrigin::new().host("127.0.0.1"),
            tokens,
        ))
        .service(http_client::<Body>()?);
    let request = Request::get(callee.clone()).body(Body::empty())?;
    let answer = client.oneshot(request).await?;
    let status = answer.status();
    let text = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}
