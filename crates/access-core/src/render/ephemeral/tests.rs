use super::*;
use crate::render::answers::{Names, all_accepted, all_refusals};
use crate::render::tests::hostile::{assert_nothing_styled, hostile};
use crate::render::tests::oracle::validate;

fn every_refusal(text: &str) -> Vec<Refusal> {
    let deciders = [text.to_owned(), "carol@example.com".to_owned()];
    all_refusals(&Names {
        user: text,
        other_case: text,
        role: text,
        deciders: &deciders,
        reason: text,
        cluster: text,
        other_cluster: text,
    })
}

#[test]
fn each_refusal_has_one_sentence_of_its_own() {
    let sentences: Vec<_> =
        every_refusal("bob@example.com").iter().map(|refusal| refused(refusal).text().to_owned()).collect();
    insta::assert_snapshot!(sentences.join("\n"), @r"
    This request was already approved by bob@example.com, carol@example.com (bob@example.com); nothing was changed.
    This request was already denied; nothing was changed.
    This request already has enough approvals and is being updated in Teleport; nothing was changed.
    This request has expired; nothing was changed.
    This request no longer exists in Teleport; nothing was changed.
    This request became membership of an access list; there is nothing left to decide.
    This request is for lasting access; decide it in Teleport's web UI.
    You already approved this request in Slack; that cannot be changed.
    You already denied this request in Teleport; that cannot be changed.
    This is your own request; somebody else must decide it.
    You may not decide on role “bob@example.com” in Slack: its rule names bob@example.com, carol@example.com.
    No rule lets anybody decide on role “bob@example.com” in Slack; decide it in Teleport.
    This request names no role, so no rule applies to it; decide it in Teleport.
    Only this request's suggested reviewers may decide it in Slack: bob@example.com, carol@example.com.
    Only suggested reviewers may decide in Slack, and this request has none; decide it in Teleport.
    The rules leave this role to Teleport; open the request there to decide it.
    Deciding in Slack is not possible for this cluster; decide it in Teleport.
    Teleport does not let me submit a review for you (“bob@example.com”), so nothing was changed; decide it in Teleport.
    This role cannot be decided without a reason; nothing was changed.
    Your Slack account is linked to no Teleport user, so nothing was changed; if you use single sign-on, sign in to Teleport once and try again, else an administrator can link it.
    Your Slack account is linked to no Teleport user, so nothing was changed; an administrator can link it.
    Your Slack account does not lead to exactly one Teleport user (bob@example.com, carol@example.com); an administrator must correct the links.
    Your Teleport user “bob@example.com” has expired; sign in to Teleport once and try again.
    Teleport knows no user “bob@example.com” (capitals count); if you use single sign-on, sign in to Teleport once and try again.
    Your Slack account leads to “bob@example.com”, but Teleport's user is called “bob@example.com”: capitals count, so nothing was changed; an administrator can link your account to that user.
    The rule for role “bob@example.com” names “bob@example.com”, but you are “bob@example.com” in Teleport: capitals count, so nothing was changed; an administrator must correct the rule.
    This request suggests “bob@example.com”, but you are “bob@example.com” in Teleport: capitals count, so nothing was changed; decide it in Teleport.
    I may not read Teleport's users, so I cannot tell who you are there; an administrator must allow it.
    Your e-mail address is not confirmed in Slack; confirm it and try again.
    Teleport does not let you review this request; nothing was changed.
    Teleport did not accept the decision; nothing was changed.
    Nothing was changed, because Teleport asks me for a second factor (WebAuthn), which no program has; an administrator must have my certificate made by Machine ID (tbot) or signed on the auth server itself, or you decide it in Teleport.
    Teleport does not answer, so nothing was decided; try again in a minute.
    Teleport does not let me do what this needs, so nothing was decided; an administrator must look at my Teleport user, its role and its certificate.
    Slack does not tell who you are, so nothing was decided; try again in a minute.
    Slack does not let me read who people are, so nothing was decided; an administrator must look at the Slack app and its token.
    The Slack app lacks the scope users:read, so Slack does not tell me who may decide, and nothing was decided; an administrator must add it to the app and install the app again.
    Slack does not answer who is in a user group that the rules name, so nothing was decided; try again in a minute.
    Slack does not let me read a user group that the rules name, so nothing was decided; an administrator must look at the rules and at the app's scopes.
    Teleport gives this request the state 7, which this version of teleport-slack does not know, so nothing was decided; decide it in Teleport.
    This request is of the kind -7, which this version of teleport-slack does not know, so nothing was decided; decide it in Teleport.
    Teleport has a review of this request that says -2147483648, which this version of teleport-slack does not know, so nothing was decided; decide it in Teleport.
    A user group that the rules name is gone from Slack, so I cannot tell whether you may decide; an administrator must correct the rules.
    Slack does not tell whether those who voted before you still may, so nothing was decided; try again in a minute.
    Others denied this before, and their Slack account or user group is gone since, so nobody can tell whether their denials still count: nothing was approved; decide it in Teleport.
    This took too long and was canceled, so nothing was decided; try again.
    This is not one of the request's current messages; use a newer one, or Teleport.
    This message is of the Teleport cluster “bob@example.com”, and I work for “bob@example.com”, so nothing was decided; press again, or decide it in Teleport, and tell an administrator: both clusters use one Slack app, so Slack hands a click to either, and each cluster needs a Slack app of its own.
    The form was open for too long, so nothing was decided; press the button again.
    This click could not be taken; decide the request in Teleport.
    This came through another Slack workspace than the one that I work for, so nothing was decided; decide the request in Teleport.
    Too many people decide at this moment, so nothing was decided; try again in a minute.
    I was interrupted while I worked on this; look at the message to see whether it counted, and try again if it did not.
    This request's votes cannot be read or are full, so nothing was counted; decide it in Teleport.
    Slack reports a different account; nothing was changed.
    Your Slack account is deactivated; it cannot decide on access.
    Slackbot cannot decide on access.
    A workflow cannot decide on access.
    A connector cannot decide on access.
    A bot cannot decide on access.
    Single-channel guests cannot decide on access.
    Guests cannot decide on access.
    People from outside this Slack workspace cannot decide on access.
    Your Slack account belongs to another workspace; it cannot decide on access here.
    Your Slack account was never signed in to; it cannot decide on access.
    ");
    for sentence in &sentences {
        assert!(sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
        assert_eq!(sentence.matches(". ").count(), 0, "{sentence}");
    }
    let mut distinct = sentences.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), sentences.len());
    let kinds: std::collections::BTreeSet<_> = every_refusal("x").iter().map(Refusal::kind).collect();
    assert_eq!(
        kinds.len(),
        sentences.len() - 9,
        "each has a word for the log; nine sentences are a second or third one"
    );
    assert_eq!(kinds, Refusal::KINDS.into());
}

#[test]
fn only_what_could_not_be_asked_says_nothing_of_the_person() {
    let refusals = every_refusal("x");
    let indeterminate = refusals.iter().filter(|refusal| refusal.is_indeterminate()).map(Refusal::kind);
    let expected = [
        "groups_unreadable",
        "scope_missing",
        "slack_forbids",
        "slack_unreachable",
        "teleport_forbids",
        "teleport_unreachable",
        "timeout",
        "users_unreadable",
        "voters_unreadable",
    ];
    assert_eq!(indeterminate.collect::<std::collections::BTreeSet<_>>(), expected.into());
}

#[test]
fn hostile_names_stay_on_their_line_and_within_the_limits() {
    for text in [
        "<!channel>\n*You are root*",
        "`x`",
        &"&".repeat(100_000),
        "\u{202e}bob",
        "<https://evil.example|ok>",
    ] {
        for refusal in every_refusal(text) {
            let judged = validate(&refused(&refusal));
            assert!(!judged.text.contains('\n') && judged.blocks.is_empty(), "{}", judged.text);
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_refusal_is_within_the_rules(text in hostile()) {
        for refusal in every_refusal(&text) {
            let judged = validate(&refused(&refusal));
            assert_nothing_styled(&judged);
            assert!(judged.blocks.is_empty() && !judged.text.contains('\n'), "{}", judged.text);
        }
    }
}

#[test]
fn accepted_decisions_are_answered() {
    let tally = Tally { approvals: 1, approvals_needed: 2, denials: 1, denials_needed: 3 };
    use Decision::{Approve, Deny};
    let all = [
        Accepted::Reviewed(Approve),
        Accepted::Counted(Approve, tally),
        Accepted::Counted(Deny, tally),
        Accepted::Resolved(Deny),
        Accepted::Pending(Approve),
        Accepted::NotApplied(Approve),
        Accepted::LacksSecondFactor(Approve),
        Accepted::Unconfirmed(Deny),
    ];
    let kinds = all_accepted(tally).iter().map(Accepted::kind).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(kinds, Accepted::KINDS.into());
    let sentences = all.map(|what| validate(&accepted(what)).text).join("\n");
    insta::assert_snapshot!(sentences, @r"
    Your approval is recorded in Teleport; the request waits for more reviews.
    Your approval counts: 1 of 2 approvals.
    Your denial counts: 1 of 3 denials.
    The request is denied.
    Your approval is recorded, but Teleport does not answer; the request will be approved as soon as it does.
    Your approval is recorded, but Teleport does not let me carry it out; an administrator must allow it, or decide the request in Teleport.
    Your approval is recorded, but Teleport asks me for a second factor (WebAuthn), which no program has; an administrator must have my certificate made by Machine ID (tbot) or signed on the auth server itself, or decide the request in Teleport.
    Teleport did not confirm your denial in time; watch the message, it shows what counted.
    ");
}
