//! What an operator does to the sidecar, and what it tells of itself.

mod support;

use std::time::Duration;

use google_emulator::{Endpoint, Fault};
use http::{Method, StatusCode};

use support::{Caller, HOUR, Service, Sidecar, audience_of, google, on_gcp};

#[tokio::test]
async fn it_is_ready_when_its_audiences_have_tokens_and_not_before() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    google
        .emulator()
        .fault(Endpoint::MetadataIdentity, Fault::status(503));
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let caller = Caller::new();
    let admin = |path: &str| format!("http://{}{path}", proxy.admin);
    let alive = caller.get(&admin("/healthz")).await;
    assert_eq!(alive.status, StatusCode::OK);
    let answer = caller.get(&admin("/readyz")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text(), format!("no token for {}\n", service.url()));
    google.emulator().clear_faults();
    let ready = async { while caller.get(&admin("/readyz")).await.status != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(30), ready)
        .await
        .expect("it finds a token by itself");
}

#[tokio::test]
async fn metrics_tell_of_requests_tokens_and_failures() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let route = format!("app.local={}", service.url());
    let proxy = Sidecar::start(&google, &["proxy", "--route", &route]).await;
    let caller = Caller::new();
    let host = [("host", "app.local")];
    caller.send(Method::GET, &proxy.url("/"), &host, "").await;
    caller.get(&proxy.url("/")).await;
    let page = caller.get(&format!("http://{}/metrics", proxy.admin)).await;
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let page = page.text();
    for line in [
        r#"requests_total{route="app.local",code="200"} 1"#,
        r#"requests_total{route="none",code="421"} 1"#,
        r#"refused_requests_total{route="none",reason="misdirected"} 1"#,
        "token_fetches_total 1",
        "stale_serves_total 0",
        "unauthorized_retries_total 0",
    ] {
        let line = format!("\nid_token_sidecar_{line}\n");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    let left = format!("token_expires_in_seconds{{audience=\"{}\"}}", service.url());
    let left = proxy.metric(&format!("id_token_sidecar_{left}")).await;
    assert!((3500.0..=3600.0).contains(&left), "{left}");
}

#[tokio::test]
async fn a_failed_renewal_is_seen_in_the_metrics_while_the_old_token_serves() {
    let (google, service) = (google(Duration::from_secs(20)).await, Service::ok().await);
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let caller = Caller::new();
    assert_eq!(caller.get(&proxy.url("/")).await.status, StatusCode::OK);
    google
        .emulator()
        .fault(Endpoint::MetadataIdentity, Fault::status(403));
    let mut stale = 0.0;
    while stale == 0.0 {
        assert_eq!(caller.get(&proxy.url("/")).await.status, StatusCode::OK);
        stale = proxy.metric("id_token_sidecar_stale_serves_total").await;
    }
    let denied = r#"id_token_sidecar_token_failures_total{kind="denied"}"#;
    assert!(proxy.metric(denied).await >= 1.0);
}

#[tokio::test]
async fn a_reload_takes_over_new_routes_and_a_bad_file_keeps_the_old_ones() {
    let google = google(HOUR).await;
    let (one, two) = (Service::ok().await, Service::ok().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sidecar.toml");
    std::fs::write(&file, format!("url = '{}'", one.url())).unwrap();
    let path = file.to_str().unwrap();
    let mut proxy = Sidecar::start(&google, &["proxy", "--config", path]).await;
    let caller = Caller::new();
    caller.get(&proxy.url("/")).await;
    assert_eq!(one.seen().len(), 1);

    std::fs::write(&file, format!("url = '{}'", two.url())).unwrap();
    proxy.signal("HUP");
    proxy.logged("the configuration was read again").await;
    caller.get(&proxy.url("/")).await;
    assert!(audience_of(
        &google,
        two.last().header("authorization").unwrap(),
        &two.url()
    ));

    let bad = ["url = 'http://example.com'", "rul = ''", "url = "];
    for (times, bad) in bad.into_iter().enumerate() {
        std::fs::write(&file, bad).unwrap();
        proxy.signal("HUP");
        let kept = "the new configuration is not right: the old one stays";
        proxy.logged_times(kept, times + 1).await;
    }
    assert_eq!(caller.get(&proxy.url("/")).await.status, StatusCode::OK);
    assert_eq!((one.seen().len(), two.seen().len()), (1, 2));
}

#[tokio::test]
async fn the_environment_says_what_flags_do() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let mut env = on_gcp(&google);
    env.push(("ID_TOKEN_SIDECAR_URL".into(), service.url()));
    let proxy = Sidecar::start_with(env, &["proxy"]).await;
    assert_eq!(
        Caller::new().get(&proxy.url("/")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_is_wrong_from_the_start_ends_it_with_a_reason_and_a_code() {
    let google = google(HOUR).await;
    for (arguments, code, reason) in [
        (&["proxy"][..], 2, "nowhere to send requests to"),
        (&["proxy", "--url", "http://example.com"], 2, "only https"),
        (&["proxy", "--nonsense"], 2, "--nonsense"),
        (
            &[
                "proxy",
                "--url",
                "https://a.run.app",
                "--listen",
                "0.0.0.0:0",
            ],
            2,
            "--listen-beyond-loopback",
        ),
        (
            &[
                "proxy",
                "--url",
                "https://a.run.app",
                "--credentials",
                "/nowhere.json",
            ],
            2,
            "/nowhere.json",
        ),
        (
            &[
                "proxy",
                "--url",
                "http://127.0.0.1:1",
                "--ca",
                "/nowhere.pem",
            ],
            2,
            "/nowhere.pem",
        ),
        (
            &[
                "proxy",
                "--url",
                "https://a.run.app",
                "--listen",
                "unix:/no/such/place",
            ],
            1,
            "/no/such/place",
        ),
    ] {
        let mut sidecar = Sidecar::spawn(on_gcp(&google), arguments);
        assert_eq!(sidecar.ended().await.code(), Some(code), "{arguments:?}");
        let said = sidecar.said().await;
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn an_open_request_is_answered_after_sigterm_and_cut_at_the_deadline() {
    let google = google(HOUR).await;
    let (begun, mut asked) = tokio::sync::mpsc::channel(1);
    let (let_go, may_go) = tokio::sync::watch::channel(false);
    let service = Service::start(move |_| {
        let (begun, mut may_go) = (begun.clone(), may_go.clone());
        async move {
            begun.send(()).await.unwrap();
            may_go.wait_for(|may_go| *may_go).await.unwrap();
            http::Response::new(support::service::full("late"))
        }
    })
    .await;
    let url = service.url();
    let inbound = [
        "--app",
        &url,
        "--iap-audience",
        "/projects/1/apps/a",
        "--unchecked",
        "/",
    ];
    let outbound = ["--url", &*url];
    for (command, flags, drain, code, lets_go) in [
        ("proxy", &outbound[..], "30", 0, true),
        ("proxy", &outbound[..], "0.5", 3, false),
        ("inbound", &inbound[..], "30", 0, true),
        ("inbound", &inbound[..], "0.5", 3, false),
    ] {
        if command == "inbound" && !cfg!(feature = "inbound") {
            continue;
        }
        let_go.send_replace(false);
        let arguments = [&[command, "--drain", drain], flags].concat();
        let mut proxy = Sidecar::start(&google, &arguments).await;
        let url = proxy.url("/");
        let answer = tokio::spawn(async move { Caller::new().get(&url).await.text() });
        asked.recv().await.unwrap();
        proxy.signal("TERM");
        proxy.logged("draining").await;
        let_go.send_replace(lets_go);
        assert_eq!(proxy.ended().await.code(), Some(code));
        assert_eq!(answer.await.is_ok_and(|text| text == "late"), lets_go);
    }
}

#[cfg(feature = "sds")]
#[tokio::test]
async fn secrets_are_written_whole_into_a_file_or_into_a_directory() {
    let google = google(HOUR).await;
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| format!("{}/{name}", directory.path().display());
    let one = "one=https://one.example";
    let two = "two=https://two.example";
    for (secrets, write, files) in [
        (
            &[one][..],
            "deep/er/secret.json",
            &["deep/er/secret.json"][..],
        ),
        (&[one], "new/", &["new/one.json"]),
        (&[one, two], "new", &["new/one.json", "new/two.json"]),
        (&[one, two], "newer/", &["newer/one.json", "newer/two.json"]),
    ] {
        let write = place(write);
        let mut arguments = vec!["sds", "--write", &write];
        arguments.extend(secrets.iter().flat_map(|secret| ["--secret", secret]));
        let mut sds = Sidecar::start(&google, &arguments).await;
        sds.logged_times("wrote a secret", secrets.len()).await;
        for (secret, file) in secrets.iter().zip(files) {
            let (name, audience) = secret.split_once('=').unwrap();
            let text = std::fs::read_to_string(place(file)).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let resource = &json["resources"][0];
            assert_eq!(resource["name"], name);
            let value = &resource["generic_secret"]["secret"]["inline_string"];
            assert!(audience_of(&google, value.as_str().unwrap(), audience));
        }
        let beside = std::path::Path::new(&place(files[0]))
            .parent()
            .unwrap()
            .to_owned();
        let beside = std::fs::read_dir(beside).unwrap();
        assert_eq!(beside.count(), files.len(), "nothing half done is left");
    }
    let write = place("both.json");
    let arguments = ["sds", "--write", &write, "--secret", one, "--secret", two];
    let mut sds = Sidecar::spawn(on_gcp(&google), &arguments);
    assert_eq!(sds.ended().await.code(), Some(2));
    let said = sds.said().await;
    assert!(said.contains("both.json/"), "{said}");
    assert!(!std::path::Path::new(&write).exists());
}

#[cfg(feature = "sds")]
#[tokio::test]
async fn a_file_follows_its_secret_through_a_reload() {
    let google = google(HOUR).await;
    let directory = tempfile::tempdir().unwrap();
    let [rules, file] = ["sds.toml", "one.json"].map(|name| directory.path().join(name));
    let [rules_path, path] = [&rules, &file].map(|path| path.to_str().unwrap());
    let write = |audience: &str| {
        std::fs::write(&rules, format!("[secrets]\n{audience}")).unwrap();
    };
    let token = || {
        let text = std::fs::read_to_string(&file).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let value = &json["resources"][0]["generic_secret"]["secret"]["inline_string"];
        value.as_str().unwrap().to_owned()
    };
    let [one, two] = ["https://one.example", "https://two.example"];
    write(&format!("s = '{one}'"));
    let arguments = ["sds", "--config", rules_path, "--write", path];
    let mut sds = Sidecar::start(&google, &arguments).await;
    sds.logged_times("wrote a secret", 1).await;
    assert!(audience_of(&google, &token(), one));

    // The old audience's is taken back, and the new one's put in its place.
    write(&format!("s = '{two}'"));
    sds.signal("HUP");
    sds.logged_times("wrote a secret", 3).await;
    assert!(audience_of(&google, &token(), two));

    write("other = 'https://other.example'");
    sds.signal("HUP");
    sds.logged_times("wrote a secret", 4).await;
    assert_eq!(token(), "");
}

#[cfg(feature = "ext-authz")]
#[tokio::test]
async fn a_host_that_can_be_read_in_two_ways_gets_no_token_from_ext_authz() {
    let google = google(HOUR).await;
    let audience = "hello.internal=https://hello.example";
    let authz = Sidecar::start(&google, &["ext-authz", "--audience", audience]).await;
    let caller = Caller::new();
    for (host, status) in [
        ("hello.internal", StatusCode::OK),
        ("hello.internal:10000", StatusCode::OK),
        ("hello.run.app:443", StatusCode::OK),
        ("hello.run.app:443@evil.example", StatusCode::FORBIDDEN),
        ("hello.internal:x@evil.example", StatusCode::FORBIDDEN),
        ("x@hello.run.app", StatusCode::FORBIDDEN),
        ("x@hello.internal", StatusCode::FORBIDDEN),
        ("hello.run.app:1:2", StatusCode::FORBIDDEN),
        ("hello.internal:1:2", StatusCode::FORBIDDEN),
        ("hello.internal:port", StatusCode::FORBIDDEN),
    ] {
        let headers = [("host", host)];
        let answer = caller
            .send(
                Method::GET,
                &format!("http://{}/", authz.address),
                &headers,
                "",
            )
            .await;
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
        let token = answer.headers.contains_key("authorization");
        assert_eq!(token, status == StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn no_token_is_in_any_log_or_metric() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["proxy", "--log", "trace", "--url", &service.url()];
    let proxy = Sidecar::start(&google, &arguments).await;
    let caller = Caller::new();
    caller.get(&proxy.url("/")).await;
    let token = service.last().header("authorization").unwrap().to_owned();
    let token = token.strip_prefix("Bearer ").unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let metrics = caller.get(&format!("http://{}/metrics", proxy.admin)).await;
    for text in [proxy.log(), metrics.text()] {
        assert!(!text.contains(signature), "{text}");
    }
    assert!(proxy.log().contains("fetching a token"), "the log was on");

    if cfg!(feature = "inbound") {
        let claims = google
            .emulator()
            .claims("caller@example.com", "https://hello.example");
        let token = google.emulator().mint(claims);
        let keys = format!("{}/oauth2/v3/certs", google.origin());
        let arguments = [
            "inbound",
            "--log",
            "trace",
            "--app",
            &service.url(),
            "--audience",
            "https://hello.example",
            "--allow-email",
            "caller@example.com",
            "--keys-url",
            &keys,
        ];
        let inbound = Sidecar::start_with(Vec::new(), &arguments).await;
        let mut answers = String::new();
        for (name, scheme, status) in [
            ("authorization", "Bearer ", 200),
            ("x-serverless-authorization", "Bearer ", 200),
            // Not where a token is, or not a whole one: what is refused is not told either.
            ("authorization", "Basic ", 401),
            ("authorization", "Bearer x.", 401),
            ("x-goog-iap-jwt-assertion", "", 401),
        ] {
            let value = format!("{scheme}{token}");
            let headers = [(name, &*value)];
            let answer = caller
                .send(Method::GET, &inbound.url("/"), &headers, "")
                .await;
            assert_eq!(answer.status, status, "{name} {scheme}");
            answers += &format!("{:?} {}", answer.headers, answer.text());
        }
        let metrics = caller
            .get(&format!("http://{}/metrics", inbound.admin))
            .await;
        for text in [inbound.log(), metrics.text(), answers] {
            for part in token.split('.') {
                assert!(!text.contains(part), "{text}");
            }
        }
        assert!(inbound.log().contains("was not let in"), "the log was on");
    }

    if cfg!(feature = "sds") {
        let write = directory.path().to_str().unwrap();
        let secret = format!("hello={}", service.url());
        let arguments = [
            "sds", "--log", "trace", "--secret", &secret, "--write", write,
        ];
        let mut sds = Sidecar::start(&google, &arguments).await;
        sds.logged("wrote a secret").await;
        let file = std::fs::read_to_string(directory.path().join("hello.json")).unwrap();
        let file: serde_json::Value = serde_json::from_str(&file).unwrap();
        let secret = &file["resources"][0]["generic_secret"]["secret"]["inline_string"];
        let signature = secret.as_str().unwrap().rsplit('.').next().unwrap();
        assert!(signature.len() > 100 && !sds.log().contains(signature));
    }
}
