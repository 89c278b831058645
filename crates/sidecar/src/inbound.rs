//! The receiving end: lets in who has a good token, and tells the app beside it who that is.

mod door;
mod keys;
mod unchecked;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use google_id_token::is_loopback;
use google_id_token::verify::{IdentityHeaders, Issuer, Verifier, VerifierBuilder};
use http::uri::Scheme;
use http::{Method, Request, Uri};
use hyper::body::Incoming;
use tower::timeout::TimeoutLayer;
use tower::{Service as _, ServiceBuilder};
use tower_http::auth::AsyncRequireAuthorizationLayer;

use self::door::Door;
use self::keys::Keys;
use self::unchecked::Unchecked;
use crate::admin::Missing;
use crate::drain::Drain;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::proxy::{
    Answer, Direction, Failure, Handler, Mine, RequestBody, Rescue, Rewrite, Route, Stack, Tunnels,
    Upstream, Upstreams, forwarded, is_grpc,
};
use crate::rules::{self, Rules};
use crate::serve::Peer;

/// What the way in is made with, whatever the rules.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) upstreams: Upstreams,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) identity: IdentityHeaders,
    /// The token stays on the request.
    pub(crate) keep_token: bool,
    /// Where the issuers' keys are, if not at Google's own addresses.
    pub(crate) keys_urls: [(Issuer, Option<String>); 2],
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
}

/// What [`inbound`] makes: how it answers requests, how it takes over new rules, and what it still
/// lacks.
pub(crate) struct Inbound<H, R> {
    pub(crate) handler: H,
    pub(crate) reload: R,
    pub(crate) missing: Missing,
}

/// The way in, by these rules. It wants a runtime: the keys are fetched from here on.
///
/// # Errors
///
/// For rules that are not right.
pub(crate) fn inbound(
    rules: &Rules,
    parts: Parts,
) -> Result<Inbound<impl Handler + use<>, impl Fn(&Rules) -> Result<(), Error> + use<>>, Error> {
    let verifier = verifier(&rules.inbound, &parts, None)?;
    let current = Arc::new(ArcSwap::from_pointee(stack(
        &rules.inbound,
        &parts,
        &verifier,
    )?));
    let keys = Keys::keep(verifier);
    let route = parts.metrics.route(NAME);
    let identity = parts.identity.clone();
    let missing = keys.missing();
    let swap = Arc::clone(&current);
    let reload = move |rules: &Rules| {
        let verifier = self::verifier(&rules.inbound, &parts, Some(&keys.verifier()))?;
        swap.store(Arc::new(stack(&rules.inbound, &parts, &verifier)?));
        keys.replace(verifier);
        Ok(())
    };
    let mut current = arc_swap::Cache::new(current);
    let mut mine = None;
    let handler = move |mut request: Request<Incoming>, peer: &Peer| {
        forwarded(request.headers_mut(), peer.as_ref());
        if *request.method() == Method::CONNECT {
            let failure = Failure::Tunnel("a tunnel cannot be checked, so CONNECT is not served");
            route.failed(failure.reason());
            let response = failure.answer(is_grpc(request.headers()));
            route.answered(response.status());
            return Answer::Own {
                response: Some(response),
            };
        }
        let identity = identity.clone();
        let current = current.load();
        // Always ready: see `stack`.
        Answer::Stack {
            response: Mine::of(&mut mine, current, &**current, None)
                .call(request.map(|body| RequestBody::Screened(body, identity))),
        }
    };
    Ok(Inbound {
        handler,
        reload,
        missing,
    })
}

/// The way of a request, from the top down.
fn stack(
    rules: &rules::Inbound,
    parts: &Parts,
    verifier: &Verifier,
) -> Result<impl Stack + use<>, Error> {
    let upstream = app(rules)?;
    let unchecked = Unchecked::new(&rules.unchecked)?;
    let app = parts.upstreams.upstream(upstream.transport())?;
    let route = Arc::new(Route {
        name: NAME.to_owned(),
        upstream: Some(upstream),
        counters: parts.metrics.route(NAME),
    });
    let tunnels = Tunnels::new(parts.drain.clone());
    Ok(ServiceBuilder::new()
        // Answers for every failure below, and counts all answers.
        .layer(Rescue::layer(Arc::clone(&route)))
        // Takes out what ends here, before the door: a client that names the caller's headers in
        // `Connection` has none of them taken away that are set below.
        .layer(Rewrite::layer(
            Arc::clone(&route),
            Direction::In,
            tunnels,
        ))
        // Checks the token, and puts the caller's name on in its place.
        .layer(AsyncRequireAuthorizationLayer::new(Door::new(
            verifier.clone(),
            unchecked,
            parts,
        )))
        // Gives the app so long to begin its answer, if it is not to have all the time.
        .option_layer(parts.response_timeout.map(TimeoutLayer::new))
        // Always ready, as is everything above it.
        .service(app))
}

/// Who may come in.
fn verifier(
    rules: &rules::Inbound,
    parts: &Parts,
    old: Option<&Verifier>,
) -> Result<Verifier, Error> {
    if rules.audiences.is_empty() && rules.iap_audiences.is_empty() {
        return Err(Error::config(
            "there is no audience to check for: give --audience, which is what callers ask their \
             tokens for, or --iap-audience",
        ));
    }
    let lists = [
        &rules.allow_emails,
        &rules.allow_subjects,
        &rules.allow_domains,
    ];
    let nobody_named = lists.iter().all(|list| list.is_empty());
    if nobody_named && !rules.audiences.is_empty() && !rules.allow_any_caller {
        return Err(Error::config(
            "anybody with a Google account can have a token for any --audience: name the callers \
             with --allow-email, --allow-subject or --allow-domain, or say --allow-any-caller",
        ));
    }
    if !nobody_named && rules.allow_any_caller {
        return Err(Error::config(
            "--allow-any-caller and a list of callers: it is one or the other",
        ));
    }
    let mut builder = Verifier::builder().audiences(&rules.audiences);
    for audience in &rules.iap_audiences {
        builder = builder.iap_audience(audience);
    }
    let all = |builder, list: &std::collections::BTreeSet<String>, add: Add| {
        list.iter().cloned().fold(builder, add)
    };
    builder = all(builder, &rules.allow_emails, VerifierBuilder::allow_email);
    builder = all(
        builder,
        &rules.allow_subjects,
        VerifierBuilder::allow_subject,
    );
    builder = all(
        builder,
        &rules.allow_domains,
        VerifierBuilder::allow_hosted_domain,
    );
    for (issuer, url) in &parts.keys_urls {
        if let Some(url) = url {
            builder = builder.keys_url(*issuer, url);
        }
    }
    if let Some(old) = old {
        builder = builder.keys_of(old);
    }
    Ok(builder.build()?)
}

type Add = fn(VerifierBuilder, String) -> VerifierBuilder;

/// The app's place: on this machine, where nobody else can reach it.
fn app(rules: &rules::Inbound) -> Result<Upstream, Error> {
    let Some(url) = &rules.app else {
        return Err(Error::config(
            "there is nowhere to send requests to: give --app, as in http://127.0.0.1:8080",
        ));
    };
    let wrong = |why: &str| Error::config(format!("{url:?} cannot be the app: {why}"));
    let host = url.parse::<Uri>().ok();
    let host = host.as_ref().and_then(Uri::host);
    if host.is_some_and(|host| !is_loopback(host)) {
        return Err(wrong(
            "who reaches it past the sidecar can pass for any caller, so it has to listen on this \
             machine's loopback, and the sidecar to run beside it",
        ));
    }
    let upstream = Upstream::parse(url).map_err(|error| wrong(&error.to_string()))?;
    if upstream.scheme != Scheme::HTTP {
        return Err(wrong("on this machine it is reached by http:// or h2c://"));
    }
    if !upstream.prefix.is_empty() {
        return Err(wrong(
            "it gets requests as they come: there is no path to put before theirs",
        ));
    }
    Ok(upstream)
}

/// The name in metrics and logs.
const NAME: &str = "inbound";

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> rules::Inbound {
        rules::Inbound {
            app: Some("http://127.0.0.1:8080".into()),
            ..rules::Inbound::default()
        }
    }

    #[test]
    fn the_app_is_on_this_machine_and_nowhere_else() {
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "h2c://[::1]:50051",
        ] {
            let rules = rules::Inbound {
                app: Some(url.into()),
                ..rules()
            };
            assert!(app(&rules).is_ok(), "{url}");
        }
        for (url, why) in [
            ("http://app:8080", "pass for any caller"),
            ("https://app.example", "pass for any caller"),
            ("https://127.0.0.1:8443", "by http:// or h2c://"),
            ("http://127.0.0.1:8080/api", "no path"),
            ("127.0.0.1:8080", "scheme"),
            ("ftp://127.0.0.1", "scheme"),
            ("http://user@127.0.0.1", "user"),
        ] {
            let rules = rules::Inbound {
                app: Some(url.into()),
                ..rules()
            };
            let error = app(&rules).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
