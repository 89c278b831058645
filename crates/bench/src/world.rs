//! The token endpoint: an emulated Google on loopback, in a thread of its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use google_emulator::{Builder, Emulator, Endpoint, Server};
use tokio::runtime;
use tokio::sync::oneshot;

use crate::clock;

/// An emulator that serves until this is dropped, and remembers when it was asked.
#[derive(Debug)]
pub struct World {
    /// Where faults are set and counts are read.
    pub emulator: Emulator,
    /// Where it is.
    pub server: Server,
    asked: Arc<Mutex<Vec<Instant>>>,
    _thread: oneshot::Sender<()>,
}

impl World {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// Those of the operating system, out of threads or ports.
    pub fn start(builder: Builder) -> io::Result<Self> {
        let emulator = builder.build();
        let asked = Arc::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        // Signing takes a while: not on the workers whose stalls are measured.
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (there, times) = (emulator.clone(), Arc::clone(&asked));
        thread::Builder::new()
            .name("emulator".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let server = there.serve().await;
                    tokio::spawn(remember(there, times));
                    let _ = ready.send(server);
                    // An error is the other end being dropped, which means the same.
                    let _ = stopped.await;
                });
            })?;
        let server = started.recv().map_err(io::Error::other)??;
        Ok(Self {
            emulator,
            server,
            asked,
            _thread: stop,
        })
    }

    /// How many ID tokens the metadata server was asked for since, and how close to each other the
    /// closest two were.
    pub fn fetches(&self, since: Instant) -> Fetches {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times: Vec<_> = asked.iter().filter(|&&at| at >= since).collect();
        let apart = times
            .windows(2)
            .map(|pair| pair[1].duration_since(*pair[0]))
            .min();
        Fetches {
            count: times.len(),
            apart,
        }
    }
}

/// What a token endpoint saw.
#[derive(Clone, Copy, Debug)]
pub struct Fetches {
    /// How many requests.
    pub count: usize,
    /// The least time between two of them.
    pub apart: Option<Duration>,
}

async fn remember(emulator: Emulator, times: Arc<Mutex<Vec<Instant>>>) {
    let journal = emulator.journal();
    let mut seen = 0;
    loop {
        journal.asked(Endpoint::MetadataIdentity, seen + 1).await;
        let count = journal.count(Endpoint::MetadataIdentity);
        let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
        times.extend((seen..count).map(|_| clock::now()));
        seen = count;
    }
}
