//! The verifier and its layer, against the emulator and against tokens that were made to deceive.

mod accepted;
mod callers;
mod forge;
mod headers;
mod hostile;
mod identity;
mod keys;
mod layer;
mod property;
mod refused;
mod repeated;
mod support;
mod taken;
