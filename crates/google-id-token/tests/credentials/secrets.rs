//! Nothing secret is ever printed: not by `Debug`, not by an error, not by a log.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_emulator::{Credential, Emulator, Endpoint, Fault, Mint};
use google_id_token::doctor::Doctor;
use google_id_token::{
    Builder, Claims, CloudRunUser, Env, Expires, Federated, FederatedUser, GcloudCli, HttpClient,
    ImpersonateLayer, Metadata, Scopes, ServiceAccount, StaticToken, TokenFile, User,
    id_token_from_jwt,
};
use tower::Layer;

use crate::support::{
    AUDIENCE, KEY_PATH, Peer, ROBOT, answer, audience, id_token, in_memory, json_answer, jwt,
    user_file, with_file, with_metadata,
};

/// Everything that was printed, and everything that must not have been.
#[derive(Clone, Default)]
struct Printed {
    text: Arc<Mutex<Vec<u8>>>,
    secrets: Arc<Mutex<BTreeSet<String>>>,
}

impl Printed {
    fn print(&self, it: impl std::fmt::Debug) {
        writeln!(self.clone(), "{it:?}\n{it:#?}").unwrap();
    }

    fn print_error(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            writeln!(self.clone(), "{error}\n{error:?}\n{error:#?}").unwrap();
            next = error.source();
        }
    }

    fn secret(&self, secret: impl Into<String>) {
        self.secrets.lock().unwrap().insert(secret.into());
    }

    /// The values of a credential file that are secret: a key counts line by line.
    fn file(&self, file: &serde_json::Value) {
        for name in ["client_secret", "refresh_token"] {
            if let Some(secret) = file[name].as_str() {
                self.secret(secret);
            }
        }
        let key = file["private_key"].as_str().unwrap_or_default();
        for line in key.lines().filter(|line| !line.starts_with('-')) {
            self.secret(&line[..line.len().min(24)]);
        }
        if file["source_credentials"].is_object() {
            self.file(&file["source_credentials"]);
        }
    }

    fn has_no_secret(&self) {
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        assert!(text.len() > 1000, "nothing was printed");
        for secret in self.secrets.lock().unwrap().iter() {
            let found = text.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(found, None, "{secret} was printed");
        }
        // A JWT of any kind, whoever made it.
        let found = text.lines().find(|line| line.contains("eyJ"));
        assert_eq!(found, None);
    }

    /// What the doctor says of these credentials, at an emulator with its faults.
    async fn report(&self, emulator: &Emulator, credential: &Credential) {
        let builder = if *credential == Credential::metadata() {
            with_metadata(in_memory(emulator))
        } else {
            with_file(emulator, credential)
        };
        let doctor = Doctor::new(builder.user_tokens_for_cloud_run())
            .url(AUDIENCE.parse().unwrap())
            .call();
        self.print(&doctor);
        let report = doctor.examine().await;
        let json = serde_json::to_string(&report).unwrap();
        writeln!(self.clone(), "{report}\n{json}").unwrap();
        self.print(&report);
    }

    /// Takes part in everything that is logged by this thread.
    fn log(&self) -> tracing::subscriber::DefaultGuard {
        let printed = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || printed.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn no_failure_and_no_success_prints_a_secret() {
    let printed = Printed::default();
    let _guard = printed.log();
    let faults = || {
        [
            Fault::status(500),
            Fault::status(400),
            Fault::status(403),
            Fault::half(),
            Fault::reset(),
            Fault::hang(),
            Fault::endless(),
            Fault::mint(Mint::NotAJwt),
            Fault::mint(Mint::NoExpiry),
            Fault::mint(Mint::LineBreak),
            Fault::mint(Mint::Expired),
            Fault::content_type("text/html"),
        ]
    };
    for credential in Credential::all() {
        for fault in faults() {
            for endpoint in [
                Endpoint::Token,
                Endpoint::GenerateIdToken,
                Endpoint::Metadata,
            ] {
                let emulator = Emulator::new();
                let builder = if credential == Credential::metadata() {
                    with_metadata(in_memory(&emulator))
                } else {
                    printed.file(&emulator.credentials(&credential));
                    with_file(&emulator, &credential)
                };
                printed.print(&builder);
                let credentials = builder.user_tokens_for_cloud_run().build().await.unwrap();
                printed.print(&credentials);
                emulator.fault(endpoint, fault.clone());
                match credentials.id_tokens().get(&audience()).await {
                    Ok(token) => {
                        printed.secret(token.secret());
                        printed.print(&token);
                        printed.print(Claims::unverified(&token));
                    }
                    Err(error) => printed.print_error(&error),
                }
                printed.print(credentials.id_tokens());
                printed.report(&emulator, &credential).await;
                if let Some(access) = credentials.access_tokens() {
                    match access.get(&Scopes::cloud_platform()).await {
                        Ok(token) => {
                            printed.secret(token.secret());
                            printed.print(&token);
                            printed.print(token.header());
                            printed.print(token.expires_at());
                        }
                        Err(error) => printed.print_error(&error),
                    }
                }
            }
        }
    }
    let text = String::from_utf8(printed.text.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("asking the token endpoint"),
        "the log was not heard"
    );
    printed.has_no_secret();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_echoes_what_it_got_is_not_quoted() {
    let printed = Printed::default();
    let _guard = printed.log();
    for status in [200, 302, 400, 403, 500] {
        for credential in [
            Credential::service_account(),
            Credential::user(),
            Credential::impersonated_by_user(),
        ] {
            for shape in 0..3 {
                let emulator = Emulator::new();
                let file = emulator.credentials(&credential);
                printed.file(&file);
                let peer = Peer::default();
                let mirror = peer.clone();
                let impersonated = credential == Credential::impersonated_by_user();
                let http = peer.client(move |_, asked| {
                    let body = String::from_utf8_lossy(asked.request.body()).into_owned();
                    let token = asked.header("authorization").unwrap_or_default();
                    let said = format!("{body} {token} {:?}", asked.form("refresh_token"));
                    let is_source = asked.header("authorization").is_none();
                    match shape {
                        _ if impersonated && is_source => json_answer(serde_json::json!({
                            "access_token": "short-token", "expires_in": 3600
                        })),
                        0 => answer(status, said),
                        1 => answer(
                            status,
                            serde_json::json!({ "error": said, "error_description": said })
                                .to_string(),
                        ),
                        _ => answer(
                            status,
                            serde_json::json!({ "error": { "status": said, "message": said } })
                                .to_string(),
                        ),
                    }
                });
                let builder = Builder::new().http(http).credentials_json(file.to_string());
                let builder = builder.env(Env::empty()).user_tokens_for_cloud_run();
                let tokens = builder.build().await.unwrap().id_tokens();
                let error = tokens.get(&audience()).await.unwrap_err();
                printed.print_error(&error);
                for asked in mirror.asked() {
                    if let Some(assertion) = asked.form("assertion") {
                        printed.secret(assertion);
                    }
                }
            }
        }
    }
    printed.secret("short-token");
    printed.has_no_secret();
}

#[tokio::test(start_paused = true)]
async fn no_external_account_prints_a_secret() {
    let printed = Printed::default();
    let _guard = printed.log();
    for secret in [
        "ya29.emulated",
        "emulated-imds-session",
        "emulated+secret",
        "emulated-aws-session-token",
        "AWS4-HMAC-SHA256",
    ] {
        printed.secret(secret);
    }
    for credential in Credential::external() {
        for endpoint in [
            Endpoint::Sts,
            Endpoint::StsRefresh,
            Endpoint::SubjectTokenUrl,
            Endpoint::AwsMetadata,
            Endpoint::GenerateIdToken,
        ] {
            for fault in [
                Fault::status(500),
                Fault::status(400),
                Fault::status(403),
                Fault::status(200),
                Fault::html(),
                Fault::half(),
                Fault::reset(),
                Fault::content_type("text/html"),
            ] {
                let emulator = Emulator::new();
                let file = emulator.credentials(&credential);
                printed.file(&file);
                if let (Some(id), Some(secret)) =
                    (file["client_id"].as_str(), file["client_secret"].as_str())
                {
                    printed.secret(STANDARD.encode(format!("{id}:{secret}")));
                }
                for (path, content) in emulator.files(&credential) {
                    if path.ends_with(".key") {
                        printed.secret(content.lines().nth(1).unwrap());
                    }
                }
                let builder = with_file(&emulator, &credential).impersonate(ROBOT);
                printed.print(&builder);
                let credentials = builder.build().await.unwrap();
                printed.print(&credentials);
                emulator.fault(endpoint, fault);
                match credentials.id_tokens().get(&audience()).await {
                    Ok(token) => printed.print(&token),
                    Err(error) => printed.print_error(&error),
                }
            }
        }
    }
    let text = String::from_utf8(printed.text.lock().unwrap().clone()).unwrap();
    for whom in [
        "Security Token Service",
        "AWS's metadata server",
        "subject token's URL",
    ] {
        let line = format!("asking the {whom}").replace("the AWS", "AWS");
        assert!(text.contains(&line), "{whom} was not heard");
    }
    printed.has_no_secret();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_of_federation_that_echoes_what_it_got_is_not_quoted() {
    let printed = Printed::default();
    let _guard = printed.log();
    for secret in [
        "hush-header",
        "hush-subject",
        "emulated+secret",
        "emulated-aws-session",
    ] {
        printed.secret(secret);
    }
    let emulator = Emulator::new();
    let mut url = emulator.credentials(&Credential::external_url());
    url["credential_source"]["url"] = "https://tokens.example/?hush-subject".into();
    url["credential_source"]["headers"]["Authorization"] = "Bearer hush-header".into();
    for (credential, file) in [
        (Credential::external_file(), None),
        (Credential::external_client(), None),
        (Credential::external_user(), None),
        (Credential::external_aws_environment(), None),
        (Credential::external_url(), Some(url)),
    ] {
        let file = file.unwrap_or_else(|| emulator.credentials(&credential));
        printed.file(&file);
        for status in [200, 400, 401, 403, 500] {
            for in_json in [false, true] {
                let peer = Peer::default();
                let mirror = peer.clone();
                let http = peer.client(move |_, asked| {
                    let body = String::from_utf8_lossy(asked.request.body()).into_owned();
                    let token = asked.header("authorization").unwrap_or_default();
                    let subject = asked.form("subject_token");
                    let said = format!("{body} {token} {subject:?}");
                    answer(
                        status,
                        match in_json {
                            false => said,
                            true => serde_json::json!({ "error": said, "error_description": said })
                                .to_string(),
                        },
                    )
                });
                let mut env =
                    Env::empty().file("/google-emulator/subject-token.jwt", "hush-subject-token");
                for (name, value) in credential.variables() {
                    env = env.variable(*name, *value);
                }
                let builder = Builder::new().env(env).http(http);
                let builder = builder
                    .credentials_json(file.to_string())
                    .impersonate(ROBOT);
                let tokens = builder.build().await.unwrap().id_tokens();
                printed.print_error(&tokens.get(&audience()).await.unwrap_err());
                for asked in mirror.asked() {
                    for header in ["authorization", "x-aws-ec2-metadata-token"] {
                        let value = asked.header(header).unwrap_or_default();
                        if let Some((_, value)) = value.split_once(' ') {
                            printed.secret(value);
                        }
                    }
                    if let Some(subject) = asked.form("subject_token") {
                        printed.secret(subject);
                    }
                }
            }
        }
    }
    printed.has_no_secret();
}

#[tokio::test]
async fn broken_files_and_keys_are_not_quoted() {
    let printed = Printed::default();
    let _guard = printed.log();
    let emulator = Emulator::new();
    let key = emulator.credentials(&Credential::service_account());
    let user = user_file();
    printed.file(&key);
    printed.file(&user);
    let pem = key["private_key"].as_str().unwrap();
    let broken_keys = [
        pem.replace('\n', ""),
        pem.replace('\n', " "),
        pem.replace("-----END", "----END"),
        pem.replace("PRIVATE KEY", "EC PRIVATE KEY"),
        pem.replace('M', "!"),
        pem[..pem.len() / 2].to_owned(),
    ];
    let mut contents: Vec<String> = broken_keys
        .into_iter()
        .map(|broken| {
            let mut file = key.clone();
            file["private_key"] = broken.into();
            file.to_string()
        })
        .collect();
    for whole in [key.to_string(), user.to_string()] {
        for cut in (0..whole.len()).step_by(37) {
            if whole.is_char_boundary(cut) {
                contents.push(whole[..cut].to_owned());
                contents.push(format!("{}\"{}", &whole[..cut], &whole[cut..]));
            }
        }
    }
    for contents in contents {
        let env = Env::empty()
            .variable("GOOGLE_APPLICATION_CREDENTIALS", KEY_PATH)
            .file(KEY_PATH, contents.clone());
        printed.print(&env);
        let builder = Builder::new().env(env).credentials_json(contents);
        printed.print(&builder);
        if let Err(error) = builder.build().await {
            printed.print_error(&error);
        }
    }
    printed.has_no_secret();
}

#[test]
fn the_sources_themselves_print_no_secret() {
    let printed = Printed::default();
    let emulator = Emulator::new();
    let key = emulator.credentials(&Credential::service_account());
    let login = user_file();
    printed.file(&key);
    printed.file(&login);
    let http = HttpClient::new();
    let metadata = Metadata::new(http.clone(), "metadata.google.internal").unwrap();
    let account = ServiceAccount::from_json(http.clone(), &key.to_string()).unwrap();
    let user = User::from_json(http.clone(), &login.to_string()).unwrap();
    let cloud_run: CloudRunUser = user.clone().for_cloud_run().unwrap();
    let layer = ImpersonateLayer::new(http.clone(), "a@b").unwrap();
    let own = account.clone().self_signed().unwrap();
    printed.print((&own, layer.clone().self_signed()));
    let external = emulator.credentials(&Credential::external_client());
    let login = emulator.credentials(&Credential::external_user());
    printed.file(&external);
    printed.file(&login);
    let federated = Federated::from_json(http.clone(), Env::empty(), &external.to_string());
    let federated_user = FederatedUser::from_json(http.clone(), &login.to_string()).unwrap();
    printed.print((federated.unwrap(), federated_user));
    for _ in 0..3 {
        printed.print((&http, &metadata, &account, &user, &cloud_run, &layer));
        printed.print(layer.layer(account.clone()));
        printed.print(Scopes::cloud_platform());
    }
    printed.has_no_secret();
}

#[tokio::test]
async fn tokens_that_were_given_and_proxies_passwords_are_not_printed() {
    let printed = Printed::default();
    let _guard = printed.log();
    let emulator = Emulator::new();
    let (wrong, expired) = (
        id_token("https://other.example"),
        jwt(&serde_json::json!({ "aud": AUDIENCE, "exp": 1_700_000_000 })),
    );
    printed.secret("hush-password");
    for text in [id_token(AUDIENCE), wrong, expired, "hush-password".into()] {
        printed.secret(&*text);
        let env = Env::empty()
            .variable("ID_TOKEN", text.as_str())
            .variable("HTTPS_PROXY", "http://me:hush-password@127.0.0.1:1")
            .file("/token", text.clone());
        let in_variable = StaticToken::from_variable(&env, "ID_TOKEN").unwrap();
        let in_file = TokenFile::new("/token").env(env.clone());
        let gcloud = GcloudCli::new().env(env.clone());
        printed.print((&env, &in_variable, &in_file, &gcloud));
        printed.print(HttpClient::from_env(&env));
        let builder = Builder::new().env(env);
        for builder in [
            builder.clone().static_token(in_variable),
            builder.clone().token_file(in_file),
            builder.clone().gcloud(gcloud),
        ] {
            printed.print(&builder);
            let doctor = Doctor::new(builder.clone()).url(AUDIENCE.parse().unwrap());
            let report = doctor.examine().await;
            printed.print(&report);
            writeln!(printed.clone(), "{report}").unwrap();
            let credentials = builder.build().await.unwrap();
            printed.print(&credentials);
            match credentials.id_tokens().get(&audience()).await {
                Ok(token) => printed.print(token),
                Err(error) => printed.print_error(&error),
            }
        }
    }
    for credential in [
        Credential::service_account(),
        Credential::impersonated_by_user(),
    ] {
        printed.file(&emulator.credentials(&credential));
        let builder = with_file(&emulator, &credential).self_signed();
        printed.print(&builder);
        let credentials = builder.build().await.unwrap();
        let token = credentials.id_tokens().get(&audience()).await.unwrap();
        printed.secret(token.secret());
        printed.print((&credentials, token));
    }
    printed.has_no_secret();
}

#[test]
fn jwts_are_read_or_refused_and_never_quoted_or_panicked_at() {
    let claims = |exp: serde_json::Value| jwt(&serde_json::json!({ "exp": exp }));
    let good = id_token_from_jwt(&id_token(AUDIENCE)).unwrap();
    assert_eq!(
        Claims::unverified(&good).unwrap().aud.as_deref(),
        Some(AUDIENCE)
    );
    for exp in [1_900_000_000_u64.into(), serde_json::json!(1.9e9)] {
        id_token_from_jwt(&claims(exp)).unwrap();
    }
    for bad in [
        String::new(),
        "a".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "a.e30.c".to_owned(),
        "a.W10.c".to_owned(),
        jwt(&serde_json::json!("text")),
        jwt(&serde_json::json!({})),
        claims(serde_json::Value::Null),
        claims("soon".into()),
        claims("1900000000".into()),
        claims((-1).into()),
        claims(u64::MAX.into()),
        claims(serde_json::json!(1e300)),
        format!("{}\r\nx: y", id_token(AUDIENCE)),
        format!("{} ", id_token(AUDIENCE)),
    ] {
        let error = id_token_from_jwt(&bad).unwrap_err();
        assert_eq!(error.kind(), google_id_token::ErrorKind::Malformed, "{bad}");
        assert!(!format!("{error} {error:?}").contains("eyJ"), "{error}");
    }
}
