#![doc = include_str!("../README.md")]

mod access;
mod account;
mod answer;
mod asked;
mod assertion;
mod aws;
mod body;
mod builder;
mod certs;
mod claims;
mod clock;
mod credential;
mod door;
mod elsewhere;
mod emulator;
mod endpoint;
mod entry;
mod external;
mod fault;
mod faults;
mod federation;
mod front;
mod grant;
mod hello;
mod iam;
mod iap;
mod identity;
mod journal;
mod jws;
mod key;
mod listener;
mod metadata;
mod mint;
mod run;
mod server;
mod socket;
mod sts;
mod tls;
mod token;
mod world;

pub use crate::{
    account::{ServiceAccount, User},
    body::Body,
    builder::Builder,
    claims::{Claims, Rejection},
    credential::Credential,
    emulator::Emulator,
    endpoint::Endpoint,
    entry::Entry,
    fault::{Fault, Mint},
    grant::Grant,
    journal::Journal,
    run::RunService,
    server::Server,
};
