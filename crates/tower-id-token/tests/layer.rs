//! The layer's rules, seen from the service below it.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use tower::retry::RetryLayer;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_id_token::{
    AddIdTokenLayer, Audience, ByHost, Cache, ErrorKind, IdToken, PerOrigin, Placement,
    RefreshOnUnauthorized, RequestAudience, SourceError,
};

use support::*;

const SERVERLESS: &str = "x-serverless-authorization";
const URL: &str = "https://hello-abc123-uc.a.run.app/";

type Answer = fn(&Request<String>) -> Response<String>;

/// What the service below was sent.
type Sent = Arc<Mutex<Vec<Request<String>>>>;

/// A source whose tokens name their audience.
fn telling() -> Cache<Audience, IdToken> {
    Cache::builder()
        .clock(clock())
        .build(service_fn(|audience: Audience| async move {
            let name: String = audience
                .as_str()
                .chars()
                .map(|c| if c.is_alphanumeric() { c } else { '.' })
                .collect();
            Ok::<_, BoxError>(token(&name, 3600))
        }))
}

fn server(
    answer: impl Fn(&Request<String>) -> Response<String> + Clone + Send + 'static,
) -> (
    Sent,
    BoxCloneService<Request<String>, Response<String>, BoxError>,
) {
    let sent = Sent::default();
    let seen = Arc::clone(&sent);
    let service = service_fn(move |request: Request<String>| {
        let response = answer(&request);
        seen.lock().unwrap().push(request);
        async move { Ok::<_, BoxError>(response) }
    });
    (sent, BoxCloneService::new(service))
}

/// Sends one request through the layer; what arrives, or why nothing does.
async fn send(
    layer: &AddIdTokenLayer<impl tower_id_token::AudiencePolicy + Clone>,
    request: Request<String>,
) -> Result<HeaderMap, SourceError> {
    let (sent, server) = server(|_| Response::default());
    match layer.layer(server).oneshot(request).await {
        Ok(_) => Ok(sent.lock().unwrap().pop().unwrap().headers().clone()),
        Err(error) => {
            assert!(sent.lock().unwrap().is_empty(), "no token, no request");
            Err(SourceError::find(&*error).unwrap().clone())
        }
    }
}

fn to(url: &str) -> Request<String> {
    Request::get(url).body(String::new()).unwrap()
}

async fn token_for(
    policy: impl tower_id_token::AudiencePolicy + Clone,
    url: &str,
) -> Option<String> {
    let headers = send(&AddIdTokenLayer::new(policy, telling()), to(url))
        .await
        .unwrap();
    Some(
        headers
            .get(AUTHORIZATION)?
            .to_str()
            .unwrap()
            .strip_prefix("Bearer ")?
            .to_owned(),
    )
}

#[tokio::test]
async fn the_audience_is_derived_from_the_urls_origin() {
    let hello = Some("https...hello.abc123.uc.a.run.app".to_owned());
    for url in [
        "https://hello-abc123-uc.a.run.app",
        "https://hello-abc123-uc.a.run.app/a/b?c=d",
        "https://hello-abc123-uc.a.run.app:443/",
        "https://HELLO-abc123-uc.a.Run.App/",
        "https://user:secret@hello-abc123-uc.a.run.app/",
        "HTTPS://hello-abc123-uc.a.run.app/",
    ] {
        assert_eq!(token_for(PerOrigin::new(), url).await, hello, "{url}");
    }
    assert_eq!(
        token_for(
            PerOrigin::new(),
            "https://hello-123456.us-central1.run.app/x"
        )
        .await
        .unwrap(),
        "https...hello.123456.us.central1.run.app"
    );
    assert_eq!(
        token_for(PerOrigin::new(), "https://hello-abc123-uc.a.run.app:8443/")
            .await
            .unwrap(),
        "https...hello.abc123.uc.a.run.app.8443"
    );
}

#[tokio::test]
async fn a_traffic_tag_is_no_part_of_the_audience() {
    for url in [
        "https://blue---hello-abc-uc.a.run.app/",
        "https://Blue---Hello-abc-uc.a.run.app/",
    ] {
        assert_eq!(
            token_for(PerOrigin::new(), url).await.unwrap(),
            "https...hello.abc.uc.a.run.app"
        );
    }
    // Elsewhere three dashes are just three dashes.
    assert_eq!(
        token_for(
            PerOrigin::new().host("a---b.example.com"),
            "https://a---b.example.com/"
        )
        .await,
        Some("https...a...b.example.com".to_owned())
    );
}

#[tokio::test]
async fn a_functions_name_stays_in_its_audience() {
    for (url, audience) in [
        (
            "https://us-p.cloudfunctions.net/Hello/x?y",
            "https...us.p.cloudfunctions.net.Hello",
        ),
        (
            "https://us-p.cloudfunctions.net/Hello",
            "https...us.p.cloudfunctions.net.Hello",
        ),
        (
            "https://us-p.cloudfunctions.net/",
            "https...us.p.cloudfunctions.net",
        ),
    ] {
        assert_eq!(token_for(PerOrigin::new(), url).await.unwrap(), audience);
    }
    let policy = ByHost::new().host(
        "us-p.cloudfunctions.net",
        audience("https://us-p.cloudfunctions.net/other"),
    );
    assert_eq!(
        token_for(policy, "https://us-p.cloudfunctions.net/Hello")
            .await
            .unwrap(),
        "https...us.p.cloudfunctions.net.other"
    );
}

#[tokio::test]
async fn two_audiences_of_one_host_do_not_get_each_others_tokens() {
    let layer = AddIdTokenLayer::new(PerOrigin::new(), telling());
    for _ in 0..2 {
        for name in ["one", "two", "one/more"] {
            let url = format!("https://us-p.cloudfunctions.net/{name}");
            let headers = send(&layer, to(&url)).await.unwrap();
            let wanted = format!(
                "Bearer https...us.p.cloudfunctions.net.{}",
                name.split('/').next().unwrap()
            );
            assert_eq!(headers[AUTHORIZATION], wanted);
        }
    }
}

#[tokio::test]
async fn a_host_that_nobody_named_never_gets_a_token() {
    for url in [
        "https://example.com/",
        "https://run.app/",
        "https://evilrun.app/",
        "https://hello.run.app.evil.com/",
        "https://evil.com/?hello.a.run.app",
        "https://hello.a.run.app@evil.com/",
        "http://127.0.0.1:80/",
        "/only/a/path",
    ] {
        assert_eq!(token_for(PerOrigin::new(), url).await, None, "{url}");
        let named = ByHost::new().host("hello.a.run.app", audience("x"));
        assert_eq!(token_for(named, url).await, None, "{url}");
        let strict = AddIdTokenLayer::new(PerOrigin::new().refuse_others(), telling());
        let error = send(&strict, to(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn hosts_are_named_one_by_one_or_by_domain() {
    let policy = PerOrigin::new().host("localhost").domain("run.example");
    for (url, named) in [
        ("http://localhost:8080/", true),
        ("https://LOCALHOST/", true),
        ("https://svc.run.example/", true),
        ("https://run.example/", false),
        ("https://svcrun.example/", false),
    ] {
        assert_eq!(
            token_for(policy.clone(), url).await.is_some(),
            named,
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_table_of_hosts_gives_each_its_audience_at_its_own_port() {
    let policy = ByHost::new()
        .host("Api.Example.com", audience("https://api-abc-uc.a.run.app"))
        .host(
            "admin.example.com:8443",
            audience("1234.apps.googleusercontent.com"),
        );
    for (url, wanted) in [
        (
            "https://api.example.com/x",
            Some("https...api.abc.uc.a.run.app"),
        ),
        (
            "https://API.example.com:443/",
            Some("https...api.abc.uc.a.run.app"),
        ),
        ("https://api.example.com:8443/", None),
        (
            "https://admin.example.com:8443/",
            Some("1234.apps.googleusercontent.com"),
        ),
        ("https://admin.example.com/", None),
        ("https://other.example.com/", None),
    ] {
        assert_eq!(
            token_for(policy.clone(), url).await.as_deref(),
            wanted,
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_closure_is_a_policy() {
    let policy = |uri: &http::Uri| (uri.path() == "/private").then(|| audience("mine"));
    assert_eq!(
        token_for(policy, "https://a.example/private")
            .await
            .as_deref(),
        Some("mine")
    );
    assert_eq!(token_for(policy, "https://a.example/public").await, None);
}

#[tokio::test]
async fn plain_http_is_refused_but_for_loopback() {
    let any = |_: &http::Uri| Some(audience("mine"));
    for url in [
        "http://localhost/",
        "http://127.0.0.1:8080/",
        "http://127.9.9.9/",
        "http://[::1]:80/",
    ] {
        assert_eq!(token_for(any, url).await.as_deref(), Some("mine"), "{url}");
    }
    let layer = AddIdTokenLayer::new(any, telling());
    for url in [
        "http://hello-abc123-uc.a.run.app/",
        "http://localhost.evil.com/",
        "http://127.0.0.1.evil.com/",
        "http://128.0.0.1/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "/only/a/path",
    ] {
        let error = send(&layer, to(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        // Also once the token is cached.
        send(&layer, to("https://a.example/")).await.unwrap();
        send(&layer, to(url)).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_callers_own_authorization_stays_and_ours_goes_beside_it() {
    let layer = AddIdTokenLayer::new(PerOrigin::new(), telling());
    for _hit in [false, true] {
        let mut request = to(URL);
        request
            .headers_mut()
            .insert(AUTHORIZATION, "Basic mine".parse().unwrap());
        let headers = send(&layer, request).await.unwrap();
        assert_eq!(headers[AUTHORIZATION], "Basic mine");
        assert_eq!(
            headers[SERVERLESS],
            "Bearer https...hello.abc123.uc.a.run.app"
        );
        assert!(headers[SERVERLESS].is_sensitive());
        assert_eq!(headers.len(), 2);
    }
}

#[tokio::test]
async fn a_request_that_brings_both_headers_passes_untouched() {
    let layer = AddIdTokenLayer::new(PerOrigin::new(), telling());
    for _hit in [false, true, true] {
        let mut request = to(URL);
        request
            .headers_mut()
            .insert(AUTHORIZATION, "Basic mine".parse().unwrap());
        request
            .headers_mut()
            .insert(SERVERLESS, "Bearer own".parse().unwrap());
        let headers = send(&layer, request).await.unwrap();
        assert_eq!(headers[AUTHORIZATION], "Basic mine");
        assert_eq!(headers[SERVERLESS], "Bearer own");
        send(&layer, to(URL)).await.unwrap();
    }
}

#[tokio::test]
async fn the_header_can_be_chosen() {
    let serverless = HeaderName::from_static(SERVERLESS);
    for (placement, set) in [
        (Placement::Authorization, vec![AUTHORIZATION]),
        (Placement::Serverless, vec![serverless.clone()]),
        (Placement::Proxy, vec![PROXY_AUTHORIZATION]),
        (Placement::Both, vec![AUTHORIZATION, serverless]),
    ] {
        let layer = AddIdTokenLayer::new(PerOrigin::new(), telling()).placement(placement);
        for _hit in [false, true] {
            let headers = send(&layer, to(URL)).await.unwrap();
            assert_eq!(headers.len(), set.len(), "{placement:?}");
            for name in &set {
                assert!(headers[name].is_sensitive(), "{placement:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_apps_own_authorization_stays_beside_a_proxys_and_beside_both() {
    for (placement, ours) in [
        (Placement::Proxy, "proxy-authorization"),
        (Placement::Both, SERVERLESS),
    ] {
        let layer = AddIdTokenLayer::new(PerOrigin::new(), telling()).placement(placement);
        for _hit in [false, true] {
            let mut request = to(URL);
            request
                .headers_mut()
                .insert(AUTHORIZATION, "Basic mine".parse().unwrap());
            let headers = send(&layer, request).await.unwrap();
            assert_eq!(headers[AUTHORIZATION], "Basic mine");
            assert!(headers[ours].to_str().unwrap().starts_with("Bearer https"));
            assert_eq!(headers.len(), 2);
        }
    }
}

#[tokio::test]
async fn a_requests_extension_names_its_audience_at_its_own_origin_only() {
    let layer = AddIdTokenLayer::new(PerOrigin::new(), telling());
    let own = RequestAudience::new(
        &"https://api.example.com/x".parse().unwrap(),
        audience("mine"),
    );
    for (url, wanted) in [
        ("https://api.example.com/other", Some("Bearer mine")),
        ("https://evil.example.com/", None),
        ("https://api.example.com:8443/", None),
        (URL, Some("Bearer https...hello.abc123.uc.a.run.app")),
    ] {
        let mut request = to(url);
        request.extensions_mut().insert(own.clone());
        let headers = send(&layer, request).await.unwrap();
        assert_eq!(
            headers.get(AUTHORIZATION).map(|it| it.to_str().unwrap()),
            wanted,
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_carries_no_token_there() {
    for target in [
        "https://evil.example.com/",
        "http://hello-abc123-uc.a.run.app/",
        "https://other-abc-uc.a.run.app/",
    ] {
        let (sent, server) = server(move |request| {
            let first = request.uri().host() == Some("hello-abc123-uc.a.run.app")
                && request.uri().scheme_str() == Some("https");
            let response = Response::builder();
            match first {
                true => response.status(StatusCode::FOUND).header(LOCATION, target),
                false => response,
            }
            .body(String::new())
            .unwrap()
        });
        let client = ServiceBuilder::new()
            .layer(FollowRedirectLayer::new())
            .layer(AddIdTokenLayer::new(PerOrigin::new(), telling()))
            .service(server);
        let mut request = to(URL);
        let own = RequestAudience::new(request.uri(), audience("mine"));
        request.extensions_mut().insert(own);
        let result = client.oneshot(request).await;
        let sent: Vec<_> = sent
            .lock()
            .unwrap()
            .iter()
            .map(|sent| {
                sent.headers()
                    .get(AUTHORIZATION)
                    .map(|it| it.to_str().unwrap().to_owned())
            })
            .collect();
        match target {
            "https://evil.example.com/" => assert_eq!(sent, [Some("Bearer mine".into()), None]),
            "https://other-abc-uc.a.run.app/" => assert_eq!(
                sent,
                [
                    Some("Bearer mine".into()),
                    Some("Bearer https...other.abc.uc.a.run.app".into())
                ]
            ),
            _ => {
                assert_eq!(sent, [Some("Bearer mine".into())]);
                result.unwrap_err();
            }
        }
    }
}

#[tokio::test]
async fn no_token_means_no_request_and_a_typed_error() {
    let tokens = Cache::new(service_fn(|_: Audience| async {
        Err::<IdToken, _>(SourceError::new(ErrorKind::Denied, "the role is missing"))
    }));
    let error = send(&AddIdTokenLayer::new(PerOrigin::new(), tokens), to(URL))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

/// Panics when it is called without having been polled ready; a clone starts unready.
struct Strict {
    ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            calls: Arc::clone(&self.calls),
        }
    }
}

impl Service<Request<String>> for Strict {
    type Response = Response<String>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<String>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_readied_service_is_the_one_that_is_called() {
    let calls = Arc::new(AtomicUsize::new(0));
    let strict = Strict {
        ready: false,
        calls: Arc::clone(&calls),
    };
    let mut client = AddIdTokenLayer::new(PerOrigin::new(), telling()).layer(strict);
    for _miss_then_hit in 0..3 {
        client.ready().await.unwrap().call(to(URL)).await.unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_token_never_holds_up_poll_ready() {
    let (tokens, _source) = tokens();
    let (_, server) = server(|_| Response::default());
    let mut client = AddIdTokenLayer::new(PerOrigin::new(), tokens).layer(server);
    let _waiting = client.ready().await.unwrap().call(to(URL));
    let mut ready = tokio_test::task::spawn(client.ready());
    assert!(ready.poll().is_ready());
}

fn refused() -> Response<String> {
    Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\" error_description=\"The access token could not be verified\"")
        .body(String::new())
        .unwrap()
}

/// Sends one request through Retry and the layer to a server that refuses every token but "new";
/// answers the status, what was sent, and how often the source was asked.
async fn retried(answer: Answer, age: u64) -> (StatusCode, usize, usize) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let tokens = Cache::builder()
        .clock(clock())
        .build(service_fn(move |_: Audience| {
            let name = if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                "old"
            } else {
                "new"
            };
            async move { Ok::<_, BoxError>(token(name, 3600)) }
        }));
    tokens
        .get(&Audience::of(&URL.parse().unwrap()).unwrap())
        .await
        .unwrap();
    seconds(age).await;
    let (sent, server) = server(answer);
    let client = ServiceBuilder::new()
        .layer(RetryLayer::new(RefreshOnUnauthorized::new(
            PerOrigin::new(),
            tokens.clone(),
        )))
        .layer(AddIdTokenLayer::new(PerOrigin::new(), tokens))
        .service(server);
    let response = client.oneshot(to(URL)).await.unwrap();
    let sent = sent.lock().unwrap().len();
    (response.status(), sent, calls.load(Ordering::Relaxed))
}

fn only_new(request: &Request<String>) -> Response<String> {
    if request.headers()[AUTHORIZATION] == "Bearer new" {
        Response::default()
    } else {
        refused()
    }
}

#[tokio::test(start_paused = true)]
async fn a_401_that_blames_the_token_is_tried_once_more_with_a_new_one() {
    assert_eq!(retried(only_new, 60).await, (StatusCode::OK, 2, 2));
    // Once, not for ever.
    assert_eq!(
        retried(|_| refused(), 60).await,
        (StatusCode::UNAUTHORIZED, 2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_401_does_not_refresh_a_token_that_is_seconds_old() {
    assert_eq!(retried(only_new, 3).await, (StatusCode::UNAUTHORIZED, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_apps_own_401_and_any_403_are_left_alone() {
    let answers: [Answer; 4] = [
        |_| {
            let mut response = refused();
            *response.status_mut() = StatusCode::FORBIDDEN;
            response
        },
        |_| {
            let mut response = refused();
            response.headers_mut().remove(WWW_AUTHENTICATE);
            response
        },
        |_| {
            let mut response = refused();
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, "Basic realm=\"app\"".parse().unwrap());
            response
        },
        |_| {
            let mut response = refused();
            let other = "Bearer error=\"insufficient_scope\"".parse().unwrap();
            response.headers_mut().insert(WWW_AUTHENTICATE, other);
            response
        },
    ];
    for answer in answers {
        let (status, sent, fetched) = retried(answer, 60).await;
        assert_ne!(status, StatusCode::OK);
        assert_eq!((sent, fetched), (1, 1));
    }
}
