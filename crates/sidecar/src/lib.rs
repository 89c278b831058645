//! The ID-token libraries as a process, for programs that cannot be recompiled.
//!
//! One binary, three ways to put tokens on the requests of others:
//!
//! - `proxy` stands in the way of the requests.
//! - `sds` hands the tokens to an Envoy, which puts them on.
//! - `ext-authz` is asked by an Envoy about every request.
//!
//! And one at the other end: `inbound` checks the tokens, and tells the app who calls.
//!
//! The README says which of them to choose. This library is the binary's inside, and
//! promises nothing to other programs but its one function.

mod admin;
#[cfg(feature = "ext-authz")]
mod authz;
mod cli;
mod drain;
mod env;
mod error;
#[cfg(feature = "inbound")]
mod inbound;
mod keeper;
mod listen;
mod log;
mod metrics;
mod notify;
mod policy;
mod proxy;
mod rules;
mod run;
#[cfg(feature = "sds")]
mod sds;
mod serve;

use std::process::ExitCode;

/// The whole program: flags, environment and file in, exit code out.
pub fn main() -> ExitCode {
    run::main()
}
