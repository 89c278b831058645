//! Where the sidecar listens: loopback and Unix sockets, and elsewhere only when told twice.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener};

use crate::error::Error;

/// An address to listen on: `127.0.0.1:8080`, `[::1]:8080`, or `unix:/run/id-token.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A bound listener.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Socket),
}

/// A socket's file, which goes away with its listener.
#[derive(Debug)]
pub(crate) struct Socket(PathBuf);

impl Listen {
    /// Binds it.
    ///
    /// # Errors
    ///
    /// For an address that other machines can reach, unless that is `allowed` by the flag named
    /// `flag`; and for an address that cannot be had.
    pub(crate) async fn bind(&self, allowed: bool, flag: &str) -> Result<Listener, Error> {
        let failed = |error: io::Error| Error::run(format!("cannot listen on {self}: {error}"));
        match self {
            Self::Tcp(address) => {
                if !address.ip().is_loopback() && !allowed {
                    return Err(Error::config(format!(
                        "{address} can be reached from other machines; if that is meant, say --{flag}"
                    )));
                }
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                Ok(Listener::Tcp(listener))
            }
            Self::Unix(path) => {
                remove_stale(path).await;
                let listener = UnixListener::bind(path).map_err(failed)?;
                Ok(Listener::Unix(listener, Socket(path.clone())))
            }
        }
    }
}

impl Listener {
    /// The address as it was bound, with the port that port 0 became.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.to_string(),
                Err(_) => String::from("?"),
            },
            Self::Unix(_, socket) => format!("unix:{}", socket.0.display()),
        }
    }
}

/// Removes a socket that a process left behind when it was killed; a live one stays, and so does
/// what is no socket, and binding then fails.
async fn remove_stale(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if !is_socket {
        return;
    }
    let refused = tokio::net::UnixStream::connect(path)
        .await
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if refused {
        let _ = std::fs::remove_file(path);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: wants a path after it".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .replace("localhost:", "127.0.0.1:")
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("{text:?} is neither IP:PORT nor unix:PATH")),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_others_can_reach_wants_a_flag_that_says_so() {
        let anywhere: Listen = "0.0.0.0:0".parse().unwrap();
        let error = anywhere
            .bind(false, "listen-beyond-loopback")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("--listen-beyond-loopback"));
        anywhere.bind(true, "listen-beyond-loopback").await.unwrap();
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let listen: Listen = format!("unix:{}", path.display()).parse().unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = listen.bind(false, "-").await.unwrap();
        listen.bind(false, "-").await.unwrap_err();
        drop(live);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        listen.bind(false, "-").await.unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
