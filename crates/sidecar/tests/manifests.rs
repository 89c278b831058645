//! The manifests under `examples/mesh`: every one is YAML, and every flag in them is a flag.

mod support;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use support::Sidecar;
use support::envoy::root;

#[test]
fn every_manifest_is_yaml_of_a_kind() {
    let manifests = manifests();
    assert!(manifests.len() >= 13, "{manifests:?}");
    for (path, document) in documents() {
        let known = ["apiVersion", "static_resources", "jobs"];
        assert!(
            known.iter().any(|key| document.get(key).is_some()),
            "{}: {document}",
            path.display()
        );
    }
}

#[tokio::test]
async fn every_container_of_the_sidecar_has_flags_that_the_binary_knows() {
    let mut containers = Vec::new();
    for (path, document) in documents() {
        find(&document, &mut |object| {
            if object["name"] == "id-token-sidecar" && object.get("args").is_some() {
                containers.push((path.clone(), object.clone()));
            }
        });
    }
    assert!(containers.len() >= 5);
    for (path, container) in containers {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let mut arguments: Vec<String> = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        let (more, complaint) = broken(&arguments[0]);
        arguments.extend(more.map(String::from));
        let env = container["env"].as_array().into_iter().flatten();
        let env = env.map(|pair| (text(&pair["name"]), text(&pair["value"])));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut sidecar = Sidecar::spawn_as_is(env.collect(), &arguments);
        let said = sidecar.said().await;
        let path = path.display();
        assert!(said.contains(complaint), "{path} {arguments:?}: {said}");
    }
}

#[tokio::test]
async fn every_command_in_a_comment_has_flags_that_the_binary_knows() {
    let mut commands = 0;
    for path in manifests() {
        let text = std::fs::read_to_string(&path).unwrap().replace("\\\n#", "");
        for line in text.lines() {
            let Some(command) = line.strip_prefix("#   id-token-sidecar ") else {
                continue;
            };
            commands += 1;
            let mut arguments: Vec<&str> = command.split_whitespace().collect();
            let (more, complaint) = broken(arguments[0]);
            arguments.extend(more);
            let mut sidecar = Sidecar::spawn_as_is(Vec::new(), &arguments);
            let said = sidecar.said().await;
            assert!(said.contains(complaint), "{arguments:?}: {said}");
        }
    }
    assert!(commands >= 7);
}

/// Flags that end the binary, but not before it has read all the others; and what it then says.
fn broken(command: &str) -> ([&'static str; 2], &'static str) {
    match command {
        "inbound" => (["--keys-url", "nowhere"], "the URL of Google's keys"),
        _ => (["--credentials", "/nowhere.json"], "/nowhere.json"),
    }
}

fn manifests() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("examples/mesh")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                found.push(path);
            }
        }
    }
    found
}

fn documents() -> Vec<(PathBuf, Value)> {
    let mut documents = Vec::new();
    for path in manifests() {
        let text = std::fs::read_to_string(&path).unwrap();
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let document = Value::deserialize(document)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            documents.push((path.clone(), document));
        }
    }
    documents
}

fn find(value: &Value, seen: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            seen(value);
            object.values().for_each(|value| find(value, seen));
        }
        Value::Array(values) => values.iter().for_each(|value| find(value, seen)),
        _ => {}
    }
}
