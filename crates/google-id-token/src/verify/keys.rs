//! An issuer's public keys, as one of its JWK sets lists them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tower_id_token::Expires;

use super::crypto::PublicKey;
use super::issuer::Algorithm;

/// Public keys by their ids, until they expire. Clones are the same set.
#[derive(Clone)]
pub(super) struct Keys(Arc<Set>);

struct Set {
    keys: Vec<(String, PublicKey)>,
    expires_at: SystemTime,
}

impl Keys {
    /// The keys of a JWK set (RFC 7517, section 5) that are of use for this algorithm; others are
    /// passed over, so that an issuer may add new kinds. `None` where there is none.
    pub(super) fn read(
        set: &Map<String, Value>,
        algorithm: Algorithm,
        expires_at: SystemTime,
    ) -> Option<Self> {
        let keys = set.get("keys")?.as_array()?;
        let keys: Vec<_> = keys
            .iter()
            .filter_map(|key| read_key(key, algorithm))
            .take(MOST_KEYS)
            .collect();
        (!keys.is_empty()).then(|| Self(Arc::new(Set { keys, expires_at })))
    }

    pub(super) fn find(&self, id: &str) -> Option<&PublicKey> {
        let mut keys = self.0.keys.iter();
        keys.find(|(known, _)| known == id).map(|(_, key)| key)
    }

    /// Whether this is the very set, and not another one that was fetched later.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Expires for Keys {
    fn expires_at(&self) -> SystemTime {
        self.0.expires_at
    }
}

/// How long keys may be used by the answer that they came in: `Cache-Control: max-age` less `Age`
/// (RFC 9111, sections 4.2.1 and 5.1), but five minutes at least, and a day at most; an hour where
/// the answer says nothing.
pub(super) fn freshness(headers: &HeaderMap) -> Duration {
    let mut max_age = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => max_age = argument.trim().trim_matches('"').parse().ok().or(max_age),
                "no-store" | "no-cache" => max_age = Some(0),
                _ => {}
            }
        }
    }
    let age = headers.get(header::AGE).and_then(|age| age.to_str().ok());
    let age: u64 = age.and_then(|age| age.trim().parse().ok()).unwrap_or(0);
    let fresh = max_age.map_or(UNSAID, |max_age: u64| {
        Duration::from_secs(max_age.saturating_sub(age))
    });
    fresh.clamp(SHORTEST, LONGEST)
}

/// RFC 7518, section 6: for RSA `n` and `e`, for P-256 `x` and `y`.
fn read_key(key: &Value, algorithm: Algorithm) -> Option<(String, PublicKey)> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        URL_SAFE_NO_PAD
            .decode(text(name)?.trim_end_matches('='))
            .ok()
    };
    let (kty, alg) = match algorithm {
        Algorithm::Rs256 => ("RSA", "RS256"),
        Algorithm::Es256 => ("EC", "ES256"),
    };
    if text("kty") != Some(kty)
        || text("alg").is_some_and(|named| named != alg)
        || text("use").is_some_and(|usage| usage != "sig")
    {
        return None;
    }
    let public = match algorithm {
        Algorithm::Rs256 => PublicKey::rs256(
            bytes("n").filter(|n| RSA_BYTES.contains(&n.len()))?,
            bytes("e").filter(|e| (1..=8).contains(&e.len()))?,
        )?,
        Algorithm::Es256 => {
            let coordinate = |name| bytes(name).filter(|it| it.len() == P256_BYTES);
            if text("crv") != Some("P-256") {
                return None;
            }
            let mut point = vec![UNCOMPRESSED];
            point.extend(coordinate("x")?);
            point.extend(coordinate("y")?);
            PublicKey::es256(point)?
        }
    };
    let id = text("kid").filter(|id| !id.is_empty())?;
    Some((id.to_owned(), public))
}

/// Where the answer does not say how long.
const UNSAID: Duration = Duration::from_secs(60 * 60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Google publishes two or three.
const MOST_KEYS: usize = 64;
/// 2,048 to 8,192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
const P256_BYTES: usize = 32;
const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(headers: &[(&'static str, &'static str)]) -> u64 {
        let headers = headers.iter().map(|(name, value)| {
            (
                ::http::HeaderName::from_static(name),
                ::http::HeaderValue::from_static(value),
            )
        });
        freshness(&headers.collect()).as_secs()
    }

    #[test]
    fn keys_are_fresh_for_max_age_less_age_within_bounds() {
        let cache = "cache-control";
        assert_eq!(
            fresh(&[(cache, "public, max-age=21213, must-revalidate")]),
            21_213
        );
        assert_eq!(
            fresh(&[(cache, "public, max-age=21213"), ("age", "1213")]),
            20_000
        );
        assert_eq!(fresh(&[(cache, "public , MAX-AGE=\"7200\"")]), 7200);
        assert_eq!(fresh(&[(cache, "max-age=100"), ("age", "500")]), 300);
        assert_eq!(fresh(&[(cache, "no-store")]), 300);
        assert_eq!(fresh(&[(cache, "max-age=99999999999")]), 86_400);
        assert_eq!(fresh(&[(cache, "max-age=-7")]), 3600);
        assert_eq!(fresh(&[]), 3600);
    }
}
