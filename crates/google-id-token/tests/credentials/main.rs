//! Google's credentials, tried in every state that they are found in.

mod adc;
mod broken_files;
mod detection;
mod doctor;
mod exchange;
mod executables;
mod federation;
#[cfg(unix)]
mod gcloud;
mod given;
mod iap;
mod minting;
mod misbehaving;
mod pacing;
mod protocols;
mod secrets;
mod support;
mod table;
mod tls;
mod universes;
