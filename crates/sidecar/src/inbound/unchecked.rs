//! The paths that need no token, and the ways to write others so that they look like them.

use std::collections::BTreeSet;

use crate::error::Error;

/// Paths that need no token.
///
/// A path is one of them by its very letters. What could be read as another path by the app is
/// none of them: with `%`, `\`, `;`, `//`, or a segment `.` or `..` in it, a request is checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unchecked {
    paths: BTreeSet<String>,
    /// Each with a slash at its end.
    prefixes: Vec<String>,
}

impl Unchecked {
    /// Reads them: `/healthz`, or `/public/*` for all below.
    ///
    /// # Errors
    ///
    /// For what is no such path, and for `/*`, which is everything.
    pub(crate) fn new(texts: &BTreeSet<String>) -> Result<Self, Error> {
        let mut unchecked = Self::default();
        for text in texts {
            let wrong =
                |why: &str| Error::config(format!("{text:?} is no path to leave unchecked: {why}"));
            let path = text.strip_suffix("/*").map(|path| format!("{path}/"));
            let plain = path.as_deref().unwrap_or(text);
            if !plain.starts_with('/') {
                return Err(wrong("it begins with a slash, as in /healthz"));
            }
            if plain.contains(['*', '?', '#']) {
                return Err(wrong("it is a whole path, or ends in /* for all below"));
            }
            if !is_plain(plain) {
                return Err(wrong(
                    "requests whose path has %, \\, ;, //, . or .. in it are always checked",
                ));
            }
            match path {
                None => {
                    unchecked.paths.insert(text.clone());
                }
                Some(prefix) if prefix == "/" => {
                    return Err(wrong("that would be every path there is"));
                }
                Some(prefix) => unchecked.prefixes.push(prefix),
            }
        }
        Ok(unchecked)
    }

    /// Whether this path needs no token.
    pub(crate) fn covers(&self, path: &str) -> bool {
        if self.paths.contains(path) {
            return true;
        }
        let below = self.prefixes.iter().any(|prefix| path.starts_with(prefix));
        below && is_plain(path)
    }
}

/// Whether a path means the same to everybody.
fn is_plain(path: &str) -> bool {
    !path.contains(['%', '\\', ';'])
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unchecked(texts: &[&str]) -> Result<Unchecked, Error> {
        Unchecked::new(&texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_path_is_meant_by_its_very_letters() {
        let paths = unchecked(&["/healthz", "/public/*"]).unwrap();
        for path in [
            "/healthz",
            "/public/",
            "/public/a",
            "/public/a/b.css",
            "/public/..a",
        ] {
            assert!(paths.covers(path), "{path}");
        }
        for path in [
            "/",
            "/admin",
            "/Healthz",
            "/healthz/",
            "/healthz/../admin",
            "//healthz",
            "/./healthz",
            "/health%7a",
            "/healthz%00",
            "/healthz;/admin",
            "/public",
            "/publicity",
            "/public/../admin",
            "/public/..",
            "/public/./a",
            "/public//a",
            "/public/%2e%2e/admin",
            "/public/..%2fadmin",
            "/public/..\\admin",
            "/public/..;/admin",
        ] {
            assert!(!paths.covers(path), "{path}");
        }
    }

    #[test]
    fn what_is_no_path_and_what_is_every_path_is_an_error() {
        for text in [
            "healthz", "", "/*", "*", "/a/*/b", "/a?b", "/a/../b", "/a%20b", "//a", "/a//*",
        ] {
            assert!(unchecked(&[text]).is_err(), "{text}");
        }
    }
}
