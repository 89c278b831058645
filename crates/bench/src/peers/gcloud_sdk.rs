//! gcloud-sdk's layer, over google-cloud-auth's access tokens.

use gcloud_sdk::{GoogleAuthHeaders, GoogleAuthMiddlewareLayer};
use google_cloud_auth::credentials::mds;
use tower::{BoxError, Layer};

use crate::request::Hosts;
use crate::row::Row;
use crate::runner::{Bare, Use};
use crate::world::World;

pub(super) async fn row(world: &World) -> Result<Row, BoxError> {
    let origin = world.server.origin();
    let credentials = mds::Builder::default().with_endpoint(origin).build()?;
    let headers = GoogleAuthHeaders::from(credentials);
    let layer = GoogleAuthMiddlewareLayer::new(headers, None)?;
    Ok(Row::new(
        "gcloud-sdk 0.33 layer, access token",
        "gcloud-sdk",
        Hosts::Run(1),
        Use::Again,
        layer.layer(Bare),
    ))
}
