//! What requests carry on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
#[cfg(feature = "inbound")]
use google_id_token::verify::IdentityHeaders;
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::headers::SERVERLESS;

/// The caller's body, or none where a request is sent a second time. Some servers make headers of
/// trailers, so none has credentials in it (RFC 9110, section 6.5.1).
#[derive(Debug)]
pub(crate) enum RequestBody {
    Caller(Incoming),
    /// The caller's, with trailers that name nobody: some servers make headers of them.
    #[cfg(feature = "inbound")]
    Screened(Incoming, IdentityHeaders),
    Empty,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Caller(body) => {
                let mut frame = Pin::new(body).poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &mut frame
                    && let Some(trailers) = frame.trailers_mut()
                {
                    for name in [AUTHORIZATION, PROXY_AUTHORIZATION, SERVERLESS] {
                        trailers.remove(name);
                    }
                }
                frame
            }
            #[cfg(feature = "inbound")]
            Self::Screened(body, identity) => {
                let mut frame = Pin::new(body).poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &mut frame
                    && let Some(trailers) = frame.trailers_mut()
                {
                    identity.strip(trailers);
                }
                frame
            }
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Caller(body) => body.is_end_stream(),
            #[cfg(feature = "inbound")]
            Self::Screened(body, _) => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Caller(body) => body.size_hint(),
            #[cfg(feature = "inbound")]
            Self::Screened(body, _) => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}
