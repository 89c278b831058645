//! What a mesh does to the sidecar, with the real Envoy on loopback.

mod conformance;
#[path = "../support/mod.rs"]
mod support;
