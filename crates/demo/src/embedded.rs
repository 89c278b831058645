//! The demo without a cloud: Google and a Cloud Run service in this process, on loopback.

use google_emulator::{Credential, Emulator};
use google_id_token::Env;
use http::Uri;

use crate::args::Call;
use crate::call::{Failure, exchange, print};

/// Calls the service with each kind of the seed's credentials, and shows the last answer.
pub(crate) async fn run(call: Call) -> Result<(), Failure> {
    let google = Emulator::new().serve().await.map_err(Failure::new)?;
    let url: Uri = google.run_url("hello").parse().map_err(Failure::new)?;
    println!(
        "There is no --url, so here is a Google of our own, on loopback. Its private Cloud Run"
    );
    println!("service is called with each kind of credentials, through the layer:\n");
    let mut last = None;
    for credential in Credential::all() {
        let env = google.env_for(&credential).map_err(Failure::new)?;
        let builder = call.who.builder().env(Env::from_iter(env));
        let reply = exchange(&call, &url, builder).await?;
        println!("{reply}\n");
        last = Some(reply);
    }
    if let Some(reply) = &last {
        print(reply);
    }
    println!("\nNow your own service: cargo run -p demo -- --url \"$SERVICE_URL\"");
    Ok(())
}
