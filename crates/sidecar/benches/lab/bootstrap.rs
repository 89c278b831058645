//! What Envoy is measured with, beside the examples.

use serde_json::{Value, json};

use crate::support::envoy::example;

/// The example's bootstrap without its filter.
pub fn plain() -> Value {
    let mut bootstrap = example("sds.yaml");
    filters(&mut bootstrap).remove(0);
    bootstrap
}

/// The same with a header that is always the same.
pub fn fixed(header: &str) -> Value {
    let mut bootstrap = plain();
    manager(&mut bootstrap)["route_config"]["virtual_hosts"][0]["request_headers_to_add"] =
        json!([{ "header": { "key": "authorization", "value": header } }]);
    bootstrap
}

/// The same with Envoy's own filter.
pub fn gcp_authn() -> Value {
    let mut bootstrap = plain();
    filters(&mut bootstrap).insert(
        0,
        json!({
            "name": "envoy.filters.http.gcp_authn",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.gcp_authn.v3.GcpAuthnFilterConfig",
                "cluster": "metadata",
                "timeout": "5s",
                "cache_config": { "cache_size": 100 },
            },
        }),
    );
    let clusters = bootstrap["static_resources"]["clusters"]
        .as_array_mut()
        .expect("a list");
    clusters[0]["metadata"] = json!({
        "typed_filter_metadata": {
            "envoy.filters.http.gcp_authn": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.gcp_authn.v3.Audience",
                "url": "https://hello.example",
            },
        },
    });
    let mut metadata = clusters[1].clone();
    metadata["name"] = "metadata".into();
    metadata["load_assignment"]["cluster_name"] = "metadata".into();
    metadata
        .as_object_mut()
        .expect("a map")
        .remove("typed_extension_protocol_options");
    clusters.push(metadata);
    bootstrap
}

fn filters(bootstrap: &mut Value) -> &mut Vec<Value> {
    let filters = &mut manager(bootstrap)["http_filters"];
    filters.as_array_mut().expect("a list")
}

fn manager(bootstrap: &mut Value) -> &mut Value {
    &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}
