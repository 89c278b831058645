//! The container that stands behind a Cloud Run door when no other is given.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{HeaderMap, Request};
use serde_json::Value;
use tower::Service;

use crate::{
    answer::{self, Answer},
    asked,
    body::Body,
    jws,
};

/// Greets the caller by the e-mail in the token that the door has checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello;

impl Service<Request<Body>> for Hello {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let caller = caller(request.headers()).unwrap_or_else(|| "stranger".to_owned());
        ready(Ok(answer::html(
            200,
            PAGE.replace("CALLER", &escape(&caller)),
        )))
    }
}

fn caller(headers: &HeaderMap) -> Option<String> {
    let header = headers
        .get("x-serverless-authorization")
        .or(headers.get("authorization"))?;
    let claims = jws::unchecked_claims(asked::bearer(header.to_str().ok()?)?)?;
    let name = claims
        .get("email")
        .or(claims.get("sub"))
        .and_then(Value::as_str);
    name.map(str::to_owned)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Congratulations ✨ it’s running</title>
  </head>
  <body>
    <h1>Grüß Gott, CALLER – こんにちは 🎉</h1>
    <p>An emulated Cloud Run service has checked your ID token and let you in.</p>
    <p>Its signature, its audience and its expiry were all in order; nobody else gets here.</p>
  </body>
</html>
"#;
