//! One request in the journal; secrets are dropped before they get here.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, Method, Version, header, request::Parts};
use serde_json::Value;

use crate::{endpoint::Endpoint, jws};

/// One request and the status of its answer.
///
/// Credentials never get in: of an authorization header stays the scheme, of an assertion the
/// claims, of other secret fields the name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// Where it went.
    pub endpoint: Endpoint,
    /// The Cloud Run service, where it went to one.
    pub service: Option<String>,
    /// The request's method.
    pub method: Method,
    /// The request's HTTP version.
    pub version: Version,
    /// The host, with its port, as the client named it.
    pub host: String,
    /// The path, as the client wrote it.
    pub path: String,
    /// The query's parameters; values of parameters that Google does not define are withheld.
    pub query: BTreeMap<String, String>,
    /// The headers that matter here.
    pub headers: BTreeMap<String, String>,
    /// The members of a form or a JSON object.
    pub fields: BTreeMap<String, Value>,
    /// The claims of the assertion, or of the token that a Cloud Run service was shown.
    pub claims: Option<Value>,
    /// The e-mail of the caller, once that is established.
    pub caller: Option<String>,
    /// The status answered; none while there is no answer, or where there never was one.
    pub status: Option<u16>,
    /// Whether a fault was at work.
    pub fault: bool,
}

impl Entry {
    /// The value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The value of a field that is text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// One claim of the assertion or the token.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.as_ref()?.get(name)
    }

    pub(crate) fn new(endpoint: Endpoint, host: &str, parts: &Parts) -> Self {
        Self {
            endpoint,
            service: None,
            method: parts.method.clone(),
            version: parts.version,
            host: host.to_owned(),
            path: parts.uri.path().to_owned(),
            query: query(parts.uri.query().unwrap_or_default()),
            headers: headers(&parts.headers),
            fields: BTreeMap::new(),
            claims: None,
            caller: None,
            status: None,
            fault: false,
        }
    }

    /// Takes over a body's fields, and the claims of the assertion among them.
    pub(crate) fn with_fields(mut self, fields: &Value) -> Self {
        for (name, value) in fields.as_object().into_iter().flatten() {
            if name == "assertion" {
                self.claims = value.as_str().and_then(jws::unchecked_claims);
            }
            let harmless = HARMLESS.contains(&name.as_str());
            let shown = if harmless {
                value.clone()
            } else {
                Value::from(WITHHELD)
            };
            self.fields.insert(name.clone(), shown);
        }
        self
    }
}

fn query(query: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| {
            let harmless = HARMLESS.contains(&name.as_ref());
            let shown = if harmless {
                value.into_owned()
            } else {
                WITHHELD.to_owned()
            };
            (name.into_owned(), shown)
        })
        .collect()
}

fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
    let plain = PLAIN_HEADERS
        .into_iter()
        .filter_map(|name| Some((name.to_string(), text(&name)?)));
    let secret = SECRET_HEADERS.into_iter().filter_map(|name| {
        let value = headers.get(&name)?.as_bytes();
        let scheme = match value.iter().position(|&byte| byte == b' ') {
            Some(end) => String::from_utf8_lossy(&value[..end]) + " ",
            None => "".into(),
        };
        Some((name.to_string(), format!("{scheme}{WITHHELD}")))
    });
    plain.chain(secret).collect()
}

const WITHHELD: &str = "(withheld)";

const PLAIN_HEADERS: [HeaderName; 11] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    header::HOST,
    HeaderName::from_static("metadata"),
    HeaderName::from_static("metadata-flavor"),
    HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-goog-api-client"),
    HeaderName::from_static("x-goog-user-project"),
    HeaderName::from_static("x-allowed-locations"),
];

const SECRET_HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("x-aws-ec2-metadata-token"),
    HeaderName::from_static("x-serverless-authorization"),
];

/// Fields and parameters that Google defines and that hold no secret.
const HARMLESS: [&str; 22] = [
    "alt",
    "api-version",
    "audience",
    "client_id",
    "delegates",
    "format",
    "grant_type",
    "includeEmail",
    "licenses",
    "lifetime",
    "organizationNumberIncluded",
    "options",
    "payload",
    "recursive",
    "requested_token_type",
    "resource",
    "scope",
    "scopes",
    "subject_token_type",
    "target_audience",
    "useEmailAzp",
    "wait_for_change",
];
