//! Reads the request: from Teleport by calls that change nothing, or from a text that `tctl` printed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use access_core::domain::ids::RequestId;
use access_core::domain::request::AccessRequest;
use access_core::domain::text::escape_line;
use access_core::policy::{CanSubmitForUsers, Mode, Rules, mode};
use access_core::record::Record;
use client_base::files;
use jiff::Timestamp;
use teleport_client::Client;
use teleport_client::error::TeleportError;
use teleport_client::identity::Identity;
use teleport_client::observer::NoObserver;
use teleport_client::request_json::{RequestJsonError, read_requests};

use super::items::{Review, Subject};
use crate::check::online::{cause_of, exit_of};
use crate::config::{Config, ConfiguredIdentityError};
use crate::exit::{Exit, ExitError};
use crate::review::ReviewTimings;
use crate::review::review_support::ReviewSupport;

/// Most bytes of a text with requests: some thousand of them, or one with the longest reasons.
const MAX_TEXT: u64 = 16 << 20;
/// Most ids that an error names.
const MAX_NAMED: usize = 10;
const REMEDY: &str = "print it with `tctl get access_request/ID --format=json`";

/// What only Teleport knows and a text does not say.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) cluster: String,
    pub(crate) is_enterprise: bool,
    pub(crate) web_proxy: Option<String>,
}

/// Why a text gives no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubjectError {
    #[error("cannot read the request from {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is larger than {} MiB, so it is no list of requests", path.display(), MAX_TEXT >> 20)]
    TooLarge { path: PathBuf },
    #[error("{} is not UTF-8 text ({}); save it as UTF-8, or {REMEDY}", path.display(), found)]
    NotText { path: PathBuf, found: String },
    #[error("{} has no access request; {REMEDY}", path.display())]
    NoRequest { path: PathBuf, source: RequestJsonError },
    #[error("{} is an empty list: there is no request in it", path.display())]
    Empty { path: PathBuf },
    #[error("{} has {count} requests; name one by its id before --file: {ids}", path.display())]
    Several { path: PathBuf, count: usize, ids: String },
    #[error("{} has no request with the id {id}; it has: {ids}", path.display())]
    NotThere { path: PathBuf, id: String, ids: String },
}

/// The request in a text; `-` is standard input. With an id, the one of that id.
///
/// # Errors
/// If there is not exactly one, or what there is cannot be read.
pub(crate) fn read_file(path: &Path, id: Option<&RequestId>) -> Result<AccessRequest, ExitError> {
    let source = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    let owned = || source.to_owned();
    let fail = |error| Err(ExitError::new(Exit::Credentials, error));
    let bytes = match files::read(source, MAX_TEXT) {
        Ok((bytes, _)) => bytes,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return fail(SubjectError::TooLarge { path: owned() });
        }
        Err(source) => return fail(SubjectError::Unreadable { path: owned(), source }),
    };
    let text = match decode(&bytes) {
        Ok(text) => text,
        Err(found) => return fail(SubjectError::NotText { path: owned(), found }),
    };
    let mut all = match read_requests(text) {
        Ok(all) => all,
        Err(source) => return fail(SubjectError::NoRequest { path: owned(), source }),
    };
    let ids = ids(&all);
    let count = all.len();
    match id {
        Some(id) => match all.into_iter().find(|request| request.id == *id) {
            Some(request) => Ok(request),
            None => fail(SubjectError::NotThere { path: owned(), id: id.to_string(), ids }),
        },
        None => match (all.pop(), count) {
            (Some(request), 1) => Ok(request),
            (None, _) => fail(SubjectError::Empty { path: owned() }),
            (Some(_), count) => fail(SubjectError::Several { path: owned(), count, ids }),
        },
    }
}

/// The text without a byte order mark, or what it is instead.
fn decode(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16".to_owned());
    }
    let text = str::from_utf8(bytes).map_err(|error| format!("at byte {}", error.valid_up_to() + 1))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn ids(all: &[AccessRequest]) -> String {
    let mut ids: Vec<_> =
        all.iter().take(MAX_NAMED).map(|request| escape_line(request.id.as_str())).collect();
    if all.len() > MAX_NAMED {
        ids.push(format!("and {} more", all.len() - MAX_NAMED));
    }
    ids.join(", ")
}

/// A request from a text, as a daemon would see it whose Teleport is as `around` says.
pub(crate) fn from_text(
    request: AccessRequest,
    around: Context,
    config: Option<&Config>,
    with_buttons: bool,
) -> Subject {
    let Context { cluster, is_enterprise, web_proxy } = around;
    let review = match config.and_then(|config| config.review.as_ref()) {
        Some(review) => {
            let can_submit = if is_enterprise { CanSubmitForUsers::Yes } else { CanSubmitForUsers::No };
            Some(Review { mode: mode(review.mode, can_submit, &review.rules), rules: review.rules.clone() })
        }
        None => with_buttons.then(|| Review { mode: Some(Mode::Reviewer), rules: Rules::default() }),
    };
    Subject {
        request,
        is_listed: true,
        record: Record::default(),
        cluster,
        is_enterprise,
        web_proxy,
        review,
        now: Timestamp::now(),
    }
}

/// A request by its id, with its record.
///
/// # Errors
/// If the identity cannot be used, Teleport gives no answer, or there is neither the request nor a record of it.
pub(crate) async fn from_teleport(config: &Config, id: &RequestId) -> Result<Subject, ExitError> {
    let now = Timestamp::now();
    let identity = Identity::load(&config.teleport.credentials, now)
        .map_err(|error| ExitError::new(Exit::Credentials, ConfiguredIdentityError(error)))?;
    let teleport = Client::new(config.teleport_destination(), &identity, Arc::new(NoObserver));
    let pong = teleport.ping().await.map_err(failed)?;
    pong.check_version().map_err(failed)?;
    let (listed, missing) = match teleport.get_request(id).await {
        Ok(listed) => (listed, None),
        Err(error @ TeleportError::NotVisible { .. }) => (None, Some(error)),
        Err(error) => return Err(failed(error)),
    };
    let data = teleport.get_record(id).await.map_err(failed)?;
    let record = Record::decode(id, &data).0;
    let is_listed = listed.is_some();
    let Some(request) = listed.or_else(|| record.known.clone()) else {
        return Err(match missing {
            Some(error) => failed(error),
            None => ExitError::new(
                Exit::Failed,
                format!(
                    "Teleport has no access request {id}, and there is no record of one; copy the id from the message or from `tctl requests ls`"
                ),
            ),
        });
    };
    let review = match &config.review {
        Some(review) => {
            let timings = ReviewTimings::default();
            let support = ReviewSupport::new(teleport, review.mode, review.rules.0.len(), timings);
            let can_submit = support.check_once().await;
            Some(Review { mode: mode(review.mode, can_submit, &review.rules), rules: review.rules.clone() })
        }
        None => None,
    };
    Ok(Subject {
        request,
        is_listed,
        record,
        cluster: pong.cluster_name,
        is_enterprise: pong.enterprise,
        web_proxy: pong.web_proxy,
        review,
        now,
    })
}

fn failed(error: TeleportError) -> ExitError {
    ExitError::new(exit_of(cause_of(&error)), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text_and_other_encodings_are_named() {
        assert_eq!(decode("\u{feff}{}".as_bytes()), Ok("{}"));
        assert_eq!(decode(b"\xff\xfe{\0}\0"), Err("it is UTF-16".to_owned()));
        assert_eq!(decode(b"{\"a\":\"\xe9\"}"), Err("at byte 7".to_owned()));
    }
}
