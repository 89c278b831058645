//! A hash map for the hot path: found in a dozen instructions, where `HashMap` takes fifty.

use std::iter::repeat_with;
use std::mem;

/// Linear probing over one slice that is never more than half full, by hashes that the caller
/// has. Nothing is ever removed: who wants that builds another one.
#[derive(Clone, Debug)]
pub(crate) struct Probed<K, V> {
    /// None at all, or a power of two of them.
    slots: Box<[Option<Slot<K, V>>]>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Slot<K, V> {
    hash: u64,
    key: K,
    value: V,
}

impl<K, V> Probed<K, V> {
    /// The value of the key that has this hash and passes this test.
    // `always`, here and on the way here: left as calls, they cost a hit 40 instructions of 590.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&V> {
        let (at, slot) = self.next(hash, self.home(hash))?;
        if is(&slot.key) {
            return Some(&slot.value);
        }
        self.find_after(at, hash, is)
    }

    /// Two keys with one hash: as good as never, and no reason to test keys in the loop above.
    #[cold]
    fn find_after(&self, mut at: usize, hash: u64, is: impl Fn(&K) -> bool) -> Option<&V> {
        loop {
            let (next, slot) = self.next(hash, self.after(at))?;
            if is(&slot.key) {
                return Some(&slot.value);
            }
            at = next;
        }
    }

    /// The first slot with this hash from here on.
    #[inline]
    fn next(&self, hash: u64, mut at: usize) -> Option<(usize, &Slot<K, V>)> {
        loop {
            let slot = self.slots.get(at)?.as_ref()?;
            if slot.hash == hash {
                return Some((at, slot));
            }
            at = self.after(at);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let slots = self.slots.iter().flatten();
        slots.map(|slot| (&slot.key, &slot.value))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a key, or gives it another value.
    pub(crate) fn insert(&mut self, hash: u64, key: K, value: V)
    where
        K: PartialEq,
    {
        if self.slots.len() <= 2 * self.len {
            let empty = repeat_with(|| None).take((4 * self.len).max(2)).collect();
            let full = mem::replace(&mut self.slots, empty);
            self.len = 0;
            full.into_iter().flatten().for_each(|slot| self.put(slot));
        }
        self.put(Slot { hash, key, value });
    }

    fn put(&mut self, slot: Slot<K, V>)
    where
        K: PartialEq,
    {
        let mut at = self.home(slot.hash);
        while let Some(other) = &mut self.slots[at] {
            if other.hash == slot.hash && other.key == slot.key {
                other.value = slot.value;
                return;
            }
            at = self.after(at);
        }
        self.slots[at] = Some(slot);
        self.len += 1;
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        hash as usize & self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & self.slots.len().wrapping_sub(1)
    }
}

impl<K, V> Default for Probed<K, V> {
    fn default() -> Self {
        Self {
            slots: Box::default(),
            len: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_no_other_even_if_hashes_meet() {
        let mut map = Probed::default();
        for key in 0..1000 {
            map.insert(key % 300, key, "old");
            map.insert(key % 300, key, "new");
        }
        assert_eq!((map.len(), map.iter().count()), (1000, 1000));
        for key in 0..1000 {
            assert_eq!(map.find(key % 300, |other| *other == key), Some(&"new"));
        }
        assert_eq!(map.find(7, |key| *key == 8), None);
        assert_eq!(Probed::<(), ()>::default().find(7, |()| true), None);
    }
}
