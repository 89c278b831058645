//! Secret discovery: what Envoy makes of the tokens that it is pushed.

use std::time::Duration;

use google_emulator::{Endpoint, Fault, Rejection};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::time::{Instant, timeout};

use super::load::Load;
use super::{HELLO, HELLO_SECRET, address, served};
use crate::support::envoy::{self, Envoy};
use crate::support::service::full;
use crate::support::{Caller, HOUR, Service, Sidecar, audience_of, google};

#[tokio::test]
async fn sds_pushes_tokens_into_envoy_by_both_protocols() {
    for bootstrap in ["sds.yaml", "sds-delta.yaml"] {
        let (google, service) = (google(HOUR).await, Service::ok().await);
        let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
        let envoy = start(bootstrap, &service, &sidecar).await;
        served(&envoy).await;
        let caller = Caller::new();
        let headers = [("authorization", "Bearer forged")];
        let answer = caller
            .send(Method::GET, &envoy.url("/"), &headers, "")
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{bootstrap}");
        let token = service.last().header("authorization").unwrap().to_owned();
        assert!(audience_of(&google, &token, HELLO), "{bootstrap}");
    }
}

#[tokio::test]
async fn sds_by_file_reaches_envoy_and_every_rotation_does_too() {
    let (google, service) = (google(Duration::from_secs(10)).await, Service::ok().await);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let file = format!("{path}/hello.json");
    let arguments = [HELLO_SECRET, &["--write", &file]].concat();
    let mut sidecar = Sidecar::start(&google, &arguments).await;
    sidecar.logged("wrote a secret").await;
    let text = envoy::example("sds-file.yaml").to_string();
    let bootstrap = serde_json::from_str(&text.replace("/run/id-token", path)).unwrap();
    let envoy = Envoy::start_with(bootstrap, &[("hello", service.address)]).await;
    let load = Load::start(&envoy, &google, &service, HELLO);
    load.rotations(3).await;
    load.end().await;
}

#[tokio::test]
async fn sds_rotates_every_five_seconds_under_load_and_every_request_carries_a_live_token() {
    let (google, service) = (google(Duration::from_secs(10)).await, Service::ok().await);
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let envoy = start("sds.yaml", &service, &sidecar).await;
    served(&envoy).await;
    let start = Instant::now();
    let load = Load::start(&envoy, &google, &service, HELLO);
    load.rotations(12).await;
    let (requests, tokens) = load.end().await;
    println!(
        "sds under load: {requests} requests and {tokens} tokens in {:?}",
        start.elapsed()
    );
    assert!(start.elapsed() >= Duration::from_secs(50));
}

#[tokio::test]
async fn sds_with_no_secret_yet_lets_nothing_out_and_one_that_ends_is_taken_back() {
    let (google, service) = (google(Duration::from_secs(8)).await, Service::ok().await);
    let emulator = google.emulator().clone();
    emulator.fault(Endpoint::MetadataIdentity, Fault::status(503));
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let mut bootstrap = envoy::example("sds.yaml");
    // Envoy holds its listener back for the first secret; let it not wait for long.
    let text = bootstrap.to_string().replace(
        r#""resource_api_version":"V3""#,
        r#""resource_api_version":"V3","initial_fetch_timeout":"0.5s""#,
    );
    bootstrap = serde_json::from_str(&text).unwrap();
    let clusters = [
        ("hello", service.address),
        ("id-token-sidecar", address(&sidecar)),
    ];
    let envoy = Envoy::start_with(bootstrap, &clusters).await;
    let caller = Caller::new();
    let answer = caller.get(&envoy.url("/")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(service.seen().is_empty(), "nothing goes out bare");

    // The token endpoint is mended: requests go.
    emulator.clear_faults();
    served(&envoy).await;
    // It breaks for good: the last token ends, and is taken back before it does.
    emulator.fault(Endpoint::MetadataIdentity, Fault::status(503));
    let refused =
        async { while caller.get(&envoy.url("/")).await.status != StatusCode::UNAUTHORIZED {} };
    timeout(Duration::from_secs(30), refused)
        .await
        .expect("it is taken back");
    for seen in service.seen() {
        assert!(
            seen.headers.contains_key("authorization"),
            "nothing goes out bare"
        );
    }
}

#[tokio::test]
async fn sds_takes_back_a_secret_that_a_reload_takes_away() {
    for bootstrap in ["sds.yaml", "sds-delta.yaml"] {
        let (google, service) = (google(HOUR).await, Service::ok().await);
        let rules = tempfile::NamedTempFile::new().unwrap();
        let write = |secret: &str| {
            std::fs::write(&rules, format!("[secrets]\n{secret} = '{HELLO}'")).unwrap();
        };
        write("hello");
        let path = rules.path().to_str().unwrap();
        let sidecar = Sidecar::start(&google, &["sds", "--config", path]).await;
        let envoy = start(bootstrap, &service, &sidecar).await;
        served(&envoy).await;
        let caller = Caller::new();
        write("another");
        sidecar.signal("HUP");
        let url = envoy.url("/");
        let refused = async { while caller.get(&url).await.status != StatusCode::UNAUTHORIZED {} };
        timeout(Duration::from_secs(30), refused)
            .await
            .expect("it is taken back");
        write("hello");
        sidecar.signal("HUP");
        served(&envoy).await;
    }
}

#[tokio::test]
async fn sds_killed_leaves_envoy_its_last_token() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let envoy = start("sds.yaml", &service, &sidecar).await;
    served(&envoy).await;
    drop(sidecar);
    for _ in 0..100 {
        assert_eq!(
            Caller::new().get(&envoy.url("/")).await.status,
            StatusCode::OK
        );
        let token = service.last().header("authorization").unwrap().to_owned();
        assert!(audience_of(&google, &token, HELLO));
    }
}

#[tokio::test]
async fn sds_killed_leaves_envoy_a_token_that_ends_and_a_new_sidecar_brings_the_next() {
    let google = google(Duration::from_secs(10)).await;
    let emulator = google.emulator().clone();
    // A door that checks tokens, and says for itself what it makes of a dead one.
    let service = Service::start(move |request| {
        let authorization = &request.headers()["authorization"];
        let token = authorization.to_str().unwrap().strip_prefix("Bearer ");
        let good = emulator.verify(token.unwrap(), HELLO).is_ok();
        async move {
            let mut response = Response::new(full("the service's own words"));
            if !good {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            response
        }
    })
    .await;
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let envoy = start("sds.yaml", &service, &sidecar).await;
    served(&envoy).await;
    let listen = sidecar.address.clone();
    drop(sidecar);

    // Until its `exp`, the last token serves; the sidecar is not missed.
    let caller = Caller::new();
    let last = service.last().header("authorization").unwrap().to_owned();
    let ended = timeout(Duration::from_secs(30), async {
        loop {
            let answer = caller.get(&envoy.url("/")).await;
            if answer.status != StatusCode::OK {
                return answer;
            }
        }
    });
    let answer = ended.await.expect("a token of ten seconds ends");
    let token = last.strip_prefix("Bearer ").unwrap();
    let verdict = google.emulator().verify(token, HELLO).map(drop);
    assert_eq!(verdict, Err(Rejection::Expired), "it served to its end");
    // Then Envoy goes on sending it: the refusal is the service's, not Envoy's.
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.text(), "the service's own words");
    assert!(answer.header("www-authenticate").is_some());
    for _ in 0..20 {
        let before = service.seen().len();
        let answer = caller.get(&envoy.url("/")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(service.seen().len(), before + 1, "it reaches the service");
        assert_eq!(service.last().header("authorization"), Some(&*last));
    }

    // A new sidecar in the same place: Envoy finds it by itself.
    let arguments = [HELLO_SECRET, &["--listen", &listen]].concat();
    let _sidecar = Sidecar::start(&google, &arguments).await;
    served(&envoy).await;
    assert_ne!(service.last().header("authorization"), Some(&*last));
}

#[tokio::test]
async fn istios_filter_is_off_until_a_host_switches_it_on() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let patches = envoy::documents("istio/sds.yaml")
        .into_iter()
        .find(|document| document["kind"] == "EnvoyFilter")
        .expect("there is one");
    let patch = |kind: &str| {
        let all = patches["spec"]["configPatches"].as_array().unwrap();
        let patch = all.iter().find(|patch| patch["applyTo"] == kind).unwrap();
        patch["patch"]["value"].clone()
    };
    // What Istio makes of it: the cluster, the filter, and the host that switches it on.
    let mut bootstrap = envoy::example("sds.yaml");
    let resources = &mut bootstrap["static_resources"];
    resources["clusters"][1] = patch("CLUSTER");
    let http = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    http["http_filters"][0] = patch("HTTP_FILTER");
    let hosts = http["route_config"]["virtual_hosts"]
        .as_array_mut()
        .unwrap();
    let mut other = hosts[0].clone();
    other["name"] = "other".into();
    other["domains"] = serde_json::json!(["other.internal"]);
    hosts.push(other);
    for (key, value) in patch("VIRTUAL_HOST").as_object().unwrap() {
        hosts[0][key] = value.clone();
    }
    let clusters = [
        ("hello", service.address),
        ("id-token-sidecar", address(&sidecar)),
    ];
    let envoy = Envoy::start_with(bootstrap, &clusters).await;
    served(&envoy).await;
    let token = service.last().header("authorization").unwrap().to_owned();
    assert!(audience_of(&google, &token, HELLO));
    let host = [("host", "other.internal")];
    Caller::new()
        .send(Method::GET, &envoy.url("/"), &host, "")
        .await;
    assert_eq!(service.last().header("authorization"), None);
}

async fn start(bootstrap: &str, service: &Service, sidecar: &Sidecar) -> Envoy {
    let clusters = [
        ("hello", service.address),
        ("id-token-sidecar", address(sidecar)),
    ];
    Envoy::start(bootstrap, &clusters).await
}
