//! The committed code is what the `.proto` files say, and every rpc and field is commented.
//! `SQUALL_REGENERATE=1 cargo test -p squall-proto` writes it anew.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;

const FILES: [&str; 5] = [
    "squall/v1/introspection.proto",
    "squall/v1/recording.proto",
    "squall/v1/session.proto",
    "squall/v1/admin.proto",
    "squall/v1/chaos.proto",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn descriptors() -> prost_types::FileDescriptorSet {
    protox::compile(FILES, [root()]).expect("the .proto files compile")
}

fn generate(into: &Path) {
    let set = descriptors();
    fs::write(into.join("descriptors.bin"), set.encode_to_vec()).expect("write descriptors");
    tonic_prost_build::configure()
        .out_dir(into)
        .build_client(true)
        .build_server(true)
        .bytes(".squall.v1")
        .codec_path("crate::codec::Bounded")
        .compile_fds(set)
        .expect("code is generated");
}

#[test]
fn the_committed_code_is_what_the_proto_files_say() {
    let fresh = tempfile::tempdir().expect("a temporary directory");
    generate(fresh.path());
    let committed = root().join("src/generated");
    let rewrite = std::env::var_os("SQUALL_REGENERATE").is_some();
    for name in ["squall.v1.rs", "descriptors.bin"] {
        let new = fs::read(fresh.path().join(name)).expect("generated file");
        if rewrite {
            fs::write(committed.join(name), &new).expect("write generated file");
        }
        let old = fs::read(committed.join(name)).unwrap_or_default();
        assert!(
            old == new,
            "{name} differs from what the .proto files give: run SQUALL_REGENERATE=1 cargo test -p squall-proto"
        );
    }
}

#[test]
fn every_message_field_service_and_rpc_is_commented() {
    let mut bare = Vec::new();
    for file in descriptors().file {
        let info = file.source_code_info.clone().unwrap_or_default();
        let commented = |path: &[i32]| {
            info.location.iter().any(|l| {
                l.path == path
                    && l.leading_comments
                        .as_deref()
                        .is_some_and(|c| !c.trim().is_empty())
            })
        };
        let mut check = |path: Vec<i32>, name: String| {
            if !commented(&path) {
                bare.push(format!("{}: {name}", file.name()));
            }
        };
        for (m, message) in (0..).zip(&file.message_type) {
            check(vec![4, m], message.name().into());
            for (f, field) in (0..).zip(&message.field) {
                check(vec![4, m, 2, f], format!("{}.{}", message.name(), field.name()));
            }
        }
        for (e, enumeration) in (0..).zip(&file.enum_type) {
            check(vec![5, e], enumeration.name().into());
            for (v, value) in (0..).zip(&enumeration.value) {
                check(vec![5, e, 2, v], value.name().into());
            }
        }
        for (s, service) in (0..).zip(&file.service) {
            check(vec![6, s], service.name().into());
            for (r, rpc) in (0..).zip(&service.method) {
                check(vec![6, s, 2, r], format!("{}.{}", service.name(), rpc.name()));
            }
        }
    }
    assert!(bare.is_empty(), "without a comment: {bare:#?}");
}
