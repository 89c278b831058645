//! What journeys have in common: a client, a policy, and an environment to start from.

use bytes::Bytes;
use google_emulator::{Credential, Server};
use google_id_token::{AddIdToken, AddIdTokenLayer, Builder, PerOrigin, SourceError};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tower::{BoxError, Layer, Service, ServiceExt};

/// A user's own HTTP client.
pub(crate) type Hyper = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn hyper() -> Hyper {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Tokens for whatever listens on this machine, and nothing for anybody else.
pub(crate) fn loopback() -> PerOrigin {
    PerOrigin::new().host("127.0.0.1").refuse_others()
}

/// The environment that the emulator prints for this credential, and nothing of the process's.
pub(crate) fn found(server: &Server, credential: &Credential) -> Builder {
    in_environment(server.env_for(credential).unwrap())
}

/// Application default credentials in this environment.
pub(crate) fn in_environment(env: Vec<(String, String)>) -> Builder {
    Builder::new().env(env.into_iter().collect())
}

/// The paved path: what credentials there are, one layer, hyper's client.
pub(crate) async fn client(
    credentials: Builder,
) -> Result<AddIdToken<Hyper, PerOrigin>, SourceError> {
    let tokens = credentials.build().await?.id_tokens();
    Ok(AddIdTokenLayer::new(loopback(), tokens).layer(hyper()))
}

/// The status and the text of the answer.
pub(crate) async fn get<S, B>(client: S, url: &str) -> Result<(StatusCode, String), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError>,
    B: http_body::Body<Error: Into<BoxError>>,
{
    let request = Request::get(url).body(Full::default())?;
    let response = client.oneshot(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(Into::into)?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok((status, text))
}

pub(crate) const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";
pub(crate) const MIDDLE: &str = "middle@demo-project.iam.gserviceaccount.com";
pub(crate) const INVOKER: &str = "invoker@demo-project.iam.gserviceaccount.com";
pub(crate) const DEVELOPER: &str = "dev@example.com";
