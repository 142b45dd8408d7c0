//! The committed code is what the compiler makes of `proto/auth.proto`.

use std::path::Path;

/// Compiles the `.proto` with a pure-Rust compiler and returns the generated source.
fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let descriptors = protox::compile(["auth.proto"], [&root]).unwrap();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();
    std::fs::read_to_string(out.path().join("proto.rs")).unwrap()
}

#[test]
fn generated_code_is_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated/proto.rs");
    let fresh = generate();
    if std::env::var_os("UPDATE_PROTO").is_some() {
        std::fs::write(&committed, &fresh).unwrap();
    }
    let now = std::fs::read_to_string(&committed).unwrap();
    assert!(
        now == fresh,
        "src/generated/proto.rs is not what proto/auth.proto generates; run UPDATE_PROTO=1 cargo test -p teleport-proto"
    );
}
