//! Who is owed the message of a decided request, whichever name the configuration has for them by now.

use std::collections::BTreeSet;

use super::skip::SkipReason;
use super::{PlanInput, is_decided};
use crate::domain::known_ids::KnownIds;
use crate::domain::recipients::{Recipient, RecipientKey, RecipientList};
use crate::record::{Outcome, Record};

/// The recipients who had no message when the request was decided.
#[derive(Clone, Debug)]
pub(super) struct Owed<'a> {
    /// `None` if any recipient may get a message.
    names: Option<&'a [RecipientKey]>,
    /// Of them, those who lack it still, and are no recipients under that name now.
    elsewhere: Vec<&'a RecipientKey>,
    ids: KnownIds,
}

impl<'a> Owed<'a> {
    pub(super) fn of(input: &PlanInput<'a>) -> Self {
        let PlanInput { record, recipients, destinations, .. } = *input;
        let names = record.owed.as_deref().filter(|_| input.current.is_some_and(is_decided));
        let mut ids = input.known_ids.clone();
        for to in destinations {
            to.recipient_keys.iter().for_each(|key| ids.insert(key.clone(), &to.post_to));
        }
        let elsewhere =
            if names.is_some() { owed_elsewhere(record, recipients, &ids).collect() } else { Vec::new() };
        Self { names, elsewhere, ids }
    }

    /// Against a message to the recipient of these names.
    pub(super) fn against(&self, names: &[RecipientKey]) -> Option<SkipReason> {
        let owed = self.names?;
        let is_owed = |name: &RecipientKey| owed.iter().any(|owed| self.ids.is_same(owed, name));
        if names.iter().any(is_owed) {
            return None;
        }
        let is_open = |name: &RecipientKey| !self.ids.is_identified(name);
        let may_be = |owed: &&RecipientKey| {
            let is_kind = |name: &RecipientKey| {
                owed.is_channel() && name.is_channel() || owed.is_person() && name.is_person()
            };
            is_open(owed) && names.iter().any(is_kind)
        };
        let is_unclear = names.iter().all(is_open) && self.elsewhere.iter().any(may_be);
        Some(if is_unclear { SkipReason::OwedUnclear } else { SkipReason::DecidedBefore })
    }

    /// What the record of a decided request lacks: who is owed a message, when the decision is noted (`lacking`), and who got it
    /// since.
    pub(super) fn change(
        &self,
        record: &Record,
        lacking: impl FnOnce() -> Vec<RecipientKey>,
    ) -> Option<Outcome> {
        let Some(names) = self.names else {
            // The ids, too: the look-up of the name may fail when it is needed.
            let mut seen = BTreeSet::new();
            let with_id =
                |key: RecipientKey| [RecipientKey::new(self.ids.id_of(&key)), key].into_iter().rev();
            let names = lacking().into_iter().flat_map(with_id);
            return Some(Outcome::Owed(names.filter(|name| seen.insert(name.clone())).collect()));
        };
        let is_settled = |name: &&RecipientKey| is_settled(record, name, &self.ids);
        let settled: Vec<_> = names.iter().filter(is_settled).cloned().collect();
        (!settled.is_empty()).then_some(Outcome::NoLongerOwed(settled))
    }
}

/// Of those who are owed a message and lack it still, the ones who are no recipients by that name: if the configuration names
/// them otherwise now, their ids show it.
pub fn owed_elsewhere<'a>(
    record: &'a Record,
    recipients: &'a RecipientList,
    ids: &KnownIds,
) -> impl Iterator<Item = &'a RecipientKey> {
    let keys: BTreeSet<_> = recipients.recipients.iter().map(Recipient::key).collect();
    let owed = record.owed.iter().flatten();
    owed.filter(move |name| !keys.contains(*name) && !is_settled(record, name, ids))
}

/// Whether the recipient of this name has a message, under whichever name it was posted.
fn is_settled(record: &Record, name: &RecipientKey, ids: &KnownIds) -> bool {
    let mut keys = record.deliveries.iter().filter_map(|delivery| delivery.key.as_ref());
    record.has_posted_to(ids.id_of(name)) || keys.any(|key| ids.is_same(key, name))
}
