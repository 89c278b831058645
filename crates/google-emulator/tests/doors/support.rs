//! A client that asks the same questions in memory and on loopback.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose};
use bytes::Bytes;
use google_emulator::{Body, Credential, Emulator, Server};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client as HttpClient, rt::TokioExecutor};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";
pub(crate) const INVOKER: &str = "invoker@demo-project.iam.gserviceaccount.com";
pub(crate) const DEV: &str = "dev@example.com";
pub(crate) const HELLO: &str = "https://hello-abc123-uc.a.run.app";
pub(crate) const METADATA: &str = "http://metadata.google.internal/computeMetadata/v1";
pub(crate) const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
pub(crate) const IAM: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts";
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Where tests begin: a whole second, long after 1970.
pub(crate) const NOW: u64 = 1_700_000_000;

/// Asks an emulator in memory, or the same one on loopback by the same URLs.
#[derive(Clone)]
pub(crate) struct Client {
    emulator: Emulator,
    server: Option<Arc<Server>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn in_memory(emulator: &Emulator) -> Self {
        Self {
            emulator: emulator.clone(),
            server: None,
        }
    }

    pub(crate) async fn on_loopback(emulator: &Emulator) -> Self {
        let server = emulator.serve().await.expect("there is a free port");
        Self {
            emulator: emulator.clone(),
            server: Some(Arc::new(server)),
        }
    }

    /// One of each, for tests of what must be the same on both.
    pub(crate) async fn both(emulator: &Emulator) -> [Self; 2] {
        [Self::in_memory(emulator), Self::on_loopback(emulator).await]
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        self.try_ask(request).await.expect("the connection holds")
    }

    pub(crate) async fn try_ask(&self, mut request: Request<Body>) -> io::Result<Answer> {
        let response = match &self.server {
            None => self.emulator.clone().oneshot(request).await?.map(Body::new),
            Some(server) => {
                *request.uri_mut() = on_loopback(server, request.uri());
                let client = HttpClient::builder(TokioExecutor::new()).build_http();
                client
                    .request(request)
                    .await
                    .map_err(io::Error::other)?
                    .map(Body::new)
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// An identity token of the metadata server.
    pub(crate) async fn identity(&self, audience: &str) -> String {
        self.ask(metadata(&format!(
            "{IDENTITY}?audience={audience}&format=full"
        )))
        .await
        .text()
    }

    /// An access token of this user or service account.
    pub(crate) async fn access_token(&self, email: &str) -> String {
        let request = if email == DEV {
            form(TOKEN_URI, &refresh_fields(&self.emulator))
        } else {
            let claims = json!({ "iss": email, "scope": SCOPE });
            form(
                TOKEN_URI,
                &[
                    ("grant_type", JWT_BEARER),
                    ("assertion", &assertion(claims)),
                ],
            )
        };
        let answer = self.ask(request).await;
        answer.json()["access_token"]
            .as_str()
            .expect("an access token")
            .to_owned()
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    /// The description and the error of a token endpoint that refuses.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let text = |name: &str| self.json()[name].as_str().unwrap_or_default().to_owned();
        (
            self.status.as_u16(),
            text("error"),
            text("error_description"),
        )
    }
}

/// A clock that only a test moves; it starts at [`NOW`].
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn reader(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let clock = self.0.clone();
        move || UNIX_EPOCH + Duration::from_secs(NOW + clock.load(Ordering::Relaxed))
    }
}

/// An emulator whose clock stands at [`NOW`].
pub(crate) fn paused() -> Emulator {
    Emulator::builder()
        .clock(TestClock::default().reader())
        .build()
}

pub(crate) fn get(url: &str) -> Request<Body> {
    Request::get(url).body(Body::empty()).expect("a request")
}

/// A request to the metadata server, by its path under `/computeMetadata/v1`.
pub(crate) fn metadata(path: &str) -> Request<Body> {
    with_header(
        get(&format!("{METADATA}{path}")),
        "metadata-flavor",
        "Google",
    )
}

pub(crate) fn with_header(
    mut request: Request<Body>,
    name: &'static str,
    value: &str,
) -> Request<Body> {
    request
        .headers_mut()
        .insert(name, value.parse().expect("a header value"));
    request
}

pub(crate) fn bearer(request: Request<Body>, token: &str) -> Request<Body> {
    with_header(request, "authorization", &format!("Bearer {token}"))
}

pub(crate) fn form(url: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .expect("a request")
}

pub(crate) fn post_json(url: &str, fields: &Value) -> Request<Body> {
    Request::post(url)
        .header("content-type", "application/json")
        .body(Body::from(fields.to_string()))
        .expect("a request")
}

/// The fields of the user's refresh grant.
pub(crate) fn refresh_fields(emulator: &Emulator) -> [(&'static str, &'static str); 4] {
    let file = emulator.credentials(&Credential::user());
    // Leaked, as tests may.
    let field =
        |name: &str| -> &'static str { file[name].as_str().expect("a field").to_owned().leak() };
    [
        ("grant_type", "refresh_token"),
        ("client_id", field("client_id")),
        ("client_secret", field("client_secret")),
        ("refresh_token", field("refresh_token")),
    ]
}

/// Signs an assertion with the key of a key file; what `claims` leave open is as it should be at
/// [`NOW`].
pub(crate) fn assertion(claims: Value) -> String {
    assertion_at(TOKEN_URI, claims)
}

pub(crate) fn assertion_at(audience: &str, claims: Value) -> String {
    let mut all = json!({ "iss": CALLER, "aud": audience, "iat": NOW, "exp": NOW + 3600 });
    for (name, value) in claims.as_object().expect("an object") {
        all[name] = value.clone();
    }
    let file = Emulator::new().credentials(&Credential::service_account());
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": file["private_key_id"] });
    sign(&header, &all, file["private_key"].as_str().expect("a key"))
}

/// Signs by RS256, with nothing of the emulator's own code.
pub(crate) fn sign(header: &Value, claims: &Value, pem: &str) -> String {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = general_purpose::STANDARD.decode(base64).expect("base64");
    let pair = ring::signature::RsaKeyPair::from_pkcs8(&der).expect("a key");
    let part = |bytes: &[u8]| general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let signed = [
        part(header.to_string().as_bytes()),
        part(claims.to_string().as_bytes()),
    ]
    .join(".");
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    pair.sign(
        &ring::signature::RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    )
    .expect("a signature");
    format!("{signed}.{}", part(&signature))
}

/// The claims of a token, unchecked.
pub(crate) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a JWT");
    let bytes = general_purpose::URL_SAFE_NO_PAD
        .decode(part)
        .expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

pub(crate) const IDENTITY: &str = "/instance/service-accounts/default/identity";

fn on_loopback(server: &Server, url: &Uri) -> Uri {
    let origin = match url.host() {
        Some(host) if host.ends_with(".run.app") => server.run_url("hello"),
        Some(host) if host.starts_with("127.") => return url.clone(),
        _ => server.origin(),
    };
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    format!("{origin}{path}").parse().expect("a URL")
}
