//! How do I call a private gRPC service with tonic, unary and streaming?
//!
//! ```text
//! cargo run -p examples --example tonic_client
//! cargo run -p examples --example tonic_client -- https://grpc-abc123-uc.a.run.app
//! ```

use examples::Stage;
use google_emulator::RunService;
use google_id_token::{AddIdToken, AddIdTokenLayer, Builder, PerOrigin};
use http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{BoxError, ServiceBuilder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (_reporter, server) = tonic_health::server::health_reporter();
    let stage = Stage::from_args(RunService::new("grpc").container(server)).await?;
    let mut health = client(stage.url, stage.credentials).await?;

    let answer = health.check(HealthCheckRequest::default()).await?;
    println!("unary:     {:?}", answer.into_inner().status());

    let answers = health.watch(HealthCheckRequest::default()).await?;
    if let Some(first) = answers.into_inner().message().await? {
        println!("streaming: {:?}", first.status());
    }
    Ok(())
}

/// A generated client with ID tokens. The standard health service's stands for yours here.
pub(crate) async fn client(
    url: Uri,
    credentials: Builder,
) -> Result<HealthClient<AddIdToken<Channel, PerOrigin>>, BoxError> {
    let tokens = credentials.build().await?.id_tokens();
    let policy = PerOrigin::new().host("127.0.0.1");
    let channel = ServiceBuilder::new()
        .layer(AddIdTokenLayer::new(policy, tokens))
        .service(Endpoint::new(url.clone())?.connect_lazy());

    // Not `new`: that leaves the URL's host to the channel, which is below the layer, and the
    // layer must see whom a token is for.
    Ok(HealthClient::with_origin(channel, url))
}
