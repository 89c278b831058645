//! The faults that are set: for each request the oldest that fits and has turns left.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use http_body_util::{BodyExt, Limited};
use serde_json::json;

use crate::{
    answer::{self, Answer},
    body::Body,
    endpoint::Endpoint,
    fault::{Fault, Kind},
};

#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<(Endpoint, Fault)>>);

impl Faults {
    pub(crate) fn set(&self, endpoint: Endpoint, fault: Fault) {
        self.lock().push((endpoint, fault));
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn next(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut faults = self.lock();
        let mut found = None;
        faults.retain_mut(|(at, fault)| {
            if found.is_some() || !at.covers(endpoint) {
                return true;
            }
            let live = fault.take_turn();
            if live {
                found = Some(fault.clone());
            }
            live
        });
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Endpoint, Fault)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a fault makes of the usual answer.
pub(crate) async fn spoil(kind: &Kind, usual: Answer) -> Answer {
    match kind {
        Kind::Half => half(usual).await,
        Kind::Endless => {
            let (mut parts, _) = usual.into_parts();
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::endless())
        }
        Kind::Header(name, value) => with_header(usual, name, value.as_ref()),
        _ => usual,
    }
}

/// The answer of a fault that asks nobody.
pub(crate) fn own_answer(endpoint: Endpoint, kind: &Kind) -> Option<Answer> {
    let Kind::Answer {
        status,
        headers,
        body,
    } = kind
    else {
        return None;
    };
    let mut answer = match body {
        None => default_error(endpoint, *status),
        Some(body) => {
            let mut answer = default_error(endpoint, *status);
            *answer.body_mut() = Body::from(body.clone());
            answer
        }
    };
    answer.headers_mut().extend(headers.clone());
    // A `server` header of its own marks the answer of a stranger in Google's place.
    if endpoint.is_metadata() && !headers.contains_key(header::SERVER) {
        answer
            .headers_mut()
            .insert("metadata-flavor", HeaderValue::from_static("Google"));
    }
    Some(answer)
}

fn default_error(endpoint: Endpoint, status: u16) -> Answer {
    match endpoint {
        Endpoint::Token | Endpoint::Sts | Endpoint::StsRefresh => {
            *answer::oauth_error(status, "internal_failure", "A fault was set.")
        }
        Endpoint::Run => answer::html(status, "<html><head><title>Error</title></head></html>"),
        _ if endpoint.is_metadata() => answer::text(status, "a fault was set"),
        _ => {
            let error =
                json!({ "code": status, "message": "A fault was set.", "status": "UNKNOWN" });
            answer::json(status, &json!({ "error": error }))
        }
    }
}

async fn half(usual: Answer) -> Answer {
    let (mut parts, body) = usual.into_parts();
    let whole = match Limited::new(body, LARGEST_TO_HALVE).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::from_static(b"<html>"),
    };
    parts.headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(whole.len().max(1)),
    );
    Response::from_parts(parts, Body::half(whole.slice(..whole.len() / 2)))
}

fn with_header(mut usual: Answer, name: &HeaderName, value: Option<&HeaderValue>) -> Answer {
    match value {
        Some(value) => usual.headers_mut().insert(name, value.clone()),
        None => usual.headers_mut().remove(name),
    };
    usual
}

const LARGEST_TO_HALVE: usize = 16 * 1024 * 1024;
