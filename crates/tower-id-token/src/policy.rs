//! Which requests get a token, and for which audience.

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;

use crate::audience::{HTTP, HTTPS, hash, origin_host};
use crate::probed::Probed;
use crate::{Audience, AudienceRef};

/// Decides, from a request's URL, whether a token goes with it and whom the token is for.
///
/// A token that is sent to a host can be replayed by that host against the audience in it. So a
/// policy names hosts, and there is none that gives every host one audience. [`ByHost`] and
/// [`PerOrigin`] cover most clients; a closure `Fn(&Uri) -> Option<Audience>` is a policy too,
/// whose `None` lets the request pass without a token.
///
/// Whatever a policy says, the layer sends tokens by https only, and by plain http to loopback.
pub trait AudiencePolicy {
    /// What to do with a request to this URL. Asked for every request, and once more where the
    /// token is not at hand: keep it cheap.
    fn decide<'a>(&'a self, uri: &'a Uri) -> Decision<'a>;

    /// Whether the answer depends on the URL's scheme and authority alone, and is the same for
    /// good: then a service that calls one origin again and again need not ask again.
    ///
    /// `false` by default, which is always right. An answer of [`AudienceRef::of`] may be counted
    /// as the same for good: where it depends on the path, that is seen.
    fn by_origin_alone(&self) -> bool {
        false
    }
}

/// A policy's answer.
#[derive(Clone, Debug)]
pub enum Decision<'a> {
    /// The request carries a token for this audience, or it is not sent.
    Token(AudienceRef<'a>),
    /// The request is sent as it is.
    Pass,
    /// The request is not sent.
    Refuse,
}

impl<F> AudiencePolicy for F
where
    F: Fn(&Uri) -> Option<Audience>,
{
    fn decide<'a>(&'a self, uri: &'a Uri) -> Decision<'a> {
        self(uri).map_or(Decision::Pass, |audience| Decision::Token(audience.into()))
    }
}

/// A table of hosts and their audiences: custom domains, load balancers, Identity-Aware Proxy.
///
/// A host is written as in a URL, with its port where that is not the scheme's default. Clones
/// share one table.
///
/// ```
/// use tower_id_token::ByHost;
///
/// let policy = ByHost::new()
///     .host("api.example.com", "https://api-abc123-uc.a.run.app".parse()?)
///     .host("admin.example.com", "1234-abc.apps.googleusercontent.com".parse()?);
/// # Ok::<_, tower_id_token::SourceError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ByHost {
    hosts: Arc<Probed<Box<str>, Audience>>,
    others: Others,
}

impl ByHost {
    /// An empty table: no request gets a token.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests to this host (`name` or `name:port`) carry a token for this audience.
    #[must_use]
    pub fn host(mut self, host: &str, audience: Audience) -> Self {
        let host = origin_host(host, HTTPS).to_ascii_lowercase();
        Arc::make_mut(&mut self.hosts).insert(hash(&host, ""), host.into(), audience);
        self
    }

    /// Refuses requests to other hosts, instead of passing them on without a token.
    #[must_use]
    pub fn refuse_others(mut self) -> Self {
        self.others = Others::Refuse;
        self
    }

    #[inline]
    fn named(&self, host: &str) -> Option<&Audience> {
        self.hosts.find(hash(host, ""), |name| **name == *host)
    }

    #[inline]
    fn find(&self, uri: &Uri) -> Option<&Audience> {
        // Most hosts stand in the URL as they stand here.
        let authority = uri.authority()?.as_str();
        if uri.scheme_str() == Some("https")
            && let Some(audience) = self.named(authority)
        {
            return Some(audience);
        }
        self.find_normal(uri)
    }

    #[cold]
    fn find_normal(&self, uri: &Uri) -> Option<&Audience> {
        let scheme = if uri.scheme_str() == Some("http") {
            HTTP
        } else {
            HTTPS
        };
        let host = origin_host(uri.authority()?.as_str(), scheme);
        self.named(host).or_else(|| {
            host.bytes()
                .any(|byte| byte.is_ascii_uppercase())
                .then(|| self.named(&host.to_ascii_lowercase()))?
        })
    }
}

impl AudiencePolicy for ByHost {
    #[inline(always)]
    fn decide<'a>(&'a self, uri: &'a Uri) -> Decision<'a> {
        match self.find(uri) {
            Some(audience) => Decision::Token(audience.into()),
            None => self.others.decision(),
        }
    }

    #[inline]
    fn by_origin_alone(&self) -> bool {
        true
    }
}

/// Each origin is its own audience, by the rules of [`Audience::of`]: for Cloud Run and Cloud
/// Functions under their own names, and for the hosts that you add.
///
/// ```
/// use tower_id_token::PerOrigin;
///
/// // *.run.app, *.cloudfunctions.net, and a service of your own under test.
/// let policy = PerOrigin::new().host("127.0.0.1");
/// ```
#[derive(Clone, Debug, Default)]
pub struct PerOrigin {
    hosts: Arc<[Named]>,
    others: Others,
}

#[derive(Clone, Debug)]
enum Named {
    Host(Box<str>),
    Below(Box<str>),
}

impl PerOrigin {
    /// `*.run.app` and `*.cloudfunctions.net`.
    pub fn new() -> Self {
        Self::default()
    }

    /// This host too, on any port.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.named(Named::Host(host.into()))
    }

    /// Every host below this domain too: `run.example` for the Cloud Run of another universe.
    #[must_use]
    pub fn domain(self, domain: &str) -> Self {
        self.named(Named::Below(domain.trim_start_matches('.').into()))
    }

    /// Refuses requests to other hosts, instead of passing them on without a token.
    #[must_use]
    pub fn refuse_others(mut self) -> Self {
        self.others = Others::Refuse;
        self
    }

    fn named(mut self, name: Named) -> Self {
        self.hosts = self.hosts.iter().cloned().chain([name]).collect();
        self
    }

    fn names(&self, host: &str) -> bool {
        is_below(host, "run.app")
            || is_below(host, "cloudfunctions.net")
            || self.hosts.iter().any(|named| match named {
                Named::Host(name) => host.eq_ignore_ascii_case(name),
                Named::Below(domain) => is_below(host, domain),
            })
    }
}

impl AudiencePolicy for PerOrigin {
    #[inline(always)]
    fn decide<'a>(&'a self, uri: &'a Uri) -> Decision<'a> {
        let named = uri.authority().is_some_and(|authority| {
            // A host that ends so has no port, and who stands before it does not matter.
            authority.as_str().ends_with(".run.app") || self.names(authority.host())
        });
        if named {
            AudienceRef::of(uri).map_or(Decision::Refuse, Decision::Token)
        } else {
            self.others.decision()
        }
    }

    #[inline]
    fn by_origin_alone(&self) -> bool {
        true
    }
}

/// What happens to requests to hosts that a policy does not name.
#[derive(Clone, Copy, Debug, Default)]
enum Others {
    #[default]
    Pass,
    Refuse,
}

impl Others {
    fn decision(self) -> Decision<'static> {
        match self {
            Self::Pass => Decision::Pass,
            Self::Refuse => Decision::Refuse,
        }
    }
}

/// An audience for one request, bound to the origin that it was meant for.
///
/// Put it into the request's extensions; it goes before the policy's own answer, and makes its
/// origin a named one. Extensions travel along redirects, so it says where it holds: at any other
/// origin it is ignored and the policy decides.
///
/// ```
/// use tower_id_token::RequestAudience;
///
/// let mut request = http::Request::get("https://api.example.com/").body(())?;
/// let audience = "https://api-abc123-uc.a.run.app".parse()?;
/// let only_here = RequestAudience::new(request.uri(), audience);
/// request.extensions_mut().insert(only_here);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestAudience {
    origin: Uri,
    audience: Audience,
}

impl RequestAudience {
    /// This audience, for requests to the origin (scheme, host and port) of this URL.
    pub fn new(uri: &Uri, audience: Audience) -> Self {
        Self {
            origin: uri.clone(),
            audience,
        }
    }

    pub(crate) fn for_uri(&self, uri: &Uri) -> Option<&Audience> {
        let same =
            self.origin.scheme() == uri.scheme() && self.origin.authority() == uri.authority();
        (same && uri.authority().is_some()).then_some(&self.audience)
    }
}

/// Whether a token may travel to this URL: by https, or by plain http to loopback.
#[inline]
pub(crate) fn is_safe(uri: &Uri) -> bool {
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => uri.host().is_some_and(is_loopback),
        _ => false,
    }
}

/// Whether this host, as it stands in a URL, is this machine itself.
pub fn is_loopback(host: &str) -> bool {
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether this host lies below this domain, whatever the case of its letters.
#[inline]
pub(crate) fn is_below(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.as_bytes(), domain.as_bytes());
    host.len() > domain.len() + 1
        && host[host.len() - domain.len() - 1] == b'.'
        && host[host.len() - domain.len()..].eq_ignore_ascii_case(domain)
}
