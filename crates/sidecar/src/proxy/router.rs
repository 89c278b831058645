//! From a request's host to the route that it takes.

use std::collections::HashMap;

use google_id_token::{AudiencePolicy, Decision, is_loopback};
use http::header::HOST;
use http::{HeaderValue, Method, Request};

use super::rescue::Failure;
use super::rewrite::authority;
use super::route::Upstream;
use crate::error::Error;
use crate::policy::Policy;
use crate::rules::Rules;

/// The routes, each with its own stack of layers.
#[derive(Debug)]
pub(crate) struct Router<S> {
    by_host: HashMap<String, S>,
    default: Option<Default<S>>,
    egress: Option<S>,
    policy: Policy,
}

/// The service that takes what no route names.
#[derive(Debug)]
struct Default<S> {
    stack: S,
    /// Its own name, which callers may use.
    host: String,
    /// The names under which callers reach this proxy. A browser can be made to send requests
    /// here under a name that leads to loopback (DNS rebinding); under any name but these, they
    /// are refused.
    local: Local,
}

#[derive(Debug)]
enum Local {
    Any,
    LoopbackAnd(Vec<String>),
}

impl<S> Router<S> {
    /// The routes of these rules; `any_host` where callers come from other machines, by whatever
    /// name this one has there.
    ///
    /// # Errors
    ///
    /// For rules that lead nowhere, for URLs that no token may go to, and those of `stack`.
    pub(crate) fn new(
        rules: &Rules,
        any_host: bool,
        policy: Policy,
        mut stack: impl FnMut(String, Option<Upstream>) -> Result<S, Error>,
    ) -> Result<Self, Error> {
        let default = match &rules.url {
            None => None,
            Some(url) => {
                let upstream = Upstream::parse(url)?;
                Some(Default {
                    host: upstream.authority.host().to_owned(),
                    stack: stack("default".to_owned(), Some(upstream))?,
                    local: if any_host {
                        Local::Any
                    } else {
                        Local::LoopbackAnd(rules.local_hosts.iter().cloned().collect())
                    },
                })
            }
        };
        let mut by_host = HashMap::new();
        for (host, url) in &rules.routes {
            let host = host.to_ascii_lowercase();
            if host.is_empty() || host.contains('/') {
                return Err(Error::config(format!(
                    "{host:?} is not a host: a route is HOST=URL, as in app.local=https://host"
                )));
            }
            let stack = stack(host.clone(), Some(Upstream::parse(url)?))?;
            by_host.insert(host, stack);
        }
        let egress = match rules.egress {
            true => Some(stack("egress".to_owned(), None)?),
            false => None,
        };
        if default.is_none() && by_host.is_empty() && egress.is_none() {
            return Err(Error::config(
                "there is nowhere to send requests to: give --url, --route or --egress",
            ));
        }
        Ok(Self {
            by_host,
            default,
            egress,
            policy,
        })
    }

    /// The route of this request.
    pub(crate) fn find<B>(&self, request: &Request<B>) -> Result<&S, Failure> {
        if is_connect(request) {
            return Err(Failure::Tunnel(TUNNEL));
        }
        let name = match request.uri().authority() {
            Some(authority) => Some(authority.as_str()),
            None => match request.headers().get(HOST) {
                Some(host) => Some(host.to_str().map_err(|_| Failure::BadHost)?),
                None => None,
            },
        };
        let Some(name) = name else {
            return match &self.default {
                Some(default) => Ok(&default.stack),
                None => Err(Failure::BadHost),
            };
        };
        if let Some(stack) = self.named(name) {
            return Ok(stack);
        }
        if let Some(default) = &self.default
            && default.is_meant_by(bare(name))
        {
            return Ok(&default.stack);
        }
        match &self.egress {
            Some(stack) => self.allows(request, name).map(|()| stack),
            None => Err(Failure::Misdirected(format!(
                "no route leads to {name}: add it with --route, or allow the name with --local-host"
            ))),
        }
    }

    /// The `Host` of a request whose route follows from that alone.
    pub(crate) fn decides_by<'a, B>(&self, request: &'a Request<B>) -> Option<&'a HeaderValue> {
        let more =
            self.egress.is_some() || request.uri().authority().is_some() || is_connect(request);
        if more {
            return None;
        }
        request.headers().get(HOST)
    }

    fn named(&self, name: &str) -> Option<&S> {
        if self.by_host.is_empty() {
            return None;
        }
        let find = |name: &str| {
            self.by_host
                .get(name)
                .or_else(|| self.by_host.get(bare(name)))
        };
        find(name).or_else(|| {
            name.bytes()
                .any(|byte| byte.is_ascii_uppercase())
                .then(|| find(&name.to_ascii_lowercase()))?
        })
    }

    /// Whether a request may leave for the service that it names itself.
    fn allows<B>(&self, request: &Request<B>, name: &str) -> Result<(), Failure> {
        let authority = match request.uri().authority() {
            Some(authority) => authority.clone(),
            None => request
                .headers()
                .get(HOST)
                .and_then(authority)
                .ok_or(Failure::BadHost)?,
        };
        let upstream = Upstream::named(&authority);
        match self.policy.decide(&upstream.url(request.uri())) {
            Decision::Token(_) => Ok(()),
            // What is on this machine needs no proxy, and may be this proxy.
            Decision::Pass if !is_loopback(authority.host()) => Ok(()),
            Decision::Pass | Decision::Refuse => Err(Failure::Misdirected(format!(
                "no token may go to {name}, so nothing does: name it with --host or --audience"
            ))),
        }
    }
}

impl<S> Default<S> {
    fn is_meant_by(&self, host: &str) -> bool {
        match &self.local {
            Local::Any => true,
            Local::LoopbackAnd(more) => {
                more.iter().any(|name| host.eq_ignore_ascii_case(name))
                    || host.eq_ignore_ascii_case(&self.host)
                    || is_loopback(host)
            }
        }
    }
}

fn is_connect<B>(request: &Request<B>) -> bool {
    *request.method() == Method::CONNECT
}

/// A host without its port.
fn bare(name: &str) -> &str {
    match name.rfind(':') {
        // The colons of an IPv6 address are inside brackets.
        Some(colon) if !name.ends_with(']') => &name[..colon],
        _ => name,
    }
}

const TUNNEL: &str = "CONNECT is not served: what goes through a tunnel is encrypted, so no token \
    can be put on it; send http:// URLs to this proxy, it speaks https to the service";

/// Routes that only name themselves, for this file's tests.
#[cfg(test)]
mod tests {
    use super::*;

    fn router(rules: Rules) -> Result<Router<String>, Error> {
        let policy = Policy::new(&rules, []).unwrap();
        Router::new(&rules, false, policy, |name, _| Ok(name))
    }

    fn get(router: &Router<String>, uri: &str, host: Option<&str>) -> Result<String, &'static str> {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        router
            .find(&request.body(()).unwrap())
            .cloned()
            .map_err(|failure| failure.reason())
    }

    #[test]
    fn one_service_answers_to_loopback_to_its_own_name_and_to_names_that_were_given() {
        let router = router(Rules {
            url: Some("https://hello-abc-uc.a.run.app".into()),
            local_hosts: ["build-box".into()].into(),
            ..Rules::default()
        })
        .unwrap();
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "hello-abc-uc.a.run.app",
            "build-box:1",
        ] {
            assert_eq!(
                get(&router, "/", Some(host)),
                Ok("default".into()),
                "{host}"
            );
        }
        assert_eq!(get(&router, "/", None), Ok("default".into()));
        // What a browser sends whose DNS was turned to loopback.
        assert_eq!(
            get(&router, "/", Some("evil.example:8080")),
            Err("misdirected")
        );
    }

    #[test]
    fn routes_are_found_by_host_with_and_without_port_and_in_any_case() {
        let router = router(Rules {
            routes: [
                ("app.local".into(), "https://a.example".into()),
                ("app.local:9000".into(), "https://b.example".into()),
            ]
            .into(),
            ..Rules::default()
        })
        .unwrap();
        for (uri, host, name) in [
            ("/", Some("app.local"), "app.local"),
            ("/", Some("App.Local:8080"), "app.local"),
            ("/", Some("app.local:9000"), "app.local:9000"),
            ("http://app.local/x", Some("other.local"), "app.local"),
        ] {
            assert_eq!(get(&router, uri, host), Ok(name.into()));
        }
        assert_eq!(get(&router, "/", Some("other.local")), Err("misdirected"));
        assert_eq!(get(&router, "/", None), Err("bad-host"));
    }

    #[test]
    fn egress_lets_through_what_the_policy_names_and_nothing_else() {
        let rules = Rules {
            egress: true,
            hosts: ["api.example.com".into()].into(),
            ..Rules::default()
        };
        let strict = router(rules.clone()).unwrap();
        for uri in [
            "http://hello-abc-uc.a.run.app/",
            "http://api.example.com:80/",
        ] {
            assert_eq!(get(&strict, uri, None), Ok("egress".into()), "{uri}");
        }
        for uri in ["http://example.com/", "http://127.0.0.1:8080/"] {
            assert_eq!(get(&strict, uri, None), Err("misdirected"), "{uri}");
        }
        let open = router(Rules {
            pass_others: true,
            ..rules
        })
        .unwrap();
        assert_eq!(get(&open, "http://example.com/", None), Ok("egress".into()));
        // This proxy itself, for all that it knows.
        assert_eq!(
            get(&open, "http://127.0.0.1:8080/", None),
            Err("misdirected")
        );
    }

    #[test]
    fn a_tunnel_is_refused_because_no_token_can_be_put_into_one() {
        let router = router(Rules {
            egress: true,
            ..Rules::default()
        })
        .unwrap();
        let request = Request::connect("hello-abc-uc.a.run.app:443")
            .body(())
            .unwrap();
        assert_eq!(router.find(&request).unwrap_err().reason(), "tunnel");
    }

    #[test]
    fn rules_that_lead_nowhere_or_into_the_open_are_errors() {
        assert!(router(Rules::default()).is_err());
        for url in [
            "http://example.com",
            "hello-abc-uc.a.run.app",
            "ftp://example.com",
            "https://user:secret@example.com",
            "https://example.com/?q",
        ] {
            let rules = Rules {
                url: Some(url.into()),
                ..Rules::default()
            };
            assert!(router(rules).is_err(), "{url}");
        }
    }
}
