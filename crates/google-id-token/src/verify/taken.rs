//! Takes the token that was checked out of a request, by the rule of
//! [`RequireIdToken::identity_headers`](super::RequireIdToken::identity_headers).

use ::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::pick::bearer;

/// Takes out the header that the token was checked in, and of `Authorization` what has the same
/// token in it.
pub(super) fn take(headers: &mut HeaderMap, checked: &HeaderName) {
    // By its name, whatever else would find it: that is all there is to most requests.
    let Some(value) = headers.remove(checked) else {
        return;
    };
    if !headers.contains_key(AUTHORIZATION) {
        return;
    }
    let Some(signed) = signed(&value) else {
        return;
    };
    let is_copy = |value: &&HeaderValue| {
        let mut places = value.as_bytes().windows(signed.len());
        // Most places differ in their first letter: to look no further there saves a microsecond.
        places.any(|place| place.first() == signed.first() && place == signed)
    };
    if headers.get_all(AUTHORIZATION).iter().any(|it| is_copy(&it)) {
        let all = headers.get_all(AUTHORIZATION).iter();
        let own: Vec<HeaderValue> = all.filter(|it| !is_copy(it)).cloned().collect();
        headers.remove(AUTHORIZATION);
        for value in own {
            headers.append(AUTHORIZATION, value);
        }
    }
}

/// What a token shares with all its copies, however they are signed: header and payload.
fn signed(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.to_str().ok()?;
    let (signed, _) = bearer(value).unwrap_or(value).rsplit_once('.')?;
    Some(signed.as_bytes())
}
