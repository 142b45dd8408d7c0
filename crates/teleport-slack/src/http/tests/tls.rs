//! The listener with its own certificate, and that certificate replaced while it runs.

use std::fs;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use super::*;

/// A key and its certificate, which is its own authority.
struct Pair {
    key: String,
    cert: String,
    der: CertificateDer<'static>,
}

impl Pair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { key: made.signing_key.serialize_pem(), cert: made.cert.pem(), der: made.cert.der().clone() }
    }

    fn write(&self, files: &TlsFiles) {
        // As careful programs do it: whole files, moved into place.
        for (path, content) in [(&files.key, &self.key), (&files.cert, &self.cert)] {
            let beside = path.with_extension("new");
            fs::write(&beside, content).unwrap();
            fs::rename(&beside, path).unwrap();
        }
    }
}

fn files(dir: &TempDir) -> TlsFiles {
    TlsFiles { key: dir.path().join("key.pem"), cert: dir.path().join("cert.pem") }
}

/// Sends a callback, trusting only this certificate.
async fn call(address: SocketAddr, trusted: &Pair) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(exchange(&mut stream, callback("")).await)
}

async fn start(files: &TlsFiles) -> Running {
    let often = FileTimings { poll: Duration::from_millis(20), retry: PATIENCE };
    let listener =
        Listener::bind("127.0.0.1:0".parse().unwrap(), Some(files.clone()), timings(often)).await.unwrap();
    Running::serve(listener, ack)
}

#[tokio::test]
async fn callbacks_are_taken_over_tls() {
    let (dir, pair) = (TempDir::new().unwrap(), Pair::new());
    let log = Captured::start();
    pair.write(&files(&dir));
    let running = start(&files(&dir)).await;
    check_status(&call(running.address, &pair).await.unwrap(), "200");
    assert_eq!(log.count("Starting secure HTTPS server on"), 1);

    // Plain HTTP gets no answer, or TLS's own word of refusal.
    let mut plain = running.connect().await;
    plain.write_all(callback("").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _end = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"));
    check_status(&call(running.address, &pair).await.unwrap(), "200");
}

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections() {
    let (dir, old, new) = (TempDir::new().unwrap(), Pair::new(), Pair::new());
    old.write(&files(&dir));
    let running = start(&files(&dir)).await;
    check_status(&call(running.address, &old).await.unwrap(), "200");
    new.write(&files(&dir));
    let answer = timeout(PATIENCE, async {
        loop {
            match call(running.address, &new).await {
                Ok(answer) => break answer,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    });
    check_status(&answer.await.unwrap(), "200");
    assert!(call(running.address, &old).await.is_err());
}

#[tokio::test]
async fn broken_files_keep_the_old_certificate_and_are_logged_once() {
    let (dir, old, new) = (TempDir::new().unwrap(), Pair::new(), Pair::new());
    let files = files(&dir);
    old.write(&files);
    let (certificates, mut watch) = Certificates::load(files.clone(), PATIENCE).await.unwrap();
    let first = certificates.current();
    let log = Captured::start();
    let logged = || log.count("keeps its old certificate");

    // Half of a renewal: not worth a word yet.
    fs::write(&files.key, &new.key).unwrap();
    certificates.reload_if_changed(&mut watch).await;
    assert_eq!(logged(), 0, "{}", log.text());
    for _ in 0..3 {
        certificates.reload_if_changed(&mut watch).await;
    }
    assert_eq!(logged(), 1, "{}", log.text());
    assert_eq!(log.count("cannot be used together"), 1, "{}", log.text());

    // Another fault is logged too, and the key never.
    fs::write(&files.key, new.key.replace("END", "STOP")).unwrap();
    for _ in 0..3 {
        certificates.reload_if_changed(&mut watch).await;
    }
    fs::remove_file(&files.cert).unwrap();
    for _ in 0..3 {
        certificates.reload_if_changed(&mut watch).await;
    }
    assert_eq!(logged(), 3, "{}", log.text());
    let secret = new.key.lines().nth(1).unwrap();
    assert!(!log.text().contains(secret), "{}", log.text());
    assert!(Arc::ptr_eq(&first, &certificates.current()));

    new.write(&files);
    for _ in 0..2 {
        certificates.reload_if_changed(&mut watch).await;
    }
    let second = certificates.current();
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(log.count("uses the new certificate"), 1);
    certificates.reload_if_changed(&mut watch).await;
    assert!(Arc::ptr_eq(&second, &certificates.current()), "unchanged files are not read again");
}

#[tokio::test]
async fn unusable_tls_files_are_refused_at_the_start() {
    let (dir, one, other) = (TempDir::new().unwrap(), Pair::new(), Pair::new());
    let files = files(&dir);
    let assert_refused = async |key: &str, cert: &str, expected: &str| {
        fs::write(&files.key, key).unwrap();
        fs::write(&files.cert, cert).unwrap();
        let error = Listener::bind("127.0.0.1:0".parse().unwrap(), Some(files.clone()), timings(NEVER))
            .await
            .unwrap_err();
        let shown = format!("{} {error:?}", chain(&error));
        assert!(shown.contains(expected), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    };
    assert_refused(&one.key, &other.cert, "cannot be used together").await;
    assert_refused(&one.key, "hunter2", "cert.pem holds no certificate in PEM").await;
    assert_refused(&one.key, "-----BEGIN CERTIFICATE-----\nhunter2\n", "cert.pem is damaged PEM").await;
    assert_refused(&one.cert, &one.cert, "key.pem holds a certificate and no private key; https_key_file and https_cert_file are probably exchanged").await;
    assert_refused(&one.key, &one.key, "cert.pem holds a private key and no certificate; https_key_file and https_cert_file are probably exchanged").await;
    assert_refused("-----BEGIN PRIVATE hunter2\n", &one.cert, "key.pem is damaged PEM").await;
    assert_refused(&" ".repeat(1_100_000), &one.cert, "key.pem is too large to be PEM").await;
    fs::remove_file(&files.key).unwrap();
    let error = Listener::bind("127.0.0.1:0".parse().unwrap(), Some(files.clone()), timings(NEVER))
        .await
        .unwrap_err();
    assert!(chain(&error).contains("key.pem: No such file"), "{}", chain(&error));
}

#[tokio::test]
async fn a_listener_takes_over_the_address_of_another_without_a_gap() {
    let (dirs, pairs) = ([TempDir::new().unwrap(), TempDir::new().unwrap()], [Pair::new(), Pair::new()]);
    for (dir, pair) in dirs.iter().zip(&pairs) {
        pair.write(&files(dir));
    }
    let listener =
        Listener::bind("127.0.0.1:0".parse().unwrap(), Some(files(&dirs[0])), timings(NEVER)).await.unwrap();
    let socket = listener.socket().unwrap();
    let mut first = Running::serve(listener, ack);
    check_status(&call(first.address, &pairs[0]).await.unwrap(), "200");
    let second = Listener::take_over(&socket, Some(files(&dirs[1])), timings(NEVER)).await.unwrap();
    assert_eq!(second.address(), first.address);
    first.stop.cancel();
    first.stopped().await;
    // Between the two it waits for the second, and is not refused.
    let waiting = TcpStream::connect(first.address).await.unwrap();
    let second = Running::serve(second, ack);
    check_status(&call(second.address, &pairs[1]).await.unwrap(), "200");
    drop(waiting);
}
