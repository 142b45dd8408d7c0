//! Slack behind a forward proxy: nothing but the proxy knows where `slack.example` is, so what arrives there came through it.

use std::process::Command;
use std::time::Duration;

use access_sim::forward_proxy::{Answer, ForwardProxy};
use access_sim::slack::socket::SocketSelector;
use access_sim::tls_front::TlsFront;
use client_base::forward_proxy::{Dialer, Proxies, Proxy, Target};
use client_base::resolver::Resolver;
use client_base::tcp::Deadline;

use crate::harness::deciding::*;
use crate::harness::*;

const TARGET: &str = "slack.example:443";
const CONNECT: &str = "CONNECT slack.example:443 HTTP/1.1";
const USER_AND_PASSWORD: &str = "bob:hunter2k9";
const BASIC: &str = "Basic Ym9iOmh1bnRlcjJrOQ==";

/// No output may have one of these.
const SECRETS: [&str; 3] = ["hunter2k9", "bob:", "Ym9iOmh1"];

/// The bed, its Slack at `https://slack.example`, and the proxy that leads there.
struct ProxiedBed {
    bed: TestBed,
    front: TlsFront,
    proxy: ForwardProxy,
}

impl ProxiedBed {
    async fn new(proxy: ForwardProxy) -> Self {
        let bed = TestBed::with_review().await;
        let front = TlsFront::start(&["slack.example"], bed.slack.addr()).await.unwrap();
        proxy.lead(TARGET, front.addr());
        bed.slack.set_public_url("https://slack.example");
        let this = Self { bed, front, proxy };
        this.write_authorities(&[this.front.ca_pem()]);
        this
    }

    fn write_authorities(&self, pem: &[&str]) {
        std::fs::write(self.bed.dir.path().join("ca.pem"), pem.concat()).unwrap();
    }

    /// Buttons over Socket Mode, and this table `[network]`.
    fn config(&self, network: &str) -> String {
        let config = self.bed.review_config(Transport::Socket, ANY_OF_THREE);
        let config = config.replace(&self.bed.slack.api_url(), "https://slack.example/api/");
        format!("{config}\n[network]\n{network}\n")
    }

    /// With the proxy, its user and password, and the authority of the front.
    fn network(&self) -> String {
        format!("proxy = \"http://{USER_AND_PASSWORD}@{}\"\nca_file = \"ca.pem\"", self.proxy.addr())
    }

    fn launch(&self, network: &str) -> Daemon {
        self.bed.slack.set_socket_mode(true);
        Daemon::start(&self.bed.write_config(&self.config(network)), "hunter2k9")
    }

    /// The exit status of `check`, and what it prints.
    fn check(&self, network: &str) -> (Option<i32>, String) {
        self.bed.slack.set_socket_mode(true);
        let config = self.bed.write_config(&self.config(network));
        let out = Command::new(program()).arg("check").arg("-c").arg(config).env_clear().output().unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        assert_no_secret(&text);
        (out.status.code(), text)
    }

    async fn assert_decided(&self, daemon: &Daemon) {
        assert_decided(&self.bed, daemon).await;
    }
}

/// A request, its message, and bob's approval over Socket Mode with its reply.
async fn assert_decided(bed: &TestBed, daemon: &Daemon) {
    bed.until_logged(daemon, "Ready").await;
    let sockets = bed.slack.sockets();
    bed.until(daemon, "two sockets", || (sockets.count() >= 2).then_some(())).await;
    let id = bed.create_request();
    let message = bed.until_clickable(daemon, "C0TEAM", &id).await;
    bed.assert_bob_can_approve(daemon, &message, &id).await;
    bed.until_status(daemon, "C0TEAM", &id, "✅ APPROVED").await;
}

/// The simulated proxy, and its address before those of the real ones, which it must be like.
pub(crate) async fn all_proxies() -> (ForwardProxy, Vec<String>) {
    let simulated = ForwardProxy::start().await.unwrap();
    simulated.demand(BASIC);
    let all = std::iter::once(simulated.addr().to_string()).chain(real_proxies()).collect();
    (simulated, all)
}

/// Squid's address and tinyproxy's, if `.ci/proxies` runs the tests.
pub(crate) fn real_proxies() -> Vec<String> {
    let real = std::env::var("FORWARD_PROXIES").unwrap_or_default();
    real.split_whitespace().map(str::to_owned).collect()
}

fn assert_no_secret(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

#[test]
fn every_call_and_web_socket_goes_through_the_proxy_alone() {
    run_in_process(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        behind.proxy.demand(BASIC);
        let daemon = behind.launch(&behind.network());
        behind.assert_decided(&daemon).await;
        let asked = behind.proxy.asked();
        // Calls, and two WebSockets beside them.
        assert!(asked.len() >= 3, "{asked:?}");
        for asked in asked {
            assert_eq!((asked.line.as_str(), asked.is_granted), (CONNECT, true));
            assert_eq!(asked.authorization.as_deref(), Some(BASIC));
        }
        let line = daemon.find_logged("Slack answers").unwrap();
        let way = format!("through the proxy {} (network.proxy)", behind.proxy.addr());
        assert!(line.contains(&way), "{line}");
        assert_no_secret(&daemon.stop().await);
    });
}

#[test]
fn real_proxies_carry_calls_and_web_sockets_as_the_simulated_one_does() {
    run_test(async {
        let (simulated, proxies) = all_proxies().await;
        for proxy in proxies {
            let bed = TestBed::with_review().await;
            let front = TlsFront::start(&["slack.example"], bed.slack.addr()).await.unwrap();
            let target = format!("slack.example:{}", front.addr().port());
            simulated.lead(&target, front.addr());
            bed.slack.set_public_url(&format!("https://{target}"));
            bed.slack.set_socket_mode(true);
            std::fs::write(bed.dir.path().join("ca.pem"), front.ca_pem()).unwrap();
            let config = bed.review_config(Transport::Socket, ANY_OF_THREE);
            let config = config.replace(&bed.slack.api_url(), &format!("https://{target}/api/"));
            let network = format!("proxy = \"http://{USER_AND_PASSWORD}@{proxy}\"\nca_file = \"ca.pem\"");
            let daemon = bed.launch(&format!("{config}\n[network]\n{network}\n"));
            assert_decided(&bed, &daemon).await;
            assert_no_secret(&daemon.stop().await);
        }
    });
}

#[test]
fn real_proxies_refuse_as_the_simulated_one_does() {
    run_test(async {
        let (simulated, proxies) = all_proxies().await;
        let tls = client_base::tls::client_config(rustls::RootCertStore::empty()).unwrap();
        let tls = std::sync::Arc::new(tls.with_no_client_auth());
        let refusal = async |proxy: &str, credentials: &str, host: &str, port: u16| {
            let proxy = Proxy::parse(&format!("http://{credentials}{proxy}"), "network.proxy").unwrap();
            let proxies = Proxies { https: Some(proxy), ..Proxies::default() };
            let dialer = Dialer::new(proxies, Resolver::default(), std::sync::Arc::clone(&tls));
            let dialed =
                dialer.dial(&Target::new(host, port), Deadline::after(Duration::from_secs(20))).await;
            dialed.unwrap_err().to_string()
        };
        let good = format!("{USER_AND_PASSWORD}@");
        for proxy in &proxies {
            let text = refusal(proxy, "", "slack.example", 443).await;
            assert!(text.contains("wants a user and a password (HTTP status 407)"), "{text}");
            let text = refusal(proxy, "bob:wrong@", "slack.example", 443).await;
            assert!(text.contains("refuses the user or the password (HTTP status 40"), "{text}");
            let text = refusal(proxy, &good, "gone.invalid", 443).await;
            assert!(text.contains("does not reach gone.invalid:443 (HTTP status 5"), "{text}");
            if proxy == proxies.first().unwrap() {
                simulated.answer(Answer::Head("HTTP/1.1 403 Forbidden".to_owned()));
            }
            // Squid forbids the port, tinyproxy the host.
            let text = refusal(proxy, &good, "forbidden.example", 25).await;
            assert!(text.contains("forbids connections to forbidden.example:25 (HTTP status 403)"), "{text}");
        }
    });
}

#[test]
fn a_proxy_that_speaks_tls_carries_all_of_it_too() {
    run_in_process(async {
        let behind = ProxiedBed::new(ForwardProxy::start_tls().await.unwrap()).await;
        behind.proxy.demand(BASIC);
        behind.write_authorities(&[behind.front.ca_pem(), behind.proxy.ca_pem().unwrap()]);
        let daemon = behind.launch(&behind.network().replace("http:", "https:"));
        behind.assert_decided(&daemon).await;
        assert_no_secret(&daemon.stop().await);
    });
}

#[test]
fn the_environment_names_the_proxy_and_what_is_exempt() {
    run_test(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        let config = behind.bed.write_config(&behind.config("ca_file = \"ca.pem\""));
        let start = |variables: &[(&str, &str)]| {
            let mut command = Command::new(program());
            command.env_clear().arg("start").arg("-c").arg(&config);
            Daemon::run(command.envs(variables.iter().copied()), "hunter2k9")
        };
        behind.bed.slack.set_socket_mode(true);
        let address = format!("http://{USER_AND_PASSWORD}@{}", behind.proxy.addr());
        let daemon = start(&[("https_proxy", &address), ("NO_PROXY", "intranet.example,10.0.0.0/8")]);
        behind.assert_decided(&daemon).await;
        assert!(daemon.find_logged("Slack answers").unwrap().contains("(https_proxy)"), "{}", daemon.log());
        assert_no_secret(&daemon.stop().await);

        let asked = behind.proxy.asked().len();
        let daemon = start(&[("ALL_PROXY", &address), ("NO_PROXY", "*.example:443")]);
        // It is tried directly, where its name is unknown.
        let line = behind.bed.until_logged(&daemon, "Slack does not answer").await;
        assert!(line.contains("the name does not resolve ("), "{line}");
        assert_no_secret(&daemon.stop().await);
        assert_eq!(behind.proxy.asked().len(), asked, "an exempt host was asked of the proxy");

        for (name, value, words) in [
            (
                "HTTPS_PROXY",
                format!("socks5://{USER_AND_PASSWORD}@127.0.0.1:1080"),
                "only HTTP proxies are supported",
            ),
            ("all_proxy", format!("http://{USER_AND_PASSWORD}@@127.0.0.1:x"), "percent code"),
        ] {
            let (status, log) = start(&[(name, &value)]).wait_for_exit().await;
            assert_eq!(status.code(), Some(78), "{log}");
            assert!(log.contains(&format!("{name}: the value of this environment variable")), "{log}");
            assert!(log.contains(words), "{log}");
            assert_no_secret(&log);
            let mut check = Command::new(program());
            check.env_clear().env(name, &value).arg("check").arg("-c").arg(&config);
            let out = check.output().unwrap();
            let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
            assert_eq!(out.status.code(), Some(78), "{text}");
            assert!(text.contains(&format!("✗ config-values: {name}\n")) && text.contains(words), "{text}");
            assert_no_secret(&text);
        }
    });
}

#[test]
fn this_machine_is_never_reached_through_a_proxy() {
    run_test(async {
        let (bed, proxy) = (TestBed::new().await, ForwardProxy::start().await.unwrap());
        let config = bed.write_config(&bed.config(r#"recipients = ["C0TEAM"]"#));
        let mut command = Command::new(program());
        let address = format!("http://{}", proxy.addr());
        command.env_clear().env("HTTPS_PROXY", &address).env("HTTP_PROXY", &address);
        let daemon = Daemon::run(command.arg("start").arg("-c").arg(&config), "");
        bed.until_logged(&daemon, "Ready").await;
        let line = daemon.find_logged("Slack answers").unwrap();
        assert!(line.contains("directly, because it is this machine"), "{line}");
        daemon.stop().await;
        assert_eq!(proxy.asked(), []);
    });
}

#[test]
fn the_start_says_what_the_proxy_does_and_waits_until_it_lets_the_daemon_through() {
    run_in_process(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        for (answer, cause, remedy) in [
            (
                Answer::Head("HTTP/1.1 403 Forbidden".to_owned()),
                "forbids connections to slack.example:443",
                "allow CONNECT",
            ),
            (
                Answer::Head("HTTP/1.1 407 x".to_owned()),
                "refuses the user or the password",
                "correct user and password",
            ),
            (
                Answer::Head("HTTP/1.1 502 x".to_owned()),
                "does not reach slack.example:443",
                "the host's name resolves",
            ),
            (Answer::Silence, "did not say within ", "check that this is an HTTP proxy"),
            (Answer::Cut, "closed the connection without a whole answer", "an HTTP proxy listens"),
        ] {
            behind.proxy.answer(answer.clone());
            let (status, text) = behind.check(&behind.network());
            assert_eq!(status, Some(1), "{answer:?}: {text}");
            let shown: Vec<_> =
                text.lines().skip_while(|line| !line.starts_with("✗ slack-bot-token")).collect();
            let [_, shown_cause, shown_remedy, ..] = shown.as_slice() else { panic!("{text}") };
            assert!(shown_cause.contains(cause), "{cause:?} is no cause in {text}");
            for words in [remedy, "network.proxy, or HTTPS_PROXY"] {
                assert!(shown_remedy.contains(words), "{words:?} is no remedy in {text}");
            }
            let daemon = behind.launch(&behind.network());
            let line = behind.bed.until_logged(&daemon, "Slack does not answer").await;
            let proxy = format!("the proxy {} ", behind.proxy.addr());
            for words in [" WARN ", &proxy, cause, remedy, "network.proxy, or HTTPS_PROXY"] {
                assert!(line.contains(words), "{words:?} is not in {line}");
            }
            assert_eq!(daemon.exit_status(), None, "{answer:?}");
            behind.proxy.answer(Answer::Tunnel);
            behind.bed.until_logged(&daemon, "Ready").await;
            assert_no_secret(&daemon.stop().await);
        }
    });
}

#[test]
fn a_web_socket_that_the_proxy_refuses_is_logged_with_its_remedy_and_comes_back() {
    run_in_process(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        let daemon = behind.launch(&behind.network());
        behind.assert_decided(&daemon).await;
        behind.proxy.answer(Answer::Head("HTTP/1.1 403 Forbidden".to_owned()));
        let sockets = behind.bed.slack.sockets();
        sockets.reset(SocketSelector::All);
        let line = behind.bed.until_logged(&daemon, "forbids connections to slack.example:443").await;
        assert!(line.contains("allow CONNECT"), "{line}");
        behind.proxy.answer(Answer::Tunnel);
        behind.bed.until(&daemon, "two sockets", || (sockets.count() >= 2).then_some(())).await;
        assert_no_secret(&daemon.stop().await);
    });
}

#[test]
fn a_relay_that_opens_tls_needs_its_authority_and_a_new_one_in_its_file_is_taken_up() {
    run_in_process(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        let address = behind.proxy.addr();
        let daemon = behind.launch(&format!("proxy = \"http://{address}\""));
        let line = behind.bed.until_logged(&daemon, "Slack does not answer").await;
        assert!(
            line.contains("certificate is of no authority that is trusted")
                && line.contains("network.ca_file"),
            "{line}"
        );
        behind.bed.write_config(&behind.config(&behind.network()));
        daemon.signal("HUP");
        behind.assert_decided(&daemon).await;

        // Another authority in the same file.
        let renewed = TlsFront::start(&["slack.example"], behind.bed.slack.addr()).await.unwrap();
        behind.write_authorities(&[behind.front.ca_pem(), renewed.ca_pem()]);
        behind.bed.until_logged(&daemon, "The new configuration is in use changed=network").await;
        behind.proxy.lead(TARGET, renewed.addr());
        drop(behind.front);
        let id = behind.bed.create_request();
        behind.bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        daemon.stop().await;
    });
}

#[test]
fn a_new_password_in_the_file_of_the_proxy_is_taken_up() {
    run_in_process(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        let file = behind.bed.dir.path().join("proxy");
        let write = |user: &str| std::fs::write(&file, format!("http://{user}@{}\n", behind.proxy.addr()));
        behind.proxy.demand(BASIC);
        write(USER_AND_PASSWORD).unwrap();
        let daemon = behind.launch(&format!("proxy = {file:?}\nca_file = \"ca.pem\""));
        behind.assert_decided(&daemon).await;

        // The file comes before the proxy knows the password, and is tried again until it does.
        write("bob:hunter3k9").unwrap();
        let line = behind.bed.until_logged(&daemon, "The new configuration is refused").await;
        assert!(line.contains("refuses the user or the password"), "{line}");
        behind.proxy.demand("Basic Ym9iOmh1bnRlcjNrOQ==");
        behind.bed.until_logged(&daemon, "The new configuration is in use changed=network").await;
        let id = behind.bed.create_request();
        behind.bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let text = daemon.stop().await;
        assert_no_secret(&text);
        assert!(!text.contains("hunter3k9"), "{text}");
    });
}

#[test]
fn a_reload_takes_another_proxy_that_leads_to_slack_and_keeps_the_old_one_otherwise() {
    run_in_process(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        let daemon = behind.launch(&behind.network());
        behind.assert_decided(&daemon).await;
        let other = ForwardProxy::start().await.unwrap();
        let network = behind.network().replace(&behind.proxy.addr().to_string(), &other.addr().to_string());
        behind.bed.write_config(&behind.config(&network));
        daemon.signal("HUP");
        let line = behind.bed.until_logged(&daemon, "The new configuration is refused").await;
        let cause = format!("the proxy {} does not reach slack.example:443", other.addr());
        assert!(line.contains("[network] is not used: ") && line.contains(&cause), "{line}");

        other.lead(TARGET, behind.front.addr());
        daemon.signal("HUP");
        behind.bed.until_logged(&daemon, "The new configuration is in use changed=network").await;
        let asked = behind.proxy.asked().len();
        behind.assert_decided(&daemon).await;
        assert_eq!(behind.proxy.asked().len(), asked, "the old proxy was asked");
        assert!(other.asked().len() >= 3, "{:?}", other.asked());
        assert_no_secret(&daemon.stop().await);
    });
}

#[test]
fn files_that_cannot_be_used_end_the_start() {
    run_test(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        let key = std::fs::read_to_string(behind.bed.dir.path().join("auth.key")).unwrap();
        std::fs::write(behind.bed.dir.path().join("key.pem"), key).unwrap();
        for (network, words) in [
            ("ca_file = \"gone.pem\"", "network.ca_file: cannot read the file \"DIR/gone.pem\""),
            ("ca_file = \"key.pem\"", "network.ca_file: the file \"DIR/key.pem\" holds a private key"),
            ("ca_file = \"teleport-slack.toml\"", "holds no certificate in PEM form"),
            ("proxy = \"/gone/proxy\"", "network.proxy: cannot read the file \"/gone/proxy\""),
        ] {
            let (status, log) = behind.bed.run_to_exit(&behind.config(network)).await;
            assert_eq!(status, Some(77), "{network}: {log}");
            assert!(log.contains(words), "{log}");
            let (status, text) = behind.check(network);
            assert_eq!(status, Some(77), "{text}");
            let (key, cause) = words.split_once(": ").unwrap_or(("network.ca_file", words));
            let cause = cause.replace("DIR", behind.bed.dir.path().to_str().unwrap());
            assert!(text.contains(key) && text.contains(&cause), "{words:?} is not in {text}");
        }
        let value = format!("proxy = \"ftp://{USER_AND_PASSWORD}@proxy:21\"");
        let (status, log) = behind.bed.run_to_exit(&behind.config(&value)).await;
        assert_eq!(status, Some(78), "{log}");
        assert!(log.contains("network.proxy: this does not begin with http:// or https://"), "{log}");
        assert_no_secret(&log);
        let (status, text) = behind.check(&value);
        assert_eq!(status, Some(78), "{text}");
        assert!(text.contains("network.proxy") && text.contains("this does not begin with http"), "{text}");
    });
}

#[test]
fn check_says_how_slack_is_reached() {
    run_test(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        let (status, text) = behind.check(&behind.network());
        assert_eq!(status, Some(0), "{text}");
        let way = format!(
            "✓ slack-bot-token: Slack, reached through the proxy {} (network.proxy), takes",
            behind.proxy.addr()
        );
        assert!(text.contains(&way), "{text}");
    });
}

#[test]
fn the_call_to_the_callback_address_goes_through_the_proxy_as_well() {
    run_test(async {
        let behind = ProxiedBed::new(ForwardProxy::start().await.unwrap()).await;
        let callbacks = TlsFront::start(&["callbacks.example"], behind.bed.slack.addr()).await.unwrap();
        behind.proxy.lead("callbacks.example:443", callbacks.addr());
        behind.write_authorities(&[behind.front.ca_pem(), callbacks.ca_pem()]);
        let config = behind.bed.review_config(Transport::Http, ANY_OF_THREE);
        let config = config.replace(&behind.bed.slack.api_url(), "https://slack.example/api/");
        let config = config.replace("[http]", "[http]\npublic_addr = \"https://callbacks.example\"");
        let config = behind.bed.write_config(&format!("{config}\n[network]\n{}\n", behind.network()));
        let check = || {
            let out =
                Command::new(program()).arg("check").arg("-c").arg(&config).env_clear().output().unwrap();
            String::from_utf8([out.stdout, out.stderr].concat()).unwrap()
        };
        let text = check();
        // What answers there is Slack's simulator, which knows no such path.
        let way = format!("(from this machine, through the proxy {} (network.proxy))", behind.proxy.addr());
        let words = format!(
            "404 Not Found to a signed call and 404 Not Found to another is not how the daemon answers {way}"
        );
        assert!(text.contains(&words), "{text}");
        let asked = behind.proxy.asked();
        assert!(
            asked.iter().any(|asked| asked.line == "CONNECT callbacks.example:443 HTTP/1.1"),
            "{asked:?}"
        );
        behind.proxy.answer(Answer::Head("HTTP/1.1 403 Forbidden".to_owned()));
        let text = check();
        assert!(
            text.contains(
                "forbids connections to callbacks.example:443 (HTTP status 403) (from this machine"
            ),
            "{text}"
        );
        assert!(text.contains("or exempt this host in network.no_proxy"), "{text}");
        assert_no_secret(&text);
    });
}
