//! What the tests share: a peer that is not the emulator, JWTs, and a world to stand in.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use google_emulator::{Credential, Emulator};
use google_id_token::{Audience, Builder, Clock, Env, HttpClient};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A server in memory that the test writes itself: it knows nothing of the emulator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// One request, and when it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) request: Request<Bytes>,
}

impl Asked {
    /// A field of the form in the body.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.request.body())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The JSON in the body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.request.body()).unwrap()
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.request.uri().query()?.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }
}

impl Peer {
    /// A client whose every request this closure answers; it is told which one it is, from 1.
    pub(crate) fn client<F>(&self, answer: F) -> HttpClient
    where
        F: Fn(usize, &Asked) -> io::Result<Response<Bytes>> + Send + Sync + 'static,
    {
        let asked = Arc::clone(&self.asked);
        let answer = Arc::new(answer);
        HttpClient::from_service(tower::service_fn(move |request: Request<Full<Bytes>>| {
            let asked = Arc::clone(&asked);
            let answer = Arc::clone(&answer);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let one = Asked {
                    at: Instant::now(),
                    request: Request::from_parts(parts, body),
                };
                let number = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(one.clone());
                    asked.len()
                };
                answer(number, &one).map(|answer| answer.map(Full::new))
            }
        }))
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The times between one request and the next.
    pub(crate) fn gaps(&self) -> Vec<Duration> {
        let asked = self.asked();
        asked.windows(2).map(|two| two[1].at - two[0].at).collect()
    }
}

/// An answer of this status and content.
pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> io::Result<Response<Bytes>> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status.try_into().unwrap();
    Ok(answer)
}

/// An answer of 200 with this JSON.
pub(crate) fn json_answer(json: Value) -> io::Result<Response<Bytes>> {
    answer(200, json.to_string())
}

/// An answer of a metadata server.
pub(crate) fn metadata_answer(status: u16, body: &str) -> io::Result<Response<Bytes>> {
    let mut answer = answer(status, body.to_owned())?;
    let flavor = "Google".parse().unwrap();
    answer.headers_mut().insert("Metadata-Flavor", flavor);
    Ok(answer)
}

/// A JWT with these claims, and a signature that nobody here checks.
pub(crate) fn jwt(claims: &Value) -> String {
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    format!("{}.{}.c2lnbmF0dXJl", encode(&header), encode(claims))
}

/// A JWT for this audience that lives an hour.
pub(crate) fn id_token(audience: &str) -> String {
    jwt(&json!({ "aud": audience, "email": "me@example.com", "exp": now() + 3600 }))
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    let since = Clock::default().now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

pub(crate) fn audience() -> Audience {
    AUDIENCE.parse().unwrap()
}

/// The emulator as a client, in memory.
pub(crate) fn in_memory(emulator: &Emulator) -> HttpClient {
    HttpClient::from_service(emulator.clone())
}

/// A builder that sees the emulator, one credential file, and nothing else.
pub(crate) fn with_file(emulator: &Emulator, credential: &Credential) -> Builder {
    let file = emulator.credentials(credential).to_string();
    let env = Env::empty()
        .variable("GOOGLE_APPLICATION_CREDENTIALS", KEY_PATH)
        .file(KEY_PATH, file);
    let files = emulator.files(credential).into_iter();
    let env = files.fold(env, |env, (path, content)| env.file(path, content));
    let variables = credential.variables().iter();
    let env = variables.fold(env, |env, (name, value)| env.variable(*name, *value));
    Builder::new().env(env).http(in_memory(emulator))
}

/// A builder that sees a metadata server at this client, and nothing else.
pub(crate) fn with_metadata(http: HttpClient) -> Builder {
    let env = Env::empty().variable("GCE_METADATA_HOST", "metadata.google.internal");
    Builder::new().env(env).http(http)
}

/// A client that nothing may be asked of.
pub(crate) fn nobody() -> HttpClient {
    HttpClient::from_service(tower::service_fn(
        |request: Request<Full<Bytes>>| async move {
            let refused = io::Error::other(format!("{} should not be asked", request.uri()));
            Err::<Response<Full<Bytes>>, _>(refused)
        },
    ))
}

/// A user's file, of a login by gcloud.
pub(crate) fn user_file() -> Value {
    json!({
        "type": "authorized_user",
        "client_id": "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
        "client_secret": "hush-client-secret",
        "refresh_token": "1//hush-refresh-token",
    })
}

pub(crate) const AUDIENCE: &str = "https://hello-abc123-uc.a.run.app";
pub(crate) const KEY_PATH: &str = "/home/me/credentials.json";
pub(crate) const ROBOT: &str = "robot@project.iam.gserviceaccount.com";
