//! What is asked of an endpoint.

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::Value;
use tokio::time::Instant;

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

    /// Nothing is put (RFC 9110, section 9.3.4).
    pub(crate) fn put(whom: &'static str, uri: Uri, deadline: Instant) -> Self {
        Self {
            method: Method::PUT,
            ..Self::get(whom, uri, deadline)
        }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    pub(super) fn request(&self) -> Request<Full<Bytes>> {
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

const USER_AGENT: &str = concat!("google-id-token/", env!("CARGO_PKG_VERSION"));
