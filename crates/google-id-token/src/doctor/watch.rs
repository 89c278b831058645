//! Looks over an HTTP client's shoulder: whom it waits for, and what time they have there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, Request, header};
use bytes::Bytes;
use http_body_util::Full;
use serde::Serialize;
use tower::ServiceExt;
use tower_id_token::Clock;

use crate::HttpClient;
use crate::endpoint::shown;

/// How far this machine's clock is from another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skew {
    /// Whose `Date` it was compared with: a host.
    pub server: String,
    /// How many seconds this machine's clock is ahead; behind, where it is negative. What the
    /// answer took, and the second that a `Date` is exact to, are not counted.
    pub seconds: i64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// Requests under way, by number.
    asking: Vec<(u64, String)>,
    asked: u64,
    skew: Option<Skew>,
}

impl Watch {
    /// The same client, watched.
    pub(super) fn over(&self, http: HttpClient) -> HttpClient {
        let watch = self.clone();
        http.within(move |http| watch.around(http))
    }

    fn around(&self, http: HttpClient) -> HttpClient {
        let watch = self.clone();
        HttpClient::from_service(tower::service_fn(move |request: Request<Full<Bytes>>| {
            let service = http.service();
            let asking = watch.start(&request);
            async move {
                let host = request.uri().host().unwrap_or_default().to_owned();
                let sent = Clock::default().now();
                let answer = service.oneshot(request).await?;
                asking.watch.compare(host, sent, answer.headers());
                // The body counts too.
                Ok::<_, tower::BoxError>(answer.map(|body| Held {
                    body,
                    _asking: asking,
                }))
            }
        }))
    }

    /// Whom somebody waits for now.
    pub(super) fn waits_for(&self) -> Option<String> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.asking.last().map(|(_, whom)| whom.clone())
    }

    /// The first clock that was seen: that of whoever vouches for this process.
    pub(super) fn skew(&self) -> Option<Skew> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.skew.clone()
    }

    fn start(&self, request: &Request<Full<Bytes>>) -> Asking {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.asked += 1;
        let number = seen.asked;
        seen.asking.push((number, shown(request.uri())));
        Asking {
            watch: self.clone(),
            number,
        }
    }

    fn compare(&self, server: String, sent: SystemTime, headers: &HeaderMap) {
        let date = headers.get(header::DATE).and_then(|it| it.to_str().ok());
        let Some(theirs) = date.and_then(|it| httpdate::parse_http_date(it).ok()) else {
            return;
        };
        let received = Clock::default().now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.skew.get_or_insert_with(|| Skew {
            server,
            seconds: apart(theirs, sent, received),
        });
    }
}

/// How far this machine's clock is ahead of a time that was told between `sent` and `received`.
fn apart(theirs: SystemTime, sent: SystemTime, received: SystemTime) -> i64 {
    let seconds = |it: Duration| i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
    if let Ok(ahead) = sent.duration_since(theirs + SECOND) {
        return seconds(ahead);
    }
    if let Ok(behind) = theirs.duration_since(received) {
        return -seconds(behind);
    }
    0
}

/// A request under way, until this is dropped.
struct Asking {
    watch: Watch,
    number: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut seen = self.watch.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.asking.retain(|(number, _)| *number != self.number);
    }
}

/// A body whose request is under way until all of it is there.
struct Held {
    body: crate::http::Body,
    _asking: Asking,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = tower::BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, tower::BoxError>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// What a `Date` is exact to.
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_as_far_apart_as_no_delay_can_explain() {
        let at = |seconds: f64| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds);
        for (theirs, sent, received, seconds) in [
            (100.0, 100.2, 100.3, 0),
            (100.0, 100.9, 109.0, 0),
            (103.0, 100.0, 104.0, 0),
            (100.0, 701.0, 702.0, 600),
            (700.0, 99.0, 100.0, -600),
        ] {
            assert_eq!(apart(at(theirs), at(sent), at(received)), seconds);
        }
    }
}
