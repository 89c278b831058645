//! The receiving end, as the clients before it and the app behind it see it.

mod support;

use bytes::Bytes;
use google_emulator::{Endpoint, Fault, Server};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::service::{Seen, full};
use support::{Caller, HOUR, Service, Sidecar, google};

const AUDIENCE: &str = "https://hello.example";
const EMAIL: &str = "caller@demo-project.iam.gserviceaccount.com";
const IAP_AUDIENCE: &str = "/projects/123/global/backendServices/456";

#[tokio::test]
async fn a_good_token_comes_in_as_its_callers_name() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let sidecar = start(&google, &app.url(), &[]).await;
    let answer = call(&sidecar, "/a/b?c=d", &[("authorization", &bearer(&google))]).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (StatusCode::OK, "ok")
    );
    let seen = app.last();
    assert_eq!(seen.uri, "/a/b?c=d");
    assert_eq!(seen.header("x-caller-email"), Some(EMAIL));
    assert_eq!(seen.header("x-caller-issuer"), Some("google"));
    assert_eq!(seen.header("x-caller-audience"), Some(AUDIENCE));
    let claims = google.emulator().claims(EMAIL, AUDIENCE);
    assert_eq!(seen.header("x-caller-subject"), Some(&*claims.sub));
    assert_eq!(seen.header("authorization"), None, "it could be replayed");
    // The app has the name that its callers know it by.
    assert_eq!(seen.header("host"), Some(&*sidecar.address));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn no_client_can_name_a_caller_in_any_spelling_or_have_the_true_name_dropped() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let sidecar = start(&google, &app.url(), &["--unchecked", "/healthz"]).await;
    let forged = "X-Caller-Email: boss@example.com\r\n\
         x-caller-email: boss@example.com\r\n\
         X-CALLER-EMAIL: boss@example.com\r\n\
         X_Caller_Email: boss@example.com\r\n\
         x-caller_email: boss@example.com\r\n\
         x_caller-subject: 1\r\n\
         X-Caller-Role: boss\r\n\
         X-Caller-Domain: example.com\r\n\
         X-Goog-Authenticated-User-Email: accounts.google.com:boss@example.com\r\n\
         X-Goog-Iap-Jwt-Assertion: boss\r\n\
         X-Serverless-Authorization: Basic boss\r\n\
         X_Serverless_Authorization: Basic boss\r\n\
         X_Goog_Iap-Jwt_Assertion: boss\r\n\
         X_Goog_Authenticated_User_Email: accounts.google.com:boss@example.com\r\n\
         Connection: close, x-caller-email, X-Caller-Issuer, x-caller-subject\r\n";
    let authorization = format!("Authorization: {}\r\n", bearer(&google));
    for (path, authorization, name) in [
        ("/", &*authorization, Some(EMAIL)),
        ("/healthz", "", None),
        ("/healthz", &*authorization, None),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: hello.example\r\n{forged}{authorization}\r\n");
        let answer = raw(&sidecar, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let seen = app.last();
        assert_eq!(seen.header("x-caller-email"), name, "{path}");
        assert_eq!(seen.header("x-caller-issuer"), name.map(|_| "google"));
        assert_eq!(seen.header("x-caller-subject").is_some(), name.is_some());
        assert_eq!(seen.header("x-serverless-authorization"), None);
        assert_eq!(seen.header("x-goog-iap-jwt-assertion"), None);
        for (name, value) in &seen.headers {
            let value = value.to_str().unwrap();
            assert!(!value.contains("boss"), "{path} {name}: {value}");
            assert!(!name.as_str().contains('_'), "{path} {name}: {value}");
        }
    }
}

#[tokio::test]
async fn trailers_name_no_caller_either() {
    let google = google(HOUR).await;
    let app = Service::start(|request| async move {
        let body = request.into_body().collect().await.unwrap();
        let mut response = Response::new(full(""));
        for (name, value) in body.trailers().cloned().unwrap_or_default() {
            let name = format!("echo-{}", name.unwrap());
            let name: http::HeaderName = name.parse().unwrap();
            response.headers_mut().insert(name, value);
        }
        response
    })
    .await;
    for (url, declared) in [(app.url(), true), (app.h2c_url(), false)] {
        let sidecar = start(&google, &url, &[]).await;
        let trailers = [
            ("x-caller-email", "boss"),
            ("x_caller_role", "boss"),
            ("x-goog-iap-jwt-assertion", "boss"),
            ("x-sum", "42"),
        ];
        let mut map = HeaderMap::new();
        for (name, value) in trailers {
            map.insert(name, value.parse().unwrap());
        }
        let frames = [
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from("hello"))),
            Ok(Frame::trailers(map)),
        ];
        let mut request = Request::post(sidecar.url("/")).header("authorization", bearer(&google));
        if declared {
            // By HTTP/1.1, hyper passes on what is announced.
            let announced = trailers.map(|(name, _)| name).join(", ");
            request = request.header("trailer", announced);
        }
        let request = request.body(StreamBody::new(tokio_stream::iter(frames)));
        let stream = TcpStream::connect(&sidecar.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["echo-x-sum"], "42", "{url}");
        for name in [
            "echo-x-caller-email",
            "echo-x_caller_role",
            "echo-x-goog-iap-jwt-assertion",
        ] {
            assert!(!answer.headers().contains_key(name), "{url}: {name}");
        }
    }
}

#[tokio::test]
async fn who_has_no_good_token_stays_outside_and_hears_why() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let sidecar = start(&google, &app.url(), &[]).await;
    let emulator = google.emulator();
    let token = |email: &str, audience: &str| {
        format!("Bearer {}", emulator.mint(emulator.claims(email, audience)))
    };
    let mut dead = emulator.claims(EMAIL, AUDIENCE);
    (dead.iat, dead.exp) = (dead.iat - 7200, dead.exp - 7200);
    let dead = format!("Bearer {}", emulator.mint(dead));
    let good = token(EMAIL, AUDIENCE);
    let mut broken = good.clone();
    let other = if good[good.len() - 9..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    broken.replace_range(good.len() - 9..good.len() - 8, other);
    let unsigned = format!(
        "{}.SIGNATURE_REMOVED_BY_GOOGLE",
        good.rsplit_once('.').unwrap().0
    );
    let elsewhere = token(EMAIL, "https://other.example");
    let stranger = token("stranger@example.com", AUDIENCE);
    let iap = emulator.mint_iap(emulator.iap_claims(EMAIL, IAP_AUDIENCE));
    for (headers, status, reason) in [
        (vec![], 401, "missing"),
        (vec![("authorization", "Basic app")], 401, "missing"),
        (
            vec![("authorization", "Bearer ya29.access")],
            401,
            "not-jwt",
        ),
        (vec![("authorization", &*broken)], 401, "signature"),
        (
            vec![("authorization", &*unsigned)],
            401,
            "signature-removed",
        ),
        (vec![("authorization", &*dead)], 401, "expired"),
        (vec![("authorization", &*elsewhere)], 401, "audience"),
        (vec![("authorization", &*stranger)], 403, "not-allowed"),
        (
            vec![("authorization", &*good), ("authorization", &*good)],
            400,
            "ambiguous",
        ),
        (
            vec![("authorization", "Basic app"), ("authorization", &*good)],
            400,
            "ambiguous",
        ),
        (
            vec![
                ("x-serverless-authorization", &*elsewhere),
                ("authorization", &*good),
            ],
            401,
            "audience",
        ),
        // Nobody listens to IAP here.
        (vec![("x-goog-iap-jwt-assertion", &*iap)], 401, "missing"),
        // Headers that name a caller are none of a token.
        (vec![("x-caller-email", EMAIL)], 401, "missing"),
    ] {
        let answer = call(&sidecar, "/", &headers).await;
        assert_eq!(answer.status, status, "{reason}");
        assert_eq!(answer.header("x-id-token-sidecar"), Some(reason));
        let challenge = answer.header("www-authenticate");
        assert_eq!(
            challenge.is_some(),
            status != 403,
            "{reason}: {challenge:?}"
        );
        assert!(answer.text().len() > 20, "{reason}: {}", answer.text());
        let count = format!(
            "id_token_sidecar_refused_requests_total{{route=\"inbound\",reason=\"{reason}\"}}"
        );
        assert!(sidecar.metric(&count).await >= 1.0, "{reason}");
    }
    assert!(app.seen().is_empty(), "nothing of it comes in");
}

#[tokio::test]
async fn a_grpc_client_hears_of_it_as_grpc_tells_it() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let sidecar = start(&google, &app.h2c_url(), &[]).await;
    let emulator = google.emulator();
    let stranger = emulator.mint(emulator.claims("stranger@example.com", AUDIENCE));
    let stranger = format!("Bearer {stranger}");
    for (authorization, code, message) in [
        ("Bearer a.b.c", "16", "the token is not base64url"),
        (&*stranger, "7", "the caller is not one of those"),
    ] {
        let headers = [
            ("content-type", "application/grpc+proto"),
            ("authorization", authorization),
        ];
        let url = sidecar.url("/hello.Hello/Say");
        let answer = Caller::h2().send(Method::POST, &url, &headers, "").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), Some("application/grpc"));
        assert_eq!(answer.header("grpc-status"), Some(code));
        let said = answer.header("grpc-message").unwrap();
        assert!(said.starts_with(message), "{said}");
        assert!(answer.body.is_empty());
    }
    assert!(app.seen().is_empty(), "nothing of it comes in");
}

#[tokio::test]
async fn the_apps_own_authorization_passes_beside_the_token_and_a_copy_of_it_does_not() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let sidecar = start(&google, &app.url(), &[]).await;
    let bearer = bearer(&google);
    let token = &bearer[7..];
    let (signed, _) = token.rsplit_once('.').unwrap();
    let unsigned = format!("Bearer {signed}.SIGNATURE_REMOVED_BY_GOOGLE");
    let emulator = google.emulator();
    let others = emulator.mint(emulator.claims("user@example.com", "app"));
    let (others_signed, _) = others.rsplit_once('.').unwrap();
    for (own, passes) in [
        ("Basic app", true),
        ("Basic  \todd   spacing", true),
        ("Bearer opaque", true),
        (&*format!("Bearer {others}"), true),
        (
            &*format!("Bearer {others_signed}.SIGNATURE_REMOVED_BY_GOOGLE"),
            true,
        ),
        (&*bearer, false),
        (&*unsigned, false),
        (&*format!("bearer   {token}"), false),
        (&*format!("JWT {token}"), false),
        (token, false),
        (&*format!("Bearer\t{token}"), false),
        (&*format!("Basic app, Bearer {token}"), false),
        (&*format!("Bearer {signed}.b3RoZXI"), false),
    ] {
        let headers = [
            ("x-serverless-authorization", &*bearer),
            ("authorization", own),
        ];
        let answer = call(&sidecar, "/", &headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let seen = app.last();
        assert_eq!(seen.header("authorization"), passes.then_some(own));
        assert_eq!(seen.header("x-serverless-authorization"), None);
        assert_eq!(seen.header("x-caller-email"), Some(EMAIL));
    }
    // Of several, each is judged by itself.
    let headers = [
        ("authorization", "Basic app"),
        ("authorization", &*bearer),
        ("x-serverless-authorization", &*bearer),
        ("authorization", "Basic other"),
    ];
    call(&sidecar, "/", &headers).await;
    let seen = app.last();
    let own = seen.headers.get_all("authorization");
    assert!(own.iter().eq(["Basic app", "Basic other"]), "{seen:?}");
    // Behind Cloud Run, which has checked the second one.
    let headers = [
        ("authorization", &*bearer),
        ("x-serverless-authorization", &*unsigned),
    ];
    let answer = call(&sidecar, "/", &headers).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let seen = app.last();
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("x-serverless-authorization"), None);
}

#[tokio::test]
async fn a_token_stays_where_the_app_is_to_see_it() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let arguments = ["--keep-token", "--unchecked", "/healthz"];
    let sidecar = start(&google, &app.url(), &arguments).await;
    let token = bearer(&google);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let unsigned = format!("{signed}.SIGNATURE_REMOVED_BY_GOOGLE");
    let (authorization, serverless) = ("authorization", "x-serverless-authorization");
    for tokens in [
        &[(authorization, &*token)][..],
        &[(serverless, &token)],
        &[(authorization, &token), (serverless, &token)],
        &[(authorization, &token), (serverless, &unsigned)],
        &[(serverless, &token), (authorization, "Basic app")],
    ] {
        let nobodys = [("x-goog-iap-jwt-assertion", "nobody's")];
        let headers = [tokens, &nobodys].concat();
        call(&sidecar, "/", &headers).await;
        let seen = app.last();
        for (name, value) in tokens {
            assert_eq!(seen.header(name), Some(*value), "{tokens:?}");
        }
        assert_eq!(seen.header("x-goog-iap-jwt-assertion"), None);
        assert_eq!(seen.header("x-caller-email"), Some(EMAIL));
        // Where nothing was checked, what is there for a check goes all the same.
        call(&sidecar, "/healthz", &headers).await;
        let seen = app.last();
        assert_eq!(seen.header(serverless), None);
        assert_eq!(seen.header("x-goog-iap-jwt-assertion"), None);
    }
}

#[tokio::test]
async fn iaps_assertion_is_taken_where_it_is_listened_to() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let arguments = [
        "inbound",
        "--app",
        &app.url(),
        "--iap-audience",
        IAP_AUDIENCE,
        "--iap-keys-url",
        &format!("{}/iap/verify/public_key-jwk", google.origin()),
        "--header-prefix",
        "x-acme-",
    ];
    let sidecar = Sidecar::start_with(Vec::new(), &arguments).await;
    let emulator = google.emulator();
    let assertion = emulator.mint_iap(emulator.iap_claims("user@example.com", IAP_AUDIENCE));
    let headers = [
        ("x-goog-iap-jwt-assertion", &*assertion),
        ("x-acme-email", "boss@example.com"),
        ("authorization", "Basic app"),
    ];
    let answer = call(&sidecar, "/", &headers).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let seen = app.last();
    assert_eq!(seen.header("x-acme-email"), Some("user@example.com"));
    assert_eq!(seen.header("x-acme-issuer"), Some("iap"));
    assert_eq!(seen.header("x-goog-iap-jwt-assertion"), None);
    assert_eq!(seen.header("authorization"), Some("Basic app"));
    let accepted = r#"id_token_sidecar_accepted_requests_total{by="iap"}"#;
    assert_eq!(sidecar.metric(accepted).await, 1.0);
    // A copy of it goes; a token that nobody has looked at is the app's.
    let copy = format!("Bearer {assertion}");
    let token = bearer(&google);
    for (authorization, passes) in [(&*copy, false), (&*token, true)] {
        let headers = [
            ("x-goog-iap-jwt-assertion", &*assertion),
            ("authorization", authorization),
            ("x-serverless-authorization", &*token),
        ];
        call(&sidecar, "/", &headers).await;
        let seen = app.last();
        let left = passes.then_some(authorization);
        assert_eq!(seen.header("authorization"), left);
        assert_eq!(seen.header("x-serverless-authorization"), None);
        assert_eq!(seen.header("x-goog-iap-jwt-assertion"), None);
    }
    let keeping = [&arguments[..], &["--keep-token"]].concat();
    let keeping = Sidecar::start_with(Vec::new(), &keeping).await;
    call(&keeping, "/", &headers).await;
    let seen = app.last();
    let kept = seen.header("x-goog-iap-jwt-assertion");
    assert_eq!(kept, Some(&*assertion));
    assert_eq!(seen.header("authorization"), Some("Basic app"));
    // A token of Google's is none of IAP's.
    let answer = call(&sidecar, "/", &[("authorization", &token)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = call(&sidecar, "/", &[("x-goog-iap-jwt-assertion", &token[7..])]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_keys_it_is_not_ready_and_says_when_to_come_back() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let fault = Fault::status(503).header("retry-after", "2");
    google.emulator().fault(Endpoint::Certs, fault);
    let mut sidecar = start(&google, &app.url(), &["--unchecked", "/healthz"]).await;
    let token = bearer(&google);
    let authorization = [("authorization", &*token)];
    let answer = call(&sidecar, "/", &authorization).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(
        answer.header("x-id-token-sidecar"),
        Some("keys-unavailable")
    );
    assert!(app.seen().is_empty(), "nothing comes in unchecked");
    let grpc = [
        ("authorization", &*token),
        ("content-type", "application/grpc"),
    ];
    let answer = call(&sidecar, "/", &grpc).await;
    assert_eq!(answer.header("grpc-status"), Some("14"));

    let readiness = format!("http://{}/readyz", sidecar.admin);
    sidecar
        .logged("there are no keys to check tokens with")
        .await;
    let answer = Caller::new().get(&readiness).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text().contains("public keys"), "{}", answer.text());
    // What needs no token needs no keys.
    assert_eq!(call(&sidecar, "/healthz", &[]).await.status, StatusCode::OK);

    google.emulator().clear_faults();
    sidecar.logged("the keys are there").await;
    assert_eq!(Caller::new().get(&readiness).await.text(), "ready\n");
    let answer = call(&sidecar, "/", &authorization).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_path_that_needs_no_token_is_that_path_and_no_other() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let arguments = ["--unchecked", "/healthz", "--unchecked", "/public/*"];
    let sidecar = start(&google, &app.url(), &arguments).await;
    let address = sidecar.address.clone();
    let open = ["/healthz", "/healthz?a=/../b", "/public/a.css"];
    let absolute = format!("http://{address}/healthz");
    for target in open.into_iter().chain([&*absolute]) {
        let answer = get(&sidecar, target).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{target}: {answer}");
        assert_eq!(
            app.last().uri.path(),
            app.last().uri.path().replace("..", "")
        );
    }
    let unchecked = r#"id_token_sidecar_accepted_requests_total{by="unchecked"}"#;
    assert_eq!(sidecar.metric(unchecked).await, 4.0);
    let before = app.seen().len();
    let absolute = format!("http://{address}//healthz");
    for target in [
        "/",
        "/admin",
        "/HEALTHZ",
        "/healthz/",
        "/healthz/../admin",
        "//healthz",
        "/healthz//../admin",
        "/%68ealthz",
        "/healthz%2f..%2fadmin",
        "/healthz;x",
        "/public",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/..%2Fadmin",
        "/public/.%2e/admin",
        "/public//admin",
        "/public/..;/admin",
        "/public/..\\admin",
        "/?/healthz",
        &*absolute,
        "*",
    ] {
        let answer = get(&sidecar, target).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["401", "400"].contains(&status), "{target}: {answer}");
    }
    assert_eq!(app.seen().len(), before, "nothing of it comes in");
}

#[tokio::test]
async fn no_tunnel_and_no_other_http_leads_past_the_door() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let sidecar = start(&google, &app.url(), &["--unchecked", "/healthz"]).await;
    let answer = raw(
        &sidecar,
        "CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(app.seen().is_empty());
    let answer = raw(
        &sidecar,
        "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade, http2-settings\r\n\
         upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = app.last();
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_websocket_comes_in_with_a_token_and_not_without() {
    let google = google(HOUR).await;
    let app = Service::backwards().await;
    // By h2 without TLS as well: an upgrade is for HTTP/1.1.
    for url in [app.url(), app.h2c_url()] {
        let sidecar = start(&google, &url, &[]).await;
        let request = |authorization: &str| {
            format!(
                "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                 {authorization}\r\nping"
            )
        };
        let answer = raw(&sidecar, &request("connection: close\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        let authorization = format!("authorization: {}\r\n", bearer(&google));
        let answer = raw(&sidecar, &request(&authorization)).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(answer.ends_with("gnip"), "{answer}");
        assert_eq!(app.last().header("x-caller-email"), Some(EMAIL));
    }
}

#[tokio::test]
async fn new_callers_are_let_in_on_a_reload_even_while_google_is_away() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sidecar.toml");
    let rules = |email: &str| {
        let text = format!(
            "[inbound]\napp = '{}'\naudiences = ['{AUDIENCE}']\nallow-emails = ['{email}']\n",
            app.url()
        );
        std::fs::write(&file, text).unwrap();
    };
    rules("other@example.com");
    let keys = certs(&google);
    let path = file.to_str().unwrap();
    let arguments = ["inbound", "--config", path, "--keys-url", &keys];
    let mut sidecar = Sidecar::start_with(Vec::new(), &arguments).await;
    let token = bearer(&google);
    let authorization = [("authorization", &*token)];
    let answer = call(&sidecar, "/", &authorization).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    google.emulator().fault(Endpoint::Certs, Fault::status(503));
    rules(EMAIL);
    sidecar.signal("HUP");
    sidecar.logged("the configuration was read again").await;
    let answer = call(&sidecar, "/", &authorization).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());

    let kept = "the new configuration is not right: the old one stays";
    for (times, bad) in [
        "[inbound]\napp = 'http://127.0.0.1:1'\n",
        "[inbound]\nallow = 1\n",
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&file, bad).unwrap();
        sidecar.signal("HUP");
        sidecar.logged_times(kept, times + 1).await;
    }
    let answer = call(&sidecar, "/", &authorization).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(app.seen().len(), 2);
}

#[tokio::test]
async fn rules_that_let_in_everybody_or_nobody_are_errors() {
    let app = ["inbound", "--app", "http://127.0.0.1:1"];
    let audience = ["--audience", AUDIENCE];
    for (arguments, reason) in [
        ([&app[..], &audience].concat(), "--allow-any-caller"),
        ([&app[..], &["--allow-any-caller"]].concat(), "--audience"),
        (
            [&app[..1], &audience, &["--allow-any-caller"]].concat(),
            "--app",
        ),
        (
            [
                &app[..],
                &audience,
                &["--allow-any-caller", "--allow-email", EMAIL],
            ]
            .concat(),
            "one or the other",
        ),
        (
            [
                &app[..],
                &audience,
                &["--allow-any-caller", "--unchecked", "/*"],
            ]
            .concat(),
            "every path",
        ),
        (
            [
                &app[..],
                &audience,
                &["--allow-any-caller", "--header-prefix", "x"],
            ]
            .concat(),
            "not a prefix",
        ),
        (
            [
                &app[..],
                &audience,
                &["--allow-any-caller", "--keys-url", "http://x.example"],
            ]
            .concat(),
            "keys",
        ),
        ([&app[..], &["--iap-audience", "456"]].concat(), "IAP"),
    ] {
        let mut sidecar = Sidecar::spawn(Vec::new(), &arguments);
        assert_eq!(sidecar.ended().await.code(), Some(2), "{arguments:?}");
        let said = sidecar.said().await;
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn it_listens_for_other_machines_without_being_told_twice() {
    let (google, app) = (google(HOUR).await, Service::ok().await);
    let sidecar = start(&google, &app.url(), &["--listen", "0.0.0.0:0"]).await;
    assert!(sidecar.address.starts_with("0.0.0.0:"));
}

#[tokio::test]
async fn a_caller_with_a_sidecar_meets_an_app_with_one() {
    let google = google(HOUR).await;
    let app = Service::start(|request| async move {
        let name = request.headers()["x-caller-email"].to_str().unwrap();
        let text = format!("hello, {name}");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(text + &String::from_utf8_lossy(&body)))
    })
    .await;
    let inbound = start(&google, &app.url(), &[]).await;
    let audience = format!("{}={AUDIENCE}", inbound.address);
    let arguments = ["proxy", "--url", &inbound.url(""), "--audience", &audience];
    let proxy = Sidecar::start(&google, &arguments).await;
    let caller = Caller::new();
    // A client that would like to be somebody else is who its sidecar says.
    let headers = [
        ("x-caller-email", "boss@example.com"),
        ("authorization", "Basic app"),
    ];
    let answer = caller
        .send(Method::POST, &proxy.url("/"), &headers, "!")
        .await;
    assert_eq!(answer.text(), format!("hello, {EMAIL}!"));
    let seen: Seen = app.last();
    assert_eq!(seen.header("authorization"), Some("Basic app"));
    assert_eq!(seen.header("x-serverless-authorization"), None);
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1, 127.0.0.1"));
    // Without its sidecar it is nobody.
    let answer = caller.get(&inbound.url("/")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

async fn start(google: &Server, app: &str, more: &[&str]) -> Sidecar {
    let keys = certs(google);
    let arguments = [
        "inbound",
        "--app",
        app,
        "--audience",
        AUDIENCE,
        "--allow-email",
        EMAIL,
        "--keys-url",
        &keys,
    ];
    Sidecar::start_with(Vec::new(), &[&arguments, more].concat()).await
}

fn certs(google: &Server) -> String {
    format!("{}/oauth2/v3/certs", google.origin())
}

fn bearer(google: &Server) -> String {
    let emulator = google.emulator();
    format!("Bearer {}", emulator.mint(emulator.claims(EMAIL, AUDIENCE)))
}

async fn call(sidecar: &Sidecar, path: &str, headers: &[(&str, &str)]) -> support::Answer {
    Caller::new()
        .send(Method::GET, &sidecar.url(path), headers, "")
        .await
}

async fn get(sidecar: &Sidecar, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    raw(sidecar, &request).await
}

/// Sends bytes, and reads until the other side has said all.
async fn raw(sidecar: &Sidecar, request: &str) -> String {
    let mut stream = TcpStream::connect(&sidecar.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut after an answer has answered.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
