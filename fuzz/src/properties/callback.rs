//! The body of a callback, which is a form, and the JSON in it, which Socket Mode sends without the form.
//!
//! Bodies are signed as Slack signs them, so that they take the daemon's only entry.

use std::collections::BTreeMap;

use access_core::domain::decision::MAX_REASON;
use access_core::domain::ids::{ChannelId, MessageTs, RequestId, is_id_charset};
use access_core::interaction::controls::ModalState;
use access_core::interaction::signature::{SignatureError, Verified, verify};
use access_core::interaction::{
    AppInstallation, ButtonPress, Interaction, InvalidPayload, MAX_BODY, Origin, OriginMismatch, Submission,
    check_message,
};
use access_core::policy::check_modal_age;
use access_core::record::Record;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const SENT: &str = "1800000000";

/// For any `body`: it is read only if it is signed, and then like the payload in it. Returns the kind of body.
pub(crate) fn check(body: &[u8]) -> &'static str {
    let signature = sign(body);
    let longer = [body, b"&"].concat();
    for (secret, body) in [("another", body), (SECRET, &longer)] {
        assert_eq!(verified(secret, &signature, body).map(|_| "verified"), Err(SignatureError::Forged));
    }
    let signed = verified(SECRET, &signature, body).expect("it is signed");
    let form = Interaction::parse(&signed);

    let mut payloads = form_urlencoded::parse(body).filter(|(key, _)| key == "payload");
    match (payloads.next(), payloads.next()) {
        (Some((_, payload)), None) if body.len() <= MAX_BODY => {
            assert_eq!(form, payload_of(payload.as_bytes()));
            check_payload(payload.as_bytes())
        }
        _ => {
            assert!(form.is_err(), "{form:?}");
            check_payload(body)
        }
    }
}

/// The value of `X-Slack-Signature`.
fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    for part in [b"v0:", SENT.as_bytes(), b":", body] {
        mac.update(part);
    }
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v0={digits}")
}

fn verified<'a>(secret: &str, signature: &str, body: &'a [u8]) -> Result<Verified<'a>, SignatureError> {
    let now = Timestamp::from_second(1_800_000_060).unwrap();
    verify(secret.as_bytes(), Some(SENT.as_bytes()), Some(signature.as_bytes()), body, now)
}

fn payload_of(json: &[u8]) -> Result<Interaction, InvalidPayload> {
    Interaction::parse(&Verified::from_socket(json))
}

/// For any payload: the parsed part is bounded and classified, and it passes `check_message` only if all of it matches.
/// Returns the kind of payload.
pub(crate) fn check_payload(json: &[u8]) -> &'static str {
    let read = payload_of(json);
    match &read {
        Ok(interaction) => {
            check_bounds(interaction);
            check_belonging(interaction);
        }
        Err(malformed) => {
            assert!(malformed.sender.iter().all(|sender| is_id_charset(sender.user.as_str())));
            assert!(malformed.to_string().len() < 100);
        }
    }
    if json.len() <= MAX_BODY {
        check_secrecy(json, &read);
    }
    match read {
        Ok(Interaction::ButtonPress(_)) => "click",
        Ok(Interaction::Submission(_)) => "submission",
        Ok(Interaction::Ignored(_)) => "ignored",
        Err(_) => "malformed",
    }
}

fn check_bounds(interaction: &Interaction) {
    let named = match interaction {
        Interaction::ButtonPress(click) => {
            let ButtonPress {
                origin, user, request, channel, ts, action_ts, trigger_id, response_url, ..
            } = click;
            check_ids(origin, &[user.as_str(), channel.as_str(), ts.as_str(), action_ts]);
            check_ticket(trigger_id.as_deref());
            check_ticket(response_url.as_ref().map(|url| url.expose()));
            Some(request)
        }
        Interaction::Submission(Submission { origin, user, modal, reason, view_id }) => {
            check_ids(origin, &[user.as_str(), view_id, modal.channel.as_str(), modal.ts.as_str()]);
            assert!(reason.chars().count() <= MAX_REASON && reason.trim() == reason);
            let metadata = modal.encode().expect("what was read can be written");
            assert!(metadata.len() < 1_000, "{metadata}");
            assert_eq!(ModalState::decode(&metadata).as_ref(), Some(modal));
            // Old, new, or from a year out of range.
            let _ = check_modal_age(modal, Timestamp::from_second(1_800_000_000).unwrap());
            Some(&modal.request)
        }
        Interaction::Ignored(_) => None,
    };
    assert!(named.is_none_or(|request| request.as_token().is_some()));
    assert_eq!(interaction.request(), named);
    assert_eq!(interaction.key().is_some(), named.is_some());
    assert!(format!("{interaction:?}").len() < 20_000);
}

fn check_ids(origin: &Origin, ids: &[&str]) {
    let origins = [&origin.app_id, &origin.team_id, &origin.installed_team_id, &origin.enterprise_id];
    let origins = origins.into_iter().flatten();
    for id in ids.iter().copied().chain(origins.map(String::as_str)) {
        assert!(is_id_charset(id), "{id:?}");
    }
}

fn check_ticket(ticket: Option<&str>) {
    assert!(ticket.is_none_or(|ticket| (1..=1_000).contains(&ticket.len())));
}

/// It passes `check_message` for the app, the workspace and the message that it names, if it names all of them, and for
/// no other.
fn check_belonging(interaction: &Interaction) {
    let (origin, request, channel, ts) = match interaction {
        Interaction::ButtonPress(click) => (&click.origin, &click.request, &click.channel, &click.ts),
        Interaction::Submission(Submission { origin, modal, .. }) => {
            (origin, &modal.request, &modal.channel, &modal.ts)
        }
        Interaction::Ignored(_) => {
            assert_eq!(
                check_message(interaction, &our_app(&Origin::default(), false), &Record::default()),
                Err(OriginMismatch::Message)
            );
            return;
        }
    };
    let its = record_of(request, channel, ts);
    for is_org_install in [false, true] {
        let our = our_app(origin, is_org_install);
        let installed = origin.installed_team_id.as_ref().or(origin.team_id.as_ref());
        let installed_id = if is_org_install { origin.enterprise_id.as_ref() } else { installed };
        let expected = match (&origin.app_id, installed_id) {
            (None, _) => Err(OriginMismatch::App),
            (Some(_), None) => Err(OriginMismatch::Workspace),
            (Some(_), Some(_)) => Ok(()),
        };
        assert_eq!(check_message(interaction, &our, &its), expected);

        let mut others = vec![Record::default()];
        others.push(record_of(&RequestId::new("another request"), channel, ts));
        others.push(record_of(request, &ChannelId::new("another-channel"), ts));
        for other in others {
            assert_eq!(check_message(interaction, &our, &other), expected.and(Err(OriginMismatch::Message)));
        }
        let other_app = AppInstallation { app_id: "another app".into(), ..our.clone() };
        assert_eq!(check_message(interaction, &other_app, &its), Err(OriginMismatch::App));
        let elsewhere = "another id".to_owned();
        let other_installation =
            AppInstallation { team_id: elsewhere.clone(), enterprise_id: Some(elsewhere), ..our };
        assert!(check_message(interaction, &other_installation, &its).is_err());
    }
}

fn our_app(origin: &Origin, is_org_install: bool) -> AppInstallation {
    AppInstallation {
        app_id: origin.app_id.clone().unwrap_or_else(|| "A0OURS".into()),
        team_id: origin
            .installed_team_id
            .clone()
            .or_else(|| origin.team_id.clone())
            .unwrap_or_else(|| "T0US".into()),
        enterprise_id: origin.enterprise_id.clone(),
        is_org_install,
    }
}

fn record_of(request: &RequestId, channel: &ChannelId, ts: &MessageTs) -> Record {
    let data = [("user", "alice".to_owned()), ("messages", format!("{channel}/{ts}"))];
    let data = BTreeMap::from(data.map(|(key, value)| (key.to_owned(), value)));
    Record::decode(request, &data).0
}

/// The output of a click does not depend on the one-time address. A malformed payload keeps none.
fn check_secrecy(json: &[u8], read: &Result<Interaction, InvalidPayload>) {
    let Ok(Interaction::ButtonPress(click)) = read else { return };
    if click.response_url.is_some() {
        let mut payload: Value = serde_json::from_slice(json).unwrap();
        payload["response_url"] = "https://hooks.slack.com/actions/secret".into();
        let Ok(Interaction::ButtonPress(now)) = payload_of(&serde_json::to_vec(&payload).unwrap()) else {
            panic!("another address made something else of {click:?}")
        };
        assert_eq!(format!("{now:?}"), format!("{click:?}"));
    }
}
