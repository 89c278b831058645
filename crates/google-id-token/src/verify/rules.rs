//! Who may call: the lists and rules of the one who is called.

use std::fmt;
use std::sync::Arc;

use super::{Caller, Refusal, RefusalKind};

/// A rule of the builder's caller.
pub(super) type Rule = Arc<dyn Fn(&Caller) -> bool + Send + Sync>;

/// Whom to let in, of those whose token is good.
#[derive(Clone, Default)]
pub(super) struct Rules {
    pub(super) emails: Vec<String>,
    pub(super) subjects: Vec<String>,
    pub(super) hosted_domains: Vec<String>,
    pub(super) own: Vec<Rule>,
}

impl Rules {
    /// Whether a caller is on one of the lists, where there are any, and every rule has it.
    pub(super) fn admit(&self, caller: &Caller, email_unverified: bool) -> Result<(), Refusal> {
        if !self.lists(caller) {
            return Err(if email_unverified && !self.emails.is_empty() {
                RefusalKind::EmailNotVerified.into()
            } else {
                RefusalKind::NotAllowed.into()
            });
        }
        self.admit_again(caller)
    }

    /// The part of it that may have another outcome the next time.
    pub(super) fn admit_again(&self, caller: &Caller) -> Result<(), Refusal> {
        if self.own.iter().all(|rule| rule(caller)) {
            Ok(())
        } else {
            Err(RefusalKind::NotAllowed.into())
        }
    }

    fn lists(&self, caller: &Caller) -> bool {
        let among = |list: &[String], value: Option<&str>| {
            value.is_some_and(|value| list.iter().any(|it| it.eq_ignore_ascii_case(value)))
        };
        let no_list =
            self.emails.is_empty() && self.subjects.is_empty() && self.hosted_domains.is_empty();
        no_list
            || among(&self.emails, caller.email())
            || self.subjects.iter().any(|it| it == caller.subject())
            || among(&self.hosted_domains, caller.hosted_domain())
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("emails", &self.emails)
            .field("subjects", &self.subjects)
            .field("hosted_domains", &self.hosted_domains)
            .field("own", &self.own.len())
            .finish()
    }
}
