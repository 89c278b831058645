//! Private keys in PEM, brought into the one form that the signer takes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The key as PKCS#8 in PEM; the error says what it is instead, and never shows any of it.
pub(super) fn pkcs8(text: &str) -> Result<String, String> {
    // A key that went through an environment variable often has its line breaks escaped twice.
    let text = text.replace("\\n", "\n").replace("\\r", "");
    let Some((label, body)) = section(&text) else {
        return Err(
            "it is no key in PEM: `-----BEGIN PRIVATE KEY-----` and its end are missing".to_owned(),
        );
    };
    let body: String = body.split_whitespace().collect();
    let der = STANDARD
        .decode(&body)
        .map_err(|_| "its PEM has something in it that is no base64".to_owned())?;
    let der = match label {
        "PRIVATE KEY" => der,
        "RSA PRIVATE KEY" => wrap_pkcs1(&der),
        "ENCRYPTED PRIVATE KEY" => {
            return Err("it is encrypted: decrypt it with `openssl pkcs8 -in key.pem`".to_owned());
        }
        _ => {
            return Err(
                "its PEM is not of a private RSA key (PKCS#8 `PRIVATE KEY` or PKCS#1 \
                 `RSA PRIVATE KEY`); `openssl pkcs8 -topk8 -nocrypt` makes PKCS#8 of others"
                    .to_owned(),
            );
        }
    };
    Ok(format!(
        "{BEGIN}PRIVATE KEY{DASHES}\n{}\n{END}PRIVATE KEY{DASHES}\n",
        STANDARD.encode(der)
    ))
}

/// The label and the content of the first section.
fn section(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (label, rest) = rest.split_once(DASHES)?;
    let (body, rest) = rest.split_once(END)?;
    let (end, _) = rest.split_once(DASHES)?;
    (label == end).then_some((label, body))
}

/// PKCS#1 is what PKCS#8 has inside (RFC 5958, section 2; RFC 8017, appendix A.1).
fn wrap_pkcs1(key: &[u8]) -> Vec<u8> {
    let mut inside = RSA_VERSION_0.to_vec();
    inside.extend(der(OCTET_STRING, key));
    der(SEQUENCE, &inside)
}

/// A value of DER: tag, length, content (X.690, section 8.1).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length: Vec<_> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut value = vec![tag];
    match (content.len(), u8::try_from(length.len())) {
        (short @ 0..0x80, _) => value.push(short as u8),
        (_, Ok(bytes)) => {
            value.push(0x80 | bytes);
            value.extend(length);
        }
        (_, Err(_)) => unreachable!("a length has eight bytes at most"),
    }
    value.extend(content);
    value
}

const DASHES: &str = "-----";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
/// Version 0, and the algorithm: rsaEncryption (1.2.840.113549.1.1.1) with no parameters.
const RSA_VERSION_0: [u8; 18] = [
    0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
    0x05, 0x00,
];
