//! Credential files of external accounts, and the files that they name.

use serde_json::{Value, json};

use crate::{
    aws,
    credential::{Credential, Endpoints, Kind},
    elsewhere::SUBJECT_TOKEN_LIFE,
    federation::{SUBJECT, WORKFORCE, WORKLOAD},
    tls,
    world::World,
};

/// Where the subject token of an external account comes from, and to which pool it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum External {
    File,
    Json,
    Url,
    Workforce,
    Client,
    Executable,
    Aws,
    AwsEnvironment,
    Certificate,
}

/// What federation adds.
impl Credential {
    /// An external account with its subject token in a file, which impersonates the last service
    /// account, if none is named.
    pub fn external_file() -> Self {
        Self::new(Kind::External(External::File))
    }

    /// The same with the token in a field of a JSON file.
    pub fn external_json() -> Self {
        Self::new(Kind::External(External::Json))
    }

    /// An external account with its subject token at a URL, in the shape of Azure's.
    pub fn external_url() -> Self {
        Self::new(Kind::External(External::Url))
    }

    /// An external account of a workforce pool, with its subject token in a file.
    pub fn external_workforce() -> Self {
        Self::new(Kind::External(External::Workforce))
    }

    /// An external account of a workforce pool that has an OAuth client of its own.
    pub fn external_client() -> Self {
        Self::new(Kind::External(External::Client))
    }

    /// An external account with its subject token from a program (a shell script, so not on
    /// Windows).
    pub fn external_executable() -> Self {
        Self::new(Kind::External(External::Executable))
    }

    /// An external account of AWS, with its keys from AWS's metadata server.
    pub fn external_aws() -> Self {
        Self::new(Kind::External(External::Aws))
    }

    /// An external account of AWS, with its keys from the environment: from
    /// [`variables`](Self::variables).
    pub fn external_aws_environment() -> Self {
        Self::new(Kind::External(External::AwsEnvironment))
    }

    /// An external account with an X.509 certificate that is shown in TLS: it works on loopback
    /// alone.
    pub fn external_certificate() -> Self {
        Self::new(Kind::External(External::Certificate))
    }

    /// A workforce user's login: it impersonates nobody.
    pub fn external_user() -> Self {
        Self::new(Kind::ExternalUser)
    }

    /// A service account impersonated by an external account.
    pub fn impersonated_by_external() -> Self {
        Self::new(Kind::ByExternal)
    }

    /// One of each that comes from outside Google Cloud; [`all`](Self::all) has the others.
    pub fn external() -> Vec<Self> {
        vec![
            Self::external_file(),
            Self::external_json(),
            Self::external_url(),
            Self::external_workforce(),
            Self::external_client(),
            Self::external_executable(),
            Self::external_aws(),
            Self::external_aws_environment(),
            Self::external_certificate(),
            Self::external_user(),
            Self::impersonated_by_external(),
        ]
    }

    /// An external account that impersonates nobody.
    pub fn without_target(mut self) -> Self {
        self.bare = true;
        self
    }

    /// The names of all files of this credential, its own first.
    pub fn file_names(&self) -> Vec<String> {
        let own = self.file_name().into_iter();
        own.chain(self.side_names().iter().map(|&name| name.to_owned()))
            .collect()
    }

    /// The files beside the credential file, by name.
    pub(crate) fn side_files(&self, world: &World, directory: &str) -> Vec<(&'static str, String)> {
        let content = |name| {
            let token = world.subject_token(SUBJECT, SUBJECT_TOKEN_LIFE);
            match name {
                JSON_FILE => json!({ "id_token": token }).to_string(),
                CERTIFICATE => tls::CLIENT.to_owned(),
                CERTIFICATE_KEY => tls::CLIENT_KEY.to_owned(),
                CERTIFICATE_CHAIN => tls::CLIENT_INTERMEDIATE.to_owned(),
                ROOT => tls::SERVER_CA.to_owned(),
                CERTIFICATE_CONFIG => json!({
                    "version": 1,
                    "cert_configs": { "workload": {
                        "cert_path": format!("{directory}/{CERTIFICATE}"),
                        "key_path": format!("{directory}/{CERTIFICATE_KEY}"),
                    }},
                })
                .to_string(),
                PROGRAM => {
                    let response = json!({
                        "version": 1,
                        "success": true,
                        "token_type": "urn:ietf:params:oauth:token-type:id_token",
                        "id_token": token,
                        "expiration_time": world.clock.unix() + SUBJECT_TOKEN_LIFE,
                    });
                    format!("#!/bin/sh\necho '{response}'\n")
                }
                _ => token,
            }
        };
        let names = self.side_names().iter();
        names.map(|&name| (name, content(name))).collect()
    }

    /// The variables that it takes beside the usual ones.
    pub fn variables(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            Kind::External(External::Executable) => {
                &[("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")]
            }
            Kind::External(External::AwsEnvironment) => &[
                ("AWS_REGION", aws::REGION),
                ("AWS_ACCESS_KEY_ID", aws::ACCESS_KEY),
                ("AWS_SECRET_ACCESS_KEY", aws::SECRET_KEY),
                ("AWS_SESSION_TOKEN", aws::SESSION_TOKEN),
            ],
            _ => &[],
        }
    }

    /// The file of a root that has to be trusted.
    pub(crate) fn root_certificate(&self) -> Option<&'static str> {
        (self.kind == Kind::External(External::Certificate)).then_some(ROOT)
    }

    fn side_names(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::External(External::File | External::Workforce | External::Client)
            | Kind::ByExternal => &[TEXT_FILE],
            Kind::External(External::Json) => &[JSON_FILE],
            Kind::External(External::Certificate) => &[
                CERTIFICATE,
                CERTIFICATE_KEY,
                CERTIFICATE_CHAIN,
                CERTIFICATE_CONFIG,
                ROOT,
            ],
            Kind::External(External::Executable) => &[PROGRAM],
            _ => &[],
        }
    }
}

impl External {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "external_file",
            Self::Json => "external_json",
            Self::Url => "external_url",
            Self::Workforce => "external_workforce",
            Self::Client => "external_client",
            Self::Executable => "external_executable",
            Self::Aws => "external_aws",
            Self::Certificate => "external_certificate",
            Self::AwsEnvironment => "external_aws_environment",
        }
    }

    pub(crate) fn file(self, credential: &Credential, world: &World, at: &Endpoints) -> Value {
        let sts = match self {
            Self::Certificate => &at.sts_by_tls,
            _ => &at.sts,
        };
        let workforce = matches!(self, Self::Workforce | Self::Client);
        let mut file = json!({
            "type": "external_account",
            "audience": if workforce { WORKFORCE } else { WORKLOAD },
            "subject_token_type": self.token_type(),
            "token_url": format!("{sts}/v1/token"),
            "credential_source": self.source(at),
            "universe_domain": "googleapis.com",
        });
        if !credential.bare {
            file["service_account_impersonation_url"] =
                credential.impersonation_url(world, at).into();
        }
        match self {
            Self::Workforce => file["workforce_pool_user_project"] = "demo-project".into(),
            Self::Client => {
                let (id, secret) = world.federation.client();
                file["client_id"] = id.into();
                file["client_secret"] = secret.into();
            }
            _ => {}
        }
        file
    }

    fn token_type(self) -> &'static str {
        match self {
            Self::Workforce | Self::Executable => "urn:ietf:params:oauth:token-type:id_token",
            Self::Certificate => "urn:ietf:params:oauth:token-type:mtls",
            Self::Aws | Self::AwsEnvironment => "urn:ietf:params:aws:token-type:aws4_request",
            _ => "urn:ietf:params:oauth:token-type:jwt",
        }
    }

    fn source(self, at: &Endpoints) -> Value {
        let directory = &at.directory;
        match self {
            Self::File | Self::Workforce | Self::Client => json!({
                "file": format!("{directory}/{TEXT_FILE}"),
                "format": { "type": "text" },
            }),
            Self::Json => json!({
                "file": format!("{directory}/{JSON_FILE}"),
                "format": { "type": "json", "subject_token_field_name": "id_token" },
            }),
            Self::Executable => json!({
                "executable": { "command": format!("\"{directory}/{PROGRAM}\""), "timeout_millis": 30_000 },
            }),
            Self::Certificate => json!({ "certificate": {
                "certificate_config_location": format!("{directory}/{CERTIFICATE_CONFIG}"),
                "trust_chain_path": format!("{directory}/{CERTIFICATE_CHAIN}"),
            }}),
            Self::Aws | Self::AwsEnvironment => {
                let aws = format!("{}/latest", at.elsewhere);
                json!({
                    "environment_id": "aws1",
                    "region_url": format!("{aws}/meta-data/placement/availability-zone"),
                    "url": format!("{aws}/meta-data/iam/security-credentials"),
                    "regional_cred_verification_url":
                        "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
                    "imdsv2_session_token_url": format!("{aws}/api/token"),
                })
            }
            Self::Url => json!({
                "url": format!(
                    "{}/metadata/identity/oauth2/token?api-version=2018-02-01\
                     &resource=api://emulated",
                    at.elsewhere
                ),
                "headers": { "Metadata": "True" },
                "format": { "type": "json", "subject_token_field_name": "access_token" },
            }),
        }
    }
}

/// What `gcloud auth application-default login --login-config` writes.
pub(crate) fn user_file(world: &World, at: &Endpoints) -> Value {
    let (id, secret) = world.federation.client();
    json!({
        "type": "external_account_authorized_user",
        "audience": WORKFORCE,
        "refresh_token": world.federation.refresh_token(),
        "token_url": format!("{}/v1/oauthtoken", at.sts),
        "token_info_url": format!("{}/v1/introspect", at.sts),
        "client_id": id,
        "client_secret": secret,
        "universe_domain": "googleapis.com",
    })
}

const TEXT_FILE: &str = "subject-token.jwt";
const JSON_FILE: &str = "subject-token.json";
const CERTIFICATE: &str = "workload.crt";
const CERTIFICATE_KEY: &str = "workload.key";
const CERTIFICATE_CHAIN: &str = "workload-chain.crt";
const CERTIFICATE_CONFIG: &str = "certificate_config.json";
const ROOT: &str = "emulator-root.crt";
const PROGRAM: &str = "subject-token.sh";
