//! The environment, as far as flags do not read it: what systemd says to its services.

use std::ffi::OsString;

/// The socket on which the service manager listens (sd_notify(3)), if there is one.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the file that owns the environment"
)]
pub(crate) fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}
