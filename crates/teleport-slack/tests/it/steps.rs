//! The log at DEBUG says each step of a request's way, and each of these lines has the request's id.

use crate::harness::deciding::*;
use crate::harness::*;

/// The steps, in their order.
const WAY: [&str; 6] = [
    "DEBUG Received the request from the watch",
    "DEBUG Claimed the request",
    "INFO  Posted the request",
    "DEBUG Recorded the request",
    "DEBUG Received an interaction",
    "INFO  Updated the message",
];

#[test]
fn the_log_at_debug_has_each_step_of_a_request_by_its_id() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Socket, ANY_OF_THREE).await;
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_status(&daemon, destination, &id, "✅ APPROVED").await;
        }
        let log = daemon.stop().await;
        let request = format!("request={id}");
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&request)).collect();
        let steps = lines.join("\n");
        let mut rest = lines.iter();
        for step in WAY {
            // Lines of other steps may come between.
            assert!(rest.any(|line| line.contains(step)), "{step} is not there in its turn:\n{steps}");
        }
        // These have no turn of their own: the watch may show a decision before the call that made it returns.
        let others = [
            "DEBUG Looked up the recipient",
            "DEBUG Teleport took the decision",
            "INFO  Handled an interaction",
        ];
        for step in others {
            assert!(lines.iter().any(|line| line.contains(step)), "{step} is not there:\n{steps}");
        }
    });
}
