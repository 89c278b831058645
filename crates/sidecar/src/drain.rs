//! Ending without losing anything: who still works, and what they are told.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// The end of the process, step by step; clones share it.
///
/// 1. Serving.
/// 2. Lame duck: answers over HTTP/1 say `Connection: close`, so that callers leave of their own
///    accord. Closing an idle connection right away would race with a request on its way to it.
/// 3. Closing: connections end as soon as they have nothing left to answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    busy: AtomicUsize,
    closing: Notify,
    idle: Notify,
}

impl Drain {
    /// Whether the process is about to end.
    pub(crate) fn has_begun(&self) -> bool {
        self.shared.phase.load(Ordering::Relaxed) != SERVING
    }

    fn is_closing(&self) -> bool {
        self.shared.phase.load(Ordering::Relaxed) == CLOSING
    }

    /// Waits until connections close: what never ends by itself ends then.
    #[cfg(feature = "sds")]
    pub(crate) async fn closing(&self) {
        loop {
            let closing = self.shared.closing.notified();
            if self.is_closing() {
                return;
            }
            closing.await;
        }
    }

    /// Keeps the process alive until it is dropped, or until the deadline.
    pub(crate) fn guard(&self) -> Guard {
        self.shared.busy.fetch_add(1, Ordering::Relaxed);
        Guard(Arc::clone(&self.shared))
    }

    /// Becomes a lame duck.
    pub(crate) fn begin(&self) {
        self.shared.phase.store(LAME_DUCK, Ordering::Relaxed);
    }

    /// Goes through the steps; returns how many guards were left at the deadline.
    pub(crate) async fn run(&self, deadline: Duration) -> usize {
        self.begin();
        let ended = timeout(deadline, async {
            tokio::select! {
                () = self.idle() => return,
                () = sleep(LAME_DUCK_TIME.min(deadline / 2)) => {}
            }
            self.shared.phase.store(CLOSING, Ordering::Relaxed);
            self.shared.closing.notify_waiters();
            self.idle().await;
        });
        match ended.await {
            Ok(()) => 0,
            Err(_elapsed) => self.shared.busy.load(Ordering::Relaxed),
        }
    }

    async fn idle(&self) {
        loop {
            let idle = self.shared.idle.notified();
            if self.shared.busy.load(Ordering::Relaxed) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Drives a connection, and tells it once when it is time to close.
    ///
    /// Owned by one task, so the wake-up is registered once, and costs the many polls of a busy
    /// connection one relaxed load.
    pub(crate) async fn watch<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        close: impl Fn(Pin<&mut C>),
    ) -> C::Output {
        let mut closing = pin!(self.shared.closing.notified());
        let mut registered = false;
        let mut told = false;
        poll_fn(|cx: &mut Context<'_>| {
            if !registered {
                registered = true;
                let _: Poll<()> = closing.as_mut().poll(cx);
            }
            if !told && self.is_closing() {
                told = true;
                close(connection.as_mut());
            }
            connection.as_mut().poll(cx)
        })
        .await
    }
}

/// One that is still busy.
#[derive(Debug)]
pub(crate) struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

const SERVING: u8 = 0;
const LAME_DUCK: u8 = 1;
const CLOSING: u8 = 2;
const LAME_DUCK_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_busy_ends_at_once() {
        let drain = Drain::default();
        assert_eq!(drain.run(Duration::from_secs(25)).await, 0);
        assert!(drain.has_begun());
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_tells_how_many_were_left() {
        let drain = Drain::default();
        let _one = drain.guard();
        let two = drain.guard();
        tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            drop(two);
        });
        assert_eq!(drain.run(Duration::from_secs(25)).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watched_connection_is_told_once_and_then_driven_to_its_end() {
        let drain = Drain::default();
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let watch = drain.clone();
        let guard = drain.guard();
        tokio::spawn(async move {
            let connection = pin!(sleep(Duration::from_secs(3)));
            watch
                .watch(connection, |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                })
                .await;
            drop(guard);
        });
        assert_eq!(drain.run(Duration::from_secs(25)).await, 0);
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
