//! A service that calls one origin again and again does not look it up each time. What it
//! remembers must never send a token where the policy would not, nor one that is old.

mod support;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, Uri};
use tower::util::ServiceFn;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_id_token::{
    AddIdToken, AddIdTokenLayer, Audience, AudiencePolicy, AudienceRef, ByHost, Cache, Clock,
    Decision, ErrorKind, IdToken, PerOrigin, RequestAudience, SourceError,
};

use support::*;

const URL: &str = "https://hello-abc-uc.a.run.app/";

type Echo = ServiceFn<fn(Request<()>) -> Ready<Result<Response<String>, Infallible>>>;

/// A service below that answers with the token that it got.
fn echo() -> Echo {
    service_fn(|request: Request<()>| {
        let token = request.headers().get(AUTHORIZATION);
        assert!(token.is_none_or(HeaderValue::is_sensitive));
        let text = token.map_or("none", |token| token.to_str().unwrap());
        ready(Ok(Response::new(
            text.trim_start_matches("Bearer ").to_owned(),
        )))
    })
}

/// Tokens that are named after their audience and numbered, and live for an hour by this clock.
fn numbered(clock: Clock) -> Cache<Audience, IdToken> {
    let count = Arc::new(AtomicUsize::new(0));
    let now = clock.clone();
    let builder = Cache::builder().young(Duration::ZERO).clock(clock);
    builder.build(service_fn(move |audience: Audience| {
        let number = count.fetch_add(1, Relaxed);
        let name = audience.as_str().replace([':', '/'], ".");
        let token = IdToken::new(&format!("{name}.{number}"), now.now() + HOUR);
        async move { token }
    }))
}

const HOUR: Duration = Duration::from_secs(3600);

type Client<P> = AddIdToken<Echo, P>;

fn client<P: AudiencePolicy + Clone>(policy: P) -> Client<P> {
    AddIdTokenLayer::new(policy, numbered(clock())).layer(echo())
}

fn to(url: &str) -> Request<()> {
    Request::get(url).body(()).unwrap()
}

async fn send<P>(client: &mut Client<P>, request: Request<()>) -> Result<String, SourceError>
where
    P: AudiencePolicy,
{
    let response = client.ready().await.unwrap().call(request).await;
    response
        .map(Response::into_body)
        .map_err(|error| SourceError::find(&*error).unwrap().clone())
}

/// Calls a URL until the client has every reason to remember it.
async fn often<P: AudiencePolicy>(client: &mut Client<P>, url: &str) -> String {
    for _ in 0..40 {
        send(client, to(url)).await.unwrap();
    }
    send(client, to(url)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn another_origin_gets_its_own_token_or_none() {
    let policy = ByHost::new()
        .host("a.example.com", "https://a.run.app".parse().unwrap())
        .host("b.example.com", "https://b.run.app".parse().unwrap());
    let mut client = client(policy);
    let answers = [
        ("https://a.example.com/x", "https...a.run.app.0"),
        ("https://b.example.com/x", "https...b.run.app.1"),
        ("https://a.example.com:8443/", "none"),
        ("https://a.example.com.evil.example/", "none"),
        ("https://a.example.co", "none"),
        ("https://A.example.com/", "https...a.run.app.0"),
        ("https://a.example.com:443/", "https...a.run.app.0"),
        ("https://a.example.com@evil.example/", "none"),
    ];
    for (remembered, token) in answers {
        if token != "none" {
            assert_eq!(often(&mut client, remembered).await, token);
        }
        for (url, expected) in answers {
            assert_eq!(send(&mut client, to(url)).await.unwrap(), expected, "{url}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_host_by_plain_http_is_still_refused() {
    let mut client = client(PerOrigin::new());
    often(&mut client, URL).await;
    let error = send(&mut client, to("http://hello-abc-uc.a.run.app/")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn a_service_on_this_machine_is_another_one_by_https() {
    let urls = ["http://127.0.0.1:8443/", "https://127.0.0.1:8443/"];
    let policy = PerOrigin::new().host("127.0.0.1");
    for order in [[0, 1], [1, 0]] {
        let mut client = client(policy.clone());
        for (number, url) in order.map(|index| urls[index]).into_iter().enumerate() {
            let origin = url.trim_end_matches('/').replace([':', '/'], ".");
            assert_eq!(often(&mut client, url).await, format!("{origin}.{number}"));
        }
    }
    let mut client = client(policy);
    often(&mut client, urls[0]).await;
    for other in [
        "http://127.0.0.1.evil.example:8443/",
        "http://evil.example/",
    ] {
        assert_eq!(send(&mut client, to(other)).await.unwrap(), "none");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_there_does_not_travel_in_the_open() {
    let audience = audience("https://hello.run.app");
    let policy = ByHost::new()
        .host("hello.example.com", audience.clone())
        .host("127.0.0.1:8443", audience.clone())
        .host("10.0.0.1:8443", audience);
    let mut client = client(policy);
    for there in ["https://hello.example.com/", "http://127.0.0.1:8443/"] {
        often(&mut client, there).await;
        for url in ["http://10.0.0.1:8443/", "ftp://127.0.0.1:8443/"] {
            let error = send(&mut client, to(url)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_functions_of_one_host_keep_their_own_tokens() {
    let mut client = client(PerOrigin::new());
    for name in ["one", "two", "one"] {
        let url = format!("https://us-p.cloudfunctions.net/{name}/x");
        let token = often(&mut client, &url).await;
        assert!(token.contains(&format!("net.{name}.")), "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_requests_own_audience_goes_before_what_is_remembered() {
    let mut client = client(PerOrigin::new());
    often(&mut client, URL).await;
    let mut request = to(URL);
    let own = RequestAudience::new(request.uri(), audience("https://own.example"));
    request.extensions_mut().insert(own);
    assert_eq!(
        send(&mut client, request).await.unwrap(),
        "https...own.example.1"
    );
    assert_eq!(
        send(&mut client, to(URL)).await.unwrap(),
        "https...hello-abc-uc.a.run.app.0"
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_looks_at_more_than_the_origin_is_asked_every_time() {
    let by_path = |uri: &Uri| match uri.path() {
        "/open" => None,
        path => Some(audience(&format!("https://aud.example{path}"))),
    };
    let mut client = client(by_path);
    assert_eq!(
        often(&mut client, "https://x.example/a").await,
        "https...aud.example.a.0"
    );
    let answers = [
        ("https://x.example/b", "https...aud.example.b.1"),
        ("https://x.example/open", "none"),
        ("https://x.example/a", "https...aud.example.a.0"),
    ];
    for (url, token) in answers {
        assert_eq!(send(&mut client, to(url)).await.unwrap(), token);
    }
}

/// A policy that counts how often it is asked.
#[derive(Clone, Default)]
struct Counted {
    asked: Arc<AtomicUsize>,
    by_origin: bool,
}

impl AudiencePolicy for Counted {
    fn decide<'a>(&'a self, uri: &'a Uri) -> Decision<'a> {
        self.asked.fetch_add(1, Relaxed);
        AudienceRef::of(uri).map_or(Decision::Refuse, Decision::Token)
    }

    fn by_origin_alone(&self) -> bool {
        self.by_origin
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_not_asked_for() {
    for by_origin in [false, true] {
        let policy = Counted {
            by_origin,
            ..Counted::default()
        };
        for url in [URL, "http://localhost:8080/"] {
            let mut client = client(policy.clone());
            often(&mut client, url).await;
            let before = policy.asked.load(Relaxed);
            for _ in 0..10 {
                send(&mut client, to(url)).await.unwrap();
            }
            let asked = policy.asked.load(Relaxed) - before;
            assert_eq!(asked > 0, !by_origin, "{url}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_token_takes_the_place_of_the_remembered_one_at_once() {
    let tokens = numbered(clock());
    let layer = AddIdTokenLayer::new(PerOrigin::new(), tokens.clone());
    let mut client = layer.layer(echo());
    let mut idle = client.clone();
    for number in 0..3 {
        for client in [&mut client, &mut idle] {
            let token = often(client, URL).await;
            assert!(token.ends_with(&format!(".{number}")), "{token}");
        }
        seconds(2).await;
        tokens
            .refresh(&Audience::of(&URL.parse().unwrap()).unwrap())
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_is_renewed_ahead_of_its_end() {
    let mut client = client(PerOrigin::new());
    assert!(often(&mut client, URL).await.ends_with(".0"));
    seconds(3600 - 200).await;
    // The old one goes on serving while the new one is fetched.
    assert!(send(&mut client, to(URL)).await.unwrap().ends_with(".0"));
    settle().await;
    assert!(send(&mut client, to(URL)).await.unwrap().ends_with(".1"));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_does_not_send_the_remembered_token() {
    let now = Arc::new(Mutex::new(epoch()));
    let wall = Arc::clone(&now);
    let tokens = numbered(Clock::from_fn(move || *wall.lock().unwrap()));
    let mut client = AddIdTokenLayer::new(PerOrigin::new(), tokens).layer(echo());
    assert!(often(&mut client, URL).await.ends_with(".0"));
    *now.lock().unwrap() += HOUR;
    assert!(send(&mut client, to(URL)).await.unwrap().ends_with(".1"));
}

#[tokio::test(start_paused = true)]
async fn what_only_memory_asks_for_still_counts_as_used() {
    let count = Arc::new(AtomicUsize::new(0));
    let fetched = Arc::clone(&count);
    let tokens = Cache::builder()
        .capacity(2)
        .clock(clock())
        .build(service_fn(move |audience: Audience| {
            fetched.fetch_add(1, Relaxed);
            let name = audience.as_str().replace([':', '/'], ".");
            async move { Ok::<_, Infallible>(token(&name, 3600)) }
        }));
    let layer = AddIdTokenLayer::new(PerOrigin::new(), tokens);
    let (mut busy, mut other) = (layer.layer(echo()), layer.layer(echo()));
    often(&mut busy, URL).await;
    for i in 0..5 {
        // Later than the last one by more than the second to which uses are noted.
        seconds(2).await;
        send(&mut busy, to(URL)).await.unwrap();
        seconds(2).await;
        send(&mut other, to(&format!("https://other-{i}.a.run.app/")))
            .await
            .unwrap();
    }
    seconds(2).await;
    send(&mut layer.layer(echo()), to(URL)).await.unwrap();
    assert_eq!(
        count.load(Relaxed),
        6,
        "the busy one was never fetched again"
    );
}
