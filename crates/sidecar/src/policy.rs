//! Whom a request's token is for: the library's two policies, one after the other.

use std::sync::Arc;

use google_id_token::{AudiencePolicy, ByHost, Decision, PerOrigin};
use http::Uri;

use crate::error::Error;
use crate::rules::Rules;

/// The hosts that were given an audience; then those whose origin is their audience. Clones share
/// it.
#[derive(Clone, Debug)]
pub(crate) struct Policy(Arc<Policies>);

#[derive(Debug)]
struct Policies {
    by_host: ByHost,
    per_origin: PerOrigin,
}

impl Policy {
    /// The policy of these rules, for requests to these hosts and to those that the rules name.
    ///
    /// # Errors
    ///
    /// For an audience that is none.
    pub(crate) fn new<'a>(
        rules: &'a Rules,
        hosts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        let mut by_host = ByHost::new();
        for (host, audience) in &rules.audiences {
            by_host = by_host.host(host, audience.parse()?);
        }
        let mut per_origin = PerOrigin::new();
        for host in hosts
            .into_iter()
            .chain(rules.hosts.iter().map(String::as_str))
        {
            per_origin = match host.strip_prefix("*.") {
                Some(domain) => per_origin.domain(domain),
                None => per_origin.host(host),
            };
        }
        if !rules.pass_others {
            per_origin = per_origin.refuse_others();
        }
        Ok(Self(Arc::new(Policies {
            by_host,
            per_origin,
        })))
    }
}

impl AudiencePolicy for Policy {
    #[inline]
    fn decide<'a>(&'a self, uri: &'a Uri) -> Decision<'a> {
        match self.0.by_host.decide(uri) {
            Decision::Token(audience) => Decision::Token(audience),
            Decision::Pass | Decision::Refuse => self.0.per_origin.decide(uri),
        }
    }

    #[inline]
    fn by_origin_alone(&self) -> bool {
        self.0.by_host.by_origin_alone() && self.0.per_origin.by_origin_alone()
    }
}
