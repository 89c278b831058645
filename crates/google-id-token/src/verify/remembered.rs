//! The tokens that were found to be good a moment ago, so that the next request costs a hash.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Caller;
use super::crypto::hash;
use super::keys::Keys;

/// Callers by the SHA-256 of their whole token: a fixed number of places in sets of four, so that
/// no flood of tokens makes it grow. Only tokens that were verified get in.
pub(super) struct Remembered {
    sets: Box<[Mutex<Set>]>,
    /// In seconds.
    longest: u64,
}

#[derive(Default)]
struct Set {
    places: [Option<Entry>; WAYS],
    uses: u64,
}

struct Entry {
    hash: Hash,
    caller: Caller,
    /// The set that the token's key was in.
    keys: Keys,
    /// From this second on it is forgotten.
    until: u64,
    used: u64,
}

/// What a token is remembered by.
pub(super) type Hash = [u8; 32];

impl Remembered {
    /// `None` for a token that is too long to be remembered.
    pub(super) fn key(token: &str) -> Option<Hash> {
        (token.len() <= LONGEST).then(|| hash(token.as_bytes()))
    }

    pub(super) fn new(tokens: usize, longest: Duration) -> Self {
        let sets = tokens.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            longest: longest.as_secs(),
        }
    }

    /// Who sent this token, and the keys that it was checked with: it is on the one who asks to
    /// see that those are still the issuer's.
    pub(super) fn recall(&self, hash: Hash, now: u64) -> Option<(Caller, Keys)> {
        let mut set = self
            .set(&hash)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        set.uses += 1;
        let uses = set.uses;
        let entry = set.places.iter_mut().flatten().find(|it| it.hash == hash)?;
        entry.used = uses;
        (now < entry.until).then(|| (entry.caller.clone(), entry.keys.clone()))
    }

    /// Remembers a token that was found to be good: until it expires, for as long as the keys do
    /// not change, and for so long at most.
    pub(super) fn keep(&self, hash: Hash, caller: &Caller, keys: &Keys, now: u64) {
        let until = caller.0.expires_at.min(now.saturating_add(self.longest));
        if until <= now {
            return;
        }
        let mut set = self
            .set(&hash)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        set.uses += 1;
        let entry = Entry {
            hash,
            caller: caller.clone(),
            keys: keys.clone(),
            until,
            used: set.uses,
        };
        // Its own place; else a free one, one that is over, the one that waited longest.
        let place = set.places.iter_mut().min_by_key(|place| match place {
            Some(old) if old.hash == hash => (0, 0),
            None => (1, 0),
            Some(old) if old.until <= now => (2, old.used),
            Some(old) => (3, old.used),
        });
        if let Some(place) = place {
            *place = Some(entry);
        }
    }

    fn set(&self, hash: &Hash) -> &Mutex<Set> {
        let (start, _) = hash.split_at(8);
        let number = start
            .iter()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        &self.sets[(number % self.sets.len() as u64) as usize]
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let kept = |set: &Mutex<Set>| set.lock().unwrap().places.iter().flatten().count();
        self.sets.iter().map(kept).sum()
    }
}

const WAYS: usize = 4;
/// Longer tokens are checked each time, so that memory is bounded by bytes too.
const LONGEST: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::super::caller::Claims;
    use super::super::issuer::{Algorithm, Issuer};
    use super::*;

    fn keys() -> Keys {
        let point = "A".repeat(43);
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": point, "y": point });
        let set = json!({ "keys": [key] });
        Keys::read(set.as_object().unwrap(), Algorithm::Es256, UNIX_EPOCH).unwrap()
    }

    fn caller(subject: &str, expires_at: u64) -> Caller {
        Caller(Arc::new(Claims {
            issuer: Issuer::Google,
            audience: "".into(),
            subject: subject.to_owned(),
            email: None,
            hosted_domain: None,
            authorized_party: None,
            issued_at: 0,
            expires_at,
            json: Vec::new(),
        }))
    }

    fn key(token: &str) -> Hash {
        Remembered::key(token).unwrap()
    }

    #[test]
    fn a_flood_of_tokens_does_not_make_it_grow_and_the_one_in_use_stays() {
        let remembered = Remembered::new(64, Duration::from_secs(300));
        let keys = keys();
        remembered.keep(key("used"), &caller("used", 1000), &keys, 0);
        for number in 0..100_000 {
            let token = format!("token {number}");
            remembered.keep(key(&token), &caller(&token, 1000), &keys, 0);
            assert!(
                remembered.recall(key("used"), 0).is_some(),
                "after {number}"
            );
        }
        assert_eq!(remembered.len(), 64);
        assert_eq!(Remembered::key(&"t".repeat(LONGEST + 1)), None);
    }

    #[test]
    fn a_token_is_forgotten_at_its_end_or_after_the_longest_time() {
        let remembered = Remembered::new(4, Duration::from_secs(300));
        let keys = keys();
        remembered.keep(key("short"), &caller("short", 100), &keys, 0);
        remembered.keep(key("long"), &caller("long", 1000), &keys, 0);
        remembered.keep(key("over"), &caller("over", 10), &keys, 10);
        let known = |token: &str, now| remembered.recall(key(token), now).is_some();
        assert!(known("short", 99) && !known("short", 100));
        assert!(known("long", 299) && !known("long", 300));
        assert!(!known("over", 0));
        remembered.keep(key("long"), &caller("long", 1000), &keys, 400);
        assert!(known("long", 699));
        assert_eq!(remembered.len(), 2);
    }
}
