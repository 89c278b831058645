//! Why the sidecar cannot go on, and the exit code for it.

use std::fmt;
use std::process::ExitCode;

/// What ends the process, with a message for the person who started it.
#[derive(Debug)]
pub(crate) struct Error {
    code: u8,
    message: String,
}

impl Error {
    /// Mend the flags, the environment or the file: exit code 2, as for a flag that there is not.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            message: message.into(),
        }
    }

    /// Something around the process is not as it should be: exit code 1.
    pub(crate) fn run(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
        }
    }

    /// Requests were cut off at the end of the drain: exit code 3.
    pub(crate) fn cut(left: usize) -> Self {
        Self {
            code: 3,
            message: format!(
                "{left} connections were still busy at the end of the drain, and were cut"
            ),
        }
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
