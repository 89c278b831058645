//! One thing that the doctor has to say.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use tower_id_token::{ErrorKind, SourceError};

use super::command;

/// One thing that the doctor has to say, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub step: Step,
    /// How bad it is.
    pub severity: Severity,
    /// What it is: whole sentences, without a secret in them.
    pub message: Cow<'static, str>,
    /// The commands that mend it, ready to be run but for names in capitals.
    pub commands: Vec<String>,
}

/// How bad a finding is. The worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// May stand in the way, here or elsewhere.
    Warning,
    /// Stands in the way: the call would not work.
    Problem,
}

/// What is looked at, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Whom the token is to be for.
    #[default]
    Audience,
    /// Who this process is.
    Credentials,
    /// Whether there is an ID token to be had, and what it says.
    Token,
    /// Whether this machine's clock is right.
    Clock,
    /// What the service says to a call.
    Call,
}

impl Finding {
    pub(super) fn new(
        step: Step,
        severity: Severity,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let message = message.into();
        Self {
            step,
            severity,
            commands: command::quoted(&message),
            message,
        }
    }

    /// An error, which is always in the way.
    pub(super) fn of(step: Step, error: &SourceError) -> Self {
        let message = match error.kind() {
            // Nothing else says whose fault it is.
            ErrorKind::Unavailable => format!("{error}. It may pass"),
            _ => error.to_string(),
        };
        Self::new(step, Severity::Problem, message)
    }

    pub(super) fn command(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<12} {}", self.severity, self.step, self.message)?;
        for command in &self.commands {
            if !self.message.contains(command) {
                write!(f, "\n{:22}$ {command}", "")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Audience => "audience",
            Self::Credentials => "credentials",
            Self::Token => "token",
            Self::Clock => "clock",
            Self::Call => "call",
        })
    }
}
