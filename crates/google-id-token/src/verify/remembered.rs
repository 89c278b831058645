//! The tokens that were found to be good a moment ago, so that the next request costs a hash.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Caller;
use super::crypto::hash;
use super::keys::Keys;

/// Callers by the SHA-256 of their whole token: a fixed number of places in sets of four, so that
/// no flood of tokens makes it grow. Only tokens that were verified get in. The tokens themselves
/// are not kept: whoever reads this memory cannot call with it.
///
/// The first time, only a mark is left. A token that never comes again is not worth the hash, nor
/// its caller the memory.
pub(super) struct Remembered {
    sets: Box<[Mutex<Set>]>,
    /// In seconds.
    longest: u64,
    /// Its secret keeps marks from being made up for one set.
    marker: RandomState,
}

#[derive(Default)]
struct Set {
    places: [Option<Entry>; WAYS],
    uses: u64,
}

struct Entry {
    mark: Mark,
    /// From the second time on.
    known: Option<Known>,
    /// From this second on it is forgotten.
    until: u64,
    used: u64,
}

#[derive(Clone)]
struct Known {
    hash: [u8; 32],
    caller: Caller,
    /// The set that the token's key was in.
    keys: Keys,
}

/// Where a token is looked for. Others may have the same: it says nothing about who it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark(u64);

impl Remembered {
    pub(super) fn new(tokens: usize, longest: Duration) -> Self {
        let sets = tokens.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            longest: longest.as_secs(),
            marker: RandomState::new(),
        }
    }

    /// `None` for a token that is too long to be remembered.
    pub(super) fn mark(&self, token: &str) -> Option<Mark> {
        // The end of the signature differs from token to token, and no more is needed.
        let end = token.as_bytes().last_chunk::<MARKED>();
        let end = end.filter(|_| token.len() <= LONGEST)?;
        Some(Mark(self.marker.hash_one(end)))
    }

    /// Who sent this token, and the keys that it was checked with: it is on the one who asks to
    /// see that those are still the issuer's.
    pub(super) fn recall(&self, mark: Mark, token: &str, now: u64) -> Option<(Caller, Keys)> {
        let known = self.known(mark, now)?;
        (hash(token.as_bytes()) == known.hash).then_some((known.caller, known.keys))
    }

    fn known(&self, mark: Mark, now: u64) -> Option<Known> {
        let mut set = self.set(mark);
        set.uses += 1;
        let uses = set.uses;
        let entry = set.places.iter_mut().flatten().find(|it| it.mark == mark)?;
        entry.used = uses;
        entry.known.clone().filter(|_| now < entry.until)
    }

    /// Remembers a token that was found to be good, if it is not its first time: until it expires,
    /// for as long as the keys do not change, and for so long at most.
    pub(super) fn keep(&self, mark: Mark, token: &str, caller: &Caller, keys: &Keys, now: u64) {
        let until = caller.0.expires_at.min(now.saturating_add(self.longest));
        if until <= now {
            return;
        }
        let mut set = self.set(mark);
        set.uses += 1;
        let used = set.uses;
        // Its own place; else a free one, one that is over, the one that waited longest.
        let place = set.places.iter_mut().min_by_key(|place| match place {
            Some(old) if old.mark == mark => (0, 0),
            None => (1, 0),
            Some(old) if old.until <= now => (2, old.used),
            Some(old) => (3, old.used),
        });
        if let Some(place) = place {
            let again = place.as_ref().is_some_and(|old| old.mark == mark);
            let known = again.then(|| Known {
                hash: hash(token.as_bytes()),
                caller: caller.clone(),
                keys: keys.clone(),
            });
            *place = Some(Entry {
                mark,
                known,
                until,
                used,
            });
        }
    }

    fn set(&self, mark: Mark) -> MutexGuard<'_, Set> {
        let set = &self.sets[(mark.0 % self.sets.len() as u64) as usize];
        set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let kept = |set: &Mutex<Set>| set.lock().unwrap().places.iter().flatten().count();
        self.sets.iter().map(kept).sum()
    }
}

const WAYS: usize = 4;
/// Bytes of a token's end that its mark is made of.
const MARKED: usize = 32;
/// Longer tokens are checked each time, so that memory is bounded by bytes too.
const LONGEST: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::super::caller::{Claims, Text};
    use super::super::issuer::{Algorithm, Issuer};
    use super::*;

    fn keys() -> Keys {
        // RFC 7517, appendix A.1.
        let x = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
        let y = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y });
        let set = json!({ "keys": [key] });
        Keys::read(set.as_object().unwrap(), Algorithm::Es256, UNIX_EPOCH).unwrap()
    }

    fn caller(subject: &str, expires_at: u64) -> Caller {
        Caller(Arc::new(Claims {
            issuer: Issuer::Google,
            audience: Text::new("".to_owned().into(), ""),
            subject: Text::new(subject.to_owned().into(), ""),
            email: None,
            hosted_domain: None,
            authorized_party: None,
            issued_at: 0,
            expires_at,
            json: String::new(),
        }))
    }

    /// A token that comes so often before it is asked for.
    fn keep(remembered: &Remembered, token: &str, expires_at: u64, now: u64, times: usize) {
        for _ in 0..times {
            let mark = remembered.mark(&whole(token)).unwrap();
            let caller = caller(token, expires_at);
            remembered.keep(mark, &whole(token), &caller, &keys(), now);
        }
    }

    fn recall(remembered: &Remembered, token: &str, now: u64) -> Option<Caller> {
        let mark = remembered.mark(&whole(token)).unwrap();
        let (caller, _) = remembered.recall(mark, &whole(token), now)?;
        Some(caller)
    }

    /// A token as long as a token is, that ends so.
    fn whole(end: &str) -> String {
        format!("{end:>0$}", 2 * MARKED)
    }

    #[test]
    fn a_flood_of_tokens_does_not_make_it_grow_and_the_one_in_use_stays() {
        let remembered = Remembered::new(64, Duration::from_secs(300));
        keep(&remembered, "used", 1000, 0, 2);
        for number in 0..100_000 {
            let token = format!("token {number}");
            keep(&remembered, &token, 1000, 0, 1 + number % 2);
            assert!(recall(&remembered, "used", 0).is_some(), "after {number}");
        }
        assert_eq!(remembered.len(), 64);
        assert_eq!(remembered.mark(&"t".repeat(LONGEST + 1)), None);
    }

    #[test]
    fn a_token_is_known_from_its_second_time_on() {
        let remembered = Remembered::new(4, Duration::from_secs(300));
        let known = || recall(&remembered, "token", 0).is_some();
        assert!(!known());
        keep(&remembered, "token", 1000, 0, 1);
        assert!(!known());
        keep(&remembered, "token", 1000, 0, 1);
        assert!(known());
    }

    #[test]
    fn a_token_of_the_same_mark_is_another_token() {
        let remembered = Remembered::new(4, Duration::from_secs(300));
        let end = "e".repeat(MARKED);
        let (one, other) = (format!("one{end}"), format!("other{end}"));
        let mark = remembered.mark(&one).unwrap();
        assert_eq!(remembered.mark(&other), Some(mark));
        let keep = |token: &str| remembered.keep(mark, token, &caller(token, 1000), &keys(), 0);
        keep(&one);
        keep(&one);
        assert!(remembered.recall(mark, &one, 0).is_some());
        assert!(remembered.recall(mark, &other, 0).is_none());
        // It takes the place, and never the caller.
        keep(&other);
        let (caller, _) = remembered.recall(mark, &other, 0).unwrap();
        assert_eq!(caller.subject(), other);
        assert!(remembered.recall(mark, &one, 0).is_none());
    }

    #[test]
    fn a_token_is_forgotten_at_its_end_or_after_the_longest_time() {
        let remembered = Remembered::new(4, Duration::from_secs(300));
        keep(&remembered, "short", 100, 0, 2);
        keep(&remembered, "long", 1000, 0, 2);
        keep(&remembered, "over", 10, 10, 2);
        let known = |token: &str, now| recall(&remembered, token, now).is_some();
        assert!(known("short", 99) && !known("short", 100));
        assert!(known("long", 299) && !known("long", 300));
        assert!(!known("over", 0));
        keep(&remembered, "long", 1000, 400, 1);
        assert!(known("long", 699));
        assert_eq!(remembered.len(), 2);
    }
}
