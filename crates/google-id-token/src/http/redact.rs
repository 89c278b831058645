//! Other people's text, made fit for a message: bounded, on one line, without secrets.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Takes out the secrets that a call sent, and whatever else looks like one.
pub(super) struct Redact {
    secrets: Vec<String>,
}

impl Redact {
    pub(super) fn new(secrets: &[String]) -> Self {
        let mut all = Vec::new();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            // An endpoint may quote the form that it got.
            all.push(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string());
            all.push(form_urlencoded::byte_serialize(secret.as_bytes()).collect());
            all.push(secret.clone());
        }
        Self { secrets: all }
    }

    /// The text without secrets, on one line, at most this many characters of it.
    pub(super) fn text(&self, text: &str, longest: usize) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, CUT);
        }
        let mut clean = String::new();
        let mut word = String::new();
        for char in text.chars().chain([' ']) {
            if is_part_of_token(char) {
                word.push(char);
                continue;
            }
            clean.push_str(if looks_secret(&word) { CUT } else { &word });
            word.clear();
            let gap = char.is_whitespace() || char.is_control();
            if !gap {
                clean.push(char);
            } else if !clean.ends_with(' ') {
                clean.push(' ');
            }
        }
        let clean = clean.trim();
        match clean.char_indices().nth(longest) {
            Some((end, _)) => format!("{}…", &clean[..end]),
            None => clean.to_owned(),
        }
    }
}

/// Somebody else's text, made fit for a message: on one line, short, and without what looks like
/// a secret.
pub(crate) fn fit_for_message(text: &str) -> String {
    Redact::new(&[]).text(text, LONGEST_TEXT)
}

/// The characters of base64 in both alphabets, of JWTs and of Google's own tokens.
fn is_part_of_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | '~' | '+' | '/' | '=' | '%')
}

/// Whether a word is a token rather than a name, a URL or prose.
fn looks_secret(word: &str) -> bool {
    let prefixed = PREFIXES.iter().any(|prefix| {
        word.trim_start_matches(['/', '.'])
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= 4)
    });
    prefixed
        || word
            .split(['.', '/', '='])
            .any(|part| is_random(part) || part.len() > LONGEST_NAME)
}

/// Long, and of letters of both cases and digits mixed; or long and all hexadecimal.
fn is_random(part: &str) -> bool {
    let has = |is: fn(&u8) -> bool| part.bytes().any(|byte| is(&byte));
    let mixed =
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit());
    (mixed && part.len() >= 20) || (hexadecimal && part.len() >= 32)
}

/// JWTs, Google's access tokens, refresh tokens and client secrets.
const PREFIXES: [&str; 5] = ["eyJ", "ya29.", "1//", "4/", "GOCSPX-"];
/// The longest name of anything in Google Cloud, in characters: a DNS label.
const LONGEST_NAME: usize = 63;
const CUT: &str = "[cut]";
/// Longer texts of others are cut, in characters.
pub(super) const LONGEST_TEXT: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        Redact::new(&["hush".to_owned(), "a/b c".to_owned()]).text(text, 300)
    }

    #[test]
    fn prose_names_and_urls_stay_as_they_are() {
        for text in [
            "Token has been expired or revoked.",
            "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource",
            "my-quite-long-account-name-1@my-project-123456.iam.gserviceaccount.com",
            "https://www.googleapis.com/auth/cloud-platform is not allowed",
            "projects/-/serviceAccounts/name@project.iam.gserviceaccount.com",
            "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn what_looks_like_a_token_is_cut() {
        for text in [
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl",
            "ya29.a0AfH6SMBx",
            "1//0gDx9",
            "GOCSPX-abcdef",
            "AbCdEfGhIjKlMnOpQrSt0123456789",
            "0123456789abcdef0123456789abcdef01234567",
            "hush",
            "a%2Fb%20c",
            "a%2Fb+c",
        ] {
            let shown = redacted(&format!("got \"{text}\" here"));
            assert_eq!(shown, "got \"[cut]\" here", "{text}");
        }
    }

    #[test]
    fn the_text_is_one_line_and_bounded() {
        assert_eq!(redacted("a\r\n\tb\u{1b}[31m c\0"), "a b [31m c");
        assert_eq!(redacted(&"word ".repeat(1000)).chars().count(), 301);
    }
}
