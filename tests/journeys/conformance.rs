//! Conformance: programs that we did not write, and our demo, against both Googles.
//!
//! One module a program. Each gets the environment that the emulator prints, and nothing else.

mod demo;
mod differential;
mod program;
mod python;
mod verify;
