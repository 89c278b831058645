//! One loopback listener: HTTP/1.1 and HTTP/2 in the clear, and connections that break on request.

use std::{
    future::{Future, pending},
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    answer::Answer,
    body::Body,
    door::Door,
    emulator::Emulator,
    endpoint::Host,
    socket::{Breaker, Socket},
    tls::{self, Shown},
};

/// What is behind a listener.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Google,
    /// The same, over TLS.
    GoogleByTls,
    Run(Door),
}

/// A listener and the task that serves it.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn start(
        port: u16,
        emulator: Emulator,
        place: impl FnOnce(SocketAddr) -> Place,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (stop, stopping) = watch::channel(false);
        let behind = Arc::new(Behind {
            emulator,
            place: place(address),
        });
        let task = tokio::spawn(accept(listener, behind, stopping));
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the requests under way.
    pub(crate) async fn finish(mut self) {
        // The task cannot be cancelled but by dropping self; a panic in it is none of ours.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Behind {
    emulator: Emulator,
    place: Place,
}

impl Behind {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let request = request.map(Body::new);
        match &self.place {
            Place::Google | Place::GoogleByTls => self.emulator.at_google(Host::All, request).await,
            Place::Run(door) => self.emulator.at_run(door, request).await,
        }
    }
}

async fn accept(listener: TcpListener, behind: Arc<Behind>, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            // A connection that is gone before it is accepted is not the listener's end.
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(connection(stream, behind.clone(), stopping.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, behind: Arc<Behind>, mut stopping: watch::Receiver<bool>) {
    let breaker = Arc::new(Breaker::default());
    let socket = Socket::new(stream, breaker.clone());
    if !matches!(behind.place, Place::GoogleByTls) {
        return serve(socket, Shown(None), behind, breaker, stopping).await;
    }
    // A client that does not like the certificate, or has a bad one, goes away.
    let socket = tokio::select! {
        accepted = tls::acceptor().accept(socket) => match accepted {
            Ok(socket) => socket,
            Err(_) => return,
        },
        () = stopped(&mut stopping) => return,
    };
    let certificates = socket.get_ref().1.peer_certificates();
    let shown = certificates.and_then(|certificates| Some(certificates.first()?.to_vec()));
    serve(socket, Shown(shown), behind, breaker, stopping).await;
}

async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shown: Shown,
    behind: Arc<Behind>,
    breaker: Arc<Breaker>,
    mut stopping: watch::Receiver<bool>,
) {
    let socket = TokioIo::new(socket);
    let service = service_fn(|mut request| {
        request.extensions_mut().insert(shown.clone());
        answer_or_break(&behind, &breaker, request)
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let mut serving = pin!(server.serve_connection(socket, service));
    tokio::select! {
        // However a connection ends, there is nobody left to tell.
        _ = serving.as_mut() => return,
        () = breaker.broken() => return,
        () = stopped(&mut stopping) => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = serving => {}
        () = breaker.broken() => {}
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the listener was dropped, which stops everything as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Lets an error break the connection itself rather than have hyper close it in good order.
fn answer_or_break(
    behind: &Arc<Behind>,
    breaker: &Arc<Breaker>,
    request: Request<Incoming>,
) -> impl Future<Output = io::Result<Response<Body>>> + use<> {
    let (behind, breaker) = (behind.clone(), breaker.clone());
    async move {
        match behind.answer(request).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                breaker.snap(error.kind() == io::ErrorKind::ConnectionReset);
                pending().await
            }
        }
    }
}
