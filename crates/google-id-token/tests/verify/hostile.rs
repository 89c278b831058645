//! Tokens that were made to deceive, each with what is wrong with it.

use google_id_token::verify::RefusalKind::{self, *};
use serde_json::{Value, json};

use super::forge::{AUDIENCE, EMAIL, Forge, IAP_AUDIENCE, altered, assemble, encode};

/// A token, what it tries, and why it is refused.
pub(crate) struct Hostile {
    pub(crate) what: String,
    pub(crate) token: String,
    pub(crate) kind: RefusalKind,
}

/// All of them. The verifier listens to Google and IAP, with a leeway of 30 s.
pub(crate) fn table(forge: &Forge) -> Vec<Hostile> {
    let mut table = Table(Vec::new());
    forms(forge, &mut table);
    headers(forge, &mut table);
    algorithms(forge, &mut table);
    keys(forge, &mut table);
    signatures(forge, &mut table);
    payloads(forge, &mut table);
    claims(forge, &mut table);
    times(forge, &mut table);
    assertions(forge, &mut table);
    table.0
}

struct Table(Vec<Hostile>);

impl Table {
    fn add(&mut self, kind: RefusalKind, what: impl Into<String>, token: impl Into<String>) {
        let (what, token) = (what.into(), token.into());
        self.0.push(Hostile { what, token, kind });
    }
}

fn forms(forge: &Forge, table: &mut Table) {
    let sound = forge.sound();
    let (signed, signature) = sound.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    table.add(NotJwt, "nothing", "");
    table.add(NotJwt, "one dot", ".");
    table.add(Header, "two dots", "..");
    table.add(NotJwt, "an access token", "ya29.a0AfH6SMBx-yz_0123456789");
    table.add(NotJwt, "two parts", signed);
    table.add(NotJwt, "four parts", format!("{sound}."));
    table.add(NotJwt, "an encrypted JWT", format!("{header}.a.b.c.d"));
    table.add(
        NotJwt,
        "JSON serialization",
        json!({ "payload": payload }).to_string(),
    );
    table.add(TooLong, "16 KiB and a byte", "a".repeat(16 * 1024 + 1));
    table.add(
        TooLong,
        "1 MiB of a token",
        format!("{sound}{}", "A".repeat(1 << 20)),
    );
    table.add(TooLong, "1 MiB of dots", ".".repeat(1 << 20));
    table.add(
        TooLong,
        "a huge claim",
        forge.with("x", json!("x".repeat(20_000))),
    );
    table.add(
        Encoding,
        "a letter outside ASCII",
        format!("{header}.{payload}ä.{signature}"),
    );
    table.add(
        Encoding,
        "a dot that only looks so",
        sound.replacen('.', "․", 1),
    );
    table.add(Encoding, "a line break at the end", format!("{sound}\n"));
    table.add(
        Encoding,
        "a line break inside",
        format!("{header}.{payload}\r\n.{signature}"),
    );
    table.add(Encoding, "a NUL", format!("{sound}\0"));
    table.add(Encoding, "a space before", format!(" {sound}"));
    table.add(Encoding, "the scheme before", format!("Bearer {sound}"));
    table.add(Encoding, "padding at the signature", format!("{sound}=="));
    table.add(
        Encoding,
        "padding at the header",
        format!("{header}=.{payload}.{signature}"),
    );
    table.add(
        Encoding,
        "the other alphabet",
        format!("{header}.{payload}.+/{}", &signature[2..]),
    );
    let last = signature.chars().last().unwrap();
    let sibling = if last == 'A' {
        'B'
    } else {
        (last as u8 + 1) as char
    };
    let bent = format!("{signed}.{}{sibling}", &signature[..signature.len() - 1]);
    table.add(Encoding, "bits that mean nothing", bent);
}

fn headers(forge: &Forge, table: &mut Table) {
    let payload = forge.claims().to_string();
    let whole = forge.header().to_string();
    let inside = &whole[1..whole.len() - 1];
    let nested = "[".repeat(2000) + &"]".repeat(2000);
    let many: String = (0..200).map(|it| format!("\"{it}\":0,")).collect();
    for (kind, what, header) in [
        (Header, "an empty header", String::new()),
        (Header, "a header that is no JSON", "alg: RS256".to_owned()),
        (Header, "an array", format!("[{whole}]")),
        (Header, "a text", "\"RS256\"".to_owned()),
        (Header, "null", "null".to_owned()),
        (Header, "half a header", whole[..whole.len() - 1].to_owned()),
        (
            Header,
            "something after the header",
            format!("{whole} {{}}"),
        ),
        (
            Header,
            "a comment in the header",
            format!("{{/**/{inside}}}"),
        ),
        (
            Header,
            "an algorithm 2,000 arrays deep",
            format!("{{\"alg\":{nested}}}"),
        ),
        (Header, "200 members", format!("{{{many}{inside}}}")),
        (
            Duplicate,
            "two algorithms",
            format!("{{\"alg\":\"none\",{inside}}}"),
        ),
        (
            Duplicate,
            "two key ids",
            format!("{{{inside},\"kid\":\"x\"}}"),
        ),
        (
            Duplicate,
            "an algorithm twice, once escaped",
            format!("{{{inside},\"\\u0061lg\":\"none\"}}"),
        ),
        (
            Duplicate,
            "an unknown member twice",
            format!("{{\"x\":1,{inside},\"x\":2}}"),
        ),
    ] {
        table.add(
            kind,
            format!("header: {what}"),
            forge.sign(header, &payload),
        );
    }
    let latin = [b"{\"alg\":\"RS256\",\"x\":\"\xe4\"}".as_slice()].concat();
    table.add(Header, "header: not UTF-8", forge.sign(latin, &payload));
    for (kind, member, value) in [
        (Critical, "crit", json!(["exp"])),
        (Critical, "crit", json!(["b64"])),
        (Critical, "crit", json!([])),
        (Critical, "crit", json!("x")),
        (Header, "typ", json!("at+jwt")),
        (Header, "typ", json!("logout+jwt")),
        (Header, "typ", json!(7)),
        (Header, "cty", json!("JWT")),
    ] {
        let what = format!("header: {member} {value}");
        table.add(kind, what, forge.with_header(member, value));
    }
}

fn algorithms(forge: &Forge, table: &mut Table) {
    let claims = forge.claims().to_string();
    for alg in [
        "none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256",
        "ES384", "ES512", "ES256K", "EdDSA", "rs256", "RS256 ", "RS256\0", "",
    ] {
        let token = forge.with_header("alg", json!(alg));
        table.add(Algorithm, format!("alg: {alg:?}"), token);
    }
    for alg in [
        json!(null),
        json!(256),
        json!(true),
        json!(["RS256"]),
        json!({ "alg": "RS256" }),
    ] {
        let token = forge.with_header("alg", alg.clone());
        table.add(Algorithm, format!("alg: {alg}"), token);
    }
    let unsigned = altered(forge.header(), "alg", json!("none"));
    let unsigned = assemble(unsigned, &claims, |_| Vec::new());
    table.add(Algorithm, "alg: none, and no signature", unsigned);
    let mac = altered(forge.header(), "alg", json!("HS256"));
    table.add(
        Algorithm,
        "a MAC with the public key",
        forge.mac(mac, &claims),
    );
    let mac = forge.mac(forge.header().to_string(), &claims);
    table.add(Signature, "a MAC that says it is RS256", mac);
}

fn keys(forge: &Forge, table: &mut Table) {
    let claims = forge.claims().to_string();
    for kid in [
        json!(null),
        json!(""),
        json!("0000000000000000000000000000000000000000"),
        json!("../../../../dev/null"),
        json!("' OR 1=1 --"),
        json!(forge.key_id.to_uppercase()),
        json!(format!("{} ", forge.key_id)),
        json!(forge.iap_key_id),
        json!([forge.key_id]),
        json!(7),
        json!("k".repeat(8000)),
    ] {
        let what = format!("kid: {:.50}", kid.to_string());
        table.add(UnknownKey, what, forge.with_header("kid", kid));
    }
    for (member, value) in [
        ("jwk", forge.stranger_jwk()),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/certificate")),
        ("x5c", json!([encode("certificate")])),
    ] {
        let header = altered(forge.header(), member, value);
        let token = forge.sign_as_stranger(header, &claims);
        table.add(Signature, format!("brings its own key: {member}"), token);
    }
}

fn signatures(forge: &Forge, table: &mut Table) {
    let sound = forge.sound();
    let (signed, signature) = sound.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let under = |signature: &str| format!("{signed}.{signature}");
    table.add(Signature, "no signature", under(""));
    table.add(Signature, "zeros", under(&encode([0; 256])));
    table.add(Signature, "ones", under(&encode([1; 256])));
    table.add(Signature, "all bits", under(&encode([255; 256])));
    table.add(Signature, "half a signature", under(&encode([7; 128])));
    table.add(
        Signature,
        "a byte more",
        under(&encode([[0; 1].as_slice(), &[7; 256]].concat())),
    );
    table.add(Signature, "12,000 bytes", under(&encode([7; 9000])));
    let first = if signature.starts_with('A') { "B" } else { "A" };
    table.add(
        Signature,
        "one bit",
        under(&format!("{first}{}", &signature[1..])),
    );
    let other = forge.with("sub", json!("1"));
    let (_, theirs) = other.rsplit_once('.').unwrap();
    table.add(Signature, "the signature of another token", under(theirs));
    let admin = altered(forge.claims(), "email", json!("admin@example.com"));
    let changed = format!("{header}.{}.{signature}", encode(admin));
    table.add(Signature, "a claim changed", changed);
    let spaced = encode(forge.claims().to_string().replace(',', ", "));
    let spaced = format!("{header}.{spaced}.{signature}");
    table.add(Signature, "white space changed", spaced);
    let stranger = forge.sign_as_stranger(forge.header().to_string(), forge.claims().to_string());
    table.add(Signature, "a stranger's key", stranger);
    table.add(
        SignatureRemoved,
        "Cloud Run was here",
        under("SIGNATURE_REMOVED_BY_GOOGLE"),
    );
    table.add(
        Signature,
        "Cloud Run was nearly here",
        under("SIGNATURE_REMOVED_BY_GOOGLI"),
    );
    let by_iap = forge.sign_as_iap(forge.header().to_string(), forge.claims().to_string());
    table.add(Signature, "RS256 signed by ES256", by_iap);
}

fn payloads(forge: &Forge, table: &mut Table) {
    let header = forge.header().to_string();
    let whole = forge.claims().to_string();
    let inside = &whole[1..whole.len() - 1];
    let nested = "[".repeat(2000) + &"]".repeat(2000);
    let many: String = (0..200).map(|it| format!("\"{it}\":0,")).collect();
    for (kind, what, payload) in [
        (Payload, "empty", String::new()),
        (Payload, "no JSON", "iss=accounts.google.com".to_owned()),
        (Payload, "an array", format!("[{whole}]")),
        (Payload, "null", "null".to_owned()),
        (Payload, "a number", "1".to_owned()),
        (Payload, "a text", json!(whole).to_string()),
        (Payload, "half", whole[..whole.len() / 2].to_owned()),
        (Payload, "something after it", format!("{whole}x")),
        (Payload, "a second object", format!("{whole}{whole}")),
        (Payload, "a comma too many", format!("{{{inside},}}")),
        (
            Payload,
            "an audience 2,000 arrays deep",
            format!("{{\"aud\":{nested}}}"),
        ),
        (Payload, "200 members", format!("{{{many}{inside}}}")),
        (
            Payload,
            "a number without end",
            format!("{{\"exp\":1e999,{}}}", &inside[1..]),
        ),
        (Payload, "NaN", whole.replace(&forge.now.to_string(), "NaN")),
        (
            Payload,
            "half a surrogate",
            format!("{{\"x\\ud800\":1,{inside}}}"),
        ),
        (
            Duplicate,
            "two audiences",
            format!("{{\"aud\":\"https://x.example\",{inside}}}"),
        ),
        (
            Duplicate,
            "two issuers",
            format!("{{{inside},\"iss\":\"https://evil.example\"}}"),
        ),
        (
            Duplicate,
            "two ends",
            format!("{{{inside},\"exp\":9999999999}}"),
        ),
        (
            Duplicate,
            "two e-mails, one escaped",
            format!("{{{inside},\"\\u0065mail\":\"admin@x\"}}"),
        ),
        (
            Duplicate,
            "the same claim twice",
            format!("{{\"iat\":{},{inside}}}", forge.now),
        ),
        (
            Duplicate,
            "an unknown claim twice",
            format!("{{\"a\":1,\"a\":1,{inside}}}"),
        ),
    ] {
        table.add(
            kind,
            format!("payload: {what}"),
            forge.sign(&header, payload),
        );
    }
    let latin = [b"{\"iss\":\"\xe4\"}".as_slice()].concat();
    table.add(Payload, "payload: not UTF-8", forge.sign(&header, latin));
}

fn claims(forge: &Forge, table: &mut Table) {
    for claim in ["iss", "aud", "sub", "exp", "iat"] {
        let token = forge.with(claim, Value::Null);
        table.add(MissingClaim, format!("no {claim}"), token);
    }
    for (claim, value) in [
        ("iss", json!(7)),
        ("iss", json!(["https://accounts.google.com"])),
        ("aud", json!(true)),
        ("aud", json!({ "aud": AUDIENCE })),
        ("sub", json!("")),
        ("sub", json!(1)),
        ("email", json!([EMAIL])),
        ("email_verified", json!("true")),
        ("email_verified", json!(1)),
        ("hd", json!(false)),
        ("exp", json!("9999999999")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(true)),
        ("exp", json!([])),
        ("iat", json!("yesterday")),
        ("iat", json!(u64::MAX)),
        ("nbf", json!("now")),
    ] {
        let what = format!("{claim}: {value}");
        table.add(InvalidClaim, what, forge.with(claim, value));
    }
    let explicit_null = forge
        .claims()
        .to_string()
        .replace(&json!(AUDIENCE).to_string(), "null");
    let token = forge.sign(forge.header().to_string(), explicit_null);
    table.add(InvalidClaim, "aud: null", token);
    for issuer in [
        "https://evil.example",
        "https://accounts.google.com/",
        "http://accounts.google.com",
        "HTTPS://ACCOUNTS.GOOGLE.COM",
        "https://accounts.google.com.evil.example",
        "https://cloud.google.com/iap",
        "https://securetoken.google.com/project",
        EMAIL,
        "",
    ] {
        table.add(
            Issuer,
            format!("iss: {issuer}"),
            forge.with("iss", json!(issuer)),
        );
    }
    for audience in [
        json!("https://other-abc123-uc.a.run.app"),
        json!(format!("{AUDIENCE}/")),
        json!(format!("{AUDIENCE}:443")),
        json!(AUDIENCE.to_uppercase()),
        json!(&AUDIENCE[..AUDIENCE.len() - 1]),
        json!(format!("{AUDIENCE} {AUDIENCE}")),
        json!(""),
        json!("*"),
        json!([]),
        json!([AUDIENCE, "https://other.example"]),
        json!(["https://other.example"]),
        json!(IAP_AUDIENCE),
    ] {
        table.add(
            Audience,
            format!("aud: {audience}"),
            forge.with("aud", audience),
        );
    }
}

fn times(forge: &Forge, table: &mut Table) {
    let now = forge.now;
    let early = now + 30 + forge.margin;
    let life = |iat: u64, exp: u64| {
        let claims = altered(forge.claims(), "iat", json!(iat));
        let claims = serde_json::from_str(&claims).unwrap();
        forge.sign(
            forge.header().to_string(),
            altered(claims, "exp", json!(exp)),
        )
    };
    table.add(
        Expired,
        "past its end and the leeway",
        life(now - 3600, now - 30),
    );
    table.add(
        Expired,
        "an hour past its end",
        life(now - 7200, now - 3600),
    );
    table.add(Expired, "of 1970", life(0, 0));
    table.add(
        Expired,
        "with an end in the middle of a second",
        forge.with("exp", json!(1.5)),
    );
    table.add(
        NotYetValid,
        "issued after now and the leeway",
        life(early, now + 3600),
    );
    table.add(
        NotYetValid,
        "issued in the year 9999",
        life(253_402_300_799, 253_402_300_799),
    );
    table.add(
        NotYetValid,
        "not before later",
        forge.with("nbf", json!(early)),
    );
    table.add(
        Lifetime,
        "for ever",
        forge.with("exp", json!(253_402_300_799_u64)),
    );
    table.add(Lifetime, "a day and a second", life(now, now + 86_401));
    table.add(
        Lifetime,
        "an end at its beginning",
        life(now + 10, now + 10),
    );
    table.add(
        Lifetime,
        "an end before its beginning",
        life(now + 20, now + 10),
    );
}

fn assertions(forge: &Forge, table: &mut Table) {
    let now = forge.now;
    let early = now + 30 + forge.margin;
    let header = forge.iap_header().to_string();
    let google = forge.claims().to_string();
    let crossed = forge.sign_as_iap(&header, google);
    table.add(Issuer, "Google's claims by IAP's key", crossed);
    let crossed = forge.sign(forge.header().to_string(), forge.iap_claims().to_string());
    table.add(Issuer, "IAP's claims by Google's key", crossed);
    let named = forge.iap_with("iss", json!("https://accounts.google.com"));
    table.add(Issuer, "IAP's assertion that names Google", named);
    let borrowed = altered(forge.header(), "alg", json!("ES256"));
    let borrowed = forge.sign(borrowed, forge.iap_claims().to_string());
    table.add(UnknownKey, "ES256 with Google's key id", borrowed);
    table.add(
        Audience,
        "IAP for Google's audience",
        forge.iap_with("aud", json!(AUDIENCE)),
    );
    let backend = "/projects/123456789012/global/backendServices/43";
    table.add(
        Audience,
        "IAP for another backend",
        forge.iap_with("aud", json!(backend)),
    );
    table.add(
        MissingClaim,
        "IAP without an audience",
        forge.iap_with("aud", Value::Null),
    );
    table.add(
        Lifetime,
        "IAP for an hour",
        forge.iap_with("exp", json!(now + 3600)),
    );
    table.add(
        Lifetime,
        "IAP and a second more",
        forge.iap_with("exp", json!(now + 661)),
    );
    let begun = forge.iap_with("iat", json!(early));
    table.add(NotYetValid, "IAP in the future", begun);
    let claims = altered(forge.iap_claims(), "iat", json!(now - 700));
    let claims = altered(
        serde_json::from_str(&claims).unwrap(),
        "exp",
        json!(now - 100),
    );
    table.add(
        Expired,
        "IAP past its end",
        forge.sign_as_iap(&header, claims),
    );
    let sound = forge.sound_iap();
    let (signed, _) = sound.rsplit_once('.').unwrap();
    for (what, signature) in [
        ("zeros, as in the psychic paper", encode([0; 64])),
        ("ones", encode([255; 64])),
        ("in DER", encode([0x30, 6, 2, 1, 1, 2, 1, 1])),
        ("none", String::new()),
    ] {
        table.add(
            Signature,
            format!("IAP's signature: {what}"),
            format!("{signed}.{signature}"),
        );
    }
}
