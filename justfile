# The commands of daily work; `just` lists them. The gate, `.ci/run`, calls the same ones and does not need `just`.

_default:
    @just --list

# Formatting, spelling, generated code, lints, documentation, licenses.
check:
    .ci/check

# American spelling, in comments, names, texts and documents.
spelling:
    .ci/spelling

# Everything but the browser and the SDKs of others. Arguments go to `cargo test`.
test *arguments:
    cargo test --workspace {{ arguments }}

# The same by nextest (`cargo install cargo-nextest --locked`), which names what hangs or is slow. Most tests wait, so many at once.
nextest *arguments:
    cargo nextest run --workspace --test-threads 16 {{ arguments }}

# The gate: check, test, release, demo, the page in a browser, conformance.
test-all:
    .ci/run

# The released program, static and stripped: target/dist/teleport-slack.
release:
    .ci/release

# The release archive of that program.
archive: release
    .ci/archive

# The Debian package of that program.
package: release
    .ci/build-deb

# The OCI image of that program.
image: release
    .ci/build-image

# What `release` and `archive` make: in an empty root, unpacked, installed and removed.
dist:
    .ci/dist

# Every way to either side, with real balancers and forward proxies in it.
reaches:
    .ci/reaches

# Whether another folder, toolchain and cargo home make the same program. It takes two release builds.
release-check:
    .ci/release-check

# The alerts and metrics, by promtool and a real Prometheus. Argument: the program, if not that of `just release`.
prometheus *program:
    .ci/prometheus {{ program }}

# The code of Teleport's API from its .proto files; with --check, only whether it is up to date.
proto *arguments:
    .ci/proto {{ arguments }}

# Both simulators, the daemon, and a page to play with.
demo *arguments:
    cargo run --release -- demo {{ arguments }}

# Ten minutes for each target, or those named.
fuzz *targets:
    fuzz/run {{ targets }}

# The changes since the last release; with a version, moves them into CHANGELOG.md.
changelog version="":
    .ci/changelog {{ version }}

# The documentation of all crates, in target/doc.
docs:
    .ci/docs
