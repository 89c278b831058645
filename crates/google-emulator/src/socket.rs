//! A TCP connection that can be made to end in a reset.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

use std::sync::Arc;

/// Ends a connection from within one of its requests.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    reset: AtomicBool,
    broken: Notify,
}

impl Breaker {
    /// Ends the connection: by a reset, or just so.
    pub(crate) fn snap(&self, reset: bool) {
        self.reset.store(reset, Ordering::Relaxed);
        self.broken.notify_one();
    }

    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }
}

/// The server's end of a connection.
pub(crate) struct Socket {
    stream: TcpStream,
    breaker: Arc<Breaker>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, breaker: Arc<Breaker>) -> Self {
        Self { stream, breaker }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.breaker.reset.load(Ordering::Relaxed) {
            // Closing without lingering sends RST instead of FIN; where that cannot be had, the
            // client sees a hang-up, which is as much as can be done.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
