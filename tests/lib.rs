//! Journeys across crates, and conformance against programs that we did not write.
