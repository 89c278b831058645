//! Programs that are run for a token: never waited for too long, never read without end.

use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

/// How a program ended, and what it said.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// The start of it.
    pub(crate) stderr: Vec<u8>,
}

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It did not start.
    Start(io::Error),
    /// It did not end in time, and was killed.
    Late,
    /// It wrote more than [`LONGEST`] bytes, and was killed.
    TooLong,
    /// Its output could not be read.
    Read(io::Error),
}

/// Runs a program to its end, with nothing to read and nobody to ask.
///
/// Past the deadline, and where this future is dropped, it is killed: on Unix with all that it
/// has started, as long as those stay in its process group.
pub(crate) async fn run(mut command: Command, deadline: Instant) -> Result<Output, Failed> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(Failed::Start)?;
    let group = Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = timeout_at(deadline, async {
        let stdout = read(stdout, TooLong::IsAnError);
        let stderr = read(stderr, TooLong::IsCut);
        let (stdout, stderr) = tokio::try_join!(stdout, stderr)?;
        let status = child.wait().await.map_err(Failed::Read)?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    })
    .await
    .unwrap_or(Err(Failed::Late));
    // Else it is killed now; the runtime buries it, and nobody waits for that.
    if ended.is_ok() {
        group.release();
    }
    ended
}

#[derive(Clone, Copy, PartialEq)]
enum TooLong {
    IsAnError,
    IsCut,
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, too_long: TooLong) -> Result<Vec<u8>, Failed> {
    let mut said = Vec::new();
    let Some(mut pipe) = pipe else {
        return Ok(said);
    };
    let mut start = (&mut pipe).take(LONGEST + 1);
    start.read_to_end(&mut said).await.map_err(Failed::Read)?;
    if said.len() as u64 > LONGEST {
        if too_long == TooLong::IsAnError {
            return Err(Failed::TooLong);
        }
        said.truncate(LONGEST as usize);
        // A full pipe would hold the program up.
        let rest = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
        rest.map_err(Failed::Read)?;
    }
    Ok(said)
}

/// A program and its children, killed when this is dropped.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &tokio::process::Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: id.and_then(rustix::process::Pid::from_raw),
        }
    }

    #[cfg(not(unix))]
    fn of(_: &tokio::process::Child) -> Self {
        Self {}
    }

    /// It ended by itself: its number may be somebody else's soon.
    fn release(self) {
        std::mem::forget(self);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            // An error says that it has just ended.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// No token has a tenth of it.
pub(crate) const LONGEST: u64 = 64 * 1024;

#[cfg(all(test, unix))]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_is_dropped_dies_with_all_children() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("alive");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let mut command = Command::new("/bin/sh");
        let script = "exec 3> \"$0\"; echo up >&3; sleep 60 & wait";
        command.args(["-c", script]).arg(&pipe);
        let running = tokio::spawn(run(command, Instant::now() + Duration::from_secs(1000)));
        let (up, is_up) = tokio::sync::oneshot::channel();
        let watcher = tokio::task::spawn_blocking(move || {
            let mut alive = BufReader::new(std::fs::File::open(pipe).unwrap());
            alive.read_line(&mut String::new()).unwrap();
            up.send(()).unwrap();
            // Ends when the last of those who have the other end open is gone.
            alive.read_to_end(&mut Vec::new()).unwrap();
        });
        is_up.await.unwrap();
        running.abort();
        let gone = tokio::time::timeout(Duration::from_secs(30), watcher).await;
        gone.expect("somebody lived on").unwrap();
    }
}
