//! Three figures, printed for people (`cargo test --test it figures -- --nocapture`) and never asserted: machines
//! differ.

use std::time::{Duration, Instant};

use access_sim::teleport::Options;
use access_sim::teleport::fixture::{Fixture, Role};
use access_sim::teleport::request::NewRequest;

use crate::harness::*;

/// Timed requests, each in a channel of its own so that Slack's limits do not matter.
const REQUESTS: usize = 50;

#[test]
fn three_figures() {
    run_test(async {
        let mut fixture = Fixture::golden();
        let mut workspace = workspace();
        let mut rules = "[role_to_recipients]\n".to_owned();
        for n in 0..REQUESTS {
            fixture.roles.push(Role { name: format!("prod-{n}"), ..Role::default() });
            workspace = workspace.add_channel(&format!("C0N{n}"), &format!("n{n}"));
            rules += &format!("prod-{n} = \"C0N{n}\"\n");
        }
        let bed = TestBed::with_options(Options { fixture, ..Options::golden() }, workspace).await;

        let begun = Instant::now();
        let daemon = bed.start(&rules).await;
        let start = begun.elapsed();
        let memory = resident_kib(daemon.pid());

        let mut delays = Vec::new();
        for n in 0..REQUESTS {
            let channel = format!("C0N{n}");
            let id = bed.create_request_with(NewRequest::roles(&[&format!("prod-{n}")], "to be timed"));
            bed.until_status(&daemon, &channel, &id, "⏳ PENDING").await;
            let emissions = bed.teleport.call_log().emissions();
            let announced = emissions.iter().find(|emission| emission.request_id == id).unwrap().instant;
            let posts = bed.slack.calls_of("chat.postMessage");
            let post = posts.iter().find(|call| call.channel.as_deref() == Some(&*channel)).unwrap();
            delays.push(post.at.into_std().duration_since(announced));
        }
        daemon.stop().await;
        delays.sort();
        let median = delays[REQUESTS / 2];
        assert!(memory > 0 && median > Duration::ZERO && start > Duration::ZERO);
        assert_eq!(bed.slack.all_messages().len(), REQUESTS);
        println!(
            "event on the wire to chat.postMessage at Slack: median {:.1} ms, slowest {:.1} ms of {REQUESTS}\n\
             memory after start: {:.1} MiB resident\n\
             start to ready: {:.0} ms",
            median.as_secs_f64() * 1e3,
            delays[REQUESTS - 1].as_secs_f64() * 1e3,
            f64::from(memory) / 1024.0,
            start.as_secs_f64() * 1e3,
        );
    });
}

/// `VmRSS`: the resident memory of a process.
pub(crate) fn resident_kib(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
