//! The places that were looked at for credentials, for those who want to know why these.

use serde::Serialize;

/// One place that credentials were looked for in. A list of them is in the order of the search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Looked {
    /// A variable, a path, or the metadata server.
    pub place: String,
    /// What was there.
    pub sight: Sight,
    /// More about it, in words: `not set`, `no such file`, the URL, the error.
    pub why: String,
}

/// What was in a place that credentials were looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sight {
    /// Nothing: the search went on.
    Absent,
    /// Credentials, and the search ended.
    Used,
    /// Something that is no sound credentials: the search ended all the same.
    Broken,
}

impl Looked {
    pub(crate) fn absent(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(place, Sight::Absent, why)
    }

    /// The end of the search, whichever end it was.
    pub(crate) fn end<T, E: ToString>(
        place: impl Into<String>,
        why: impl Into<String>,
        found: &Result<T, E>,
    ) -> Self {
        match found {
            Ok(_) => Self::new(place, Sight::Used, why),
            Err(error) => Self::new(place, Sight::Broken, error.to_string()),
        }
    }

    /// Credentials that the builder was given: nothing else was looked at.
    pub(crate) fn given<T, E: ToString>(place: impl ToString, found: &Result<T, E>) -> Self {
        Self::end(place.to_string(), "given to the builder", found)
    }

    fn new(place: impl Into<String>, sight: Sight, why: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            sight,
            why: why.into(),
        }
    }
}
