//! People's names in Slack stand beside their ids, made safe, and without a call for them.

use access_sim::slack::workspace::SlackUser;

use crate::harness::deciding::*;
use crate::harness::*;

#[test]
fn a_name_stands_beside_the_id_and_never_instead() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let mut bob = SlackUser::member("U0BOB", "bob");
        bob.name = "Bob\n ERROR \u{202e}xoxb-1-2-abc".to_owned();
        bed.slack.put_user(bob);
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, ANY_OF_THREE).await;
        let posted = bed.until(&daemon, "the direct message", || {
            let log = daemon.log();
            log.lines()
                .find(|line| line.contains("Posted the request") && line.contains("name="))
                .map(str::to_owned)
        });
        let posted = posted.await;
        assert!(posted.contains(&format!("request={id} recipient=")), "{posted}");
        assert!(posted.contains("name=\"Bob ERROR [secret]\" channel=D"), "{posted}");

        bed.press("U0BOB", &message, "approve").await;
        let line = bed.until_logged(&daemon, "Handled an interaction slack_user=").await;
        assert!(
            line.contains("slack_user=U0BOB name=\"Bob ERROR [secret]\" teleport_user=bob@example.com"),
            "{line}"
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}
