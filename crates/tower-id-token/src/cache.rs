//! One cache for every source: shared, always ready, one flight per key.

mod flight;
mod lookup;
mod observe;
mod pace;
mod reader;
mod state;
mod table;

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use tower::util::BoxCloneService;
use tower::{Service, ServiceExt};

pub use self::lookup::{Lookup, Wait};
use self::observe::Observers;
use self::pace::{Pace, YOUNG};
pub(crate) use self::reader::{Reader, Scheme};
use self::state::State;
use self::table::Table;
use crate::audience::AudienceRef;
use crate::{Audience, Clock, Expires, Source, SourceError};

/// A source's answers, kept until they expire and shared by all clones.
///
/// - One flight per key, whoever asks; a caller that goes away cancels nothing.
/// - A value is renewed ahead of its end, by demand, while the old one goes on serving. Nothing
///   runs when nobody asks, and making a cache starts nothing.
/// - A failure never takes away a value that still lives. The next attempt waits (1 s, doubling
///   to 60 s; at most 5 s while there is nothing to serve), and requests that find nothing in
///   that time fail at once, with the last error.
/// - A flight is given up after its deadline, so that a hung endpoint holds nobody for longer.
/// - The number of keys is bounded.
///
/// A cache is itself a [`Service`], so a source can stand on another source's cache.
///
/// Fetches are spawned: look-ups that may need one want to be made inside a tokio runtime.
pub struct Cache<K, V> {
    shared: Arc<Shared<K, V>>,
}

/// What a cache keys its values by.
pub trait Key: Hash + Eq + Clone + fmt::Debug + Send + Sync + 'static {}

impl<K: Hash + Eq + Clone + fmt::Debug + Send + Sync + 'static> Key for K {}

/// Something that finds a key in the table, and can make one where it does not.
pub(crate) trait AsKey<K>: Hash {
    fn is(&self, key: &K) -> bool;
    fn to_key(&self) -> K;
}

impl<K: Key> AsKey<K> for K {
    #[inline]
    fn is(&self, key: &K) -> bool {
        self == key
    }

    fn to_key(&self) -> K {
        self.clone()
    }
}

impl AsKey<Audience> for AudienceRef<'_> {
    #[inline]
    fn is(&self, key: &Audience) -> bool {
        self.is(key)
    }

    fn to_key(&self) -> Audience {
        self.to_audience()
    }
}

pub(crate) struct Shared<K, V> {
    table: ArcSwap<Table<K, V>>,
    /// Counts the tables that have been stored.
    version: AtomicU64,
    state: Mutex<State<K, V>>,
    source: Mutex<BoxCloneService<K, V, SourceError>>,
    pace: Pace,
    deadline: Duration,
    young: Duration,
    capacity: usize,
    clock: Clock,
    observers: Observers<K, V>,
}

impl<K, V> Cache<K, V>
where
    K: Key,
    V: Expires + Clone + Send + Sync + 'static,
{
    /// A cache over this source, with the default settings.
    pub fn new(source: impl Source<K, Value = V>) -> Self {
        CacheBuilder::default().build(source)
    }

    /// The value for this key: at once where it is there, else when it is fetched.
    ///
    /// # Errors
    ///
    /// Awaited, it fails with the source's own error, or with
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) where the source is past its
    /// deadline, or there is no tokio runtime to fetch in.
    pub fn get(&self, key: &K) -> Lookup<V> {
        self.lookup(key)
    }

    /// A new value for this key, though the old one lives: for the caller who saw it refused.
    ///
    /// Joins a flight that is under way, and answers with the value at hand where that is younger
    /// than [`young`](CacheBuilder::young) or the source is being left alone after a failure.
    pub fn refresh(&self, key: &K) -> Lookup<V> {
        self.shared.refresh(key)
    }

    #[inline]
    pub(crate) fn lookup<Q: AsKey<K>>(&self, key: &Q) -> Lookup<V> {
        let now = self.shared.clock.now_ms();
        if let Some(entry) = self.shared.table.load().fresh(key, now) {
            return Lookup::Hit(entry.value.clone());
        }
        self.shared.consult(key.to_key())
    }
}

impl Cache<(), ()> {
    /// Settings other than the default ones.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::default()
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("keys", &self.shared.table.load().len())
            .field("capacity", &self.shared.capacity)
            .finish_non_exhaustive()
    }
}

impl<K, V> Service<K> for Cache<K, V>
where
    K: Key,
    V: Expires + Clone + Send + Sync + 'static,
{
    type Response = V;
    type Error = SourceError;
    type Future = Lookup<V>;

    /// Always ready: waiting is done in the future.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, key: K) -> Self::Future {
        self.get(&key)
    }
}

/// A [`Cache`]'s settings; the default of each is in its method's first line.
#[derive(Clone, Debug)]
pub struct CacheBuilder {
    ahead: Duration,
    deadline: Duration,
    young: Duration,
    capacity: usize,
    clock: Clock,
}

impl Default for CacheBuilder {
    fn default() -> Self {
        Self {
            ahead: Duration::from_secs(225),
            deadline: Duration::from_secs(10),
            young: YOUNG,
            capacity: 1024,
            clock: Clock::default(),
        }
    }
}

impl CacheBuilder {
    /// How long before its end a value is renewed: 225 s, plus a jitter of up to a tenth.
    ///
    /// A value with less than twice this to live is renewed at half of its life.
    #[must_use]
    pub fn refresh_ahead(mut self, ahead: Duration) -> Self {
        self.ahead = ahead;
        self
    }

    /// How long one fetch may take, retries of the source's own included: 10 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How old a value has to be for [`Cache::refresh`] to fetch another: 10 s.
    #[must_use]
    pub fn young(mut self, age: Duration) -> Self {
        self.young = age;
        self
    }

    /// How many keys are kept: 1,024. Past that, expired ones go first, then the least recently
    /// used one.
    #[must_use]
    pub fn capacity(mut self, keys: usize) -> Self {
        self.capacity = keys.max(1);
        self
    }

    /// The wall clock: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The cache itself, over this source.
    pub fn build<K: Key, S: Source<K>>(self, source: S) -> Cache<K, S::Value> {
        let source = source.map_err(|error| SourceError::from(error.into()));
        Cache {
            shared: Arc::new(Shared {
                table: ArcSwap::from_pointee(Table::default()),
                version: AtomicU64::new(0),
                state: Mutex::new(State::default()),
                source: Mutex::new(BoxCloneService::new(source)),
                pace: Pace::new(self.ahead),
                deadline: self.deadline,
                young: self.young,
                capacity: self.capacity,
                clock: self.clock,
                observers: Observers::default(),
            }),
        }
    }
}
