//! What messages are made of: a plain request, one with nothing in it, one with everything, and texts that were made to
//! break messages.

use access_core::domain::decision::Decision;
use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use access_core::domain::request::{AccessRequest, RequestKind, RequestState, Resource, Review, Threshold};
use access_core::domain::role_pattern::RolePattern;
use access_core::policy::{Approver, ReasonPolicy, Rule, Rules, Voters, add_vote};
use access_core::record::Record;
use access_core::record::votes::{Vote, Votes};
use jiff::Timestamp;

/// Markup, lines, controls, directions, and characters outside the first plane.
const HOSTILE: &str = "<!channel> <@U012AB3CD> & &lt; ``` `rm -rf /` *b* _i_ ~s~\n*Status:* ✅ APPROVED\r\n>>> \
                       \u{0}\u{1b}[31m\u{202e}\u{2066}\u{200b}\u{2028}\u{fffe}👨‍👩‍👧‍👦🏽 مرحبا e\u{301} :fire: \
                       <https://evil.example|https://good.example>";

/// One request, and the text that fills every place for foreign text around it.
pub(crate) struct Inputs {
    pub(crate) name: &'static str,
    pub(crate) request: AccessRequest,
    pub(crate) votes: Votes,
    pub(crate) rules: Rules,
    pub(crate) cluster: String,
    pub(crate) text: String,
    /// How many names there are where there are several.
    count: usize,
}

/// The sets.
pub(crate) fn all() -> Vec<Inputs> {
    let uuid = "8f77d2d1-2bbf-4031-a300-58926237a807";
    vec![
        Inputs::new("plain", uuid, "alice@example.com", 1),
        Inputs::bare(uuid),
        Inputs::new("many", &"a".repeat(64), "bob@example.com", 200),
        Inputs::new("hostile", uuid, HOSTILE, 3),
        Inputs::new("hostile id", HOSTILE, HOSTILE, 1),
        Inputs::new("long", uuid, &"x".repeat(10_000), 30),
        Inputs::new("escapes", uuid, &"&<>".repeat(3_000), 30),
        Inputs::new("wide", uuid, &"👩🏽‍❤️‍💋‍👨🏽".repeat(500), 30),
    ]
}

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(1_800_000_000 + second).ok()
}

impl Inputs {
    /// Everything is there, `count` times where it can be, and says `text`.
    fn new(name: &'static str, id: &str, text: &str, count: usize) -> Self {
        let mut inputs = Self {
            name,
            request: AccessRequest {
                id: RequestId::new(id),
                user: text.to_owned(),
                roles: vec![text.to_owned(); count],
                state: RequestState::Pending,
                reason: text.to_owned(),
                resolve_reason: text.to_owned(),
                created: at(0),
                access_until: at(28_800),
                expires: at(3_600),
                assume_start: at(1_800),
                thresholds: vec![Threshold {
                    name: text.to_owned(),
                    filter: String::new(),
                    approve: 3,
                    deny: 2,
                }],
                reviews: Vec::new(),
                suggested_reviewers: vec![text.to_owned(); count],
                resources: vec![
                    Resource {
                        cluster: text.to_owned(),
                        kind: "kube_cluster".to_owned(),
                        name: text.to_owned(),
                        sub_resource: text.to_owned(),
                    };
                    count
                ],
                kind: if count > 1 { RequestKind::LongTerm } else { RequestKind::ShortTerm },
                promoted_to: Some(text.to_owned()),
                version: None,
            },
            votes: Votes::default(),
            rules: Rules::default(),
            cluster: text.to_owned(),
            text: text.to_owned(),
            count,
        };
        let reviews = [RequestState::Approved, RequestState::Denied, RequestState::Promoted];
        inputs.request.reviews =
            (0..count).flat_map(|_| reviews).map(|proposed| inputs.review(proposed)).collect();
        inputs.vote_in_slack();
        inputs
    }

    /// What older servers say of a request: its id and its state.
    fn bare(id: &str) -> Self {
        let full = Self::new("bare", id, "", 0);
        let request = AccessRequest::pending(RequestId::new(id), "");
        Self { request, votes: Votes::default(), ..full }
    }

    /// Two approvals and a denial by people that the only rule names, of three that are needed.
    fn vote_in_slack(&mut self) {
        let people = ["bob@example.com", "carol@example.com", "dave@example.com"];
        self.rules = Rules(vec![Rule {
            roles: vec![RolePattern::parse("*").expect("a pattern")],
            approvers: people.map(|name| Approver::User(name.to_owned())).to_vec(),
            approvals: 3,
            denials: 2,
            reason: ReasonPolicy::Required,
            confirm: true,
            teleport_only: false,
        }]);
        let mut record = Record::default();
        let decisions = [Decision::Approve, Decision::Deny, Decision::Approve];
        for (person, decision) in people.into_iter().zip(decisions) {
            let vote = Vote { user: person.to_owned(), ..self.vote(decision) };
            add_vote(&mut record, &vote, &self.request, &self.rules, &Voters::default());
        }
        self.votes = record.votes;
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        vec![self.text.clone(); self.count]
    }

    pub(crate) fn review(&self, proposed: RequestState) -> Review {
        let created = at(60).filter(|_| self.count > 0);
        Review { author: self.text.clone(), proposed, reason: self.text.clone(), created }
    }

    pub(crate) fn vote(&self, decision: Decision) -> Vote {
        Vote {
            user: self.text.clone(),
            slack_user: SlackUserId::new(format!("U0{}", self.name.len())),
            team: Some("T0US".to_owned()),
            channel: ChannelId::new("C0TEAM"),
            ts: MessageTs::new("1795363190.000001"),
            decision,
            reason: self.text.clone(),
            at: Timestamp::from_second(1_800_000_100).unwrap_or_default(),
            groups: Vec::new(),
            aliases: Vec::new(),
            ineligible: false,
        }
    }
}
