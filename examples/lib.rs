//! One file per question a reader has.
