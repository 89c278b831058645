//! Credential files: what kind they are, and which field is wrong where one is.

mod client;
mod external;
mod external_user;
mod fields;
mod impersonated;
mod pool;
mod service_account;
mod user;

use bytes::Bytes;
use serde_json::{Map, Value};
use tower_id_token::{ErrorKind, SourceError};

pub(crate) use self::external::ExternalFile;
pub(crate) use self::external_user::ExternalUserFile;
pub(crate) use self::fields::Fields;
pub(crate) use self::impersonated::ImpersonatedFile;
pub(crate) use self::pool::Pool;
pub(crate) use self::service_account::ServiceAccountFile;
pub(crate) use self::user::UserFile;

/// The content of a credential file, checked. `Debug` is left out: it is full of secrets.
pub(crate) enum CredentialFile {
    ServiceAccount(ServiceAccountFile),
    User(UserFile),
    Impersonated(Box<ImpersonatedFile>),
    External(Box<ExternalFile>),
    ExternalUser(Box<ExternalUserFile>),
}

impl CredentialFile {
    /// Reads a file whose name for messages is `origin`.
    pub(crate) fn parse(origin: &str, contents: &Bytes) -> Result<Self, SourceError> {
        let json = json_object(origin, contents)?;
        Self::read(&Fields::new(origin, &json))
    }

    /// Reads a file, or the credentials that a file has inside.
    fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let Some(kind) = fields.optional("type")? else {
            return Err(match fields.has("installed") || fields.has("web") {
                true => fields.error(
                    "this is an OAuth client's file, not a credential file: run \
                     `gcloud auth application-default login` to get one",
                ),
                false => fields.missing("type"),
            });
        };
        match kind {
            "service_account" => ServiceAccountFile::read(fields).map(Self::ServiceAccount),
            "authorized_user" => UserFile::read(fields).map(Self::User),
            "impersonated_service_account" => {
                let file = ImpersonatedFile::read(fields)?;
                Ok(Self::Impersonated(Box::new(file)))
            }
            "gdch_service_account" => Err(fields.wrong("type", GDCH)),
            "external_account" => {
                let file = ExternalFile::read(fields)?;
                Ok(Self::External(Box::new(file)))
            }
            "external_account_authorized_user" => {
                let file = ExternalUserFile::read(fields)?;
                Ok(Self::ExternalUser(Box::new(file)))
            }
            other => {
                let what = format!(
                    "{other:?} is not a kind of credentials that is known here, so no Google ID \
                     token can come of it: {SUPPORTED} are"
                );
                Err(fields.wrong("type", &what))
            }
        }
    }
}

/// The JSON object in a file whose name for messages is `origin`.
pub(crate) fn json_object(
    origin: &str,
    contents: &Bytes,
) -> Result<Map<String, Value>, SourceError> {
    let wrong = |what: &str| SourceError::new(ErrorKind::Config, format!("{origin}: {what}"));
    let text = decode(contents).ok_or_else(|| wrong("the file is no text"))?;
    if text.trim().is_empty() {
        return Err(wrong("the file is empty"));
    }
    match serde_json::from_str(&text) {
        Ok(Value::Object(json)) => Ok(json),
        Ok(_) => Err(wrong(
            "the file's JSON is no object, so it is no credential file",
        )),
        Err(error) if error.is_eof() => Err(wrong(&format!(
            "the file ends in the middle of its JSON (line {}): it was cut off",
            error.line()
        ))),
        Err(error) => Err(wrong(&format!(
            "the file is no JSON (line {}, column {})",
            error.line(),
            error.column()
        ))),
    }
}

/// UTF-8, or UTF-16 with its mark: what PowerShell's `>` writes. A mark is dropped.
fn decode(contents: &[u8]) -> Option<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<_> = bytes.chunks(2).map(|it| it.try_into().map(unit)).collect();
        let units: Vec<_> = units.into_iter().collect::<Result<_, _>>().ok()?;
        String::from_utf16(&units).ok()
    };
    match contents {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => String::from_utf8(rest.to_vec()).ok(),
    }
}

const GDCH: &str = "gdch_service_account is an account of Google Distributed Cloud: its tokens are \
    minted by that cloud's own authority and for that cloud's own services, so no Google ID token \
    can come of it. Use credentials of Google Cloud, such as a workload identity federation's";
const SUPPORTED: &str = "service_account, authorized_user, impersonated_service_account, \
    external_account and external_account_authorized_user";
