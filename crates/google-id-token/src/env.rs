//! Environment and files, as one value: nothing else in this crate reads either.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tower_id_token::{ErrorKind, SourceError};

/// The variables and files that credentials are looked for in.
///
/// The default is the process's own. A test makes one up, and changes nothing that other tests
/// see:
///
/// ```
/// use google_id_token::Env;
///
/// let env = Env::empty()
///     .variable("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")
///     .file("/key.json", r#"{"type": "service_account"}"#);
/// ```
#[derive(Clone)]
pub struct Env {
    variables: HashMap<String, OsString>,
    files: HashMap<PathBuf, Bytes>,
    process: bool,
    disk: bool,
    windows: bool,
}

impl Env {
    /// The environment and the files of this process.
    pub fn process() -> Self {
        Self {
            process: true,
            disk: true,
            ..Self::empty()
        }
    }

    /// No variables and no files, except those that are added.
    pub fn empty() -> Self {
        Self {
            variables: HashMap::new(),
            files: HashMap::new(),
            process: false,
            disk: false,
            windows: cfg!(windows),
        }
    }

    /// With this variable. An empty value counts as unset, here as everywhere.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// With a file of this content at this path, whatever the disk holds there.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, contents: impl Into<Bytes>) -> Self {
        self.files.insert(path.into(), contents.into());
        self
    }

    /// Looks where credentials lie on Windows (`true`) or elsewhere (`false`), whatever system
    /// this is.
    #[must_use]
    pub fn windows(mut self, windows: bool) -> Self {
        self.windows = windows;
        self
    }

    /// A variable that is set and not empty.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that owns the environment"
    )]
    pub(crate) fn value(&self, name: &str) -> Option<OsString> {
        let value = match self.variables.get(name) {
            Some(value) => Some(value.clone()),
            None if self.process => std::env::var_os(name),
            None => None,
        };
        value.filter(|value| !value.is_empty())
    }

    /// A variable that must be text where it is set.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, SourceError> {
        self.value(name)
            .map(|value| {
                let value = value.into_string().map_err(|_| {
                    SourceError::new(
                        ErrorKind::Config,
                        format!("the variable {name} is not valid Unicode"),
                    )
                })?;
                Ok(value.trim().to_owned())
            })
            .transpose()
    }

    /// Where gcloud keeps its configuration: `$CLOUDSDK_CONFIG`, else `%APPDATA%\gcloud` on
    /// Windows and `$HOME/.config/gcloud` on Linux, macOS and the rest.
    pub(crate) fn gcloud_directory(&self) -> Option<PathBuf> {
        if let Some(directory) = self.value("CLOUDSDK_CONFIG") {
            return Some(directory.into());
        }
        if self.windows {
            let directory = self.value("APPDATA").unwrap_or_else(|| {
                let mut drive = self.value("SystemDrive").unwrap_or_else(|| "C:".into());
                drive.push("\\");
                drive
            });
            return Some(self.join(directory.into(), "gcloud"));
        }
        let home = match self.value("HOME") {
            Some(home) => home.into(),
            None if self.process => std::env::home_dir()?,
            None => return None,
        };
        Some(home.join(".config").join("gcloud"))
    }

    /// A file's path in a directory, with the separator of the system that paths are decided for.
    pub(crate) fn join(&self, directory: PathBuf, name: &str) -> PathBuf {
        if !self.windows {
            return directory.join(name);
        }
        let mut path = directory.into_os_string();
        if !path.to_string_lossy().ends_with(['\\', '/']) {
            path.push("\\");
        }
        path.push(name);
        path.into()
    }

    /// The file name of a command of this name: Windows's scripts have an ending.
    pub(crate) fn name_of(&self, command: &str) -> String {
        match self.windows {
            true => format!("{command}.cmd"),
            false => command.to_owned(),
        }
    }

    /// Gives a program this environment in place of the process's.
    pub(crate) fn give_to(&self, command: &mut tokio::process::Command) {
        if !self.process {
            command.env_clear();
        }
        command.envs(&self.variables);
    }

    /// Whether something lies at this path. An error where that cannot even be seen.
    pub(crate) async fn has(&self, path: &Path) -> io::Result<bool> {
        if self.files.contains_key(path) {
            return Ok(true);
        }
        if !self.disk {
            return Ok(false);
        }
        tokio::fs::try_exists(path).await
    }

    /// A file's content, at most [`LARGEST_FILE`] of it and one byte more.
    pub(crate) async fn read(&self, path: &Path) -> io::Result<Bytes> {
        if let Some(contents) = self.files.get(path) {
            return Ok(contents.clone());
        }
        if !self.disk {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = tokio::fs::File::open(path).await?;
        let mut contents = Vec::new();
        file.take(LARGEST_FILE + 1)
            .read_to_end(&mut contents)
            .await?;
        Ok(contents.into())
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::process()
    }
}

/// These variables and no others; files are read from the disk.
impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let own = Self {
            disk: true,
            ..Self::empty()
        };
        variables
            .into_iter()
            .fold(own, |env, (name, value)| env.variable(name, value))
    }
}

/// Names only: values and contents may be secret.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("variables", &self.variables.keys())
            .field("files", &self.files.keys())
            .field("process", &self.process)
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

/// Credential files have a few kilobytes; something much larger is something else.
pub(crate) const LARGEST_FILE: u64 = 1024 * 1024;
