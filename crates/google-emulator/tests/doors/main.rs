//! The emulator through its public doors, in memory and on loopback.

mod certs;
mod credentials;
mod faults;
mod federation;
mod iam;
mod journal;
mod metadata;
mod run;
mod server;
mod support;
mod token;
mod verify;
