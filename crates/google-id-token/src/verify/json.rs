//! Reads the members of a JSON object that are asked for, and refuses one that has any twice.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::RefusalKind;

/// A value, as far as any claim that is looked at needs it.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Bool(bool),
    /// An array with a text and nothing else in it.
    OnlyText(Cow<'a, str>),
    /// An array of several values, or of none.
    Array,
    Null,
    Other,
}

/// The members of these names. What else there is counts only for being there once.
///
/// # Errors
///
/// `malformed` for what is no object, or is one of more than 128 members.
pub(super) fn members<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
    malformed: RefusalKind,
) -> Result<[Option<Scalar<'a>>; N], RefusalKind> {
    let twice = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let members = deserializer
        .deserialize_map(Members {
            names,
            twice: &twice,
        })
        .and_then(|members| deserializer.end().map(|()| members));
    members.map_err(|_| {
        if twice.get() {
            RefusalKind::Duplicate
        } else {
            malformed
        }
    })
}

struct Members<'n, const N: usize> {
    names: [&'n str; N],
    twice: &'n Cell<bool>,
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<Scalar<'de>>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [const { None }; N];
        let mut others: Vec<Cow<'de, str>> = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            let again = match self.names.iter().position(|known| *known == name) {
                Some(at) => found[at].replace(map.next_value()?).is_some(),
                None => {
                    let again = others.contains(&name);
                    if others.len() >= MOST_OTHERS {
                        return Err(A::Error::custom("too many members"));
                    }
                    others.push(name);
                    map.next_value::<IgnoredAny>()?;
                    again
                }
            };
            if again {
                self.twice.set(true);
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(found)
    }
}

/// A text, borrowed where nothing in it is escaped.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(AnyScalar)? {
            Scalar::Text(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("no text")),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

impl<'de> Visitor<'de> for AnyScalar {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        // serde_json itself stops at 128 levels.
        let first = seq.next_element::<First<'de>>()?;
        let mut more = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(match first {
            Some(First(Some(text))) if !more => Scalar::OnlyText(text),
            _ => Scalar::Array,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

/// The first value of an array, if it is a text.
struct First<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for First<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(AnyScalar)? {
            Scalar::Text(text) => Ok(Self(Some(text))),
            _ => Ok(Self(None)),
        }
    }
}

/// No ID token comes near; it bounds the search for a name that is there twice.
const MOST_OTHERS: usize = 128;
