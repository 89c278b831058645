//! Subject tokens in a file, which whoever mints them keeps fresh.

use std::path::PathBuf;

use tower_id_token::{ErrorKind, SourceError};

use super::{Asking, Format};
use crate::env::LARGEST_FILE;
use crate::file::Fields;

/// `credential_source.file`.
pub(crate) struct FileSubject {
    path: PathBuf,
    format: Format,
}

impl FileSubject {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        Ok(Self {
            path: fields.required("file")?.into(),
            format: Format::read(fields)?,
        })
    }

    /// The token that is there now: it is read anew each time.
    pub(super) async fn token(&self, asking: &Asking<'_>) -> Result<String, SourceError> {
        let wrong = |kind, what: String| {
            let path = self.path.display();
            SourceError::new(kind, format!("the subject token's file {path} {what}"))
        };
        let contents = asking.env.read(&self.path).await.map_err(|error| {
            // It may be a volume that is not mounted yet; whoever mounts it needs no restart.
            wrong(ErrorKind::Config, format!("cannot be read: {error}"))
        })?;
        if contents.len() as u64 > LARGEST_FILE {
            return Err(wrong(ErrorKind::Config, "is larger than 1 MiB".to_owned()));
        }
        let text = std::str::from_utf8(&contents)
            .map_err(|_| wrong(ErrorKind::Config, "is no text".to_owned()))?;
        self.format
            .token(text)
            .map_err(|what| wrong(ErrorKind::Config, format!("holds {what}")))
    }
}
