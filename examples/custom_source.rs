//! How do I get tokens from somewhere else than Google's credentials?
//!
//! Here, another process keeps a token in a file, as Kubernetes and Vault's agent do.
//!
//! ```text
//! cargo run -p examples --example custom_source
//! cargo run -p examples --example custom_source -- https://hello-abc123-uc.a.run.app token.jwt
//! ```

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use examples::{Stage, http_client};
use google_id_token::{
    AddIdTokenLayer, Audience, Cache, ErrorKind, IdToken, PerOrigin, SourceError, id_token_from_jwt,
};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use tower::{BoxError, ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let stage = Stage::from_args("hello").await?;
    let directory = tempfile::tempdir()?;
    let file = match (&stage.emulator, std::env::args().nth(2)) {
        (Some(server), _) => {
            let file = directory.path().join("token.jwt");
            let audience = Audience::of(&stage.url).ok_or("the URL has no host")?;
            let claims = server
                .emulator()
                .claims("ci@example.com", audience.as_str());
            std::fs::write(&file, server.emulator().mint(claims))?;
            file
        }
        (None, Some(file)) => file.into(),
        (None, None) => return Err("name the file that the token is in".into()),
    };
    println!("{}", run(stage.url, file).await?);
    Ok(())
}

/// What the service answers to the token in this file.
pub(crate) async fn run(url: Uri, file: PathBuf) -> Result<String, BoxError> {
    // A source is a tower service, so limits and retries are tower's. The cache asks it once for
    // each audience, and again ahead of the token's end.
    let source = ServiceBuilder::new()
        .timeout(Duration::from_secs(5))
        .service_fn(move |audience| read(file.clone(), audience));
    let tokens = Cache::new(source);

    let policy = PerOrigin::new().host("127.0.0.1");
    let client = ServiceBuilder::new()
        .layer(AddIdTokenLayer::new(policy, tokens))
        .service(http_client()?);
    let request = Request::get(url).body(Empty::<Bytes>::new())?;
    let body = client.oneshot(request).await?.into_body();
    Ok(String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned())
}

async fn read(file: PathBuf, audience: Audience) -> Result<IdToken, SourceError> {
    let jwt = tokio::fs::read_to_string(&file).await.map_err(|error| {
        let message = format!("no token for {audience} in {}", file.display());
        SourceError::new(ErrorKind::NotFound, message).with_cause(error)
    })?;
    // The token says itself when it dies. Where yours does not, say it: `IdToken::new`.
    id_token_from_jwt(jwt.trim())
}
