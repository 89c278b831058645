//! The sidecar against the real Envoy, and against what a mesh does to a process.
//!
//! Every Envoy here runs a bootstrap from `examples/mesh/envoy`, on free ports.

mod ext_authz;
mod load;
mod proxy;
mod sds;

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;

use crate::support::envoy::Envoy;
use crate::support::{Caller, Sidecar};

const HELLO: &str = "https://hello-abc123-uc.a.run.app";
const HELLO_SECRET: &[&str] = &["sds", "--secret", "hello=https://hello-abc123-uc.a.run.app"];

/// Waits until requests go through.
async fn served(envoy: &Envoy) {
    let caller = Caller::new();
    let ok = async { while caller.get(&envoy.url("/")).await.status != StatusCode::OK {} };
    timeout(Duration::from_secs(30), ok)
        .await
        .expect("it serves");
}

fn address(sidecar: &Sidecar) -> SocketAddr {
    sidecar.address.parse().unwrap()
}
