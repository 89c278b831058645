//! A cache as one task reads it: with the table at hand that it saw last, and where one origin is
//! called again and again, what was found for that.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use http::HeaderValue;

use super::table::{Entry, Table};
use super::{AsKey, Cache, Key, Lookup};
use crate::{Audience, Expires, IdToken};

/// A [`Cache`] for a reader that can be changed: a look-up that hits compares one number to see
/// that its table is the latest, and writes to nothing that other readers read.
pub(crate) struct Reader<K, V> {
    cache: Cache<K, V>,
    table: Arc<Table<K, V>>,
    version: u64,
    /// Where the entry lies that was found last (nothing is read there), and how often in a row.
    last: (usize, u32),
    /// An origin that was called [often](OFTEN), and what was found for it: by https its authority,
    /// else with `http://` before that, which is no authority.
    origin: String,
    kept: Option<Kept<V>>,
}

/// An entry, with a copy of its header that no other reader has: to clone that is to count in a
/// place where nobody else counts.
struct Kept<V> {
    entry: Arc<Entry<V>>,
    header: HeaderValue,
}

/// By which an origin is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Https,
    Http,
}

impl Reader<Audience, IdToken> {
    /// The header that was kept for this origin, if its token is still the one to use.
    #[inline(always)]
    pub(crate) fn again(&self, scheme: Scheme, authority: &str) -> Option<&HeaderValue> {
        let kept = self.kept.as_ref()?;
        let origin = match scheme {
            Scheme::Https => &self.origin,
            Scheme::Http => self.origin.strip_prefix(HTTP)?,
        };
        if origin != authority {
            return None;
        }
        kept.entry.fresh(self.cache.shared.clock.now_ms())?;
        Some(&kept.header)
    }

    /// Keeps what was just found for this origin.
    #[cold]
    pub(crate) fn keep(&mut self, scheme: Scheme, authority: &str, entry: Arc<Entry<IdToken>>) {
        self.origin.clear();
        if scheme == Scheme::Http {
            self.origin.push_str(HTTP);
        }
        self.origin.push_str(authority);
        let header = entry.value.copy_header();
        self.kept = Some(Kept { entry, header });
    }
}

impl<K: Key, V> Reader<K, V>
where
    V: Expires + Clone + Send + Sync + 'static,
{
    /// The value, where it is there and not due for anything; and whether it has just been found
    /// [often](OFTEN) enough to be kept.
    #[inline(always)]
    pub(crate) fn fresh<Q: AsKey<K>>(&mut self, key: &Q) -> Option<(&Arc<Entry<V>>, bool)> {
        let latest = self.cache.shared.version.load(Acquire);
        if self.version != latest {
            self.reload(latest);
        }
        let now = self.cache.shared.clock.now_ms();
        let entry = self.table.fresh(key, now)?;
        let (last, times) = self.last;
        let at = Arc::as_ptr(entry).addr();
        let times = if at == last { times.wrapping_add(1) } else { 1 };
        self.last = (at, times);
        Some((entry, times == OFTEN))
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
            last: (0, 0),
            origin: String::new(),
            kept: None,
        }
    }

    #[cold]
    fn reload(&mut self, latest: u64) {
        // The version was read first: a table stored since is loaded once more at worst.
        self.version = latest;
        self.table = self.cache.shared.table.load_full();
    }
}

/// A clone has yet to find out what it is called for.
impl<K, V> Clone for Reader<K, V> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            table: Arc::clone(&self.table),
            version: self.version,
            last: (0, 0),
            origin: String::new(),
            kept: None,
        }
    }
}

impl<K, V> fmt::Debug for Reader<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cache, f)
    }
}

const HTTP: &str = "http://";
/// So often in a row does an entry have to be found before its header is copied: who calls two
/// origins in turn pays for no copies, and who calls one has soon forgotten the first.
const OFTEN: u32 = 32;
