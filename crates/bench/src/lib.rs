//! The layer measured: what it adds to a request, and how it behaves when tokens rotate and when
//! their endpoint fails.

pub mod allocations;
pub mod callgrind;
pub mod chart;
pub mod client;
pub mod clock;
pub mod cold;
pub mod contention;
pub mod failure;
pub mod hot;
#[cfg(feature = "peers")]
pub mod peers;
pub mod request;
pub mod rotation;
pub mod row;
pub mod runner;
pub mod table;
pub mod verify;
pub mod world;
