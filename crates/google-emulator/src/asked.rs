//! One request to Google's APIs, read to its end.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use http::{HeaderMap, header, request::Parts, uri::Authority};
use serde_json::{Map, Value};

/// A request's head, its query and its body, taken apart once.
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    query: BTreeMap<String, String>,
    /// A form's or a JSON object's members; none where the body is neither.
    pub(crate) fields: Option<Value>,
}

impl Asked {
    pub(crate) fn new(parts: Parts, body: &Bytes) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let fields = fields(&parts.headers, body);
        Self {
            parts,
            query,
            fields,
        }
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.as_ref()?.get(name)?.as_str()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.fields.as_ref().and_then(|fields| fields.get(name)) == Some(&Value::Bool(true))
    }

    /// The texts of a field that is a list.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let list = self
            .fields
            .as_ref()
            .and_then(|fields| fields.get(name)?.as_array());
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The URL that was asked, without its query, as far as the request tells it.
    pub(crate) fn url(&self) -> String {
        let scheme = self.parts.uri.scheme_str().unwrap_or("http");
        format!("{scheme}://{}{}", host(&self.parts), self.parts.uri.path())
    }

    /// The bearer token, if there is one.
    pub(crate) fn bearer(&self) -> Option<&str> {
        bearer(
            self.parts
                .headers
                .get(header::AUTHORIZATION)?
                .to_str()
                .ok()?,
        )
    }
}

/// The host that a request names, with its port, in lower case.
pub(crate) fn host(parts: &Parts) -> Cow<'_, str> {
    let named = parts.uri.authority().map(Authority::as_str).or_else(|| {
        parts
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
    });
    named.map_or(Cow::Borrowed(""), |host| {
        Cow::Owned(host.to_ascii_lowercase())
    })
}

/// What follows the scheme `Bearer`, if that is the scheme.
pub(crate) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn fields(headers: &HeaderMap, body: &Bytes) -> Option<Value> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = content_type.split(';').next()?.trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" => serde_json::from_slice(body).ok().filter(Value::is_object),
        "application/x-www-form-urlencoded" => {
            let pairs = form_urlencoded::parse(body).into_owned();
            Some(Value::Object(
                pairs
                    .map(|(k, v)| (k, Value::from(v)))
                    .collect::<Map<_, _>>(),
            ))
        }
        _ => None,
    }
}
