//! `teleport-slack resources`: what the built program prints, and that the simulated Teleport lets a plugin with exactly
//! these rights do all that the configuration switches on, and no right of them is idle.

use std::fs;
use std::process::{Command, Stdio};

use access_sim::teleport::fixture::{Conditions, Fixture, Rule};
use access_sim::teleport::{Options, ServerVersion};
use teleport_client::resources::{Rights, RoleVersion, rights, role_yaml, user_yaml};
use teleport_slack::check::output;
use teleport_slack::check::report::{Item, ItemId, Report, Status};
use teleport_slack::cli::resources::features;
use teleport_slack::config;

use crate::check_table::check;
use crate::harness::deciding::*;
use crate::harness::*;
use crate::rules::repository_root;

/// Exit status, standard output, standard error; without any environment.
fn resources(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(program());
    command.arg("resources").args(arguments).stdin(Stdio::null());
    let output = command.env_clear().output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn printed(arguments: &[&str]) -> String {
    let (status, text, errors) = resources(arguments);
    assert_eq!((status, errors.as_str()), (0, ""), "{arguments:?}");
    text
}

/// Gives the plugin's role these rights and no others.
fn grant(bed: &TestBed, rights: &Rights) {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let rules = rights.rules.iter();
    let rules = rules.map(|rule| Rule { resources: texts(&[rule.resource]), verbs: texts(rule.verbs) });
    let allow = Conditions {
        rules: rules.collect(),
        submit_for_users: rights.submit_for_users.clone(),
        ..Conditions::default()
    };
    bed.teleport.edit_fixture(|fixture| {
        let role = fixture.role_mut("access-plugin").unwrap();
        (role.allow, role.deny) = (allow, Conditions::default());
    });
}

/// Every way to take away one right, with the words that must name it.
fn each_without_one(rights: &Rights) -> Vec<(String, Rights)> {
    let mut all = Vec::new();
    for (place, rule) in rights.rules.iter().enumerate() {
        for verb in rule.verbs {
            let mut fewer = rights.clone();
            let left: Vec<_> = rule.verbs.iter().copied().filter(|other| other != verb).collect();
            fewer.rules[place].verbs = left.leak();
            all.push((format!("{}: {verb}", rule.resource), fewer));
        }
    }
    for place in 0..rights.submit_for_users.len() {
        let mut fewer = rights.clone();
        fewer.submit_for_users.remove(place);
        all.push(("submit_for_users: ".to_owned(), fewer));
    }
    all
}

/// Whether a line names this right, as in `access_request: list`: as missing, or as what would show the users.
fn names(report: &Report, right: &str) -> bool {
    let (resource, verb) = right.split_once(": ").unwrap();
    let shows_users = format!("{{resources: ['{resource}'], verbs: ['{verb}']}}");
    report.items.iter().any(|item| {
        let is_it = item.subject.starts_with(resource) && item.subject.contains(verb);
        let remedy = item.problem.as_ref().map_or("", |problem| &problem.remedy);
        item.id == ItemId::TeleportRights && item.status == Status::Failed && is_it
            || item.id == ItemId::TeleportUsers && remedy.contains(&shows_users)
    })
}

/// The rights printed for this `[review]` let a request be shown, and decided if `decides`; each of them is needed, but for
/// `idle`.
async fn are_the_fewest(options: Options, review: Option<&str>, idle: &[&str]) -> Rights {
    let bed = TestBed::with_options(options, full_workspace().with_socket_mode()).await;
    let text = match review {
        Some(review) => bed.review_config(Transport::Socket, review),
        None => bed.config("recipients = [\"team\", \"bob@example.com\"]"),
    };
    let path = bed.write_config(&text);
    let features = features(&config::load(&path).unwrap().config);
    let yaml = printed(&["-c", path.to_str().unwrap()]);
    assert!(yaml.contains(&role_yaml(&features, RoleVersion::V4)) && yaml.ends_with(&user_yaml()), "{yaml}");
    let rights = rights(&features);
    grant(&bed, &rights);

    let report = check(&path, false).await;
    let plain = output::Style { color: false, unicode: true };
    let shown = |report: &Report| output::text(report, plain, 0);
    // All of Teleport can be looked at. That a user is not there is no matter of rights.
    let is_seen = |item: &Item| match item.id {
        ItemId::TeleportRights => item.status == Status::Ok,
        ItemId::TeleportUsers => item.summary != "not looked at",
        _ => true,
    };
    assert!(report.items.iter().all(is_seen), "{}", shown(&report));
    assert_eq!(report.count(Status::Failed), 0, "{}", shown(&report));
    for (right, fewer) in each_without_one(&rights) {
        grant(&bed, &fewer);
        let report = check(&path, false).await;
        assert_eq!(names(&report, &right), !idle.contains(&right.as_str()), "{right}\n{}", shown(&report));
    }

    grant(&bed, &rights);
    match review {
        None => {
            let daemon = bed.launch(&text);
            let id = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
            bed.approve(&id);
            let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
            bed.until_replies(&daemon, &message, 1).await;
            daemon.stop().await;
        }
        Some(review) => {
            let (daemon, id, message) = bed.start_with_buttons(Transport::Socket, review).await;
            let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            assert_eq!(reply, "The request is approved.", "{}", daemon.log());
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
            bed.stop_and_check_secrets(daemon).await;
        }
    }
    rights
}

/// Teleport takes this right for the one beside it, for compatibility; so it stays when the other one goes.
const COVERED: &str = "access_plugin_data: update";

#[test]
fn notifying_works_with_the_printed_rights_and_not_with_fewer() {
    run_in_process(async {
        for version in [ServerVersion::V6, ServerVersion::V15_3, ServerVersion::V18] {
            are_the_fewest(Options::new(version, Fixture::golden()), None, &[]).await;
        }
    });
}

#[test]
fn the_rules_decide_with_the_printed_rights_and_not_with_fewer() {
    run_in_process(async {
        are_the_fewest(Options::golden(), Some(ANY_OF_THREE), &[COVERED]).await;
        let (_, rules) = ANY_OF_THREE.split_once("[[review.rule]]").unwrap();
        let by_trait = format!("slack_user_id_trait = \"slack_uid\"\n[[review.rule]]{rules}");
        let options = Options::new(ServerVersion::V15, Fixture::golden_15("local-site", false));
        let rights = are_the_fewest(options, Some(&by_trait), &[COVERED]).await;
        assert_eq!(rights.rules.len(), 3);
    });
}

#[test]
fn teleport_decides_with_the_printed_rights_and_not_with_fewer() {
    run_in_process(async {
        let enterprise = || Options {
            advanced_access_workflows: true,
            ..Options::new(ServerVersion::V18, Fixture::golden())
        };
        let table = "[review.users]\nU0BOB = \"bob@example.com\"\nU0DAVE = \"dave@example.com\"\n";
        let rights = are_the_fewest(enterprise(), Some(table), &[]).await;
        assert_eq!(rights.submit_for_users, [BOB, DAVE]);
        let by_address = "mode = \"reviewer\"\nallow_email_username_match = true\nignore_email_case = true\n";
        let rights = are_the_fewest(enterprise(), Some(by_address), &[]).await;
        assert_eq!(rights.submit_for_users, ["*"]);
    });
}

#[test]
fn without_a_configuration_the_mode_says_what_the_role_is_for() {
    let of = |mode: &str| printed(&["--mode", mode]);
    assert!(!of("notify").contains("'list', 'read', 'update'"));
    assert!(of("resolver").contains("verbs: ['list', 'read', 'update']"));
    assert!(of("reviewer").contains("submit_for_users: [\"*\"]"));
    assert!(printed(&["--mode=resolver", "--list-users"]).contains("resources: ['user']"));
    for (release, version) in [("6", "v3"), ("7", "v4"), ("18", "v7")] {
        let yaml = printed(&["--mode=notify", "--teleport-version", release]);
        assert!(yaml.contains(&format!("kind: role\nversion: {version}\n")), "{yaml}");
    }
    let role = printed(&["--mode=notify", "--print=role"]);
    assert!(role.contains("kind: role") && !role.contains("kind: user"), "{role}");
}

#[test]
fn tbot_writes_where_the_configuration_looks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    let of = |identity: &str| {
        let head = "[slack]\ntoken = \"\"\nrecipients = [\"team\"]\n[teleport]\naddr = \"auth.corp.net\"\n";
        fs::write(&path, format!("{head}{identity}")).unwrap();
        printed(&["-c", path.to_str().unwrap(), "--print=tbot"])
    };
    let yaml = of("identity = \"/srv/slack/auth_id\"\n");
    assert!(yaml.contains("# teleport-slack write: identity = \"/srv/slack/identity\"\n"), "{yaml}");
    assert!(yaml.contains("auth_server: \"auth.corp.net:3025\"\n"), "{yaml}");
    assert!(yaml.contains("      path: \"/srv/slack\"\n"), "{yaml}");
    let hostile = of("identity = '/srv/a\\\"b/auth_id'\n");
    assert!(hostile.contains("      path: \"/srv/a\\\\\\\"b\"\n"), "{hostile}");
    assert!(hostile.contains("identity = \"/srv/a\\\\\\\"b/identity\"\n"), "{hostile}");
    let head = "[slack]\ntoken = \"\"\nrecipients = [\"team\"]\n[teleport]\naddr = \"teleport.corp.net:443\"\nidentity = \"/a/b\"\n";
    fs::write(&path, head).unwrap();
    let proxied = printed(&["-c", path.to_str().unwrap(), "--print=tbot"]);
    assert!(proxied.contains("\nproxy_server: \"teleport.corp.net:443\"\n"), "{proxied}");
    assert!(!proxied.contains("\nauth_server:") && !proxied.contains(" ca_pins:"), "{proxied}");
    assert!(
        printed(&["--mode=notify", "--print=tbot"]).contains("path: \"/var/lib/teleport/plugins/slack\"\n")
    );
}

#[test]
fn a_mistake_is_refused_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    fs::write(&path, "[teleport]\naddr = \"a:x\"\n[slack]\ntoken = \"xoxb-11xx\"\n").unwrap();
    let (status, text, errors) = resources(&["-c", path.to_str().unwrap()]);
    assert_eq!((status, text.as_str()), (78, ""), "{errors}");
    assert!(errors.contains("teleport.addr") && !errors.contains("xoxb-11xx"), "{errors}");
    for (given, words) in [
        ("15.1.9", "only the major release is wanted: 15"),
        ("v15.1", "only the major release is wanted: 15"),
        ("new", "the number of a major release is wanted, 6 or later, such as 18"),
        ("5", "6 or later"),
    ] {
        let (status, _, errors) = resources(&["--mode=notify", "--teleport-version", given]);
        assert!(status == 2 && errors.contains(words), "{given}: {status} {errors}");
    }
    let missing = dir.path().join("none.toml");
    let (status, _, errors) = resources(&["-c", missing.to_str().unwrap()]);
    assert_eq!(status, 78, "{errors}");
    for wrong in [
        &["--mode=notify", "-c", "c.toml"][..],
        &["--list-users"],
        &["--mode=all"],
        &["--mode=notify", "--teleport-version=5"],
    ] {
        assert_eq!(resources(wrong).0, 2, "{wrong:?}");
    }
}

/// The blocks of YAML in a document.
fn blocks(document: &str) -> Vec<String> {
    let text = fs::read_to_string(repository_root().join(document)).unwrap();
    let blocks = text.split("```yaml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_document_shows_what_the_program_prints() {
    let expected = [printed(&["--mode=notify"]), printed(&["--mode=notify", "--print=tbot"])];
    assert_eq!(blocks("docs/teleport.md"), expected);
    assert_eq!(blocks("README.md"), Vec::<String>::new(), "the program prints them");
}
