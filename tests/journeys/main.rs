//! Journeys across crates, and conformance against programs that we did not write.
//!
//! A journey begins where a user begins, in the environment, and ends at a service's door. What
//! one crate promises alone is tested in that crate.
//!
//! `cargo conformance` runs the tests below [`conformance`], which want Python and a package
//! index; `cargo test` leaves them out.

#[cfg(feature = "conformance")]
mod conformance;
mod four_ways;
mod other_google;
mod secrecy;
mod whole_stack;
mod world;
