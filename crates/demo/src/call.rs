//! One call: credentials, token, request, answer.

use std::error::Error;
use std::fmt;

use google_id_token::{Audience, Builder, Claims, Credentials, Kind, RequestAudience, SourceError};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;
use tower::{BoxError, ServiceExt};

use crate::args::{Call, Token};
use crate::client::{Body, client};
use crate::hint;

/// What came back from a call that went well.
#[derive(Debug)]
pub(crate) struct Reply {
    credentials: String,
    audience: Audience,
    status: StatusCode,
    content: String,
}

/// What went wrong and what to do about it, for stderr.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// Calls the service that the command line names.
pub(crate) async fn run(call: Call) -> Result<(), Failure> {
    let url = call.url.clone().unwrap_or_default();
    let reply = exchange(&call, &url, call.who.builder()).await?;
    println!("{reply}\n");
    print(&reply);
    Ok(())
}

/// Prints a token, and nothing else.
pub(crate) async fn print_token(token: Token) -> Result<(), Failure> {
    let fetch = async {
        let credentials = token.who.builder().build().await?;
        warn_of_user(&credentials);
        credentials.id_tokens().get(&token.audience).await
    };
    let id_token = timeout(token.timeout, fetch)
        .await
        .map_err(|_| {
            Failure(format!(
                "❌ No token within {} s",
                token.timeout.as_secs_f32()
            ))
        })?
        .map_err(no_token)?;
    println!("{}", id_token.secret());
    Ok(())
}

/// The seed's last step: the banner, and the beginning of what the service said.
pub(crate) fn print(reply: &Reply) {
    println!("🎉 --- Response Content (First {SHOWN} chars) ---");
    println!("{}", reply.content);
}

/// Makes the call that the command line describes, to this URL.
pub(crate) async fn exchange(call: &Call, url: &Uri, builder: Builder) -> Result<Reply, Failure> {
    timeout(call.timeout, attempt(call, url, builder)).await.unwrap_or_else(|_| {
        let seconds = call.timeout.as_secs_f32();
        Err(Failure(format!(
            "❌ {url} did not answer within {seconds} s (--timeout), credentials and token included"
        )))
    })
}

async fn attempt(call: &Call, url: &Uri, builder: Builder) -> Result<Reply, Failure> {
    let credentials = builder.build().await.map_err(no_token)?;
    warn_of_user(&credentials);
    let audience = call
        .audience
        .clone()
        .or_else(|| Audience::of(url))
        .ok_or_else(|| Failure(format!("❌ {url} has no host")))?;
    let tokens = credentials.id_tokens();
    // The layer asks for it too, and finds it; asked for here, it can say whose it is.
    let token = tokens.get(&audience).await.map_err(no_token)?;
    let claims = Claims::unverified(&token).map_err(no_token)?;

    let host = url.host().unwrap_or_default();
    let client =
        client(host, tokens, call.authorization_header, call.timeout).map_err(Failure::new)?;
    let request = request(call, url, &audience)?;
    let response = client
        .oneshot(request)
        .await
        .map_err(|error| unsent(url, &*error))?;

    let status = response.status();
    // Services that echo their headers are common in demos; a token is shown by none of ours.
    let body = beginning(response.into_body())
        .await
        .replace(token.secret(), "[the token]");
    let content: String = body.chars().take(SHOWN).collect();
    if status.is_success() {
        let credentials = describe(&credentials, claims.email.as_deref());
        return Ok(Reply {
            credentials,
            audience,
            status,
            content,
        });
    }
    let who = describe(&credentials, claims.email.as_deref());
    let mut text = format!(
        "❌ {url} answered {status}\n   called by: {who}\n   token's audience: {}\n",
        claims.aud.as_deref().unwrap_or("none")
    );
    if let Some(hint) = hint::of(status, url, &audience, &claims) {
        text.push_str(&hint);
    }
    text.push_str(&format!(
        "\n--- Response Content (First {SHOWN} chars) ---\n{content}"
    ));
    Err(Failure(text))
}

fn request(call: &Call, url: &Uri, audience: &Audience) -> Result<Request<Body>, Failure> {
    let method = match (&call.method, &call.data) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let body = Body::from(call.data.clone().unwrap_or_default());
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .body(body)
        .map_err(Failure::new)?;
    for (name, value) in &call.headers {
        request.headers_mut().append(name, value.clone());
    }
    if call.audience.is_some() {
        let own = RequestAudience::new(url, audience.clone());
        request.extensions_mut().insert(own);
    }
    Ok(request)
}

/// The first few kilobytes of a body: more than enough for what is shown.
async fn beginning(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < 16 * 1024
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn describe(credentials: &Credentials, email: Option<&str>) -> String {
    let who = email
        .or(credentials.principal())
        .unwrap_or("an account without an e-mail");
    format!(
        "{who} ({}, from {})",
        credentials.kind(),
        credentials.found()
    )
}

fn warn_of_user(credentials: &Credentials) {
    if credentials.kind() == Kind::User {
        eprintln!("{}", hint::USER);
    }
}

fn no_token(error: SourceError) -> Failure {
    Failure(format!("❌ No ID token: {}", chain(&error)))
}

fn unsent(url: &Uri, error: &(dyn Error + 'static)) -> Failure {
    Failure(format!("❌ {url} could not be called: {}", chain(error)))
}

/// An error and what lies below it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

impl Failure {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(format!("❌ {}", chain(&*error.into())))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            credentials,
            audience,
            status,
            ..
        } = self;
        writeln!(f, "credentials: {credentials}")?;
        writeln!(f, "audience:    {audience}")?;
        write!(f, "status:      {status}")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const SHOWN: usize = 200;
