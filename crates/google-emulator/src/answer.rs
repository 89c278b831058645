//! Answers in the dialects of Google's servers: plain text, JSON, two kinds of errors, HTML.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::body::Body;

pub(crate) type Answer = Response<Body>;

/// An answer that says no, small enough to be an error.
pub(crate) type Refusal = Box<Answer>;

pub(crate) fn text(status: u16, text: impl Into<String>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", text.into())
}

pub(crate) fn html(status: u16, page: impl Into<String>) -> Answer {
    with_type(status, "text/html; charset=UTF-8", page.into())
}

pub(crate) fn json(status: u16, value: &Value) -> Answer {
    with_type(status, "application/json; charset=utf-8", value.to_string())
}

/// An error of the token endpoint (RFC 6749, section 5.2).
pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Refusal {
    Box::new(json(
        status,
        &json!({ "error": error, "error_description": description }),
    ))
}

/// An error of Google's APIs, with the `google.rpc.ErrorInfo` that names its reason.
pub(crate) fn api_error(status: ApiStatus, message: &str, reason: Option<Value>) -> Refusal {
    let (code, name) = status.parts();
    let mut error = json!({ "code": code, "message": message, "status": name });
    if let Some(reason) = reason {
        let mut info = json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo" });
        merge(&mut info, reason);
        error["details"] = json!([info]);
    }
    Box::new(json(code, &json!({ "error": error })))
}

/// The canonical error codes of Google's APIs that the emulator gives.
#[derive(Clone, Copy)]
pub(crate) enum ApiStatus {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
}

impl ApiStatus {
    fn parts(self) -> (u16, &'static str) {
        match self {
            Self::InvalidArgument => (400, "INVALID_ARGUMENT"),
            Self::Unauthenticated => (401, "UNAUTHENTICATED"),
            Self::PermissionDenied => (403, "PERMISSION_DENIED"),
            Self::NotFound => (404, "NOT_FOUND"),
        }
    }
}

/// Lays `over` over `value`; members that are null are taken out.
pub(crate) fn merge(value: &mut Value, over: Value) {
    let (Some(object), Value::Object(over)) = (value.as_object_mut(), over) else {
        return;
    };
    for (name, new) in over {
        if new.is_null() {
            object.remove(&name);
        } else {
            object.insert(name, new);
        }
    }
}

pub(crate) fn with_type(status: u16, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
