//! What the doctor saw.

use std::fmt;

use serde::Serialize;

use super::{Called, Finding, Minted, Severity, Skew, Step, Wanted};
use crate::{Kind, Looked, Sight};

/// What the doctor saw. `Display` writes it for people, `Serialize` for machines.
///
/// What was not reached is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Whether a call would be let in: see [`would_work`](Self::would_work).
    would_work: bool,
    /// The places that credentials were looked for in, in order.
    pub looked: Vec<Looked>,
    /// The credentials that were found.
    pub identity: Option<Identity>,
    /// The audience that a token is asked for.
    pub audience: Option<Wanted>,
    /// What the token says that was minted.
    pub token: Option<Minted>,
    /// How far this machine's clock is off.
    pub clock: Option<Skew>,
    /// What the service said.
    pub call: Option<Called>,
    /// What there is to say about all this, in the order of the [`Step`]s.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    pub(super) step: Step,
}

/// Who this process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Identity {
    /// What kind of credentials they are; none for those that cannot mint ID tokens at all.
    pub kind: Option<Kind>,
    /// Where they were found, in words.
    pub found: String,
    /// The e-mail of who they stand for: by the credentials, else by the token.
    pub principal: Option<String>,
}

impl Report {
    /// Whether a token could be had, and nothing that was seen stands in a call's way.
    ///
    /// Where no call was made, nobody has asked the service: it may still refuse.
    pub fn would_work(&self) -> bool {
        self.would_work
    }

    /// The findings that stand in the way.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Problem)
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Says what a clock that is off means.
    pub(super) fn judge_clock(&mut self) {
        let Some(Skew { server, seconds }) = &self.clock else {
            return;
        };
        let (apart, way) = (
            seconds.unsigned_abs(),
            if *seconds > 0 { "ahead of" } else { "behind" },
        );
        let finding = if apart < TOLERABLE {
            let message = format!("this machine's clock agrees with {server}'s");
            Finding::new(Step::Clock, Severity::Good, message)
        } else {
            // Whoever signs with a key of their own also says what time it is.
            let severity = match self.token {
                Some(_) => Severity::Warning,
                None => Severity::Problem,
            };
            let message = format!(
                "this machine's clock is {apart} s {way} {server}'s: key files do not work with \
                 more than some minutes, and tokens seem to live longer or shorter than they do. \
                 Synchronise it (NTP)"
            );
            Finding::new(Step::Clock, severity, message)
        };
        self.add(finding);
    }

    pub(super) fn finish(&mut self) {
        self.findings.sort_by_key(|finding| finding.step);
        self.would_work = self.token.is_some() && self.problems().next().is_none();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.looked.is_empty() {
            writeln!(f, "Looked for credentials in")?;
        }
        for (number, it) in self.looked.iter().enumerate() {
            let sight = match it.sight {
                Sight::Absent => "",
                Sight::Used => "here they are: ",
                Sight::Broken => "broken: ",
            };
            writeln!(f, "  {}. {}: {sight}{}", number + 1, it.place, it.why)?;
        }
        if let Some(identity) = &self.identity {
            write!(f, "Credentials  ")?;
            match identity.kind {
                Some(kind) => write!(f, "{kind}")?,
                None => write!(f, "access tokens alone")?,
            }
            match &identity.principal {
                Some(principal) => writeln!(f, ", {principal}")?,
                None => writeln!(f)?,
            }
        }
        if let Some(wanted) = &self.audience {
            if let Some(url) = &wanted.url {
                writeln!(f, "URL          {url}")?;
            }
            writeln!(f, "Audience     {}", wanted.audience)?;
        }
        if let Some(token) = &self.token {
            let or_none = |it: &Option<String>| it.clone().unwrap_or_else(|| "-".to_owned());
            writeln!(
                f,
                "Token        aud {}, email {}, sub {}, iss {}, {} s left",
                or_none(&token.aud),
                or_none(&token.email),
                or_none(&token.sub),
                or_none(&token.iss),
                token.left
            )?;
        }
        if let Some(skew) = &self.clock {
            writeln!(
                f,
                "Clock        {:+} s against {}",
                skew.seconds, skew.server
            )?;
        }
        if let Some(call) = &self.call {
            writeln!(f, "Call         {call}")?;
        }
        writeln!(f)?;
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        f.write_str(match (self.would_work, &self.call) {
            (true, Some(_)) => "\nThe call works.",
            (true, None) => "\nA token is to be had; the service was not asked.",
            (false, _) => "\nThe call would not work.",
        })
    }
}

/// From here on a clock that is off is worth a word, in seconds: the strictest of those who check
/// tokens allow none, the others this or more.
const TOLERABLE: u64 = 10;
