//! What a verifier accepts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_id_token::{Clock, ErrorKind, SourceError};

use super::headers::Headers;
use super::issuer::Trusted;
use super::key_ring::KeyRing;
use super::remembered::Remembered;
use super::rules::Rules;
use super::verifier::Settings;
use super::{Caller, Issuer, Verifier, crypto};
use crate::HttpClient;
use crate::endpoint::Endpoint;

/// A [`Verifier`]'s settings; the default of each is in its method's first line.
///
/// Whoever has a good token for one of the audiences may call. With
/// [`allow_email`](Self::allow_email), [`allow_subject`](Self::allow_subject) or
/// [`allow_hosted_domain`](Self::allow_hosted_domain), a caller has to be on one of those lists;
/// every [`rule`](Self::rule) has to hold besides.
#[derive(Clone)]
pub struct VerifierBuilder {
    audiences: Vec<String>,
    iap_audiences: Vec<String>,
    rules: Rules,
    leeway: Duration,
    tokens: usize,
    longest: Duration,
    keys_urls: Vec<(Issuer, String)>,
    keys_of: Option<Verifier>,
    http: HttpClient,
    clock: Clock,
}

impl Default for VerifierBuilder {
    fn default() -> Self {
        Self {
            audiences: Vec::new(),
            iap_audiences: Vec::new(),
            rules: Rules::default(),
            leeway: Duration::from_secs(30),
            tokens: 1024,
            longest: Duration::from_secs(5 * 60),
            keys_urls: Vec::new(),
            keys_of: None,
            http: HttpClient::default(),
            clock: Clock::default(),
        }
    }
}

impl VerifierBuilder {
    /// An audience of Google's tokens that is yours: none. Compared byte by byte, so without a
    /// slash at its end where callers ask for none.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Several of them.
    #[must_use]
    pub fn audiences(mut self, audiences: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.audiences.extend(audiences.into_iter().map(Into::into));
        self
    }

    /// An audience of Identity-Aware Proxy's assertions that is yours: none.
    ///
    /// `/projects/NUMBER/apps/PROJECT_ID` on App Engine,
    /// `/projects/NUMBER/global/backendServices/ID` behind a load balancer. Without one, IAP's
    /// assertions are not looked at.
    #[must_use]
    pub fn iap_audience(mut self, audience: impl Into<String>) -> Self {
        self.iap_audiences.push(audience.into());
        self
    }

    /// A caller by its e-mail, verified, in any case of letters: anybody.
    #[must_use]
    pub fn allow_email(mut self, email: impl Into<String>) -> Self {
        self.rules.emails.push(email.into());
        self
    }

    /// A caller by its `sub`: anybody.
    #[must_use]
    pub fn allow_subject(mut self, subject: impl Into<String>) -> Self {
        self.rules.subjects.push(subject.into());
        self
    }

    /// All accounts of this Google Workspace domain, by Google's own `hd` and not by the e-mail:
    /// anybody.
    #[must_use]
    pub fn allow_hosted_domain(mut self, domain: impl Into<String>) -> Self {
        self.rules.hosted_domains.push(domain.into());
        self
    }

    /// A rule of your own: none. It is asked at every request, of callers whose token is good and
    /// who are on one of the lists, where there are any.
    #[must_use]
    pub fn rule(mut self, rule: impl Fn(&Caller) -> bool + Send + Sync + 'static) -> Self {
        self.rules.own.push(Arc::new(rule));
        self
    }

    /// How far the issuer's clock may be off: 30 s, in whole seconds and five minutes at most.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How many good tokens are remembered, so that the same one is not checked anew from its third
    /// time on: 1,024. 0 remembers none. One takes some 1 KiB, and 8 KiB at most: who called, and a
    /// hash of the token.
    #[must_use]
    pub fn remember(mut self, tokens: usize) -> Self {
        self.tokens = tokens;
        self
    }

    /// For how long a token is remembered at most: 5 minutes. Never past its `exp`, and never past
    /// the keys that it was checked with.
    #[must_use]
    pub fn remember_for(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Where an issuer's keys are, as a JWK set: Google's own addresses. https, or http on
    /// loopback.
    #[must_use]
    pub fn keys_url(mut self, issuer: Issuer, url: impl Into<String>) -> Self {
        self.keys_urls.push((issuer, url.into()));
        self
    }

    /// Goes on with the keys of a verifier that this one is to replace, where both have them from
    /// the same address: none. So new rules do not cost a fetch, and take over during an outage of
    /// the issuer's. The other verifier's HTTP client and clock stay with its keys.
    #[must_use]
    pub fn keys_of(mut self, verifier: &Verifier) -> Self {
        self.keys_of = Some(verifier.clone());
        self
    }

    /// The HTTP client that keys are fetched over, or a server in its place.
    #[must_use]
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = http;
        self
    }

    /// The wall clock: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The verifier. Nothing is fetched before the first token comes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] where there is no audience, where one cannot be any token's, for a
    /// leeway of more than five minutes, for a URL that keys cannot be fetched from, and in a
    /// build without `ring` and `aws-lc-rs`.
    pub fn build(self) -> Result<Verifier, SourceError> {
        if !crypto::AVAILABLE {
            return Err(config(
                "this build checks no signatures: enable the feature `ring` or `aws-lc-rs`",
            ));
        }
        if self.audiences.is_empty() && self.iap_audiences.is_empty() {
            return Err(config(
                "a verifier needs an audience: without one, a token for any other service would do",
            ));
        }
        if self.audiences.iter().any(String::is_empty) {
            return Err(config("an audience is empty, and no token is for nobody"));
        }
        if let Some(audience) = self.iap_audiences.iter().find(|it| !is_iap_audience(it)) {
            return Err(config(format!(
                "{audience:?} is no audience of IAP's: those are \
                 /projects/NUMBER/apps/PROJECT_ID and \
                 /projects/NUMBER/global/backendServices/ID",
            )));
        }
        if self.leeway > LONGEST_LEEWAY {
            return Err(config(
                "a leeway of more than five minutes lets dead tokens live",
            ));
        }
        let google = self.trusted(Issuer::Google, &self.audiences)?;
        let iap = self.trusted(Issuer::Iap, &self.iap_audiences)?;
        let remembered = (self.tokens > 0).then(|| Remembered::new(self.tokens, self.longest));
        Ok(Verifier(Arc::new(Settings {
            google,
            iap,
            rules: self.rules,
            leeway: self.leeway,
            clock: self.clock,
            headers: Headers::default(),
            remembered,
        })))
    }

    fn trusted(
        &self,
        issuer: Issuer,
        audiences: &[String],
    ) -> Result<Option<Trusted>, SourceError> {
        if audiences.is_empty() {
            return Ok(None);
        }
        let mut given = self.keys_urls.iter().rev();
        let endpoint = match given.find(|(whose, _)| *whose == issuer) {
            Some((_, url)) => Endpoint::parse(url, format_args!("the URL of {issuer}'s keys"))?,
            None => Endpoint::known(issuer.keys_url()),
        };
        let uri = endpoint.uri();
        let old = self
            .keys_of
            .as_ref()
            .and_then(|it| it.trusted(issuer))
            .filter(|old| old.keys.uri() == uri);
        let keys = match old {
            Some(old) => Arc::clone(&old.keys),
            None => Arc::new(KeyRing::new(
                self.http.clone(),
                issuer,
                uri.clone(),
                self.clock.clone(),
            )),
        };
        Ok(Some(Trusted {
            issuer,
            audiences: audiences.iter().map(|it| it.as_str().into()).collect(),
            keys,
        }))
    }
}

/// `/projects/NUMBER/…`: what follows differs, and is compared as it is.
fn is_iap_audience(audience: &str) -> bool {
    let rest = audience.strip_prefix("/projects/");
    let number = rest.and_then(|rest| rest.split_once('/'));
    number.is_some_and(|(number, rest)| {
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && rest.contains('/')
            && !rest.ends_with('/')
    })
}

fn config(message: impl Into<std::borrow::Cow<'static, str>>) -> SourceError {
    SourceError::new(ErrorKind::Config, message)
}

impl fmt::Debug for VerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder")
            .field("audiences", &self.audiences)
            .field("iap_audiences", &self.iap_audiences)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

const LONGEST_LEEWAY: Duration = Duration::from_secs(5 * 60);
