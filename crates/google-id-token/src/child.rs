//! A program that is run for its output, bounded in time and size.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What a program that came to its end has left.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
}

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be started.
    Start(io::Error),
    /// It did not end in time, and was killed.
    Slow,
    /// It wrote more than [`LARGEST_OUTPUT`], and was killed.
    Verbose,
    /// Its output could not be read.
    Broken(io::Error),
}

/// Runs a program to its end, with nothing to read, and what it says beside its output unread.
///
/// Whatever ends it early (its time, or a caller that goes away) ends what it has started too.
pub(crate) async fn run(mut command: Command, limit: Duration) -> Result<Output, Failure> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(Failure::Start)?;
    let mut group = Group::of(&child);
    let output = async {
        let mut stdout = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            let mut pipe = pipe.take(LARGEST_OUTPUT + 1);
            pipe.read_to_end(&mut stdout)
                .await
                .map_err(Failure::Broken)?;
        }
        if stdout.len() as u64 > LARGEST_OUTPUT {
            return Err(Failure::Verbose);
        }
        let status = child.wait().await.map_err(Failure::Broken)?;
        // Its number may be somebody else's from now on.
        group.spare();
        Ok(Output { status, stdout })
    };
    timeout(limit, output).await.unwrap_or(Err(Failure::Slow))
}

/// A program with all that it has started, killed when this is dropped.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: leader.and_then(rustix::process::Pid::from_raw),
        }
    }

    /// Elsewhere the program alone is killed, by tokio.
    #[cfg(not(unix))]
    fn of(_: &Child) -> Self {
        Self {}
    }

    fn spare(&mut self) {
        #[cfg(unix)]
        {
            self.leader = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            // Where all of them are gone already, there is nothing left to do.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// In bytes. A subject token has a few kilobytes.
pub(crate) const LARGEST_OUTPUT: u64 = 1024 * 1024;
