//! `envoy.service.auth.v3.Authorization`.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc;
use google_id_token::SourceError;
use http::{HeaderName, StatusCode};
use tonic::{Code, Request, Response, Status};

use super::{Asked, Authz, Verdict};
use crate::proxy::{RETRY, chain, seconds};

#[tonic::async_trait]
impl Authorization for Authz {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner();
        let http = request
            .attributes
            .and_then(|attributes| attributes.request)
            .and_then(|request| request.http);
        let Some(http) = http else {
            return Ok(Response::new(self.denied(
                StatusCode::FORBIDDEN,
                Code::PermissionDenied,
                "bad-host",
                "the check tells of no HTTP request".to_owned(),
                None,
            )));
        };
        let asked = Asked {
            host: &http.host,
            path: &http.path,
            authorization: http.headers.contains_key("authorization"),
        };
        Ok(Response::new(match self.judge(asked).await {
            Verdict::Token { token, set, remove } => {
                self.counters.answered(StatusCode::OK);
                // Its own `to_str` looks at the letters one by one.
                let value = str::from_utf8(token.header().as_bytes()).unwrap_or_default();
                allowed(OkHttpResponse {
                    headers: set.iter().map(|name| header(name, value)).collect(),
                    headers_to_remove: remove.iter().map(ToString::to_string).collect(),
                    ..OkHttpResponse::default()
                })
            }
            Verdict::Pass => {
                self.counters.answered(StatusCode::OK);
                allowed(OkHttpResponse::default())
            }
            Verdict::Refuse(why) => self.denied(
                StatusCode::FORBIDDEN,
                Code::PermissionDenied,
                "misdirected",
                why,
                None,
            ),
            Verdict::NoToken(error) => self.no_token(&error),
        }))
    }
}

impl Authz {
    fn no_token(&self, error: &SourceError) -> CheckResponse {
        let code = if super::may_pass(error) {
            Code::Unavailable
        } else {
            Code::PermissionDenied
        };
        let wait = seconds(error.retry_after().unwrap_or(RETRY));
        let why = format!("no ID token, so the request was not sent: {}", chain(error));
        let wait = header(&http::header::RETRY_AFTER, &wait.to_string());
        self.denied(
            StatusCode::SERVICE_UNAVAILABLE,
            code,
            "no-token",
            why,
            Some(wait),
        )
    }

    fn denied(
        &self,
        status: StatusCode,
        code: Code,
        reason: &'static str,
        why: String,
        extra: Option<HeaderValueOption>,
    ) -> CheckResponse {
        self.counters.answered(status);
        self.counters.failed(reason);
        tracing::warn!(reason, why, "refused");
        let plain = header(&http::header::CONTENT_TYPE, "text/plain; charset=utf-8");
        let denied = DeniedHttpResponse {
            status: Some(HttpStatus {
                code: i32::from(status.as_u16()),
            }),
            headers: extra.into_iter().chain([plain]).collect(),
            body: why + "\n",
        };
        CheckResponse {
            status: Some(rpc::Status {
                code: code as i32,
                ..rpc::Status::default()
            }),
            http_response: Some(HttpResponse::DeniedResponse(denied)),
            ..CheckResponse::default()
        }
    }
}

fn allowed(ok: OkHttpResponse) -> CheckResponse {
    CheckResponse {
        status: Some(rpc::Status::default()),
        http_response: Some(HttpResponse::OkResponse(ok)),
        ..CheckResponse::default()
    }
}

fn header(name: &HeaderName, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.as_str().to_owned(),
            value: value.to_owned(),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..HeaderValueOption::default()
    }
}
