//! A cache as one task reads it: with the table at hand that it saw last.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use super::table::Table;
use super::{AsKey, Cache, Key, Lookup};
use crate::Expires;

/// A [`Cache`] for a reader that can be changed: a look-up that hits compares one number to see
/// that its table is the latest, and writes to nothing that other readers read.
pub(crate) struct Reader<K, V> {
    cache: Cache<K, V>,
    table: Arc<Table<K, V>>,
    version: u64,
}

impl<K: Key, V> Reader<K, V>
where
    V: Expires + Clone + Send + Sync + 'static,
{
    /// The value, where it is there and not due for anything.
    #[inline(always)]
    pub(crate) fn fresh<Q: AsKey<K>>(&mut self, key: &Q) -> Option<&V> {
        let shared = &self.cache.shared;
        let latest = shared.version.load(Acquire);
        if self.version != latest {
            self.reload(latest);
        }
        let now = self.cache.shared.clock.now_ms();
        self.table.fresh(key, now)
    }

    /// The value, however long it takes.
    pub(crate) fn lookup<Q: AsKey<K>>(&self, key: &Q) -> Lookup<V> {
        self.cache.lookup(key)
    }
}

impl<K, V> Reader<K, V> {
    pub(crate) fn new(cache: Cache<K, V>) -> Self {
        let version = cache.shared.version.load(Acquire);
        Self {
            table: cache.shared.table.load_full(),
            cache,
            version,
        }
    }

    #[cold]
    fn reload(&mut self, latest: u64) {
        // The version was read first: a table stored since is loaded once more at worst.
        self.version = latest;
        self.table = self.cache.shared.table.load_full();
    }
}

impl<K, V> Clone for Reader<K, V> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            table: Arc::clone(&self.table),
            version: self.version,
        }
    }
}

impl<K, V> fmt::Debug for Reader<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cache, f)
    }
}
