//! What the journeys share: the real binary as a process, a service behind it, and a caller.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    missing_docs,
    reason = "each test binary uses its part"
)]

pub mod caller;
pub mod envoy;
pub mod process;
pub mod service;

use std::time::Duration;

use google_emulator::{Credential, Emulator, Server};

pub use self::caller::{Answer, Caller};
pub use self::process::Sidecar;
pub use self::service::Service;

/// A Google whose metadata server mints tokens that live so long.
pub async fn google(lifetime: Duration) -> Server {
    Emulator::builder()
        .token_lifetime(lifetime)
        .build()
        .serve()
        .await
        .expect("loopback has a port")
}

pub const HOUR: Duration = Duration::from_secs(3600);

/// The environment of a process that runs on that Google's machine.
pub fn on_gcp(google: &Server) -> Vec<(String, String)> {
    google
        .env_for(&Credential::metadata())
        .expect("a directory can be made")
}

/// The claims of a bearer token, if the emulator signed it for this audience.
pub fn audience_of(google: &Server, authorization: &str, audience: &str) -> bool {
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
    google.emulator().verify(token, audience).is_ok()
}
