//! What can go wrong on the way to a token, sorted by what the reader can do about it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower::BoxError;

/// Why there is no token.
///
/// Cheap to clone: one failure is handed to every request that waited for it. The message says
/// what was tried, where, and what to do next; it never holds a token or a key.
#[derive(Clone)]
pub struct SourceError(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    cause: Option<BoxError>,
    retry_after: Option<Duration>,
}

/// What the reader of a [`SourceError`] can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Mend the configuration: a file, a field, a variable or a URL is wrong.
    Config,
    /// Not here: there are no credentials, no such account, no such endpoint.
    NotFound,
    /// Not allowed: the credentials were understood and refused.
    Denied,
    /// A nonsense answer: what came back is not a token, or is one that is already dead.
    Malformed,
    /// Try later: the other side is slow, down or unreachable.
    Unavailable,
}

impl SourceError {
    /// An error of this kind, with a message for the person who will mend it.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            cause: None,
            retry_after: None,
        }))
    }

    /// Adds the error that lies below this one.
    #[must_use]
    pub fn with_cause(self, cause: impl Into<BoxError>) -> Self {
        self.rebuild(|inner| inner.cause = Some(cause.into()))
    }

    /// Adds how long the other side asked to be left alone (`Retry-After`).
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.rebuild(|inner| inner.retry_after = Some(wait))
    }

    /// What can be done about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How long the other side asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The [`SourceError`] in an error's chain of causes, if there is one.
    ///
    /// The layer's errors are boxed, and other layers box them again; this finds ours.
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    fn rebuild(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::try_unwrap(self.0).unwrap_or_else(|shared| Inner {
            kind: shared.kind,
            message: shared.message.clone(),
            // A cause that is already shared is kept as its text: boxed errors do not clone.
            cause: shared.cause.as_ref().map(|cause| cause.to_string().into()),
            retry_after: shared.retry_after,
        });
        change(&mut inner);
        Self(Arc::new(inner))
    }
}

/// Whatever error a caller's own source has: it may pass later, so it is
/// [`Unavailable`](ErrorKind::Unavailable). A [`SourceError`] in it keeps its kind.
impl From<BoxError> for SourceError {
    fn from(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => match Self::find(&*other) {
                Some(own) => own.clone(),
                None => {
                    Self::new(ErrorKind::Unavailable, "the token source failed").with_cause(other)
                }
            },
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("SourceError");
        debug
            .field("kind", &self.0.kind)
            .field("message", &self.0.message);
        if let Some(cause) = &self.0.cause {
            debug.field("cause", cause);
        }
        debug.finish()
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "configuration",
            Self::NotFound => "not found",
            Self::Denied => "denied",
            Self::Malformed => "malformed answer",
            Self::Unavailable => "unavailable",
        })
    }
}
