//! How do I test code that calls private services, without network, account or secrets?
//!
//! ```text
//! cargo run -p examples --example offline_test
//! cargo test -p examples offline_test
//! ```

use bytes::Bytes;
use google_emulator::{Credential, Emulator};
use google_id_token::{AddIdToken, AddIdTokenLayer, Builder, Env, HttpClient, PerOrigin};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use tower::{BoxError, Layer, Service, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    println!("{}", greeting(client(&Emulator::new()).await?).await?);
    Ok(())
}

/// The code under test: it takes any client.
async fn greeting<S, B>(client: S) -> Result<String, BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = BoxError>,
    B: http_body::Body<Error: Into<BoxError>>,
{
    let request = Request::get("https://hello-abc123-uc.a.run.app/").body(Empty::new())?;
    let response = client.oneshot(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("no greeting: {}", response.status()).into());
    }
    let body = response.into_body().collect().await.map_err(Into::into)?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

/// The emulator twice, in memory: as Google, which mints tokens, and as the service.
async fn client(emulator: &Emulator) -> Result<AddIdToken<Emulator, PerOrigin>, BoxError> {
    let key = emulator.credentials(&Credential::service_account());
    let credentials = Builder::new()
        .env(Env::empty())
        .http(HttpClient::from_service(emulator.clone()))
        .credentials_json(key.to_string());
    let tokens = credentials.build().await?.id_tokens();
    Ok(AddIdTokenLayer::new(PerOrigin::new(), tokens).layer(emulator.clone()))
}

#[cfg(test)]
mod tests {
    use super::{client, greeting};
    use google_emulator::{Emulator, Endpoint, Fault, Grant};
    use google_id_token::{ErrorKind, SourceError};

    #[tokio::test]
    async fn the_service_knows_who_greets() {
        let emulator = Emulator::new();
        let greeting = greeting(client(&emulator).await.unwrap()).await.unwrap();
        assert!(greeting.contains("caller@demo-project.iam.gserviceaccount.com"));
        assert_eq!(emulator.journal().count(Endpoint::Token), 1);
    }

    #[tokio::test]
    async fn who_lacks_the_role_hears_403() {
        let emulator = Emulator::builder()
            .grant(Grant::invoker("somebody@example.com", "hello"))
            .build();
        let error = greeting(client(&emulator).await.unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "no greeting: 403 Forbidden");
    }

    // The clock is paused, so that nobody waits while the library tries again.
    #[tokio::test(start_paused = true)]
    async fn without_a_token_nothing_is_sent() {
        let emulator = Emulator::new();
        emulator.fault(Endpoint::Token, Fault::status(503));
        let error = greeting(client(&emulator).await.unwrap())
            .await
            .unwrap_err();
        let reason = SourceError::find(&*error).unwrap();
        assert_eq!(reason.kind(), ErrorKind::Unavailable);
        assert_eq!(emulator.journal().count(Endpoint::Run), 0);
    }
}
