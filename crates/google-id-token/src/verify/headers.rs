//! The headers of tokens that were good, so that each needs to be read only once.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::issuer::Algorithm;

/// What a token's header says.
#[derive(Clone)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: String,
}

/// Headers by the text that they are in the token. An issuer writes the same one into every token
/// that it signs with a key.
///
/// Only headers of tokens that were verified get in, and only a few, so that nobody fills it who
/// does not hold the issuer's keys.
#[derive(Default)]
pub(super) struct Headers(ArcSwap<List>);

type List = Vec<(Box<str>, Header)>;

impl Headers {
    /// Those known now.
    pub(super) fn known(&self) -> Known {
        Known(self.0.load())
    }

    /// Remembers the header of a token that was found to be good.
    pub(super) fn learn(&self, part: &str, header: Header) {
        if part.len() > LONGEST {
            return;
        }
        self.0.rcu(|list| {
            let others = list.iter().filter(|(known, _)| **known != *part).cloned();
            let newest = (part.into(), header.clone());
            let list: List = [newest].into_iter().chain(others).take(MOST).collect();
            Arc::new(list)
        });
    }
}

/// Headers, as they were at one time.
pub(super) struct Known(Guard<Arc<List>>);

impl Known {
    pub(super) fn find(&self, part: &str) -> Option<&Header> {
        let mut known = self.0.iter();
        known
            .find(|(known, _)| **known == *part)
            .map(|(_, header)| header)
    }
}

/// Two issuers with two or three keys each.
const MOST: usize = 8;
/// Google's have some 100 bytes.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(key_id: &str) -> Header {
        Header {
            algorithm: Algorithm::Rs256,
            key_id: key_id.to_owned(),
        }
    }

    #[test]
    fn the_newest_few_are_known_and_each_by_its_own_text() {
        let headers = Headers::default();
        for number in 0..100 {
            headers.learn(&format!("part {number}"), header(&number.to_string()));
        }
        headers.learn("part 95", header("anew"));
        headers.learn(&"p".repeat(LONGEST + 1), header("long"));
        let known = headers.known();
        let parts: Vec<_> = known.0.iter().map(|(part, _)| &**part).collect();
        let expected = [95, 99, 98, 97, 96, 94, 93, 92].map(|number| format!("part {number}"));
        assert_eq!(parts, expected);
        let key_id = |part| known.find(part).map(|header| &*header.key_id);
        assert_eq!(key_id("part 99"), Some("99"));
        assert_eq!(key_id("part 95"), Some("anew"));
        assert_eq!(key_id("part 9"), None);
        assert_eq!(key_id("part 991"), None);
    }
}
