//! A hit of the layer allocates nothing.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_id_token::{AddIdTokenLayer, Audience, ByHost, Cache, Clock, IdToken, PerOrigin};

#[test]
fn a_hit_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tokens = || {
        Cache::new(service_fn(|_: Audience| async {
            let expires = Clock::default().now() + Duration::from_secs(3600);
            IdToken::new(&"x".repeat(820), expires)
        }))
    };
    let ok =
        || service_fn(|_: Request<()>| std::future::ready(Ok::<_, Infallible>(Response::new(()))));
    let custom = ByHost::new().host("api.example.com", "https://api.a.run.app".parse().unwrap());
    runtime.block_on(async {
        let mut named = AddIdTokenLayer::new(custom, tokens()).layer(ok());
        let mut derived = AddIdTokenLayer::new(PerOrigin::new(), tokens()).layer(ok());
        let urls = [
            "https://hello-abc-uc.a.run.app/x",
            "https://blue---hello-abc-uc.a.run.app/x",
            "https://us-p.cloudfunctions.net/f/x",
        ];
        // The first call fetches, and in the course of the others a host is remembered.
        for round in 0..60 {
            let count = measure(&mut named, "https://api.example.com/").await;
            assert!(round < 50 || count == 0, "by host: {count} allocations");
            for url in urls {
                let count = measure(&mut derived, url).await;
                assert!(round < 50 || count == 0, "{url}: {count} allocations");
            }
        }
    });
}

/// How many allocations one call makes beyond those of the request itself.
async fn measure<S>(client: &mut S, url: &str) -> u64
where
    S: Service<Request<()>>,
    S::Error: std::fmt::Debug,
{
    // Room for the headers that the layer adds, so that what is counted is the layer's own.
    let request = Request::get(url)
        .header("a", "b")
        .header("c", "d")
        .body(())
        .unwrap();
    let service = client.ready().await.ok().unwrap();
    let mut response = None;
    let info = allocation_counter::measure(|| response = Some(service.call(request)));
    response.unwrap().await.ok().unwrap();
    info.count_total
}
