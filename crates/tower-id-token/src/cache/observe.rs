//! Telling one listener how each fetch ended: for metrics, and for pushing a value on.

use std::sync::OnceLock;

use super::{Cache, Key};
use crate::{Expires, SourceError};

type Observer<K, V> = Box<dyn Fn(&K, Result<&V, &SourceError>) + Send + Sync>;

/// The listener of a cache, if it has one.
pub(super) struct Observers<K, V>(OnceLock<Observer<K, V>>);

impl<K, V> Observers<K, V> {
    pub(super) fn tell(&self, key: &K, outcome: Result<&V, &SourceError>) {
        if let Some(observer) = self.0.get() {
            observer(key, outcome);
        }
    }
}

impl<K, V> Default for Observers<K, V> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<K, V> Cache<K, V>
where
    K: Key,
    V: Expires + Clone + Send + Sync + 'static,
{
    /// Calls this with the outcome of every fetch from now on: the value that the cache then
    /// holds, or why there is no new one.
    ///
    /// A fetch ends some ten times in an hour at the most, so requests pay nothing for it. The
    /// observer runs in the fetch's task, before those who wait for it are told: it should be
    /// quick, and can look the key up in the cache. A cache has one observer; false where it
    /// already had one, which then stays.
    ///
    /// ```
    /// # use tower_id_token::{Audience, Cache, IdToken};
    /// # fn example(tokens: Cache<Audience, IdToken>) {
    /// tokens.observe(|audience, outcome| match outcome {
    ///     Ok(_token) => println!("fetched a token for {audience}"),
    ///     Err(error) => println!("no new token for {audience}: {error}"),
    /// });
    /// # }
    /// ```
    pub fn observe(
        &self,
        observer: impl Fn(&K, Result<&V, &SourceError>) + Send + Sync + 'static,
    ) -> bool {
        self.shared.observers.0.set(Box::new(observer)).is_ok()
    }
}
