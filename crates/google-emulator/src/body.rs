//! The body of the emulator's requests and answers, the broken ones included.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

/// A stream of bytes, with trailers where the sender has some.
///
/// Its error is the connection's: a body that was cut short ends in
/// [`io::ErrorKind::UnexpectedEof`].
pub struct Body(Kind);

enum Kind {
    Full(Option<Bytes>),
    Stream(UnsyncBoxBody<Bytes, io::Error>),
    Half(Half),
    Endless(u32),
}

enum Half {
    Send(Bytes),
    Flush,
    Cut,
}

impl Body {
    /// Wraps any body.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self(Kind::Stream(body.map_err(io::Error::other).boxed_unsync()))
    }

    /// No bytes at all.
    pub fn empty() -> Self {
        Self(Kind::Full(None))
    }

    /// Sends `bytes`, lets them reach the wire, then fails.
    pub(crate) fn half(bytes: Bytes) -> Self {
        Self(Kind::Half(Half::Send(bytes)))
    }

    /// Sends until nobody listens any more.
    pub(crate) fn endless() -> Self {
        Self(Kind::Endless(0))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self(Kind::Full((!bytes.is_empty()).then_some(bytes)))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.get_mut().0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(stream) => Pin::new(stream).poll_frame(cx),
            Kind::Half(half) => half.poll(cx),
            Kind::Endless(sent) => {
                *sent = sent.wrapping_add(1);
                if sent.is_multiple_of(PAUSE_EVERY) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Stream(stream) => stream.is_end_stream(),
            Kind::Half(_) | Kind::Endless(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Stream(stream) => stream.size_hint(),
            Kind::Half(_) | Kind::Endless(_) => SizeHint::default(),
        }
    }
}

impl Half {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match std::mem::replace(self, Half::Cut) {
            Half::Send(bytes) => {
                *self = Half::Flush;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            // A server flushes what it has when the body has nothing for it.
            Half::Flush => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Half::Cut => {
                let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut short");
                Poll::Ready(Some(Err(cut)))
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body { .. }")
    }
}

static CHUNK: [u8; 16 * 1024] = [b' '; 16 * 1024];

/// An endless body lets others run now and then.
const PAUSE_EVERY: u32 = 16;
