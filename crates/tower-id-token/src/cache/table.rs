//! The values that live now: an immutable map that readers share and writers replace.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustc_hash::FxBuildHasher;

use super::pace::Life;
use super::{AsKey, Key};
use crate::probed::Probed;

pub(crate) struct Table<K, V> {
    entries: Probed<K, Arc<Entry<V>>>,
}

/// One value, with what a look-up has to know of it. All times are wall-clock milliseconds.
pub(crate) struct Entry<V> {
    pub(crate) value: V,
    pub(crate) fetched_at: u64,
    pub(crate) dead_at: u64,
    /// The next look-up at or after this goes the slow way: a refresh is due, or it is dead. So
    /// one comparison answers both; never later than `dead_at`.
    refresh_at: AtomicU64,
    used_at: AtomicU64,
}

#[derive(Clone, Copy)]
pub(crate) struct Age {
    pub(crate) whole: Duration,
    pub(crate) dead: Duration,
}

impl<K: Key, V> Table<K, V> {
    /// The value, unless it is due for anything.
    #[inline(always)]
    pub(crate) fn fresh<Q: AsKey<K>>(&self, key: &Q, now: u64) -> Option<&Arc<Entry<V>>> {
        self.find(key).filter(|entry| entry.fresh(now).is_some())
    }

    pub(crate) fn entry(&self, key: &K) -> Option<&Arc<Entry<V>>> {
        self.find(key)
    }

    #[inline]
    fn find<Q: AsKey<K>>(&self, key: &Q) -> Option<&Arc<Entry<V>>> {
        self.entries.find(hash(key), |other| key.is(other))
    }

    /// A copy with one entry more, and at most `capacity` in all.
    pub(crate) fn with(&self, key: K, entry: Entry<V>, capacity: usize) -> Self {
        let now = entry.fetched_at;
        let mut others: Vec<_> = self
            .entries
            .iter()
            .filter(|(other, _)| **other != key)
            .collect();
        if others.len() >= capacity {
            others.retain(|(_, entry)| now < entry.dead_at);
        }
        if others.len() >= capacity {
            let oldest = (0..others.len()).min_by_key(|&at| others[at].1.used_at.load(Relaxed));
            oldest.map(|oldest| others.swap_remove(oldest));
        }
        let mut entries = Probed::default();
        for (key, entry) in others {
            entries.insert(hash(key), key.clone(), Arc::clone(entry));
        }
        entries.insert(hash(&key), key, Arc::new(entry));
        Self { entries }
    }
}

impl<K, V> Table<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            entries: Probed::default(),
        }
    }
}

impl<V> Entry<V> {
    pub(crate) fn new(value: V, now: u64, life: Life) -> Self {
        Self {
            value,
            fetched_at: now,
            dead_at: life.dead_at,
            refresh_at: AtomicU64::new(life.refresh_at),
            used_at: AtomicU64::new(now),
        }
    }

    /// How long ago it was fetched, and how long ago it died.
    pub(crate) fn age(&self, now: u64) -> Age {
        let since = |then| Duration::from_millis(now.saturating_sub(then));
        Age {
            whole: since(self.fetched_at),
            dead: since(self.dead_at),
        }
    }

    /// The value, unless it is due for anything.
    #[inline(always)]
    pub(crate) fn fresh(&self, now: u64) -> Option<&V> {
        (!self.is_due(now)).then(|| {
            self.touch(now);
            &self.value
        })
    }

    #[inline]
    pub(crate) fn is_due(&self, now: u64) -> bool {
        now >= self.refresh_at.load(Relaxed)
    }

    /// The next refresh is due at this time.
    pub(crate) fn set_due(&self, at: u64) {
        self.refresh_at.store(at.min(self.dead_at), Relaxed);
    }

    /// There is a newer one: whoever still has this at hand looks again.
    pub(crate) fn retire(&self) {
        self.set_due(0);
    }

    /// Remembers that it was used, to the second: a store for every hit would make all cores
    /// fight for one cache line.
    #[inline]
    pub(crate) fn touch(&self, now: u64) {
        if now.wrapping_sub(self.used_at.load(Relaxed)) >= 1000 {
            self.used_at.store(now, Relaxed);
        }
    }
}

#[inline]
fn hash<Q: Hash>(key: &Q) -> u64 {
    FxBuildHasher.hash_one(key)
}
