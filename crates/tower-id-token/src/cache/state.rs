//! What is under way and what went wrong: the slow way through a cache, under its lock.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Release;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxBuildHasher;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::flight::Flight;
use super::pace::{FAIL_FAST, LONGEST_OUTAGE_BACKOFF, LONGEST_RETRY_AFTER, SPACING};
use super::table::{Age, Entry};
use super::{Key, Lookup, Shared};
use crate::clock::{saturating_ms, to_ms};
use crate::{ErrorKind, Expires, SourceError};

/// The keys that have a flight under way or a failure behind them; all others are only in the
/// table.
pub(crate) struct State<K, V> {
    pending: HashMap<K, Pending<V>, FxBuildHasher>,
}

struct Pending<V> {
    flight: Option<Airborne<V>>,
    failure: Option<Failure>,
}

/// A flight, as seen from those who wait for it.
struct Airborne<V> {
    waiters: Vec<oneshot::Sender<Result<V, SourceError>>>,
    /// Requests do not wait for it: they fail at once with the error before it.
    in_background: bool,
    forced: bool,
    started: Instant,
}

struct Failure {
    error: SourceError,
    streak: u32,
    started: Instant,
    ended: Instant,
    backoff: Duration,
}

impl Failure {
    /// When the next attempt may start. Counted from the start of the last one, so that an
    /// endpoint that hangs is not also waited for; but a source that tried more than once in its
    /// flight has its second of peace all the same.
    fn retry_at(&self, serving: bool) -> Instant {
        let longest = if serving {
            self.backoff
        } else {
            LONGEST_OUTAGE_BACKOFF
        };
        let own = self.started + self.backoff.min(longest);
        let asked = self
            .error
            .retry_after()
            .unwrap_or_default()
            .min(LONGEST_RETRY_AFTER);
        own.max(self.ended + asked.max(SPACING))
    }
}

impl<K, V> Shared<K, V>
where
    K: Key,
    V: Expires + Clone + Send + Sync + 'static,
{
    /// The slow way: the value is not there, or is due for a refresh.
    #[cold]
    pub(super) fn consult(self: &Arc<Self>, key: K) -> Lookup<V> {
        let mut state = lock(&self.state);
        let now = self.clock.now_ms();
        let table = self.table.load();
        let known = table.entry(&key);
        match known.filter(|entry| now < entry.dead_at) {
            Some(live) => {
                live.touch(now);
                if live.is_due(now) && self.may_try(&state, &key) {
                    // Where there is no runtime to fetch in, the old value is still good.
                    let _ = self.take_off(&mut state, &key, Takeoff::Refresh, Duration::ZERO);
                }
                Lookup::Hit(live.value.clone())
            }
            None => self.miss(&mut state, key, known.map(|dead| dead.age(now))),
        }
    }

    /// There is nothing to serve: wait for a flight, or fail with what the last one failed with.
    fn miss(self: &Arc<Self>, state: &mut State<K, V>, key: K, dead: Option<Age>) -> Lookup<V> {
        let now = Instant::now();
        let mut takeoff = Takeoff::Wanted;
        if let Some(pending) = state.pending.get(&key) {
            if let Some(failure) = &pending.failure {
                let due = failure.retry_at(false);
                let failed = || Lookup::failed(failure.error.clone());
                match &pending.flight {
                    Some(flight) if flight.in_background => return failed(),
                    None if now < due => return failed(),
                    None if now < due.max(failure.ended) + FAIL_FAST => takeoff = Takeoff::Probe,
                    // It failed while the old value still served, and now that is gone.
                    None if dead.is_some_and(|age| age.dead < FAIL_FAST) => {
                        takeoff = Takeoff::Probe
                    }
                    _ => {}
                }
            }
            if pending.flight.is_some() {
                return self.join(state, key);
            }
        }
        let spacing = dead.map_or(Duration::ZERO, |age| SPACING.saturating_sub(age.whole));
        match self.take_off(state, &key, takeoff, spacing) {
            Err(error) => Lookup::failed(error),
            Ok(()) if takeoff == Takeoff::Probe => {
                let failure = state
                    .pending
                    .get(&key)
                    .and_then(|pending| pending.failure.as_ref());
                Lookup::failed(failure.map_or_else(lost, |failure| failure.error.clone()))
            }
            Ok(()) => self.join(state, key),
        }
    }

    /// A new value on request.
    pub(super) fn refresh(self: &Arc<Self>, key: &K) -> Lookup<V> {
        let mut state = lock(&self.state);
        let now = self.clock.now_ms();
        let table = self.table.load();
        let live = table.entry(key).filter(|entry| now < entry.dead_at);
        let flying = state
            .pending
            .get(key)
            .is_some_and(|pending| pending.flight.is_some());
        let Some(live) = live else {
            return self.miss(&mut state, key.clone(), None);
        };
        if !flying {
            let young = now.saturating_sub(live.fetched_at) < saturating_ms(self.young);
            let kept = || Lookup::Hit(live.value.clone());
            if young || !self.may_try(&state, key) {
                return kept();
            }
            if self
                .take_off(&mut state, key, Takeoff::Forced, Duration::ZERO)
                .is_err()
            {
                return kept();
            }
        }
        self.join(&mut state, key.clone())
    }

    /// Whether a refresh may start while the old value serves.
    fn may_try(&self, state: &State<K, V>, key: &K) -> bool {
        state.pending.get(key).is_none_or(|pending| {
            let failure = pending.failure.as_ref();
            pending.flight.is_none()
                && failure.is_none_or(|failure| failure.retry_at(true) <= Instant::now())
        })
    }

    fn join(self: &Arc<Self>, state: &mut State<K, V>, key: K) -> Lookup<V> {
        let Some(flight) = state
            .pending
            .get_mut(&key)
            .and_then(|it| it.flight.as_mut())
        else {
            return Lookup::failed(lost());
        };
        let (waiter, landing) = oneshot::channel();
        flight.waiters.retain(|waiter| !waiter.is_closed());
        flight.waiters.push(waiter);
        let shared = Arc::clone(self);
        Lookup::flight(landing, move || shared.consult(key.clone()))
    }

    fn take_off(
        self: &Arc<Self>,
        state: &mut State<K, V>,
        key: &K,
        takeoff: Takeoff,
        after: Duration,
    ) -> Result<(), SourceError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            SourceError::new(
                ErrorKind::Unavailable,
                "a token is fetched inside a tokio runtime, and there is none here",
            )
        })?;
        state.make_room(key, self.capacity)?;
        if let Some(entry) = self.table.load().entry(key) {
            // Look-ups take the fast way again while the flight is under way.
            entry.set_due(u64::MAX);
        }
        let pending = state.pending.entry(key.clone()).or_default();
        pending.flight = Some(Airborne {
            waiters: Vec::new(),
            // A refresh that follows a failure is one that nobody should come to wait for.
            in_background: match takeoff {
                Takeoff::Probe => true,
                Takeoff::Refresh => pending.failure.is_some(),
                Takeoff::Wanted | Takeoff::Forced => false,
            },
            forced: takeoff == Takeoff::Forced,
            started: Instant::now(),
        });
        runtime.spawn(Flight::new(Arc::clone(self), key.clone(), after).run());
        Ok(())
    }

    /// A flight is back: the answer goes into the table or the failure into the books, and the
    /// waiters are told.
    pub(super) fn land(&self, key: &K, result: Result<V, SourceError>) {
        let mut state = lock(&self.state);
        let Some(mut pending) = state.pending.remove(key) else {
            return;
        };
        let Some(flight) = pending.flight.take() else {
            return;
        };
        let now = self.clock.now_ms();
        let table = self.table.load();
        let old = table.entry(key).filter(|entry| now < entry.dead_at);
        let result = result.and_then(|value| self.accept(&flight, value, old, now));
        let outcome = match result {
            Ok(entry) => {
                let value = entry.value.clone();
                self.table
                    .store(Arc::new(table.with(key.clone(), entry, self.capacity)));
                self.version.fetch_add(1, Release);
                if let Some(old) = table.entry(key) {
                    old.retire();
                }
                Ok(value)
            }
            Err(error) => {
                tracing::warn!(?key, kind = %error.kind(), %error, serving = old.is_some(), "no new token");
                let streak = pending
                    .failure
                    .map_or(0, |failure| failure.streak)
                    .saturating_add(1);
                let failure = Failure {
                    error: error.clone(),
                    streak,
                    started: flight.started,
                    ended: Instant::now(),
                    backoff: self.pace.backoff(streak),
                };
                if let Some(old) = old {
                    let wait = failure
                        .retry_at(true)
                        .saturating_duration_since(failure.ended);
                    old.set_due(now + saturating_ms(wait));
                }
                state.pending.insert(
                    key.clone(),
                    Pending {
                        flight: None,
                        failure: Some(failure),
                    },
                );
                Err(error)
            }
        };
        drop(state);
        self.observers.tell(key, outcome.as_ref());
        for waiter in flight.waiters {
            let _ = waiter.send(outcome.clone());
        }
    }

    /// A flight whose runtime went away before it landed. Who waited for it looks up again.
    pub(super) fn forget(&self, key: &K) {
        let mut state = lock(&self.state);
        if let Some(pending) = state.pending.get_mut(key) {
            pending.flight = None;
            if pending.failure.is_none() {
                state.pending.remove(key);
            }
        }
        if let Some(entry) = self.table.load().entry(key) {
            entry.set_due(0);
        }
    }

    /// The entry that a fetched value makes, if it is worth keeping.
    fn accept(
        &self,
        flight: &Airborne<V>,
        value: V,
        old: Option<&Arc<Entry<V>>>,
        now: u64,
    ) -> Result<Entry<V>, SourceError> {
        let expires_at = to_ms(value.expires_at());
        let Some(mut life) = self.pace.life(now, expires_at) else {
            return Err(dead_on_arrival(now, expires_at));
        };
        if let Some(old) = old.filter(|old| old.dead_at > life.dead_at && !flight.forced) {
            // A server's own cache gave an older one: keep ours, and ask again at that pace.
            let kept = old.value.clone();
            life.dead_at = old.dead_at;
            return Ok(Entry::new(kept, now, life));
        }
        Ok(Entry::new(value, now, life))
    }
}

/// Why a flight starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takeoff {
    /// A request waits for it.
    Wanted,
    /// The old value still serves.
    Refresh,
    /// Somebody saw the old value refused.
    Forced,
    /// The source failed a moment ago; requests are told so meanwhile.
    Probe,
}

impl<K: Key, V> State<K, V> {
    /// Keeps the books bounded: failures that nobody asks about any more go first.
    fn make_room(&mut self, key: &K, capacity: usize) -> Result<(), SourceError> {
        if self.pending.len() < capacity || self.pending.contains_key(key) {
            return Ok(());
        }
        let oldest = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.flight.is_none())
            .min_by_key(|(_, pending)| pending.failure.as_ref().map(|failure| failure.ended))
            .map(|(key, _)| key.clone());
        match oldest {
            Some(oldest) => {
                self.pending.remove(&oldest);
                Ok(())
            }
            None => Err(SourceError::new(
                ErrorKind::Unavailable,
                format!("{capacity} tokens are being fetched at once, which is the limit"),
            )),
        }
    }
}

impl<K, V> Default for State<K, V> {
    fn default() -> Self {
        Self {
            pending: HashMap::default(),
        }
    }
}

impl<V> Default for Pending<V> {
    fn default() -> Self {
        Self {
            flight: None,
            failure: None,
        }
    }
}

/// A lock that a panic elsewhere does not spoil: nothing here is left half done by one.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dead_on_arrival(now: u64, expires_at: u64) -> SourceError {
    let message = if expires_at <= now {
        format!(
            "the token that came back expired {} s ago; if that is news, this machine's clock is wrong",
            (now - expires_at) / 1000
        )
    } else {
        "the token that came back expires within two seconds".to_owned()
    };
    SourceError::new(ErrorKind::Malformed, message)
}

fn lost() -> SourceError {
    SourceError::new(ErrorKind::Unavailable, "the fetch of the token was lost")
}
