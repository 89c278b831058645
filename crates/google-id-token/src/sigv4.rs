//! AWS's signature of a request, version 4 ([the process]).
//!
//! AWS's own crate for it asks for a newer compiler than this one does, and brings a runtime of
//! its own; what is needed here is one request without a body.
//!
//! [the process]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

use std::time::SystemTime;

use ::http::Uri;

/// Who signs, and where.
pub(crate) struct Signer<'a> {
    pub(crate) access_key: &'a str,
    pub(crate) secret_key: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

impl Signer<'_> {
    /// The value of `Authorization` for a request without a body. Headers have their names in
    /// lower case, `host` and `x-amz-date` (of [`timestamp`]) among them; all are signed.
    pub(crate) fn authorization(
        &self,
        method: &str,
        uri: &Uri,
        headers: &[(&str, &str)],
        timestamp: &str,
    ) -> String {
        let mut headers = headers.to_vec();
        headers.sort_unstable();
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", squeezed(value)))
            .collect();
        let request = format!(
            "{method}\n{}\n{}\n{lines}\n{names}\n{}",
            uri.path(),
            canonical_query(uri.query().unwrap_or_default()),
            hex(&crypto::sha256(b"")),
        );
        let date = timestamp.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/{}/{TERMINATOR}", self.region, self.service);
        let request = hex(&crypto::sha256(request.as_bytes()));
        let to_sign = format!("{ALGORITHM}\n{timestamp}\n{scope}\n{request}");
        let secret = format!("AWS4{}", self.secret_key);
        let key = [date, self.region, self.service, TERMINATOR, &to_sign]
            .into_iter()
            .fold(secret.into_bytes(), |key, part| {
                crypto::hmac_sha256(&key, part.as_bytes())
            });
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            self.access_key,
            hex(&key)
        )
    }
}

/// A time as `x-amz-date` has it: `20150830T123600Z`.
pub(crate) fn timestamp(time: SystemTime) -> String {
    // `Sun, 30 Aug 2015 12:36:00 GMT`, whose parts lie at fixed places (RFC 9110, section 5.6.7).
    let date = httpdate::fmt_http_date(time);
    let month = 1 + MONTHS.find(&date[8..11]).unwrap_or_default() / 3;
    let clock = date[17..25].replace(':', "");
    format!("{}{month:02}{}T{clock}Z", &date[12..16], &date[5..7])
}

/// The parameters in order. They are encoded already: the URL is one that was parsed.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Without white space around it, and with one space where there is more within.
fn squeezed(value: &str) -> String {
    let words: Vec<_> = value.split_ascii_whitespace().collect();
    words.join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

mod crypto {
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    use aws_lc_rs as provider;
    #[cfg(feature = "ring")]
    use ring as provider;

    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub(super) fn sha256(message: &[u8]) -> Vec<u8> {
        let hash = provider::digest::digest(&provider::digest::SHA256, message);
        hash.as_ref().to_vec()
    }

    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
        let key = provider::hmac::Key::new(provider::hmac::HMAC_SHA256, key);
        provider::hmac::sign(&key, message).as_ref().to_vec()
    }

    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    pub(super) fn sha256(_: &[u8]) -> Vec<u8> {
        unreachable!("{}", super::NO_CRYPTO)
    }

    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    pub(super) fn hmac_sha256(_: &[u8], _: &[u8]) -> Vec<u8> {
        unreachable!("{}", super::NO_CRYPTO)
    }
}

/// Whether this build can sign; the error says how to have one that can.
pub(crate) const fn can_sign() -> Result<(), &'static str> {
    if cfg!(any(feature = "ring", feature = "aws-lc-rs")) {
        Ok(())
    } else {
        Err(NO_CRYPTO)
    }
}

const NO_CRYPTO: &str = "this build cannot sign: enable the feature `ring` or `aws-lc-rs`";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The test suite that AWS publishes for signers.
    #[test]
    fn the_signatures_are_those_of_awss_own_test_suite() {
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service: "service",
        };
        for (method, path, extra, names, signature) in [
            (
                "GET",
                "/",
                None,
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                None,
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "POST",
                "/",
                None,
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "POST",
                "/",
                Some(("my-header1", "VALUE1")),
                "host;my-header1;x-amz-date",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "POST",
                "/",
                Some(("x-amz-security-token", SESSION)),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let uri = format!("https://example.amazonaws.com{path}")
                .parse()
                .unwrap();
            let timestamp = timestamp(UNIX_EPOCH + Duration::from_secs(1_440_938_160));
            assert_eq!(timestamp, "20150830T123600Z");
            let mut headers = vec![
                ("x-amz-date", &*timestamp),
                ("host", "example.amazonaws.com"),
            ];
            headers.extend(extra);
            assert_eq!(
                signer.authorization(method, &uri, &headers, &timestamp),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/\
                     aws4_request, SignedHeaders={names}, Signature={signature}"
                )
            );
        }
    }

    const SESSION: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKW\
        HGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8ph\
        UZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0\
        u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
}
