//! The layer measured: what it adds to a request, and how it behaves when tokens rotate and when
//! their endpoint fails.

pub mod allocations;
pub mod callgrind;
pub mod clock;
pub mod contention;
pub mod hot;
pub mod request;
pub mod row;
pub mod runner;
pub mod table;
