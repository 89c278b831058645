//! What a look-up answers: the value, or a wait for it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::SourceError;

/// A cache's answer. Await it, or take the hit out of it without a future.
#[derive(Debug)]
#[must_use = "a look-up does nothing unless it is awaited or matched"]
pub enum Lookup<V> {
    /// The value was there.
    Hit(V),
    /// The value is being fetched, or cannot be had.
    Wait(Wait<V>),
}

/// A place in the queue for a value that is being fetched. Dropping it cancels nothing.
pub struct Wait<V>(Waiting<V>);

enum Waiting<V> {
    Done(Option<Result<V, SourceError>>),
    Flight(Box<Flight<V>>),
}

struct Flight<V> {
    landing: oneshot::Receiver<Result<V, SourceError>>,
    again: Box<dyn FnMut() -> Lookup<V> + Send + Sync>,
}

impl<V> Lookup<V> {
    pub(super) fn failed(error: SourceError) -> Self {
        Self::Wait(Wait(Waiting::Done(Some(Err(error)))))
    }

    /// Waits for a flight; where that is lost because its runtime went away, looks up `again`.
    pub(super) fn flight(
        landing: oneshot::Receiver<Result<V, SourceError>>,
        again: impl FnMut() -> Lookup<V> + Send + Sync + 'static,
    ) -> Self {
        Self::Wait(Wait(Waiting::Flight(Box::new(Flight {
            landing,
            again: Box::new(again),
        }))))
    }
}

// No value is ever pinned: it is handed out whole.
impl<V> Unpin for Lookup<V> {}
impl<V> Unpin for Wait<V> {}

impl<V: Clone> Future for Lookup<V> {
    type Output = Result<V, SourceError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Hit(value) => Poll::Ready(Ok(value.clone())),
            Self::Wait(wait) => Pin::new(wait).poll(cx),
        }
    }
}

impl<V> Future for Wait<V> {
    type Output = Result<V, SourceError>;

    /// # Panics
    ///
    /// When polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Waiting::Done(result) => {
                    return Poll::Ready(result.take().expect("polled after it was ready"));
                }
                Waiting::Flight(flight) => {
                    self.0 = match ready!(Pin::new(&mut flight.landing).poll(cx)) {
                        Ok(result) => Waiting::Done(Some(result)),
                        Err(_lost) => match (flight.again)() {
                            Lookup::Hit(value) => Waiting::Done(Some(Ok(value))),
                            Lookup::Wait(wait) => wait.0,
                        },
                    };
                }
            }
        }
    }
}

impl<V> fmt::Debug for Wait<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
