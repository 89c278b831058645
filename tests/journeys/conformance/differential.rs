//! What we ask of Google beside what google-auth and google-cloud-auth ask of it, each with the
//! same credentials, at the same emulator.
//!
//! The journals are compared: endpoints, methods, paths, how often, queries, fields, claims, and
//! the headers in [`HEADERS`]. What differs is in [`differences::TABLE`] with its reason. A
//! difference that is not there fails, and so does one there that is no more.
//!
//! Not compared: secret values, which the journal withholds (the emulator checks them and answers
//! 200, or else the program fails here); the order of requests; headers by which a program tells
//! its name. Retries and the cache are the tests' of google-id-token.
//!
//! Nor are these, and why:
//! - AWS's metadata server: we ask it at AWS's own addresses alone, not on loopback.
//! - X.509 certificates and a workforce user's login with google-cloud-auth, which has neither.
//! - Access tokens of the metadata server and of key files, which are not what our crates are for;
//!   users' ID tokens, which come by the same request as the access tokens that are compared.
//! - Other universes: their hosts have names under their own domain, and are not on loopback.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use google_cloud_auth::credentials::{self, idtoken};
use google_emulator::{Credential, Emulator, Endpoint, Entry, Server};
use google_id_token::Scopes;

use super::program::{Said, run};
use super::python::python;
use crate::world::{INVOKER, found};

mod differences;

/// The credentials that both programs know, and which of their tokens are compared with ours.
fn known_to_both() -> Vec<(Credential, Wanted)> {
    vec![
        (Credential::metadata(), IdToken),
        (Credential::service_account(), IdToken),
        (Credential::impersonated_by_user(), IdToken),
        (Credential::impersonated_by_service_account(), IdToken),
        (Credential::impersonated_by_external(), IdToken),
        (Credential::user(), AccessToken),
        (Credential::external_file(), AccessToken),
        (Credential::external_json(), AccessToken),
        (Credential::external_url(), AccessToken),
        (Credential::external_workforce(), AccessToken),
        (Credential::external_client(), AccessToken),
        (Credential::external_executable(), AccessToken),
        (Credential::external_aws_environment(), AccessToken),
    ]
}

#[tokio::test]
async fn google_auth_asks_what_we_ask_but_for_the_listed_differences() {
    let mut differences = Vec::new();
    let only_here = [
        (Credential::external_certificate(), AccessToken),
        (Credential::external_user(), AccessToken),
    ];
    for (credential, theirs) in known_to_both().into_iter().chain(only_here) {
        let server = Emulator::new().serve().await.unwrap();
        let ours = we_ask(&server, &credential).await;
        let python = tokio::task::spawn_blocking(python).await.unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = script.join("journeys/conformance/differential.py");
        let (origin, audience) = (server.origin(), server.run_url("hello"));
        let arguments = [
            script.to_str().unwrap(),
            theirs.name(),
            &*origin,
            &*audience,
        ];
        let said = run(python, &arguments, environment(&server, &credential)).await;
        differences.extend(failure(GOOGLE_AUTH, &credential, &said));
        let theirs = asked(&server);
        differences.extend(between(GOOGLE_AUTH, &credential, &ours, &theirs));
    }
    are_those_listed(GOOGLE_AUTH, differences);
}

#[tokio::test]
async fn google_cloud_auth_asks_what_we_ask_but_for_the_listed_differences() {
    let mut differences = Vec::new();
    for (credential, theirs) in known_to_both() {
        let server = Emulator::new().serve().await.unwrap();
        let ours = we_ask(&server, &credential).await;
        let mut env = environment(&server, &credential);
        env.push((WHAT.to_owned(), theirs.name().to_owned()));
        let child = concat!(module_path!(), "::google_cloud_auth_gets_a_token");
        let child = child.split_once("::").unwrap().1;
        let arguments = ["--exact", child, "--ignored", "--nocapture"];
        let said = run(std::env::current_exe().unwrap(), &arguments, env).await;
        let tests = said.stdout.matches("running 1 test").count();
        assert_eq!(tests, 1, "{said:?}");
        differences.extend(failure(GOOGLE_CLOUD_AUTH, &credential, &said));
        let theirs = asked(&server);
        differences.extend(between(GOOGLE_CLOUD_AUTH, &credential, &ours, &theirs));
    }
    are_those_listed(GOOGLE_CLOUD_AUTH, differences);
}

/// It finds its credentials in the environment of its process, so it gets one of its own.
#[tokio::test]
#[ignore = "the test above runs it, in an environment that it has made"]
async fn google_cloud_auth_gets_a_token() {
    let Ok(what) = std::env::var(WHAT) else {
        return;
    };
    if what == IdToken.name() {
        let audience = std::env::var("SERVICE_URL").unwrap();
        let credentials = idtoken::Builder::new(audience).with_include_email().build();
        credentials.unwrap().id_token().await.unwrap();
    } else {
        let credentials = credentials::Builder::default()
            .with_scopes(Scopes::cloud_platform().iter())
            .build();
        let headers = credentials.unwrap().headers(http::Extensions::new()).await;
        headers.unwrap();
    }
}

/// The program for which they are, a kind of credentials, what is asked, by us and by them; empty
/// where it is not asked at all.
type Difference = (String, String, String, String, String);

/// What is asked for: a request's parts by name, and the request itself by its endpoint's.
type Asked = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Clone, Copy)]
enum Wanted {
    IdToken,
    AccessToken,
}

use Wanted::{AccessToken, IdToken};

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            IdToken => "id_token",
            AccessToken => "access_token",
        }
    }
}

/// We get ID tokens, and of users, who have none for an audience, access tokens.
async fn we_ask(server: &Server, credential: &Credential) -> Asked {
    let builder = found(server, credential);
    if *credential == Credential::user() {
        // Otherwise there are no credentials of a user alone.
        let builder = builder.user_tokens_for_cloud_run();
        let credentials = builder.build().await.unwrap();
        let tokens = credentials.access_tokens().unwrap();
        tokens.get(&Scopes::cloud_platform()).await.unwrap();
    } else {
        let builder = if *credential == Credential::external_user() {
            // It has nobody to impersonate of its own.
            builder.impersonate(INVOKER)
        } else {
            builder
        };
        let credentials = builder.build().await.unwrap();
        let audience = server.run_url("hello").parse().unwrap();
        credentials.id_tokens().get(&audience).await.unwrap();
    }
    asked(server)
}

/// A program that gets no token must fail in a way that is listed.
fn failure(program: &str, credential: &Credential, said: &Said) -> Option<Difference> {
    if said.success {
        return None;
    }
    let mut rows = differences::TABLE.iter().filter(|row| {
        let of_theirs = row.program == program && row.kinds.contains(&credential.name());
        of_theirs && row.what == FAILURE && said.stderr.contains(row.theirs)
    });
    let Some(row) = rows.next() else {
        panic!("{program}, {}: {said:?}", credential.name());
    };
    let text = [program, credential.name(), FAILURE, row.ours, row.theirs];
    Some(text.map(str::to_owned).into())
}

/// The emulator's environment, in which nothing but it is to be reached.
fn environment(server: &Server, credential: &Credential) -> Vec<(String, String)> {
    let mut env = server.env_for(credential).unwrap();
    // google-cloud-auth takes an empty name for a file's.
    env.retain(|(_, value)| !value.is_empty());
    // The name that Python's requests has for the same.
    let root = env.iter().find(|(name, _)| name == "SSL_CERT_FILE");
    if let Some((_, root)) = root.cloned() {
        env.push(("REQUESTS_CA_BUNDLE".to_owned(), root));
    }
    for (name, value) in [
        // No port that anything listens on.
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("NO_PROXY", "127.0.0.1"),
        ("HOME", "/nonexistent"),
    ] {
        env.push((name.to_owned(), value.to_owned()));
    }
    env
}

/// Reads the journal, and clears it for the next program.
fn asked(server: &Server) -> Asked {
    let journal = server.emulator().journal();
    let mut asked = Asked::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for entry in journal.entries() {
        let name = name(&entry);
        let parts = asked.entry(name.clone()).or_default();
        parts.extend(parts_of(&entry, server));
        let count = counts.entry(name).or_default();
        *count += 1;
        let times = if *count > 1 {
            format!(", {count} times")
        } else {
            String::new()
        };
        let request = format!("{} {}{times}", entry.method, entry.path);
        parts.insert(String::new(), request);
    }
    journal.clear();
    asked
}

fn name(entry: &Entry) -> String {
    match entry.endpoint {
        // Where one endpoint has many things.
        Endpoint::MetadataValue | Endpoint::AwsMetadata | Endpoint::Unknown => {
            format!("{:?} {}", entry.endpoint, entry.path)
        }
        endpoint => format!("{endpoint:?}"),
    }
}

fn parts_of(entry: &Entry, server: &Server) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let mut add = |what: &str, name: &str, value: &dyn ToString| {
        let value = value.to_string();
        let value = value.replace(&server.origin(), "{origin}");
        let value = value.replace(&server.run_url("hello"), "{service}");
        parts.insert(format!("{what} {name}"), value.trim_matches('"').to_owned());
    };
    for (name, value) in &entry.query {
        add("query", name, value);
    }
    for (name, value) in &entry.fields {
        add("field", name, value);
    }
    for (name, value) in &entry.headers {
        if HEADERS.contains(&name.as_str()) {
            add("header", name, &value.split(';').next().unwrap());
        }
    }
    let Some(claims) = entry.claims.as_ref().and_then(|claims| claims.as_object()) else {
        return parts;
    };
    for (name, value) in claims {
        match name.as_str() {
            // Times are never the same; how long an assertion lives is.
            "exp" => {
                let life = value.as_u64().unwrap() - claims["iat"].as_u64().unwrap();
                add("claim", "exp - iat", &life);
            }
            "iat" => {}
            _ => add("claim", name, value),
        }
    }
    parts
}

fn between(
    program: &str,
    credential: &Credential,
    ours: &Asked,
    theirs: &Asked,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |what: String, ours: Option<&String>, theirs: Option<&String>| {
        if ours != theirs {
            let text = |value: Option<&String>| value.cloned().unwrap_or_default();
            let program = program.to_owned();
            let kind = credential.name().to_owned();
            differences.push((program, kind, what, text(ours), text(theirs)));
        }
    };
    for name in keys(ours, theirs) {
        match (ours.get(name), theirs.get(name)) {
            (Some(ours), Some(theirs)) => {
                for part in keys(ours, theirs) {
                    let what = format!("{name} {part}").trim().to_owned();
                    compare(what, ours.get(part), theirs.get(part));
                }
            }
            // A request that the other does not send has no parts to compare.
            (ours, theirs) => compare(
                name.clone(),
                ours.and_then(|ours| ours.get("")),
                theirs.and_then(|theirs| theirs.get("")),
            ),
        }
    }
    differences
}

fn keys<'a, V>(
    one: &'a BTreeMap<String, V>,
    other: &'a BTreeMap<String, V>,
) -> std::collections::BTreeSet<&'a String> {
    one.keys().chain(other.keys()).collect()
}

fn are_those_listed(program: &str, found: Vec<Difference>) {
    let mut listed = Vec::new();
    for row in differences::TABLE
        .iter()
        .filter(|row| row.program == program)
    {
        assert!(!row.why.is_empty(), "{row:?}");
        for kind in row.kinds {
            let text = [program, kind, row.what, row.ours, row.theirs].map(str::to_owned);
            listed.push(text.into());
        }
    }
    let without = |these: &[Difference], those: &[Difference]| -> Vec<Difference> {
        let these = these.iter().filter(|this| !those.contains(this));
        these.cloned().collect()
    };
    let (new, gone) = (without(&found, &listed), without(&listed, &found));
    assert!(
        new.is_empty() && gone.is_empty(),
        "not listed:\n{}\nlisted, and not found:\n{}",
        lines(&new),
        lines(&gone)
    );
}

fn lines(differences: &[impl Debug]) -> String {
    let lines = differences
        .iter()
        .map(|difference| format!("{difference:?}\n"));
    lines.collect()
}

const GOOGLE_AUTH: &str = "google-auth";
const GOOGLE_CLOUD_AUTH: &str = "google-cloud-auth";

/// In place of a request: the program ends without a token, and says what the row has as theirs.
const FAILURE: &str = "failure";

/// The headers that mean something to Google.
const HEADERS: [&str; 5] = [
    "authorization",
    "content-type",
    "metadata-flavor",
    "x-allowed-locations",
    "x-goog-user-project",
];

/// The variable that says which token google-cloud-auth is to get.
const WHAT: &str = "TESTS_DIFFERENTIAL_WHAT";
