//! Whose answer a refusal is: Google's front end's, Identity-Aware Proxy's, or the app's own.

use ::http::HeaderMap;

/// Whose answer it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    /// The app's own, as far as can be told.
    #[default]
    Own,
    /// Cloud Run's or Cloud Functions' front end.
    FrontEnd,
    /// Identity-Aware Proxy.
    Iap,
}

impl Page {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(&body[..body.len().min(LOOKED_AT)]);
        if headers.contains_key(IAP_MARK) || body.contains("Invalid IAP credentials") {
            return Self::Iap;
        }
        let is_page = body.trim_start().starts_with('<');
        if is_page && PHRASES.iter().any(|phrase| body.contains(phrase)) {
            return Self::FrontEnd;
        }
        Self::Own
    }
}

/// Set by Identity-Aware Proxy on answers that are its own.
const IAP_MARK: &str = "x-goog-iap-generated-response";
/// What Google's own pages say.
const PHRASES: [&str; 3] = [
    "Your client does not have permission",
    "Error 404 (Not Found)!!1",
    "was not found on this server",
];
const LOOKED_AT: usize = 64 * 1024;
