//! How do I call a private Cloud Run service with a hyper client?
//!
//! ```text
//! cargo run -p examples --example hyper_client
//! cargo run -p examples --example hyper_client -- https://hello-abc123-uc.a.run.app
//! ```

use bytes::Bytes;
use examples::Stage;
use google_id_token::{AddIdTokenLayer, Builder, PerOrigin};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let stage = Stage::from_args("hello").await?;
    println!("{}", run(stage.url, stage.credentials).await?);
    Ok(())
}

/// What the service answers.
pub(crate) async fn run(url: Uri, credentials: Builder) -> Result<String, BoxError> {
    // Your client, as it was.
    let https = HttpsConnectorBuilder::new()
        .with_native_roots()?
        .https_or_http()
        .enable_all_versions()
        .build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(https);

    // One cache for the whole process: clone it into as many layers as there are clients.
    let tokens = credentials.build().await?.id_tokens();

    // Who gets a token: Cloud Run and Cloud Functions, and here the emulator. Name your own
    // domains with `ByHost`.
    let policy = PerOrigin::new().host("127.0.0.1");

    let mut client = ServiceBuilder::new()
        .layer(AddIdTokenLayer::new(policy, tokens))
        .service(client);

    let request = Request::get(url).body(Empty::new())?;
    let response = client.ready().await?.call(request).await?;

    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{status}\n{}", String::from_utf8_lossy(&body)))
}
