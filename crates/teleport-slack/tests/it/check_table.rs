//! Set-ups that are broken in one way each, and the line that `check` prints for it: the table of `docs/check.md`.
//!
//! `UPDATE_CHECK_TABLE=1` writes the table; without it the test compares.

use std::path::Path;

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::workspace::{Channel, SlackUser, SlackUserKind, TokenState, Workspace};
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::{Options, ServerVersion, fixture::Fixture};
use jiff::{SignedDuration, Timestamp};
use teleport_slack::check::offline::Facts;
use teleport_slack::check::report::{Item, Report};
use teleport_slack::check::{online, output};

use crate::harness::*;
use crate::rules::repository_root;

/// What the set-up is before it is broken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Neither side is asked.
    Offline,
    /// The cluster of release 6.2.1 and the workspace of most tests.
    Online,
    /// A cluster of release 15, whose plugin user may only list requests.
    Powerless,
    /// The same cluster, and a plugin user who may set states and read users, which have traits.
    Reader,
    /// As [`Kind::Online`], with `--send-test`.
    Sending,
}

type Break = fn(&TestBed, String) -> String;

struct Case {
    /// What is broken.
    name: &'static str,
    kind: Kind,
    /// The item that must show it.
    id: &'static str,
    change: Break,
}

const fn case(name: &'static str, kind: Kind, id: &'static str, change: Break) -> Case {
    Case { name, kind, id, change }
}

fn write(bed: &TestBed, name: &str, bytes: impl AsRef<[u8]>) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = bed.dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// Gives a file or folder this mode.
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A line that has the configuration opened to all.
const OPEN: &str = "# mode 666\n";

/// A set-up without a fault.
fn sound(bed: &TestBed) -> String {
    format!(
        "[teleport]\naddr = \"{}\"\nclient_key = \"auth.key\"\nclient_crt = \"auth.crt\"\nroot_cas = \"auth.cas\"\n\
         [slack]\ntoken = \"{}\"\napi_url = \"{}\"\nrecipients = [\"team\"]\n",
        bed.teleport.addr(),
        bed.slack.token(),
        bed.slack.api_url()
    )
}

fn recipient(config: String, name: &str) -> String {
    config.replace("[\"team\"]", &format!("[\"{name}\"]"))
}

/// Deciding in Slack over Socket Mode by one rule, for `who` as Slack knows them.
fn with_review(bed: &TestBed, config: String, more: &str) -> String {
    format!(
        "{config}[review]\nenabled = true\nmode = \"resolver\"\napp_token = \"{}\"\n[review.users]\nU0BOB = \"bob@example.com\"\n\
         [[review.rule]]\nroles = \"dba\"\napprovers = [\"bob@example.com\"]\n{more}",
        bed.slack.app().app_token
    )
}

/// The same, and a trait that links the accounts of others, such as this approver's.
fn by_trait(bed: &TestBed, config: String, approver: &str) -> String {
    let review = with_review(bed, config, "");
    let review = review.replace("[review.users]", "slack_user_id_trait = \"slack_uid\"\n[review.users]");
    review.replace("approvers = [", &format!("approvers = [\"{approver}\", "))
}

/// Deciding in Slack over callbacks, with the bed's key and certificate in other places.
fn with_callbacks(config: String, http: &str) -> String {
    format!(
        "{config}[review]\nenabled = true\nallow_email_username_match = true\nsigning_secret = \"0123456789abcdef\"\n[http]\n{http}"
    )
}

fn sign_until(bed: &TestBed, end: Timestamp) {
    let begin = end - SignedDuration::from_hours(24 * 90);
    bed.sign(CertOptions { not_before: Some(begin), not_after: Some(end), ..CertOptions::default() });
}

use Kind::{Offline, Online, Powerless, Reader, Sending};

const CASES: &[Case] = &[
    case("the file is a directory", Offline, "config-file", |bed, config| {
        std::fs::create_dir(bed.dir.path().join("slack.toml")).unwrap();
        config
    }),
    case("the file is not UTF-8", Offline, "config-file", |_, config| config + "# \u{fffd}BYTE"),
    case("a text without quotes", Offline, "config-keys", |_, config| {
        config.replace("\"auth.key\"", "auth.key")
    }),
    case("an unknown key", Offline, "config-keys", |_, config| config.replace("recipients", "recipient")),
    case("a key twice", Offline, "config-keys", |_, config| config + "recipients = []\n"),
    case("a rule in single brackets among others in double ones", Offline, "config-keys", |bed, config| {
        with_review(bed, config, "[review.rule]\nroles = \"dev\"\napprovers = [\"bob@example.com\"]\n")
    }),
    case("a table in two places", Offline, "config-keys", |_, config| {
        config + "[teleport]\nrefresh_identity = true\n"
    }),
    case("no address", Offline, "config-values", |_, config| config.replace("addr = ", "# ")),
    case("a web address for Teleport", Offline, "config-values", |bed, config| {
        config.replace(&bed.teleport.addr().to_string(), "https://teleport.corp.net")
    }),
    case("the only rule in single brackets", Offline, "config-values", |bed, config| {
        with_review(bed, config, "").replace("[[review.rule]]", "[review.rule]")
    }),
    case("a table in double brackets", Offline, "config-values", |_, config| {
        config.replace("[slack]", "[[slack]]")
    }),
    case("a link with its two sides exchanged", Offline, "config-values", |bed, config| {
        with_review(bed, config, "").replace("U0BOB = \"bob@example.com\"", "\"bob@example.com\" = \"U0BOB\"")
    }),
    case("a link with a typing error", Offline, "config-values", |bed, config| {
        with_review(bed, config, "").replace("U0BOB = \"bob@", "U0BOB = \"bobb@")
    }),
    case("two recipients in one", Offline, "config-values", |_, config| recipient(config, "team, devops")),
    case("an invisible character in a role's name", Offline, "config-values", |_, config| {
        config + "[role_to_recipients]\n\"dba\u{200b}\" = \"team\"\n"
    }),
    case("the app-level token as bot token", Offline, "config-values", |bed, config| {
        config.replace(&bed.slack.token(), "xapp-1-A0-1-2")
    }),
    case("a token's file that is not there", Offline, "secret-files", |bed, config| {
        config.replace(&bed.slack.token(), "/nowhere/token")
    }),
    case("an app-level token's file that is not there", Offline, "secret-files", |bed, config| {
        with_review(bed, config, "").replace(&bed.slack.app().app_token, "/nowhere/app_token")
    }),
    case("a file of further authorities that is not there", Offline, "secret-files", |_, config| {
        config + "[network]\nca_file = \"/nowhere/cas.pem\"\n"
    }),
    case("a server's certificate in place of its authority's", Offline, "secret-files", |bed, config| {
        let crt = std::fs::read(bed.dir.path().join("auth.crt")).unwrap();
        let path = write(bed, "proxy.pem", crt);
        format!("{config}[network]\nca_file = \"{path}\"\n")
    }),
    case("a token's file as for a shell", Offline, "secret-files", |bed, config| {
        let path = write(bed, "token", format!("SLACK_TOKEN=\"{}\"\n", bed.slack.token()));
        config.replace(&bed.slack.token(), &path)
    }),
    case("a token's file that others can read", Offline, "file-access", |bed, config| {
        let path = write(bed, "token", bed.slack.token());
        set_mode(Path::new(&path), 0o644);
        config.replace(&bed.slack.token(), &path)
    }),
    case("a configuration with tokens that others can change", Offline, "file-access", |bed, config| {
        with_review(bed, config, OPEN)
    }),
    case("a folder in which others can replace the private key", Offline, "file-access", |bed, config| {
        let keys = bed.dir.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        for name in ["auth.key", "auth.crt", "auth.cas"] {
            std::fs::rename(bed.dir.path().join(name), keys.join(name)).unwrap();
        }
        set_mode(&keys, 0o777);
        config.replace("\"auth.", "\"keys/auth.")
    }),
    case("a log that others can change", Offline, "file-access", |bed, config| {
        set_mode(Path::new(&write(bed, "slack.log", "")), 0o666);
        config + "[log]\noutput = \"./slack.log\"\n"
    }),
    case("the example's address", Offline, "placeholders", |bed, config| {
        config.replace(&bed.teleport.addr().to_string(), "auth.example.com:3025")
    }),
    case("the example's token", Offline, "placeholders", |bed, config| {
        config.replace(&bed.slack.token(), "xoxb-11xx")
    }),
    case("a log in a folder that is not there", Offline, "log-file", |_, config| {
        config + "[log]\noutput = \"none/slack.log\"\n"
    }),
    case("a log where no file can be", Offline, "log-file", |_, config| {
        config + "[log]\noutput = \"/proc/slack.log\"\n"
    }),
    case("a private key that is not there", Offline, "identity", |bed, config| {
        std::fs::remove_file(bed.dir.path().join("auth.key")).unwrap();
        config
    }),
    case("an identity file that is not there", Offline, "identity", |_, config| {
        let files = "client_key = \"auth.key\"\nclient_crt = \"auth.crt\"\nroot_cas = \"auth.cas\"";
        config.replace(files, "identity = \"/nowhere/auth_id\"")
    }),
    case("key and certificate exchanged", Offline, "identity", |_, config| {
        config.replace("auth.key", "auth.x").replace("auth.crt", "auth.key").replace("auth.x", "auth.crt")
    }),
    case("the client's certificate for the CAs", Offline, "identity", |_, config| {
        config.replace("auth.cas", "auth.crt")
    }),
    case("the private key for the CAs", Offline, "identity", |_, config| {
        config.replace("auth.cas", "auth.key")
    }),
    case("an identity file for the certificate", Offline, "identity", |bed, config| {
        let parts = ["auth.key", "auth.crt", "auth.cas"]
            .map(|name| std::fs::read(bed.dir.path().join(name)).unwrap());
        write(bed, "auth_id", parts.concat());
        config.replace("client_crt = \"auth.crt\"", "client_crt = \"auth_id\"")
    }),
    case("the key of another certificate", Offline, "identity", |bed, config| {
        let other = bed.teleport.credentials("access-plugin-rw", CertOptions::default());
        write(bed, "auth.key", other.key_pem);
        config
    }),
    case("an expired certificate", Offline, "identity", |bed, config| {
        sign_until(bed, Timestamp::now() - SignedDuration::from_hours(1));
        config
    }),
    case("a certificate that ends soon", Offline, "identity", |bed, config| {
        sign_until(bed, Timestamp::now() + SignedDuration::from_mins(36 * 60 + 30));
        config
    }),
    case("callbacks without TLS", Offline, "callback-tls", |_, config| with_callbacks(config, "")),
    case("no callback key where https_key_file says", Offline, "callback-tls", |_, config| {
        with_callbacks(config, "https_key_file = \"/nowhere/key\"\nhttps_cert_file = \"auth.crt\"\n")
    }),
    case("https_key_file and https_cert_file exchanged", Offline, "callback-tls", |_, config| {
        with_callbacks(config, "https_key_file = \"auth.crt\"\nhttps_cert_file = \"auth.key\"\n")
    }),
    case("a callback certificate that signs itself", Offline, "callback-tls", |bed, config| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write(bed, "own.crt", made.cert.pem());
        write(bed, "own.key", made.signing_key.serialize_pem());
        with_callbacks(config, "https_key_file = \"own.key\"\nhttps_cert_file = \"own.crt\"\n")
    }),
    case("an entry for every role beside *", Offline, "notification-rules", |_, config| {
        config + "[role_to_recipients]\n\"*\" = \"a\"\n\"?*\" = \"b\"\n"
    }),
    case("two rules without a common approver", Offline, "review-rules", |bed, config| {
        with_review(bed, config, "[[review.rule]]\nroles = \"d*\"\napprovers = [\"S0DBA\", \"x\"]\n")
            .replace("[\"S0DBA\", \"x\"]", "[\"carol@example.com\"]")
            .replace("U0BOB", "U0CAROL = \"carol@example.com\"\nU0BOB")
    }),
    case("a rule that no role can match", Offline, "review-rules", |bed, config| {
        with_review(bed, config, "").replace("\"dba\"", "'^\\bprod\\B-db$'")
    }),
    case("no auth server at the address", Online, "teleport-server", |bed, config| {
        config.replace(&bed.teleport.addr().to_string(), "127.0.0.1:1")
    }),
    case("no Teleport proxy at the address", Online, "teleport-server", |bed, config| {
        config.replace(&bed.teleport.addr().to_string(), "127.0.0.1:3080")
    }),
    case("another server at Teleport's address", Online, "teleport-server", |bed, config| {
        config.replace(&bed.teleport.addr().to_string(), &bed.slack.addr().to_string())
    }),
    case("no right to read requests", Powerless, "teleport-rights", |_, config| config),
    case("no right to set a request's state", Online, "teleport-rights", |bed, config| {
        with_review(bed, config, "")
    }),
    case("a bot token that Slack refuses", Online, "slack-bot-token", |bed, config| {
        bed.slack.set_token_state(TokenState::Revoked);
        config
    }),
    case("no Slack at the address", Online, "slack-bot-token", |bed, config| {
        config.replace(&bed.slack.addr().to_string(), "127.0.0.1:1")
    }),
    case("an app-level token that Slack refuses", Online, "slack-app-token", |bed, config| {
        with_review(bed, config, "").replace(&bed.slack.app().app_token, "xapp-1-A0BOT-other")
    }),
    case("tokens of two apps", Online, "slack-same-app", |bed, config| {
        with_review(bed, config, "").replace(&bed.slack.app().app_token, "xapp-1-A0OTHER-1-2")
    }),
    case("no scope to post", Online, "slack-scopes", |bed, config| {
        bed.slack.remove_scope("chat:write");
        config
    }),
    case("no scope to find people by address", Online, "slack-scopes", |bed, config| {
        bed.slack.remove_scope("users:read.email");
        recipient(config, "bob@example.com")
    }),
    case("an approver who is a guest", Online, "slack-approvers", |bed, config| {
        bed.slack.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Guest));
        with_review(bed, config, "")
    }),
    case("a linked name with a typing error", Powerless, "slack-approvers", |bed, config| {
        with_review(bed, config, "").replace("bob@example.com", "bbo@example.com")
    }),
    case("linked users that the plugin may not read", Powerless, "teleport-users", |bed, config| {
        with_review(bed, config, "")
    }),
    case("an approver whose address no account has", Online, "slack-approvers", |bed, config| {
        let links = with_review(bed, config, "")
            .replace("[review.users]\nU0BOB", "allow_email_username_match = true\n[review.users]\nU0BOB");
        links.replace("approvers = [", "approvers = [\"zoe@example.com\", ")
    }),
    case("an approver whose trait names a guest", Reader, "slack-approvers", |bed, config| {
        bed.slack.put_user(SlackUser::member("U0CAROL", "carol").kind(SlackUserKind::Guest));
        by_trait(bed, config, "carol@example.com")
    }),
    case("an approver without the trait", Reader, "slack-approvers", |bed, config| {
        by_trait(bed, config, "root@example.com")
    }),
    case("a user group that is not there", Online, "slack-approvers", |bed, config| {
        with_review(bed, config, "[[review.rule]]\nroles = \"x\"\napprovers = [\"S0NONE\"]\n")
    }),
    case("a channel that is not there", Online, "slack-recipients", |_, config| recipient(config, "nowhere")),
    case("a channel without the bot", Online, "slack-recipients", |bed, config| {
        bed.slack.kick_bot("C0TEAM");
        config
    }),
    case("an archived channel", Online, "slack-recipients", |bed, config| {
        bed.slack.set_archived("C0TEAM", true);
        config
    }),
    case("an address that no account has", Online, "slack-recipients", |_, config| {
        recipient(config, "zoe@example.com")
    }),
    case("a deactivated person", Online, "slack-recipients", |bed, config| {
        bed.slack.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Deactivated));
        recipient(config, "U0BOB")
    }),
    case("a bot as recipient", Online, "slack-recipients", |bed, config| {
        bed.slack.put_user(SlackUser::member("U0OTHER", "other").kind(SlackUserKind::Bot));
        recipient(config, "U0OTHER")
    }),
    case("a person that the app cannot write to", Online, "slack-recipients", |bed, config| {
        let refused = Fault::Error("user_not_visible".to_owned());
        bed.slack.faults().add(FaultRule::new("conversations.open", refused));
        recipient(config, "bob@example.com")
    }),
    case("a private channel without the scope to see it", Online, "slack-recipients", |bed, config| {
        bed.slack.put_channel(Channel::private("C0HIDDEN", "hidden"));
        bed.slack.remove_scope("channels:read");
        bed.slack.remove_scope("groups:read");
        recipient(config, "C0HIDDEN")
    }),
    case("a channel in which only some may post", Sending, "slack-test-messages", |bed, config| {
        let refused = Fault::Error("restricted_action".to_owned());
        bed.slack.faults().add(FaultRule::new("chat.postMessage", refused));
        config
    }),
    case("a test message that cannot be removed", Sending, "slack-test-messages", |bed, config| {
        let refused = Fault::Error("cant_delete_message".to_owned());
        bed.slack.faults().add(FaultRule::new("chat.delete", refused));
        config
    }),
    case("nothing at public_addr", Online, "callback-address", |bed, config| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write(bed, "own.crt", made.cert.pem());
        write(bed, "own.key", made.signing_key.serialize_pem());
        let files = "https_key_file = \"own.key\"\nhttps_cert_file = \"own.crt\"\n";
        with_callbacks(config, &format!("{files}public_addr = \"https://localhost:1\"\n"))
    }),
    case("a listen address of another machine", Online, "listen-addresses", |_, config| {
        config + "[diagnostics]\nlisten_addr = \"203.0.113.9:9091\"\n"
    }),
    case("a listen address that another program has", Online, "listen-addresses", |bed, config| {
        // Slack's simulator speaks HTTP, and is no teleport-slack.
        let taken = bed.slack.addr();
        format!("{config}[diagnostics]\nlisten_addr = \"{taken}\"\n")
    }),
    case("a listen address that something silent has", Online, "listen-addresses", |_, config| {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap();
        // Until the test ends.
        std::mem::forget(other);
        format!("{config}[diagnostics]\nlisten_addr = \"{taken}\"\n")
    }),
    case("a workspace without blocks.validate", Online, "slack-layouts", |bed, config| {
        let unknown = Fault::Error("unknown_method".to_owned());
        bed.slack.faults().add(FaultRule::new("blocks.validate", unknown));
        config
    }),
];

async fn bed_of(kind: Kind) -> TestBed {
    let workspace: Workspace = workspace().with_socket_mode();
    match kind {
        Offline | Online | Sending => TestBed::with_options(Options::golden(), workspace).await,
        Powerless | Reader => {
            let fixture = Fixture::golden_15("local-site", true);
            let bed = TestBed::with_options(Options::new(ServerVersion::V15, fixture), workspace).await;
            bed.sign_as(if kind == Reader { "plugin-rw" } else { "plugin-list" });
            bed
        }
    }
}

pub(crate) async fn check(path: &Path, offline: bool) -> Report {
    check_with(path, offline, online::Options::default()).await
}

async fn check_with(path: &Path, offline: bool, options: online::Options) -> Report {
    let now = Timestamp::now();
    let facts = Facts::gather(path, false, now);
    let mut items = facts.items(now);
    if let Some(config) = facts.config().filter(|_| !offline) {
        items.extend(online::items(&config, path, options).await);
    }
    Report { items }
}

/// The report on a set-up that is broken in this way.
async fn report(case: &Case) -> (TestBed, Report) {
    let bed = bed_of(case.kind).await;
    let config = (case.change)(&bed, sound(&bed));
    let path = bed.dir.path().join("slack.toml");
    if !path.is_dir() {
        let bytes = config.replace("\u{fffd}BYTE", "\u{1}\u{1}BYTE").into_bytes();
        let bytes: Vec<u8> = bytes.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
        write(&bed, "slack.toml", bytes);
    }
    if config.contains(OPEN) {
        set_mode(&path, 0o666);
    }
    let options = online::Options { send_test: case.kind == Sending };
    let report = check_with(&path, case.kind == Offline, options).await;
    (bed, report)
}

/// The same words in each run: without this run's folder, addresses, times and tokens.
fn stable(bed: &TestBed, text: &str) -> String {
    let text = text
        .replace(bed.dir.path().to_str().unwrap(), "/etc/slack")
        .replace(&bed.teleport.addr().to_string(), "auth.corp.net:3025")
        .replace(&format!("{} is in use", bed.slack.addr()), "127.0.0.1:9091 is in use")
        .replace(&bed.slack.addr().to_string(), "slack.com");
    let words = text.split(' ').map(|word| {
        let is_time = word.len() > 15 && word.starts_with("20") && word.contains('T') && word.contains('Z');
        let is_port = word
            .strip_prefix("127.0.0.1:")
            .is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port >= 10_000));
        match (is_time, is_port) {
            (true, _) => "TIME",
            (_, true) => "127.0.0.1:9091",
            _ => word,
        }
    });
    words.collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// How many items each subject has, of those that an item each is for.
fn count_subjects(report: &Report, id: &str) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for item in report.items.iter().filter(|item| item.id.as_str() == id) {
        *counts.entry(item.subject.clone()).or_insert(0) += 1;
    }
    counts
}

fn row(bed: &TestBed, case: &Case, report: &Report) -> String {
    let plain = output::Style { color: false, unicode: true };
    let is_it = |item: &&Item| item.id.as_str() == case.id && item.problem.is_some();
    let Some(item) = report.items.iter().find(is_it) else {
        panic!("{}: no {} is wrong\n{}", case.name, case.id, output::text(report, plain, 0))
    };
    let counts = count_subjects(report, "slack-recipients");
    assert!(counts.values().all(|count| *count == 1), "{}: {counts:?}", case.name);
    let code = report.exit(false).map_or(0, |exit| exit.code());
    let shown = output::text(&Report { items: vec![item.clone()] }, plain, code);
    let lines: Vec<_> = shown.lines().map(|line| stable(bed, line.trim())).collect();
    let [line, cause, remedy, _] = lines.as_slice() else { panic!("{lines:?}") };
    format!("| {} | {line}<br>{cause}<br>{remedy} | {code} |\n", case.name)
}

#[test]
fn every_broken_set_up_has_its_line_as_the_document_says() {
    run_test(async {
        let mut table = String::from("| broken | what `check` prints | exit status |\n|---|---|---|\n");
        for case in CASES {
            let (bed, report) = report(case).await;
            table += &row(&bed, case, &report);
        }
        let path = repository_root().join("docs/check.md");
        let document = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = document.split_once("<!-- broken set-ups -->\n").unwrap();
        let (now, after) = rest.split_once("<!-- end -->").unwrap();
        if std::env::var_os("UPDATE_CHECK_TABLE").is_some() {
            let new = format!("{before}<!-- broken set-ups -->\n{table}<!-- end -->{after}");
            std::fs::write(&path, new).unwrap();
            return;
        }
        assert!(CASES.len() >= 30);
        assert_eq!(now, table, "UPDATE_CHECK_TABLE=1 writes it");
    });
}

#[test]
fn a_set_up_without_a_fault_has_none() {
    run_test(async {
        let bed = bed_of(Online).await;
        let path = write(&bed, "slack.toml", sound(&bed));
        let report = check(Path::new(&path), false).await;
        let plain = output::Style { color: false, unicode: true };
        assert_eq!(report.exit(true), None, "{}", output::text(&report, plain, 0));
    });
}
