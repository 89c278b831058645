//! Which header the token goes into.

use http::header::{AUTHORIZATION, Entry, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Where the layer puts the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// `Authorization` where it is free. Where the caller has set it, theirs stays and ours goes
    /// into `X-Serverless-Authorization`, which Cloud Run then checks in its place.
    #[default]
    Authorization,
    /// `X-Serverless-Authorization`, always: Cloud Run hands the container an untouched
    /// `Authorization`.
    Serverless,
    /// `Proxy-Authorization`: for Identity-Aware Proxy in front of an app that has its own
    /// `Authorization`.
    Proxy,
    /// `Authorization` where it is free, and `X-Serverless-Authorization`: Cloud Run takes the
    /// signature out of the token that it checked, the second one, so an app that checks tokens
    /// itself finds an intact one in the first.
    Both,
}

impl Placement {
    /// Whether the request brings a token of its own in the place that ours would go to.
    #[cold]
    pub(crate) fn is_taken(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Authorization => {
                headers.contains_key(AUTHORIZATION) && headers.contains_key(SERVERLESS)
            }
            Self::Serverless | Self::Both => headers.contains_key(SERVERLESS),
            Self::Proxy => headers.contains_key(PROXY_AUTHORIZATION),
        }
    }

    /// Sets the header where that is simple; else gives the value back, for [`place`](Self::place).
    #[inline(always)]
    pub(crate) fn set(self, headers: &mut HeaderMap, value: HeaderValue) -> Option<HeaderValue> {
        // To insert is the fast way, and drops what was there: all but the first of many.
        if self != Self::Authorization || headers.len() > headers.keys_len() {
            return Some(value);
        }
        let theirs = insert(headers, value)?;
        insert(headers, theirs)
    }

    /// Sets the header, unless the request brings its own.
    #[cold]
    pub(crate) fn place(self, headers: &mut HeaderMap, value: HeaderValue) {
        match self {
            Self::Authorization => match headers.entry(AUTHORIZATION) {
                Entry::Vacant(free) => {
                    free.insert(value);
                }
                Entry::Occupied(_) => {
                    headers.entry(SERVERLESS).or_insert(value);
                }
            },
            Self::Serverless => {
                headers.entry(SERVERLESS).or_insert(value);
            }
            Self::Proxy => {
                headers.entry(PROXY_AUTHORIZATION).or_insert(value);
            }
            Self::Both => {
                if let Entry::Vacant(free) = headers.entry(SERVERLESS) {
                    free.insert(value.clone());
                    headers.entry(AUTHORIZATION).or_insert(value);
                }
            }
        }
    }
}

/// `Authorization`, in a function that is compiled here: where the header's name is known, its
/// hash is too.
#[inline(never)]
fn insert(headers: &mut HeaderMap, value: HeaderValue) -> Option<HeaderValue> {
    headers.insert(AUTHORIZATION, value)
}

pub(crate) const SERVERLESS: HeaderName = HeaderName::from_static("x-serverless-authorization");
