//! The committed code is what the compiler makes of the `.proto` files.

use std::path::Path;

/// The files, and what is made of each.
const FILES: [(&str, &str); 2] = [("auth.proto", "proto.rs"), ("users.proto", "teleport.users.v1.rs")];

/// Compiles a `.proto` with a pure-Rust compiler and returns the generated source.
fn generate(proto: &str, generated: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let descriptors = protox::compile([proto], [&root]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut compiler = tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(out.path());
    if proto != "auth.proto" {
        compiler = compiler.extern_path(".proto", "crate::auth");
    }
    compiler.compile_fds(descriptors).unwrap();
    std::fs::read_to_string(out.path().join(generated)).unwrap()
}

#[test]
fn generated_code_is_current() {
    for (proto, generated) in FILES {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated").join(generated);
        let fresh = generate(proto, generated);
        if std::env::var_os("UPDATE_PROTO").is_some() {
            std::fs::write(&committed, &fresh).unwrap();
        }
        let now = std::fs::read_to_string(&committed).unwrap();
        assert!(
            now == fresh,
            "src/generated/{generated} is not what proto/{proto} generates; run UPDATE_PROTO=1 cargo test -p teleport-proto"
        );
    }
}
