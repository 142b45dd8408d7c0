//! For stories in which people decide in Slack: the configuration, the way for clicks, pressing and being told.

use std::process::Command;
use std::time::Duration;

use access_sim::slack::interactive::forgery::{Alteration, Forgery};
use access_sim::slack::people::ActionOutcome;
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::{Channel, SlackUser, SlackUserKind, Workspace};
use access_sim::teleport::audit::{AuditEvent, AuditKind};
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::request::RequestState;
use access_sim::teleport::{self};

use super::{Daemon, TestBed, field, program, workspace};

/// How long somebody waits for an answer before it counts as none.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// The plugin's user who may also set states.
pub(crate) const PLUGIN_RW: &str = "access-plugin-rw";

/// What is told of a click through another workspace's installation.
pub(crate) const OTHER_INSTALLATION_REPLY: &str = "This came through another Slack workspace than the one that I work for, so nothing was decided; decide the request in Teleport.";
/// What is told of a click on what is none of ours.
pub(crate) const UNKNOWN_ORIGIN_REPLY: &str =
    "This click could not be taken; decide the request in Teleport.";

/// How clicks arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Slack calls the daemon.
    Http,
    /// The daemon calls Slack.
    Socket,
}

/// Everybody is linked by the table, one rule names bob, dave and alice for every role, and no reason is asked for.
pub(crate) const ANY_OF_THREE: &str = r#"
    mode = "resolver"
    [review.users]
    U0ALICE = "alice@example.com"
    U0BOB = "bob@example.com"
    U0CAROL = "carol@example.com"
    U0DAVE = "dave@example.com"
    [[review.rule]]
    roles = ["*"]
    approvers = ["bob@example.com", "dave@example.com", "alice@example.com"]
    reason = "off"
"#;

/// The same, where a reason is asked for: "optional" or "required".
pub(crate) fn with_reason_policy(reason: &str) -> String {
    ANY_OF_THREE.replace("\"off\"", &format!("{reason:?}"))
}

/// The usual people, and those who must not decide; all of them see #team.
pub(crate) fn full_workspace() -> Workspace {
    let external = SlackUserKind::External { team_id: "T0OTHER".to_owned(), stranger: false };
    let everybody = ["U0ALICE", "U0ALICE2", "U0BOB", "U0DAVE", "U0CAROL", "U0GIL", "U0SID", "U0EVE"];
    let mut crowd = workspace()
        .add_user(SlackUser::member("U0ALICE2", "alice2").email("alice@example.com"))
        .add_user(SlackUser::member("U0GIL", "gil").kind(SlackUserKind::Guest))
        .add_user(SlackUser::member("U0SID", "sid").kind(SlackUserKind::SingleChannelGuest))
        .add_user(SlackUser::member("U0EVE", "eve").email("eve@elsewhere.example").kind(external))
        .add_user(SlackUser::member("U0DAN", "dan").kind(SlackUserKind::Deactivated))
        .add_user(SlackUser::member("U0ROBOT", "robot").kind(SlackUserKind::Bot))
        .add_user(SlackUser::member("U0FLOW", "flow").kind(SlackUserKind::WorkflowBot));
    let bot = crowd.bot.user_id.clone();
    crowd.channels.retain(|channel| channel.id != "C0TEAM");
    crowd.with_channel(Channel::public("C0TEAM", "team").with_members(&everybody).with_members(&[&bot]))
}

impl TestBed {
    /// The golden cluster, the crowd, and a plugin that may set states.
    pub(crate) async fn with_review() -> Self {
        let bed = Self::with_options(teleport::Options::golden(), full_workspace()).await;
        bed.sign_as(PLUGIN_RW);
        bed
    }

    /// `tctl auth sign --user=USER --out=auth`.
    pub(crate) fn sign_as(&self, user: &str) {
        let credentials = self.teleport.credentials(user, CertOptions::default());
        credentials.write_tls_files(self.dir.path(), "auth").unwrap();
    }

    /// A configuration in which #team and bob are told, with this `[review]`.
    pub(crate) fn review_config(&self, way: Transport, review: &str) -> String {
        let app = self.slack.app();
        let (key, http) = match way {
            Transport::Http => (
                format!("signing_secret = {:?}", app.signing_secret),
                "[http]\nlisten_addr = \"127.0.0.1:0\"",
            ),
            Transport::Socket => (format!("app_token = {:?}", app.app_token), ""),
        };
        self.config(&format!(
            "recipients = [\"team\", \"bob@example.com\"]\n[review]\nenabled = true\n{key}\n{review}\n{http}"
        ))
    }

    /// Starts the daemon with this configuration and gives Slack the way to it.
    pub(crate) async fn start_with_review(&self, way: Transport, review: &str) -> Daemon {
        self.slack.set_socket_mode(way == Transport::Socket);
        let daemon = self.launch_with_review(&self.review_config(way, review));
        self.until_logged(&daemon, "Ready").await;
        match way {
            Transport::Http => self.slack.set_request_url(Some(&callback_url(self, &daemon).await)),
            Transport::Socket => {
                let sockets = self.slack.sockets();
                self.until(&daemon, "two sockets", || (sockets.count() >= 2).then_some(())).await;
            }
        }
        daemon
    }

    pub(crate) fn launch_with_review(&self, config: &str) -> Daemon {
        let path = self.write_config(config);
        let mut command = Command::new(program());
        Daemon::run(command.arg("start").arg("-c").arg(path).arg("--insecure-no-tls"), &self.slack.token())
    }

    /// Waits until the message about `id` in a place shows and is recorded, so that clicks on it count.
    pub(crate) async fn until_clickable(&self, daemon: &Daemon, place: &str, id: &str) -> MessageView {
        let card = self.until_status(daemon, place, id, "⏳ PENDING").await;
        let name = format!("{}/{}", card.channel, card.ts);
        self.until_recorded(daemon, id, |record| field(record, "messages").contains(&name)).await;
        card
    }

    /// Someone presses a button and goes on if asked; Slack must have been answered in time.
    pub(crate) async fn press(&self, user: &str, card: &MessageView, button: &str) -> ActionOutcome {
        let seen = self.slack.click(user, &card.channel, &card.ts, button).confirmed().await.unwrap();
        assert!(seen.acknowledged(), "{seen:?}");
        seen
    }

    /// Someone presses a button; returns what they alone are told.
    pub(crate) async fn press_for_reply(
        &self,
        daemon: &Daemon,
        user: &str,
        card: &MessageView,
        button: &str,
    ) -> String {
        reply_text(daemon, &self.press(user, card, button).await).await
    }

    /// Waits until the daemon has told of this many clicks, and of no more.
    pub(crate) async fn until_interactions(&self, daemon: &Daemon, count: usize) {
        let told = || daemon.times_logged("Click slack_user=");
        self.until(daemon, &format!("{count} clicks in the log"), || (told() >= count).then_some(())).await;
        assert_eq!(told(), count, "{}", daemon.log());
    }

    /// Someone approves, and it is sent as if it had come through another app: it must be acknowledged, told in the
    /// log, and nothing else.
    pub(crate) async fn assert_ignored(
        &self,
        daemon: &Daemon,
        user: &str,
        card: &MessageView,
        alteration: Alteration,
    ) {
        let seen = self.approve_forged(daemon, user, card, &alteration).await;
        assert!(seen.ephemerals().is_empty(), "what is not ours is not answered: {alteration:?}");
    }

    /// The same through another workspace: the person is told, too.
    pub(crate) async fn assert_rejected_with_reply(
        &self,
        daemon: &Daemon,
        user: &str,
        card: &MessageView,
        alteration: Alteration,
    ) {
        let seen = self.approve_forged(daemon, user, card, &alteration).await;
        assert_eq!(reply_text(daemon, &seen).await, OTHER_INSTALLATION_REPLY, "{alteration:?}");
    }

    async fn approve_forged(
        &self,
        daemon: &Daemon,
        user: &str,
        card: &MessageView,
        alteration: &Alteration,
    ) -> ActionOutcome {
        let logged = || daemon.times_logged("came through another app or workspace");
        let before = logged();
        let click = self.slack.click(user, &card.channel, &card.ts, "approve").confirmed();
        let seen = click.forged(Forgery::altered(alteration.clone())).await.unwrap();
        assert!(seen.acknowledged(), "{alteration:?}");
        self.until(daemon, &format!("a line about {alteration:?}"), || (logged() > before).then_some(()))
            .await;
        seen
    }

    /// Audit lines about `id` beyond its creation.
    pub(crate) fn decision_events(&self, id: &str) -> Vec<AuditEvent> {
        let audit = self.teleport.audit().into_iter();
        audit.filter(|line| line.request_id == id && line.kind != AuditKind::Create).collect()
    }

    /// Nobody decided on, reviewed or voted on `id`.
    pub(crate) fn assert_untouched(&self, daemon: &Daemon, id: &str) {
        let request = self.teleport.request(id).unwrap();
        assert_eq!(request.state, RequestState::Pending, "{}", daemon.log());
        assert!(request.reviews.is_empty(), "{request:?}");
        assert!(self.decision_events(id).is_empty(), "{:?}", self.decision_events(id));
        assert_eq!(field(&self.record(id), "x_votes"), "");
    }

    /// Bob's good click still works, and is all that Teleport's audit log knows of.
    pub(crate) async fn assert_bob_can_approve(&self, daemon: &Daemon, card: &MessageView, id: &str) {
        let seen = self.slack.click("U0BOB", &card.channel, &card.ts, "approve").confirmed().await.unwrap();
        let text = reply_text(daemon, &seen).await;
        assert_eq!(text, "The request is approved.", "{}", daemon.log());
        let decided = self.decision_events(id);
        assert_eq!(decided.len(), 1, "{decided:?}");
        assert_eq!(decided[0].delegator.as_deref(), Some("bob@example.com"));
    }

    /// Stops the daemon in order; it must not have shown what clicks are signed or fetched with.
    pub(crate) async fn stop_and_check_secrets(&self, daemon: Daemon) {
        let log = daemon.stop().await;
        let app = self.slack.app();
        for secret in [app.signing_secret.as_str(), app.app_token.as_str()] {
            assert!(!log.contains(secret), "the log shows {secret}\n{log}");
        }
    }
}

/// A bed with a pending request, clicks over `way`.
pub(crate) async fn start_with_pending(
    way: Transport,
    review: &str,
) -> (TestBed, Daemon, String, MessageView) {
    let bed = TestBed::with_review().await;
    let daemon = bed.start_with_review(way, review).await;
    let id = bed.create_request();
    let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
    (bed, daemon, id, card)
}

/// Where the daemon takes callbacks.
pub(crate) async fn callback_url(bed: &TestBed, daemon: &Daemon) -> String {
    let line = bed.until_logged(daemon, "Starting insecure HTTP server on ").await;
    let address = line.split_once("server on ").unwrap().1.split_whitespace().next().unwrap();
    format!("http://{address}/slack/interactivity")
}

/// What the person is told after what they did.
pub(crate) async fn reply_text(daemon: &Daemon, seen: &ActionOutcome) -> String {
    match seen.ephemeral_within(REPLY_TIMEOUT).await {
        Some(message) => message.text,
        None => panic!("{seen:?} was told nothing\n{}", daemon.log()),
    }
}

/// The dialogue that opens.
pub(crate) async fn opened_modal(
    daemon: &Daemon,
    seen: &ActionOutcome,
) -> access_sim::slack::views::OpenView {
    match seen.modal_within(REPLY_TIMEOUT).await {
        Some(view) => view,
        None => panic!("{seen:?} sees no dialogue: {:?}\n{}", seen.ephemerals(), daemon.log()),
    }
}

/// The buttons on a card, by their action ids.
pub(crate) fn button_ids(card: &MessageView) -> Vec<&str> {
    card.buttons.iter().map(|button| button.action_id.as_str()).collect()
}
