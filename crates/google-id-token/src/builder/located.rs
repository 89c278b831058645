//! What the builder has found, before it makes anything of it.

use crate::Kind;
use crate::base::Base;
use crate::source::Target;

/// Credentials that were found, and nothing done with them yet.
pub(crate) struct Located {
    pub(crate) base: Base,
    pub(crate) found: String,
    pub(crate) target: Option<Target>,
}

impl Located {
    /// What kind of credentials they will be.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.target {
            Some(_) => Some(self.base.kind_above()),
            None => self.base.kind(),
        }
    }

    /// Whose tokens they will give, where that is known.
    pub(crate) fn principal(&self) -> Option<&str> {
        match &self.target {
            Some(target) => Some(target.principal()),
            None => self.base.principal(),
        }
    }
}
