//! Makes `src/generated/` of `teleport-proto` from its `.proto` files. With `--check` it writes nothing and fails if the
//! committed code is not what it would write. `.ci/proto` runs both.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// The files, and what is made of each.
const FILES: [(&str, &str); 2] = [("auth.proto", "proto.rs"), ("users.proto", "teleport.users.v1.rs")];

fn main() -> ExitCode {
    let is_check = match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => {
            eprintln!("usage: teleport-proto-generate [--check]");
            return ExitCode::from(2);
        }
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (proto, generated) in FILES {
        if let Err(error) = update(&root, proto, generated, is_check) {
            eprintln!("proto/{proto}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Writes the code of one file, or compares it with the committed one.
fn update(root: &Path, proto: &str, generated: &str, is_check: bool) -> Result<(), Box<dyn Error>> {
    let committed = root.join("src/generated").join(generated);
    let fresh = generate(&root.join("proto"), proto, generated)?;
    if !is_check {
        return Ok(std::fs::write(committed, fresh)?);
    }
    if std::fs::read_to_string(committed)? != fresh {
        return Err(format!("src/generated/{generated} is not what it generates; run `.ci/proto`").into());
    }
    Ok(())
}

/// Compiles a `.proto` with a pure-Rust compiler and returns the generated source.
fn generate(folder: &Path, proto: &str, generated: &str) -> Result<String, Box<dyn Error>> {
    let descriptors = protox::compile([proto], [folder])?;
    let out = tempfile::tempdir()?;
    let mut compiler = tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(out.path());
    if proto != "auth.proto" {
        compiler = compiler.extern_path(".proto", "crate::auth");
    }
    compiler.compile_fds(descriptors)?;
    Ok(std::fs::read_to_string(out.path().join(generated))?)
}
