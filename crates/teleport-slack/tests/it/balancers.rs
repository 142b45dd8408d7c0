//! Real nginx and HAProxy before the simulated Teleport proxy: passing TLS through, and ending it.
//!
//! `.ci/balancers` unpacks both and prints their folder, which `BALANCERS` names. Without it each test here says that it is skipped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::proxy::{Led, ProxyOptions, ProxySim, WebCertificate};

use crate::harness::*;
use crate::reach::{TEAM, one_request_through, trusting};

/// A running balancer. It ends with its test.
pub(crate) struct Balancer {
    process: Child,
    pub(crate) addr: SocketAddr,
    /// Keeps the port for it.
    _port: TcpProxy,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Neither leaves anything behind that matters.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A proxy with a bought certificate, and the files of a balancer before it.
pub(crate) struct Setup {
    balancers: PathBuf,
    pub(crate) bed: TestBed,
    pub(crate) proxy: ProxySim,
}

impl Setup {
    /// Nothing where the balancers are not, and the test is skipped.
    async fn new() -> Option<Self> {
        let setup = Self::between(TestBed::new().await).await;
        if setup.is_none() {
            skip_test("needs nginx and HAProxy (.ci/balancers)");
        }
        setup
    }

    /// The same with this bed, and without a word where the balancers are not.
    pub(crate) async fn between(bed: TestBed) -> Option<Self> {
        let balancers = PathBuf::from(std::env::var_os("BALANCERS")?);
        let options = ProxyOptions { certificate: WebCertificate::Bought, ..ProxyOptions::default() };
        let proxy = ProxySim::start(&bed.teleport, options).await.unwrap();
        let (certificate, key) = proxy.bought(&["127.0.0.1"]).unwrap();
        std::fs::write(bed.dir.path().join("web.pem"), certificate + &key).unwrap();
        Some(Self { balancers, bed, proxy })
    }

    /// Starts one with this configuration, in which `LISTEN`, `PROXY`, `DIR` and `MODULES` stand for what they say.
    pub(crate) async fn start(&self, name: &str, config: &str) -> Balancer {
        let port = TcpProxy::start(self.proxy.web_addr()).await.unwrap();
        let addr = port.addr();
        port.cut().await;
        let dir = self.bed.dir.path();
        let config = config
            .replace("LISTEN", &addr.to_string())
            .replace("PROXY", &self.proxy.web_addr().to_string())
            .replace("DIR", dir.to_str().unwrap())
            .replace("MODULES", self.balancers.join("usr/lib/nginx/modules").to_str().unwrap());
        let file = dir.join(format!("{name}.conf"));
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(self.balancers.join("usr/sbin").join(name));
        match name {
            "nginx" => command.arg("-p").arg(dir).args(["-e", "stderr", "-c"]).arg(&file),
            _ => command.args(["-db", "-f"]).arg(&file),
        };
        let libraries = self.balancers.join("usr/lib/x86_64-linux-gnu");
        let log = std::fs::File::create(dir.join(format!("{name}.log"))).unwrap();
        let process =
            command.env("LD_LIBRARY_PATH", libraries).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let balancer = Balancer { process, addr, _port: port };
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        for _ in 0..200 {
            look.tick().await;
            if tokio::net::TcpStream::connect(addr).await.is_ok() {
                return balancer;
            }
        }
        panic!("{name} does not listen: {}", self.log(name));
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.bed.dir.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// What `check` prints, which ends with 1.
    fn checked(&self, balancer: &Balancer) -> String {
        self.bed.write_config(&self.bed.config_at(balancer.addr, TEAM));
        let out = trusting(&self.bed, &self.proxy, "check").output().unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        assert_eq!(out.status.code(), Some(1), "{text}");
        text
    }

    fn launch(&self, balancer: &Balancer) -> Daemon {
        self.bed.write_config(&self.bed.config_at(balancer.addr, TEAM));
        Daemon::run(&mut trusting(&self.bed, &self.proxy, "start"), &self.bed.slack.token())
    }

    /// A request is posted and decided through this balancer; the auth server is reached by an upgrade or without.
    async fn works_through(&self, name: &str, config: &str, by_upgrade: bool) {
        let balancer = self.start(name, config).await;
        let before = self.proxy.count(Led::ThroughWebSocket);
        let daemon = self.launch(&balancer);
        self.bed.until_logged(&daemon, "Ready").await;
        one_request_through(&self.bed, &daemon).await;
        let upgraded = self.proxy.count(Led::ThroughWebSocket) > before;
        assert_eq!(upgraded, by_upgrade, "{config}\n{}", daemon.log());
        assert_eq!(daemon.times_logged("by a connection upgrade (WebSocket)"), usize::from(by_upgrade));
        daemon.stop().await;
    }
}

const NGINX: &str =
    "daemon off;\npid DIR/nginx.pid;\nuser root;\nload_module MODULES/ngx_stream_module.so;\nevents {}\n";
const NGINX_WEB: &str = "http {
  access_log off;
  client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR; uwsgi_temp_path DIR; scgi_temp_path DIR;
  server {
    listen LISTEN ssl HTTP2 reuseport;
    ssl_certificate DIR/web.pem;
    ssl_certificate_key DIR/web.pem;
    location / {
      proxy_pass https://PROXY;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      UPGRADE
    }
  }
}";
const NGINX_UPGRADE: &str =
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"Upgrade\";";
const HAPROXY: &str = "defaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n";

/// The configuration with which nginx or HAProxy passes TLS on, nginx by the protocols that are offered.
pub(crate) fn passes_tls_on(name: &str) -> String {
    match name {
        "nginx" => format!(
            "{NGINX}stream {{
  map $ssl_preread_alpn_protocols $to {{ ~(^|,)teleport-auth@ PROXY; default 127.0.0.1:1; }}
  server {{ listen LISTEN reuseport; ssl_preread on; proxy_pass $to; }}
}}"
        ),
        _ => format!("{HAPROXY}listen teleport\n  mode tcp\n  bind LISTEN\n  server proxy PROXY\n"),
    }
}

/// The configuration with which it ends TLS, and opens it again to the proxy.
pub(crate) fn ends_tls(name: &str) -> String {
    match name {
        "nginx" => format!("{NGINX}{}", NGINX_WEB.replace("HTTP2", "").replace("UPGRADE", NGINX_UPGRADE)),
        _ => format!(
            "{HAPROXY}listen teleport\n  mode http\n  bind LISTEN ssl crt DIR/web.pem\n  server proxy PROXY ssl verify none\n"
        ),
    }
}

#[test]
fn nginx_passes_tls_on_by_the_first_protocol_of_the_list() {
    run_test(async {
        let Some(setup) = Setup::new().await else { return };
        setup.works_through("nginx", &passes_tls_on("nginx"), false).await;
    });
}

#[test]
fn nginx_ends_tls_with_and_without_http2() {
    run_test(async {
        let Some(setup) = Setup::new().await else { return };
        for http2 in ["", "http2"] {
            let web = NGINX_WEB.replace("HTTP2", http2).replace("UPGRADE", NGINX_UPGRADE);
            setup.works_through("nginx", &format!("{NGINX}{web}"), true).await;
        }
    });
}

#[test]
fn haproxy_passes_tls_on_and_ends_it_in_both_of_its_modes() {
    run_test(async {
        let Some(setup) = Setup::new().await else { return };
        setup.works_through("haproxy", &passes_tls_on("haproxy"), false).await;
        let http = ends_tls("haproxy");
        let tcp = http.replace("mode http", "mode tcp");
        assert_ne!(tcp, http);
        for ends in [tcp, http] {
            setup.works_through("haproxy", &ends, true).await;
        }
    });
}

#[test]
fn an_idle_time_out_of_haproxy_is_named_the_third_time() {
    run_test(async {
        let Some(setup) = Setup::new().await else { return };
        let balancer = setup.start("haproxy", &passes_tls_on("haproxy").replace("60s", "4s")).await;
        let daemon = setup.launch(&balancer);
        let line = setup.bed.until_logged(&daemon, "The watch was cut 3 times in a row").await;
        assert!(
            line.contains("set the time-out well above 15 s") && line.contains("about 4 s old"),
            "{line}"
        );
        one_request_through(&setup.bed, &daemon).await;
        daemon.stop().await;
    });
}

#[test]
fn a_balancer_without_its_proxy_is_waited_for() {
    run_test(async {
        let Some(setup) = Setup::new().await else { return };
        let line = TcpProxy::start(setup.proxy.web_addr()).await.unwrap();
        line.cut().await;
        let web = ends_tls("nginx").replace("PROXY", &line.addr().to_string());
        let balancer = setup.start("nginx", &web).await;
        let words = "the balancer there does not reach the Teleport proxy";
        let text = setup.checked(&balancer);
        assert!(text.contains(words), "{text}");
        let daemon = setup.launch(&balancer);
        setup.bed.until_logged(&daemon, words).await;
        line.restore().await.unwrap();
        setup.bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;
    });
}

#[test]
fn an_nginx_that_drops_the_headers_of_an_upgrade_is_named() {
    run_test(async {
        let Some(setup) = Setup::new().await else { return };
        let web = NGINX_WEB.replace("HTTP2", "").replace("UPGRADE", "");
        let balancer = setup.start("nginx", &format!("{NGINX}{web}")).await;
        let words =
            "a balancer before the Teleport proxy drops the headers that ask for a connection upgrade";
        let text = setup.checked(&balancer);
        assert!(
            text.contains(words) && text.contains("remedy: let it pass Upgrade and Connection on"),
            "{text}"
        );
        let daemon = setup.launch(&balancer);
        setup.bed.until_warned(&daemon, words).await;
        assert_eq!(daemon.exit_status(), None);
        daemon.stop().await;
    });
}
