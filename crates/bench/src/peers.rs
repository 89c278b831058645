//! The peers: what else sets tokens on requests, each as its users would put it into a stack.

mod gcloud_sdk;
mod gcp_auth;
mod google_cloud_auth;
mod tame_oauth;

use tower::BoxError;

use crate::client::Kind;
use crate::row::Row;
use crate::world::World;

/// A row for each, with tokens from this world.
///
/// # Errors
///
/// Those of the peers, where they do not get along with the emulator.
pub async fn rows(world: &World) -> Result<Vec<Row>, BoxError> {
    Ok(vec![
        tame_oauth::row(world)?,
        google_cloud_auth::row(world).await?,
        gcp_auth::row(world).await?,
        gcloud_sdk::row(world).await?,
    ])
}

/// Those that fetch ID tokens for themselves from the metadata server.
pub fn kinds() -> Vec<Kind> {
    vec![Kind::new("google-cloud-auth", google_cloud_auth::client)]
}
