//! The one place where requests are made: time-outs, retries, limits, and what failures mean.

mod answer;
mod call;
mod client;
mod erased;
mod failure;
mod mutual;
mod pace;
mod redact;
mod refusal;
mod roots;
mod route;

use ::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;
use tower::ServiceExt;
use tower_id_token::{ErrorKind, SourceError};

pub(crate) use self::answer::Answer;
pub(crate) use self::call::Call;
pub(crate) use self::erased::Body;
pub use self::erased::HttpClient;
pub(crate) use self::failure::Failure;
pub(crate) use self::pace::deadline;
pub(crate) use self::redact::fit_for_message;
pub(crate) use self::refusal::Refusal;

use self::pace::Pace;
use crate::endpoint::shown;

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
        Ok(Answer::new(call, parts.headers, body))
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
