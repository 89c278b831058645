//! The workspace's conformance tests of the mesh, with cargo's own path to the binary.

#[path = "../../../tests/conformance/mesh.rs"]
mod mesh;
