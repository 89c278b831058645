//! The one place where requests are made: time-outs, retries, limits, and what failures mean.

mod client;
mod erased;
mod redact;
mod refusal;
mod retry;

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use tower::ServiceExt;
use tower_id_token::{ErrorKind, SourceError};

pub use self::erased::HttpClient;
pub(crate) use self::refusal::Refusal;
pub(crate) use self::retry::{Failure, deadline};

use self::retry::Pace;
use crate::endpoint::shown;

/// A request to one of Google's endpoints, as often as it takes.
pub(crate) struct Call {
    /// Who is asked, in words: "the token endpoint".
    pub(crate) whom: &'static str,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What must not come back in any message.
    pub(crate) secrets: Vec<String>,
    /// When the answer is of no use any more.
    pub(crate) deadline: Instant,
}

/// An answer that is whole, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    whom: &'static str,
    uri: Uri,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

impl Call {
    pub(crate) fn get(whom: &'static str, uri: Uri, deadline: Instant) -> Self {
        Self {
            whom,
            method: Method::GET,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            secrets: Vec::new(),
            deadline,
        }
    }

    /// A form is posted (RFC 6749, appendix B).
    pub(crate) fn form(
        whom: &'static str,
        uri: Uri,
        fields: &[(&str, &str)],
        deadline: Instant,
    ) -> Self {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        Self {
            method: Method::POST,
            body: form.into(),
            ..Self::get(whom, uri, deadline)
        }
        .header(header::CONTENT_TYPE, form_type)
    }

    /// JSON is posted.
    pub(crate) fn json(whom: &'static str, uri: Uri, body: &Value, deadline: Instant) -> Self {
        Self {
            method: Method::POST,
            body: body.to_string().into(),
            ..Self::get(whom, uri, deadline)
        }
        .header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        request
    }
}

impl HttpClient {
    /// Asks until there is an answer of 2xx, or one that asking again would not better.
    ///
    /// `advise` says what a refusal means at this endpoint, and what to do about it.
    pub(crate) async fn ask(
        &self,
        call: Call,
        advise: impl FnOnce(&Refusal) -> Option<(ErrorKind, String)>,
    ) -> Result<Answer, SourceError> {
        let mut pace = Pace::new(call.deadline);
        loop {
            let limit = pace.start();
            tracing::debug!(
                method = %call.method,
                url = %shown(&call.uri),
                attempt = pace.attempts(),
                "asking {}",
                call.whom,
            );
            let failure = match timeout(limit, self.attempt(&call)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_elapsed) => Failure::silence(limit),
            };
            tracing::debug!(url = %shown(&call.uri), failure = %failure.told(), "no answer to use");
            if failure.may_pass()
                && let Some(wait) = pace.next(failure.retry_after())
            {
                tokio::time::sleep(wait).await;
                continue;
            }
            return Err(failure.into_error(&call, &pace, advise));
        }
    }

    /// One request, with no second try and no time-out.
    async fn attempt(&self, call: &Call) -> Result<Answer, Failure> {
        let (parts, body) = self
            .send(call.request())
            .await
            .map_err(Failure::transport)?
            .into_parts();
        let body = body.collect().await.map_err(Failure::body)?.to_bytes();
        if !parts.status.is_success() {
            return Err(Failure::Refused(Refusal::read(
                parts.status,
                parts.headers,
                &body,
                &call.secrets,
            )));
        }
        Ok(Answer {
            whom: call.whom,
            uri: call.uri.clone(),
            headers: parts.headers,
            body,
        })
    }

    /// One request, for those who have their own idea of time: is there anybody?
    pub(crate) async fn probe(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap), Failure> {
        let answer: Response<_> = self.send(request).await.map_err(Failure::transport)?;
        Ok((answer.status(), answer.headers().clone()))
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<erased::Body>, tower::BoxError> {
        self.service().oneshot(request).await
    }
}

impl Answer {
    /// The body as text, without the white space around it.
    pub(crate) fn text(&self) -> Result<&str, SourceError> {
        std::str::from_utf8(&self.body)
            .map(str::trim)
            .map_err(|_| self.malformed("something that is no text"))
    }

    /// The body as a JSON object.
    pub(crate) fn json(&self) -> Result<Map<String, Value>, SourceError> {
        // serde's own message could quote what is in there.
        serde_json::from_slice(&self.body).map_err(|error| {
            let start = self.body.trim_ascii_start().first();
            self.malformed(match start {
                None => "nothing",
                Some(b'<') => "a page of HTML where JSON should be",
                Some(_) if error.is_eof() => "half a JSON document",
                Some(_) => "something that is no JSON object",
            })
        })
    }

    /// A text in the JSON body that has to be there.
    pub(crate) fn field(&self, name: &str) -> Result<String, SourceError> {
        match self.json()?.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(self.malformed(&format!("JSON without a text at `{name}`"))),
        }
    }

    /// An error for an answer that has the right status and the wrong content.
    pub(crate) fn malformed(&self, what: &str) -> SourceError {
        let message = format!("{} at {} answered with {what}", self.whom, shown(&self.uri));
        SourceError::new(ErrorKind::Malformed, message)
    }

    /// The same error, for content that another file has found wrong.
    pub(crate) fn spoiled(&self, error: &SourceError) -> SourceError {
        let message = format!(
            "{} at {} gave an answer that is of no use: {error}",
            self.whom,
            shown(&self.uri)
        );
        SourceError::new(error.kind(), message)
    }
}

const USER_AGENT: &str = concat!("google-id-token/", env!("CARGO_PKG_VERSION"));
