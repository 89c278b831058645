//! The accept loop that all servers of the sidecar share: HTTP/1.1 and h2c, until the drain.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use pin_project_lite::pin_project;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::either::Either;

use crate::drain::Drain;
use crate::listen::Listener;

/// The caller's address as `X-Forwarded-For` wants it; none on a Unix socket.
pub(crate) type Peer = Option<HeaderValue>;

/// Serves every connection with this handler, until told to `stop` listening. Each has a copy of
/// the handler of its own.
///
/// Connections that are open then go on, each with a guard of the drain.
pub(crate) async fn serve<H, F, B>(
    listener: Listener,
    handler: H,
    drain: Drain,
    mut stop: oneshot::Receiver<()>,
) where
    H: FnMut(Request<Incoming>, &Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let server = Server {
        handler,
        drain,
        http: builder(),
    };
    loop {
        tokio::select! {
            accepted = server.accept(&listener) => accepted,
            _ = &mut stop => break,
        }
    }
    // What the kernel has accepted for us already is ours to answer.
    let backlog = async {
        loop {
            server.accept(&listener).await;
        }
    };
    let Err(_elapsed) = timeout(BACKLOG, backlog).await;
}

struct Server<H> {
    handler: H,
    drain: Drain,
    http: Builder<TokioExecutor>,
}

impl<H, F, B> Server<H>
where
    H: FnMut(Request<Incoming>, &Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    async fn accept(&self, listener: &Listener) {
        let failed = match listener {
            Listener::Tcp(listener) => match listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let peer = HeaderValue::try_from(peer.ip().to_string()).ok();
                    self.spawn(Either::Left(stream), peer);
                    return;
                }
                Err(error) => error,
            },
            Listener::Unix(listener, _) => match listener.accept().await {
                Ok((stream, _)) => {
                    self.spawn(Either::Right(stream), None);
                    return;
                }
                Err(error) => error,
            },
        };
        // Out of file descriptors, most likely: let some connections end.
        tracing::warn!(error = %failed, "cannot accept a connection");
        sleep(AFTER_FAILURE).await;
    }

    /// Takes both kinds of streams as one: what is behind it would be compiled for each.
    fn spawn(&self, stream: Either<TcpStream, UnixStream>, peer: Peer) {
        let guard = self.drain.guard();
        let drain = self.drain.clone();
        let watch = drain.clone();
        // One request of a connection is handled at a time, though many may be answered.
        let handler = RefCell::new(self.handler.clone());
        let http = self.http.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| Answering {
                closes: request.version() < Version::HTTP_2,
                drain: drain.clone(),
                response: (handler.borrow_mut())(request, &peer),
            });
            let connection =
                pin!(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
            let ended = watch
                .watch(connection, |connection| connection.graceful_shutdown())
                .await;
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
            drop(guard);
        });
    }
}

pin_project! {
    /// An answer, which tells the caller to leave when the process is about to end.
    ///
    /// Not an async block: one would hold the handler's future twice over, and move it.
    struct Answering<F> {
        #[pin]
        response: F,
        drain: Drain,
        closes: bool,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        if *this.closes && this.drain.has_begun() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().entry(CONNECTION).or_insert(close);
        }
        Poll::Ready(Ok(response))
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1024)
        .keep_alive_interval(KEEP_ALIVE);
    builder
}

/// Connections that the kernel holds ready are there at once; those that come later have to find
/// another place.
const BACKLOG: Duration = Duration::from_millis(20);
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long a caller may take over the head of a request, and how long it may be idle between two.
const HEAD: Duration = Duration::from_secs(300);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
