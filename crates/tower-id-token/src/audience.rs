//! Who a token is for: derived from a URL by Cloud Run's rules, or named by the caller.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use http::uri::PathAndQuery;
use rustc_hash::FxHasher;

use crate::policy::is_below;
use crate::{ErrorKind, SourceError};

/// The `aud` that a token is asked for: a service's URL, a custom audience, or the OAuth client
/// id of an Identity-Aware Proxy.
///
/// Cheap to clone. Parse one from a string where the audience is known, or let [`Audience::of`]
/// derive it from a URL.
#[derive(Clone)]
pub struct Audience {
    text: Arc<str>,
    hash: u64,
    /// Where the authority begins, if every URL with that scheme and authority has this audience,
    /// whatever its path; else none.
    origin: usize,
}

impl Audience {
    /// The audience of the service behind a URL, or `None` for a URL without scheme and host.
    ///
    /// Scheme and host in lower case, no user, no default port, no path. Two hosts differ:
    ///
    /// - On `*.run.app` a traffic tag (`TAG---service…`) is dropped: the audience of a tagged
    ///   revision is its service's URL ([service-to-service authentication]).
    /// - On `*.cloudfunctions.net` the first segment of the path stays: a first-generation
    ///   function is named by its path.
    ///
    /// [service-to-service authentication]: https://cloud.google.com/run/docs/authenticating/service-to-service
    ///
    /// ```
    /// use tower_id_token::Audience;
    ///
    /// let audience = |url: &str| Audience::of(&url.parse().unwrap()).unwrap().to_string();
    /// assert_eq!(audience("https://Hello-abc-uc.a.run.app:443/a?b"), "https://hello-abc-uc.a.run.app");
    /// assert_eq!(audience("https://blue---hello-abc-uc.a.run.app"), "https://hello-abc-uc.a.run.app");
    /// assert_eq!(
    ///     audience("https://us-central1-p.cloudfunctions.net/hello/x"),
    ///     "https://us-central1-p.cloudfunctions.net/hello",
    /// );
    /// ```
    pub fn of(uri: &Uri) -> Option<Self> {
        AudienceRef::of(uri).map(|derived| derived.to_audience())
    }

    /// The audience as it stands in the token.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn new(text: Arc<str>, plain: bool) -> Self {
        let (scheme, rest) = split_scheme(&text).unwrap_or(("", &text));
        let (host, segment) = rest.split_once('/').unwrap_or((rest, ""));
        Self {
            hash: hash(host, segment),
            origin: if plain { scheme.len() } else { 0 },
            text,
        }
    }
}

/// # Errors
///
/// [`ErrorKind::Config`] for an audience that is empty or has white space or control characters.
impl FromStr for Audience {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(SourceError::new(
                ErrorKind::Config,
                "an audience must not be empty",
            ));
        }
        if text
            .chars()
            .any(|char| char.is_whitespace() || char.is_control())
        {
            return Err(SourceError::new(
                ErrorKind::Config,
                format!("an audience has no white space or control characters: {text:?}"),
            ));
        }
        // Cloud Functions have paths in their audiences.
        let plain = text.parse().is_ok_and(|uri| {
            Self::of(&uri).is_some_and(|audience| audience.origin > 0 && *audience.text == *text)
        });
        Ok(Self::new(text.into(), plain))
    }
}

impl PartialEq for Audience {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Audience {}

impl Hash for Audience {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl AsRef<str> for Audience {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// An [`Audience`] that need not exist yet: one that is borrowed, or the pieces of a URL that
/// would make one.
///
/// A policy answers with it, so that a request whose token is cached builds no string.
#[derive(Clone, Debug)]
pub struct AudienceRef<'a> {
    repr: Repr<'a>,
    hash: u64,
}

#[derive(Clone, Debug)]
enum Repr<'a> {
    Owned(Audience),
    Borrowed(&'a Audience),
    /// What a URL would have for its audience, not derived yet.
    Of {
        scheme: &'static str,
        authority: &'a str,
        path_and_query: &'a str,
    },
    Derived {
        scheme: &'static str,
        host: &'a str,
        segment: &'a str,
    },
}

impl<'a> AudienceRef<'a> {
    /// What [`Audience::of`] would derive from this URL.
    #[inline(always)]
    pub fn of(uri: &'a Uri) -> Option<Self> {
        let scheme = match uri.scheme_str()? {
            "https" => HTTPS,
            "http" => HTTP,
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        Some(Self {
            repr: Repr::Of {
                scheme,
                authority,
                path_and_query: uri.path_and_query().map_or("", PathAndQuery::as_str),
            },
            hash: hash(authority, ""),
        })
    }

    /// The same, with what a URL needs no more than once in a while looked at: its user, port,
    /// tag and path.
    #[cold]
    pub(crate) fn derived(&self) -> Self {
        let Repr::Of {
            scheme,
            authority,
            path_and_query,
        } = self.repr
        else {
            return self.clone();
        };
        let mut host = origin_host(authority, scheme);
        let mut segment = "";
        if is_below(host, "run.app") {
            // Only the first label can hold a tag.
            if let Some((tag, service)) = host.split_once("---")
                && !tag.contains('.')
            {
                host = service;
            }
        } else if is_below(host, "cloudfunctions.net") {
            let path = path_and_query.split('?').next().unwrap_or_default();
            segment = path.split('/').nth(1).unwrap_or_default();
        }
        let derived = Self {
            repr: Repr::Derived {
                scheme,
                host,
                segment,
            },
            hash: hash(host, segment),
        };
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return derived.to_audience().into();
        }
        derived
    }

    /// The audience itself; builds the string where it is derived.
    pub fn to_audience(&self) -> Audience {
        match &self.repr {
            Repr::Owned(audience) => audience.clone(),
            Repr::Borrowed(audience) => (*audience).clone(),
            Repr::Of { .. } => self.derived().to_audience(),
            Repr::Derived {
                scheme,
                host,
                segment,
            } => {
                let mut text = String::with_capacity(scheme.len() + host.len() + 1 + segment.len());
                text.push_str(scheme);
                text.push_str(host);
                // Hosts have no case, paths do.
                text.make_ascii_lowercase();
                if !segment.is_empty() {
                    text.push('/');
                    text.push_str(segment);
                }
                Audience::new(text.into(), !is_below(host, "cloudfunctions.net"))
            }
        }
    }
}

impl From<Audience> for AudienceRef<'_> {
    fn from(audience: Audience) -> Self {
        Self {
            hash: audience.hash,
            repr: Repr::Owned(audience),
        }
    }
}

impl<'a> From<&'a Audience> for AudienceRef<'a> {
    fn from(audience: &'a Audience) -> Self {
        Self {
            hash: audience.hash,
            repr: Repr::Borrowed(audience),
        }
    }
}

impl Hash for AudienceRef<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl AudienceRef<'_> {
    /// Whether this is that audience.
    #[inline]
    pub(crate) fn is(&self, key: &Audience) -> bool {
        match &self.repr {
            Repr::Of {
                scheme, authority, ..
            } => {
                // The two schemes differ in their lengths.
                key.origin == scheme.len()
                    && key.text.as_bytes().get(key.origin..) == Some(authority.as_bytes())
            }
            Repr::Borrowed(audience) if Arc::ptr_eq(&audience.text, &key.text) => true,
            _ => self.is_otherwise(key),
        }
    }

    #[cold]
    fn is_otherwise(&self, key: &Audience) -> bool {
        match &self.repr {
            Repr::Owned(audience) => audience == key,
            Repr::Borrowed(audience) => *audience == key,
            Repr::Of { .. } => false,
            Repr::Derived {
                scheme,
                host,
                segment,
            } => {
                let Some(rest) = key.text.strip_prefix(scheme) else {
                    return false;
                };
                let Some(rest) = rest.strip_prefix(host) else {
                    return false;
                };
                if segment.is_empty() {
                    rest.is_empty()
                } else {
                    rest.strip_prefix('/') == Some(segment)
                }
            }
        }
    }
}

/// Host and port of an authority, without user and without the scheme's default port.
#[inline]
pub(crate) fn origin_host<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let host = match authority.rfind('@') {
        Some(at) => &authority[at + 1..],
        None => authority,
    };
    let port = if scheme == HTTPS { ":443" } else { ":80" };
    // Nothing but a port ends in this: the colons of an IPv6 address are inside brackets.
    host.strip_suffix(port).unwrap_or(host)
}

#[inline]
pub(crate) fn hash(host: &str, segment: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(host.as_bytes());
    if !segment.is_empty() {
        hasher.write(segment.as_bytes());
    }
    hasher.finish()
}

fn split_scheme(text: &str) -> Option<(&str, &str)> {
    [HTTPS, HTTP]
        .iter()
        .find_map(|scheme| Some((*scheme, text.strip_prefix(scheme)?)))
}

pub(crate) const HTTPS: &str = "https://";
pub(crate) const HTTP: &str = "http://";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_finds_the_audience_that_it_has_and_no_other() {
        let texts = [
            "https://a.run.app",
            "http://a.run.app",
            "https://t---a.run.app",
            "https://A.run.app",
            "https://u@a.run.app",
            "https://a.run.app:443",
            "https://a.run.app:8443",
            "https://a.run.app/path",
            "https://f.cloudfunctions.net",
            "https://f.cloudfunctions.net/hello",
            "https://f.cloudfunctions.net/hello/x",
            "https://[::1]:8080",
        ];
        for url in texts {
            let uri: Uri = url.parse().unwrap();
            let url = AudienceRef::of(&uri).unwrap();
            for text in texts {
                let key: Audience = text.parse().unwrap();
                let same = Audience::of(&uri).unwrap() == key;
                let found = url.is(&key) || url.derived().is(&key);
                assert_eq!(found, same, "{uri} and {key}");
                assert!(!url.is(&key) || url.hash == key.hash);
            }
        }
    }
}
