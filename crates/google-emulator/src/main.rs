//! The emulator as a program: starts it on loopback and prints the environment to export.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use google_emulator::{Credential, Emulator, RunService, Server};
use lexopt::prelude::*;
use tempfile::TempDir;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("google-emulator: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("google-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    port: u16,
    directory: Option<PathBuf>,
    token_lifetime: Duration,
    services: Vec<String>,
}

impl Options {
    /// `None` where only help is wanted.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self {
            port: 0,
            directory: None,
            token_lifetime: Duration::from_secs(3600),
            services: Vec::new(),
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("port") => options.port = arguments.value()?.parse()?,
                Long("dir") => options.directory = Some(arguments.value()?.into()),
                Long("token-lifetime") => {
                    options.token_lifetime = Duration::from_secs(arguments.value()?.parse()?);
                }
                Long("service") => options.services.push(arguments.value()?.string()?),
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    // Before anything is printed: who reads it may want to stop this at once.
    let stop = stop_signal()?;
    let mut builder = Emulator::builder().token_lifetime(options.token_lifetime);
    for service in options.services {
        builder = builder.run(RunService::new(service));
    }
    let server = builder.build().serve_at(options.port).await?;
    let files = Files::create(options.directory)?;
    print_environment(&server, files.path())?;
    stop.await;
    eprintln!("stopping");
    drop(files);
    Ok(())
}

fn print_environment(server: &Server, directory: &Path) -> io::Result<()> {
    println!("# Google's APIs at {}", server.origin());
    for (name, url) in server.run_urls() {
        println!("# Cloud Run service {name} at {url}");
    }
    for credential in every_credential() {
        println!("\n# {}", credential.name());
        for (name, value) in server.env_with(&credential, directory)? {
            println!("export {name}='{}'", value.replace('\'', r"'\''"));
        }
    }
    println!("\n# Choose one block; Ctrl-C stops the emulator.");
    Ok(())
}

/// The directory of the credential files; what was written is removed with this.
enum Files {
    Temporary(TempDir),
    Given { directory: PathBuf, created: bool },
}

impl Files {
    /// # Errors
    /// Among others where a file of ours would take the place of another.
    fn create(directory: Option<PathBuf>) -> io::Result<Self> {
        let Some(directory) = directory else {
            return TempDir::with_prefix("google-emulator-").map(Self::Temporary);
        };
        let directory = std::path::absolute(directory)?;
        let created = !directory.exists();
        fs::create_dir_all(&directory)?;
        for path in files_in(&directory) {
            if path.exists() {
                let message = format!("{} is there already", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
        }
        Ok(Self::Given { directory, created })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Given { directory, .. } => directory,
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let Self::Given { directory, created } = self else {
            return;
        };
        // What cannot be removed is left; it opens nothing.
        for path in files_in(directory) {
            let _ = fs::remove_file(path);
        }
        let _ = fs::remove_dir(directory.join("no-credentials"));
        if *created {
            let _ = fs::remove_dir(directory);
        }
    }
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let names = every_credential().flat_map(|credential| credential.file_names());
    names.map(|name| directory.join(name)).collect()
}

fn every_credential() -> impl Iterator<Item = Credential> {
    Credential::all().into_iter().chain(Credential::external())
}

#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}

const HELP: &str = "\
Runs an emulated Google on loopback and prints the environment to export.

Usage: google-emulator [OPTIONS]

  --port PORT               port of Google's APIs (default: a free one)
  --dir DIRECTORY           where to write credential files (default: a temporary directory)
  --token-lifetime SECONDS  how long ID tokens live (default: 3600)
  --service NAME            a Cloud Run service; may be repeated (default: hello)
  -h, --help                this text
";
