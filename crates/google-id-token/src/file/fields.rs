//! The fields of a JSON object, each error with the file and the field in it.

use serde_json::{Map, Value};
use tower_id_token::{ErrorKind, SourceError};

use crate::endpoint::Endpoint;
use crate::universe::Universe;

/// One object of a credential file. No error of it ever shows a value.
pub(crate) struct Fields<'a> {
    origin: &'a str,
    prefix: String,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(origin: &'a str, object: &'a Map<String, Value>) -> Self {
        Self {
            origin,
            prefix: String::new(),
            object,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// A text that has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<&'a str, SourceError> {
        match self.object.get(name) {
            None => Err(self.missing(name)),
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err(self.wrong(name, "it is empty"))
            }
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.wrong(name, "it is no text")),
        }
    }

    /// A text that may be missing, null or empty.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<&'a str>, SourceError> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(_) => self.required(name).map(Some),
        }
    }

    /// A list of texts that may be missing or null.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<String>, SourceError> {
        let items = match self.object.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.wrong(name, "it is no list")),
        };
        items
            .iter()
            .map(|item| match item {
                Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
                _ => Err(self.wrong(name, "the list has something in it that is no text")),
            })
            .collect()
    }

    /// An object that has to be there.
    pub(crate) fn inside(&self, name: &str) -> Result<Fields<'a>, SourceError> {
        match self.object.get(name) {
            None => Err(self.missing(name)),
            Some(Value::Object(object)) => Ok(Fields {
                origin: self.origin,
                prefix: format!("{}{name}.", self.prefix),
                object,
            }),
            Some(_) => Err(self.wrong(name, "it is no JSON object")),
        }
    }

    /// A URL that may be missing: https, or plain http on loopback.
    pub(crate) fn endpoint(&self, name: &str) -> Result<Option<Endpoint>, SourceError> {
        self.optional(name)?
            .map(|url| Endpoint::parse(url, self.place(name)))
            .transpose()
    }

    /// The universe of the file; without one, googleapis.com.
    pub(crate) fn universe(&self) -> Result<Universe, SourceError> {
        match self.optional(UNIVERSE)? {
            None => Ok(Universe::default()),
            Some(domain) => Universe::parse(domain).map_err(|what| self.wrong(UNIVERSE, &what)),
        }
    }

    /// A whole number that may be missing or null.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, SourceError> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(number) => number
                .as_u64()
                .map(Some)
                .ok_or_else(|| self.wrong(name, "it is no whole number")),
        }
    }

    /// Yes or no; what is missing or null is a no.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, SourceError> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(name, "it is neither true nor false")),
        }
    }

    /// The texts of an object that may be missing or null.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<(&'a str, &'a str)>, SourceError> {
        let object = match self.object.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Object(object)) => object,
            Some(_) => return Err(self.wrong(name, "it is no JSON object")),
        };
        object
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) => Ok((key.as_str(), text.as_str())),
                _ => Err(self.wrong(name, "it has something in it that is no text")),
            })
            .collect()
    }

    /// An object that may be missing or null.
    pub(crate) fn inside_if_any(&self, name: &str) -> Result<Option<Fields<'a>>, SourceError> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.inside(name).map(Some),
        }
    }

    pub(crate) fn missing(&self, name: &str) -> SourceError {
        let message = format!("{} is missing", self.place(name));
        SourceError::new(ErrorKind::Config, message)
    }

    pub(crate) fn wrong(&self, name: &str, what: &str) -> SourceError {
        SourceError::new(ErrorKind::Config, format!("{}: {what}", self.place(name)))
    }

    /// An error of this whole object.
    pub(crate) fn wrong_all(&self, what: &str) -> SourceError {
        match self.prefix.strip_suffix('.') {
            None => self.error(what),
            Some(object) => {
                let message = format!("{}: the field `{object}`: {what}", self.origin);
                SourceError::new(ErrorKind::Config, message)
            }
        }
    }

    /// An error of the whole file.
    pub(crate) fn error(&self, what: &str) -> SourceError {
        SourceError::new(ErrorKind::Config, format!("{}: {what}", self.origin))
    }

    /// The field as messages name it.
    pub(crate) fn place(&self, name: &str) -> String {
        format!("{}: the field `{}{name}`", self.origin, self.prefix)
    }
}

const UNIVERSE: &str = "universe_domain";
