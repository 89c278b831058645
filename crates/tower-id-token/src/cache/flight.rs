//! One fetch, in a task of its own, that always comes back somehow.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::state::lock;
use super::{Key, Shared};
use crate::{ErrorKind, Expires, SourceError};

/// A fetch under way. Dropped before it has landed, it reports that too: by a panic of the
/// source, or because the runtime that it ran in is gone.
pub(super) struct Flight<K: Key, V>
where
    V: Expires + Clone + Send + Sync + 'static,
{
    shared: Arc<Shared<K, V>>,
    key: K,
    after: Duration,
    landed: bool,
}

impl<K: Key, V> Flight<K, V>
where
    V: Expires + Clone + Send + Sync + 'static,
{
    pub(super) fn new(shared: Arc<Shared<K, V>>, key: K, after: Duration) -> Self {
        Self {
            shared,
            key,
            after,
            landed: false,
        }
    }

    pub(super) async fn run(mut self) {
        if !self.after.is_zero() {
            sleep(self.after).await;
        }
        tracing::debug!(key = ?self.key, "fetching a token");
        let deadline = self.shared.deadline;
        let source = lock(&self.shared.source).clone();
        let result = match timeout(deadline, source.oneshot(self.key.clone())).await {
            Ok(result) => result,
            Err(_elapsed) => Err(SourceError::new(
                ErrorKind::Unavailable,
                format!(
                    "the token source did not answer within {} s",
                    deadline.as_secs_f32()
                ),
            )),
        };
        self.landed = true;
        self.shared.land(&self.key, result);
    }
}

impl<K: Key, V> Drop for Flight<K, V>
where
    V: Expires + Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        if std::thread::panicking() {
            let error = SourceError::new(ErrorKind::Unavailable, "the token source panicked");
            self.shared.land(&self.key, Err(error));
        } else {
            self.shared.forget(&self.key);
        }
    }
}
