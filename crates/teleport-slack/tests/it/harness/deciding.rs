//! For tests of decisions in Slack: the configuration, the transport of clicks, button presses and replies.

use std::time::Duration;

use access_sim::slack::interactive::forgery::{Alteration, Forgery};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::users::ActionOutcome;
use access_sim::slack::workspace::{Channel, SlackUser, SlackUserKind, Workspace};
use access_sim::teleport::audit::{AuditEvent, AuditKind};
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::request::RequestState;
use access_sim::teleport::{self};

use super::{Daemon, TestBed, field, workspace};

/// How long a test waits for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// The plugin's user who may also set states.
pub(crate) const PLUGIN_RW: &str = "access-plugin-rw";

/// The reply to a click through another workspace's installation.
pub(crate) const OTHER_INSTALLATION_REPLY: &str = "This came through another Slack workspace than the one that I work for, so nothing was decided; decide the request in Teleport.";
/// The reply to a click on a message of unknown origin.
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

/// The table maps every user, one rule names bob, dave and alice for every role, and no reason is required.
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

/// The same with a reason: "optional" or "required".
pub(crate) fn with_reason_policy(reason: &str) -> String {
    ANY_OF_THREE.replace("\"off\"", &format!("{reason:?}"))
}

/// The usual users, and users who must not decide; all of them see #team.
pub(crate) fn full_workspace() -> Workspace {
    let external = SlackUserKind::External { team_id: "T0OTHER".to_owned(), stranger: false };
    let members = ["U0ALICE", "U0ALICE2", "U0BOB", "U0DAVE", "U0CAROL", "U0GIL", "U0SID", "U0EVE"];
    let mut workspace_with_guests = workspace()
        .add_user(SlackUser::member("U0ALICE2", "alice2").email("alice@example.com"))
        .add_user(SlackUser::member("U0GIL", "gil").kind(SlackUserKind::Guest))
        .add_user(SlackUser::member("U0SID", "sid").kind(SlackUserKind::SingleChannelGuest))
        .add_user(SlackUser::member("U0EVE", "eve").email("eve@elsewhere.example").kind(external))
        .add_user(SlackUser::member("U0DAN", "dan").kind(SlackUserKind::Deactivated))
        .add_user(SlackUser::member("U0ROBOT", "robot").kind(SlackUserKind::Bot))
        .add_user(SlackUser::member("U0FLOW", "flow").kind(SlackUserKind::WorkflowBot));
    let bot = workspace_with_guests.bot.user_id.clone();
    workspace_with_guests.channels.retain(|channel| channel.id != "C0TEAM");
    workspace_with_guests
        .with_channel(Channel::public("C0TEAM", "team").with_members(&members).with_members(&[&bot]))
}

impl TestBed {
    /// The golden cluster, the full workspace, and a plugin that may set states.
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

    /// A configuration with #team and bob as recipients, and with this `[review]`.
    pub(crate) fn review_config(&self, transport: Transport, review: &str) -> String {
        let app = self.slack.app();
        let (key, http) = match transport {
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

    /// Starts the daemon with this configuration and connects Slack to it.
    pub(crate) async fn start_with_review(&self, transport: Transport, review: &str) -> Daemon {
        self.slack.set_socket_mode(transport == Transport::Socket);
        let daemon = self.launch_with_review(&self.review_config(transport, review));
        self.until_logged(&daemon, "Ready").await;
        match transport {
            Transport::Http => self.slack.set_request_url(Some(&callback_url(self, &daemon).await)),
            Transport::Socket => {
                let sockets = self.slack.sockets();
                self.until(&daemon, "two sockets", || (sockets.count() >= 2).then_some(())).await;
            }
        }
        daemon
    }

    /// The same with a request of alice's, as soon as its message in #team has buttons that work.
    pub(crate) async fn start_with_buttons(
        &self,
        transport: Transport,
        review: &str,
    ) -> (Daemon, String, MessageView) {
        let daemon = self.start_with_review(transport, review).await;
        let id = self.create_request();
        let message = self.until_clickable(&daemon, "C0TEAM", &id).await;
        (daemon, id, message)
    }

    pub(crate) fn launch_with_review(&self, config: &str) -> Daemon {
        let path = self.write_config(config);
        Daemon::start_insecure(&path, &self.slack.token())
    }

    /// Waits until the message about `id` is shown at a destination and recorded, so that clicks on it count.
    pub(crate) async fn until_clickable(&self, daemon: &Daemon, destination: &str, id: &str) -> MessageView {
        let message = self.until_status(daemon, destination, id, "⏳ PENDING").await;
        let name = format!("{}/{}", message.channel, message.ts);
        self.until_recorded(daemon, id, |record| field(record, "messages").contains(&name)).await;
        message
    }

    /// A user presses a button and confirms if asked; the daemon must acknowledge in time.
    pub(crate) async fn press(&self, user: &str, message: &MessageView, button: &str) -> ActionOutcome {
        let seen = self.slack.click(user, &message.channel, &message.ts, button).confirmed().await.unwrap();
        assert!(seen.acknowledged(), "{seen:?}");
        seen
    }

    /// A user presses a button; returns the reply that only this user sees.
    pub(crate) async fn press_for_reply(
        &self,
        daemon: &Daemon,
        user: &str,
        message: &MessageView,
        button: &str,
    ) -> String {
        reply_text(daemon, &self.press(user, message, button).await).await
    }

    /// Waits until the daemon has logged this many clicks, and no more.
    pub(crate) async fn until_interactions(&self, daemon: &Daemon, count: usize) {
        let logged = || daemon.times_logged("Handled an interaction slack_user=");
        self.until(daemon, &format!("{count} clicks in the log"), || (logged() >= count).then_some(())).await;
        assert_eq!(logged(), count, "{}", daemon.log());
    }

    /// A user approves, and the click is sent as if through another app. The daemon must acknowledge and log it, and do
    /// nothing else.
    pub(crate) async fn assert_ignored(
        &self,
        daemon: &Daemon,
        user: &str,
        message: &MessageView,
        alteration: Alteration,
    ) {
        let seen = self.approve_forged(daemon, user, message, &alteration).await;
        assert!(seen.ephemerals().is_empty(), "a foreign click gets no reply: {alteration:?}");
    }

    /// The same through another workspace: the user gets a reply, too.
    pub(crate) async fn assert_rejected_with_reply(
        &self,
        daemon: &Daemon,
        user: &str,
        message: &MessageView,
        alteration: Alteration,
    ) {
        let seen = self.approve_forged(daemon, user, message, &alteration).await;
        assert_eq!(reply_text(daemon, &seen).await, OTHER_INSTALLATION_REPLY, "{alteration:?}");
    }

    async fn approve_forged(
        &self,
        daemon: &Daemon,
        user: &str,
        message: &MessageView,
        alteration: &Alteration,
    ) -> ActionOutcome {
        let logged = || daemon.times_logged("came through another app or workspace");
        let before = logged();
        let click = self.slack.click(user, &message.channel, &message.ts, "approve").confirmed();
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

    /// `id` has no decision, no review and no vote.
    pub(crate) fn assert_untouched(&self, daemon: &Daemon, id: &str) {
        let request = self.teleport.request(id).unwrap();
        assert_eq!(request.state, RequestState::Pending, "{}", daemon.log());
        assert!(request.reviews.is_empty(), "{request:?}");
        assert!(self.decision_events(id).is_empty(), "{:?}", self.decision_events(id));
        assert_eq!(field(&self.record(id), "x_votes"), "");
    }

    /// Bob's valid click still works, and is all that Teleport's audit log holds.
    pub(crate) async fn assert_bob_can_approve(&self, daemon: &Daemon, message: &MessageView, id: &str) {
        let seen =
            self.slack.click("U0BOB", &message.channel, &message.ts, "approve").confirmed().await.unwrap();
        let text = reply_text(daemon, &seen).await;
        assert_eq!(text, "The request is approved.", "{}", daemon.log());
        let decided = self.decision_events(id);
        assert_eq!(decided.len(), 1, "{decided:?}");
        assert_eq!(decided[0].delegator.as_deref(), Some("bob@example.com"));
    }

    /// Stops the daemon in order; its log must not contain the secrets that sign or fetch clicks.
    pub(crate) async fn stop_and_check_secrets(&self, daemon: Daemon) {
        let log = daemon.stop().await;
        let app = self.slack.app();
        for secret in [app.signing_secret.as_str(), app.app_token.as_str()] {
            assert!(!log.contains(secret), "the log shows {secret}\n{log}");
        }
    }
}

/// A test bed with a pending request and clicks over `transport`.
pub(crate) async fn start_with_pending(
    transport: Transport,
    review: &str,
) -> (TestBed, Daemon, String, MessageView) {
    let bed = TestBed::with_review().await;
    let (daemon, id, message) = bed.start_with_buttons(transport, review).await;
    (bed, daemon, id, message)
}

/// Where the daemon takes callbacks.
pub(crate) async fn callback_url(bed: &TestBed, daemon: &Daemon) -> String {
    let line = bed.until_logged(daemon, "Starting insecure HTTP server on ").await;
    let address = line.split_once("server on ").unwrap().1.split_whitespace().next().unwrap();
    format!("http://{address}/slack/interactivity")
}

/// The reply to a user's action.
pub(crate) async fn reply_text(daemon: &Daemon, seen: &ActionOutcome) -> String {
    match seen.ephemeral_within(REPLY_TIMEOUT).await {
        Some(message) => message.text,
        None => panic!("{seen:?} got no reply\n{}", daemon.log()),
    }
}

/// The modal that opens.
pub(crate) async fn opened_modal(
    daemon: &Daemon,
    seen: &ActionOutcome,
) -> access_sim::slack::views::OpenView {
    match seen.modal_within(REPLY_TIMEOUT).await {
        Some(view) => view,
        None => panic!("{seen:?} sees no modal: {:?}\n{}", seen.ephemerals(), daemon.log()),
    }
}

/// The buttons of a message, by their action ids.
pub(crate) fn button_ids(message: &MessageView) -> Vec<&str> {
    message.buttons.iter().map(|button| button.action_id.as_str()).collect()
}
