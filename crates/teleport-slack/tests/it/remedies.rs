//! Each remedy that a failed start names leads on: an operator who follows it finds the daemon ready. Those of the
//! configuration's own mistakes are tested beside the configuration; those of token files in `files`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const SIGN: &str = "sign a new one with `tctl auth sign";

impl TestBed {
    /// The start with this configuration ends with 77 and says what helps.
    async fn assert_start_fails(&self, config: &str, remedy: &str) {
        let (status, log) = self.run_to_exit(config).await;
        assert_eq!(status, Some(77), "{log}");
        assert!(log.contains(remedy), "not {remedy:?} but\n{log}");
    }

    async fn assert_start_works(&self, config: &str) {
        let daemon = self.launch(config);
        self.until_logged(&daemon, "Ready").await;
        daemon.stop().await;
    }
}

#[test]
fn an_identity_that_cannot_be_used_is_replaced_or_named_as_its_remedy_says() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let good = bed.config_with_diagnostics(TEAM);
        let at = |name: &str| bed.dir.path().join(name);
        let signed: Vec<_> =
            ["auth.key", "auth.crt", "auth.cas"].map(|name| (name, fs::read(at(name)).unwrap())).into();
        type Spoil<'a> = &'a dyn Fn(&Path);
        let ways: [(&str, Spoil<'_>, &str); 8] = [
            (
                "auth.key",
                &|path| fs::remove_file(path).unwrap(),
                "put the file there: `tctl auth sign --format=tls --user=access-plugin --out=auth --ttl=8760h` writes \
                 auth.key, auth.crt and auth.cas",
            ),
            ("auth.crt", &|path| fs::write(path, "").unwrap(), SIGN),
            ("auth.cas", &|path| fs::write(path, "").unwrap(), SIGN),
            ("auth.key", &|path| fs::write(path, "-----BEGIN RSA PRIVATE KEY-----\nAA").unwrap(), SIGN),
            ("auth.key", &|path| fs::write(path, vec![b'x'; 2 << 20]).unwrap(), "check the path"),
            (
                "auth.key",
                &|path| {
                    fs::copy(at("auth.crt"), path).unwrap();
                },
                "or that of the private key is wrong (settings: teleport.client_key and teleport.client_crt)",
            ),
            (
                "auth.crt",
                &|path| {
                    fs::copy(at("auth.key"), path).unwrap();
                },
                "or that of the certificate is wrong (settings: teleport.client_key and teleport.client_crt)",
            ),
            (
                "auth.crt",
                &|path| {
                    let twice = fs::read_to_string(path).unwrap().repeat(2);
                    fs::write(path, twice).unwrap();
                },
                "exactly one client certificate",
            ),
        ];
        for (name, spoil, remedy) in ways {
            spoil(&at(name));
            bed.assert_start_fails(&good, remedy).await;
            // The files as Teleport signed them, or the path that is right.
            signed.iter().for_each(|(name, bytes)| fs::write(at(name), bytes).unwrap());
            bed.assert_start_works(&good).await;
        }
        // Exchanged keys: the remedy is the configuration's.
        let exchanged = good
            .replace("client_key = \"auth.key\"", "client_key = \"auth.crt\"")
            .replace("client_crt = \"auth.crt\"", "client_crt = \"auth.key\"");
        bed.assert_start_fails(
            &exchanged,
            "the paths of the private key and the certificate are probably exchanged",
        )
        .await;
        bed.assert_start_works(&good).await;
    });
}

#[test]
fn a_log_file_that_cannot_be_opened_is_written_once_its_remedy_is_followed() {
    run_test(async {
        let bed = TestBed::new().await;
        let config =
            bed.config_with_diagnostics(TEAM).replace("[log]", "[log]\noutput = \"./logs/slack.log\"");
        let path = bed.write_config(&config);
        let output = std::process::Command::new(program()).args(["start", "-c"]).arg(&path).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(77), "{said}");
        assert!(said.contains("let the user that runs teleport-slack write it"), "{said}");
        let folder = bed.dir.path().join("logs");
        fs::create_dir(&folder).unwrap();
        let daemon = bed.launch(&config);
        let written = || fs::read_to_string(folder.join("slack.log")).ok();
        bed.until(&daemon, "the log file says that it is ready", || {
            written().filter(|log| log.contains("Ready")).map(drop)
        })
        .await;
        daemon.stop().await;
    });
}

#[test]
fn an_address_that_cannot_be_had_works_once_its_remedy_is_followed() {
    run_in_process(async {
        let bed = TestBed::new().await;
        // On 127.0.0.1 a connection of another scenario may get the port once it is free.
        let other = TcpListener::bind("127.0.0.77:0").unwrap();
        let taken = other.local_addr().unwrap().to_string();
        let with = |address: &str| bed.config(&format!("{TEAM}\n[diagnostics]\nlisten_addr = \"{address}\""));
        for (config, remedy) in [
            (with(&taken), "listens there: end it, or choose another port"),
            (
                with("192.0.2.1:8080"),
                "this machine has no such address: choose one that it has, or 0.0.0.0 for all",
            ),
        ] {
            let (status, log) = bed.run_to_exit(&config).await;
            assert!(status.is_some_and(|status| status != 0), "{log}");
            assert!(log.contains("diagnostics.listen_addr") && log.contains(remedy), "{log}");
        }
        // The other program ends; or another address is chosen.
        drop(other);
        bed.assert_start_works(&with(&taken)).await;
        bed.assert_start_works(&with("0.0.0.0:0")).await;
    });
}
