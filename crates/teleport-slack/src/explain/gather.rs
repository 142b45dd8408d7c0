//! Reads what an explanation needs, by calls that change nothing. Teleport must answer; without Slack there are no names.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::error_chain::chain;
use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use access_core::domain::recipients::{Recipient, RecipientKey, Rules, is_slack_id};
use access_core::plan::Step;
use access_core::policy::identity::SlackProfile;
use access_core::policy::{Mode, Voters, mode};
use access_core::record::{Operation, Record};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use slack_client::ClientOptions;
use slack_client::directory::{Directory, Priority};
use slack_client::error::SlackError;
use slack_client::lookup::Lookup;
use slack_client::objects::AuthTest;
use teleport_client::Client;
use teleport_client::error::TeleportError;
use teleport_client::identity::Identity;
use teleport_client::observer::NoObserver;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::explanation::ReachedPart;
use super::{Facts, ReviewFacts, SlackFacts};
use crate::check::online::recipients::{RecipientState, obstacle_of, resolve};
use crate::check::online::{cause_of, exit_of, way_to_teleport};
use crate::config::{Config, ConfiguredIdentityError, ReviewConfig, slack_setting};
use crate::controller::view::{ReviewView, View, ViewContext, view};
use crate::exit::{Exit, ExitError};
use crate::review::ReviewTimings;
use crate::review::review_support::ReviewSupport;
use crate::review::users::UserLookup;
use crate::review::voters::{VoterLoader, VoterSnapshot};

/// No kind of look-up in Slack takes longer; what has no answer by then is left out.
const LOOKUP_LIMIT: Duration = Duration::from_secs(15);
/// People and channels that are asked for. Slack counts these calls together with the daemon's.
const MAX_NAMES: usize = 50;
/// Look-ups of names and addresses at once.
const MAX_CONCURRENT_LOOKUPS: usize = 8;

/// Slack, if it answers.
struct Slack {
    client: slack_client::Client,
    directory: Directory,
    auth: Result<AuthTest, SlackError>,
}

/// Reads everything about one request.
///
/// # Errors
/// If the identity cannot be used, or Teleport gives no answer that can be used.
pub(crate) async fn gather(config: &Config, id: &RequestId) -> Result<Facts, ExitError> {
    let now = Timestamp::now();
    let identity = Identity::load(&config.teleport.credentials, now)
        .map_err(|error| ExitError::new(Exit::Credentials, ConfiguredIdentityError(error)))?;
    let teleport = Client::new(config.teleport_destination(), &identity, Arc::new(NoObserver));
    let asked = async {
        let pong = teleport.ping().await.map_err(failed)?;
        pong.check_version().map_err(failed)?;
        Ok::<_, ExitError>((pong, teleport.reach().await))
    };
    let (asked, slack) = tokio::join!(asked, connect_slack(config));
    let (pong, reach) = asked?;
    let slack = slack?;
    let reached = ReachedPart { teleport: way_to_teleport(config, reach), slack: config.way_to_slack() };
    let users = config.review.as_ref().map(|review| users(&teleport, review));
    let context = ViewContext {
        teleport: teleport.clone(),
        directory: slack.directory.clone(),
        recipients: config.rules(),
        review: match (&config.review, &users) {
            (Some(review), Some(users)) => Some(ReviewView {
                rules: Arc::new(review.rules.clone()),
                setting: review.mode,
                can_submit: review_support(&teleport, review).check_once().await,
                users: Arc::clone(users),
            }),
            _ => None,
        },
        pong: pong.clone(),
    };
    let reading = async {
        let limit = if slack.auth.is_ok() { LOOKUP_LIMIT } else { Duration::ZERO };
        let found = view(context.clone(), id, limit).await.map_err(failed)?;
        let review = match context.review {
            Some(review) => Some(read_review(review, &slack, &found).await),
            None => None,
        };
        let slack = read_slack(&slack, &found).await;
        Ok(Facts { id: id.clone(), cluster: pong.cluster_name, reached, now, view: found, review, slack })
    };
    // Look-ups of users ask for lists, which this makes.
    let never = CancellationToken::new();
    let listing = async {
        match &users {
            Some(users) => users.refresh_on_demand(&never).await,
            None => pending().await,
        }
    };
    tokio::select! {
        facts = reading => facts,
        () = listing => unreachable!("it ends only when it is stopped"),
    }
}

fn failed(error: TeleportError) -> ExitError {
    ExitError::new(exit_of(cause_of(&error)), error)
}

fn users(teleport: &Client, review: &ReviewConfig) -> Arc<UserLookup> {
    Arc::new(UserLookup::new(teleport.clone(), review.user_mapping(), ReviewTimings::default()))
}

fn review_support(teleport: &Client, review: &ReviewConfig) -> ReviewSupport {
    ReviewSupport::new(teleport.clone(), review.mode, review.rules.0.len(), ReviewTimings::default())
}

async fn connect_slack(config: &Config) -> Result<Slack, ExitError> {
    let client = slack_client::Client::new(ClientOptions {
        api_url: config.slack.api_url.as_str().to_owned(),
        setting_names: slack_setting,
        outbound: config.network.outbound.clone(),
        ..ClientOptions::new(config.slack.token.clone())
    })
    .map_err(|error| ExitError::new(Exit::Failed, error))?;
    let auth = client.auth_test().await;
    Ok(Slack { directory: Directory::new(client.clone()), client, auth })
}

/// Reads those who voted, as the daemon does before their votes decide.
async fn read_review(review: ReviewView, slack: &Slack, found: &View) -> ReviewFacts {
    let ReviewView { rules, setting, can_submit, users } = review;
    let mode = mode(setting, can_submit, &rules);
    let accounts: Vec<_> = found.record.votes.open().iter().map(|vote| vote.slack_user.clone()).collect();
    let pending = found.listed.as_ref().filter(|_| mode == Some(Mode::Resolver) && !accounts.is_empty());
    let (mut voters, mut unread) = (Voters::default(), None);
    match (pending, &slack.auth) {
        (Some(_), Err(_)) => unread = Some("Slack gave no answer".to_owned()),
        (Some(request), Ok(auth)) => {
            let installation = auth.installation(auth.app_id.clone().unwrap_or_default());
            let timings = ReviewTimings::default();
            let loader =
                VoterLoader::new(slack.client.clone(), installation, users, Arc::clone(&rules), timings);
            let mut read = VoterSnapshot::empty();
            match loader.load(accounts, request, &mut read).await {
                Ok(()) => voters = read.voters(&timings).clone(),
                Err(refusal) => unread = Some(format!("the reason is {}", refusal.kind())),
            }
        }
        (None, _) => {}
    }
    ReviewFacts { mode, rules: rules.as_ref().clone(), voters, unread }
}

async fn read_slack(slack: &Slack, found: &View) -> SlackFacts {
    let auth = match &slack.auth {
        Ok(auth) => auth,
        Err(error) => {
            let failure = Some(error.with_remedy(slack_setting).to_string());
            return SlackFacts { failure, ..SlackFacts::default() };
        }
    };
    let Record { deliveries, .. } = &found.record;
    let (channels, people, unasked) = ids(found);
    let channels = stream::iter(channels)
        .map(|channel| channel_name(slack, channel))
        .buffer_unordered(MAX_CONCURRENT_LOOKUPS);
    let people =
        stream::iter(people).map(|user| person(slack, user)).buffer_unordered(MAX_CONCURRENT_LOOKUPS);
    let direct = stream::iter(direct_messages(found))
        .map(|channel| person_of(slack, channel))
        .buffer_unordered(MAX_CONCURRENT_LOOKUPS);
    let links =
        stream::iter(deliveries.iter().map(|delivery| (delivery.channel.clone(), delivery.ts.clone())))
            .map(|(channel, ts)| link(slack, channel, ts))
            .buffer_unordered(MAX_CONCURRENT_LOOKUPS);
    let (channels, people, direct, links, obstacles): (BTreeMap<_, _>, Vec<_>, Vec<_>, _, _) = tokio::join!(
        within_limit(channels.filter_map(async |found| found).collect()),
        within_limit(people.filter_map(async |found| found).collect()),
        within_limit(direct.filter_map(async |found| found).collect()),
        within_limit(links.filter_map(async |found| found).collect()),
        within_limit(obstacles(slack, auth, found)),
    );
    let mut names = channels;
    let mut emails = BTreeMap::new();
    let people = people.into_iter().map(|(id, profile)| (id.to_string(), profile));
    for (id, profile) in people.chain(direct) {
        names.extend(profile.name.clone().map(|name| (id.clone(), name)));
        emails.extend(profile.email.clone().map(|email| (RecipientKey::new(id), email)));
    }
    SlackFacts { failure: None, names, emails, unasked, links, obstacles }
}

async fn within_limit<T: Default>(reading: impl Future<Output = T>) -> T {
    timeout(LOOKUP_LIMIT, reading).await.unwrap_or_default()
}

async fn channel_name(slack: &Slack, channel: ChannelId) -> Option<(String, String)> {
    slack.directory.conversation(&channel).await.ok()??;
    Some((channel.to_string(), slack.client.known_channel_name(&channel)?))
}

async fn person(slack: &Slack, user: SlackUserId) -> Option<(SlackUserId, Arc<SlackProfile>)> {
    let found = slack.directory.by_id(&user, Priority::Operator).await.ok()??;
    Some((user, found))
}

/// The person of a direct message, by its id.
async fn person_of(slack: &Slack, channel: ChannelId) -> Option<(String, Arc<SlackProfile>)> {
    let user = slack.directory.person_of_direct_message(&channel, Priority::Operator).await.ok()??;
    Some((channel.to_string(), person(slack, user).await?.1))
}

/// The recipients that the configuration names by their direct messages. The planner looked up those who have no message.
fn direct_messages(found: &View) -> Vec<ChannelId> {
    let recipients = found.recipients.recipients.iter().filter_map(|recipient| match recipient {
        Recipient::DirectMessage(id) => Some(ChannelId::new(id)),
        _ => None,
    });
    recipients.take(MAX_NAMES).collect()
}

/// The channels and the people whose ids an explanation shows, and how many of these are not asked for: those with a message
/// come first, then who voted, then who has no message.
pub(super) fn ids(found: &View) -> (Vec<ChannelId>, Vec<SlackUserId>, usize) {
    let View { record, plan, .. } = found;
    let posted = record.deliveries.iter().flat_map(|delivery| {
        let user = delivery.user.as_ref().map(SlackUserId::as_str);
        [Some(delivery.channel.as_str()), delivery.key.as_ref().map(RecipientKey::as_str), user]
            .into_iter()
            .flatten()
    });
    let voted = record.votes.list().iter().flat_map(|vote| [vote.slack_user.as_str(), vote.channel.as_str()]);
    let skipped = plan.skipped.iter().filter_map(|skipped| skipped.operation.as_ref());
    let planned = plan.operations.iter().map(|(operation, _)| operation);
    let missing = planned.chain(skipped).filter_map(|operation| match operation {
        Operation::Post(key) => Some(key.as_str()),
        Operation::Update(..) | Operation::Reply(..) => None,
    });
    let mut seen = BTreeSet::new();
    let is_named = |id: &&str| is_slack_id(id, &['C', 'G', 'U', 'W']);
    let all: Vec<_> =
        posted.chain(voted).chain(missing).filter(is_named).filter(|id| seen.insert(*id)).collect();
    let (asked, unasked) = all.split_at(all.len().min(MAX_NAMES));
    let (people, channels): (Vec<&str>, Vec<&str>) = asked.iter().partition(|id| id.starts_with(['U', 'W']));
    let channels = channels.into_iter().map(ChannelId::new).collect();
    (channels, people.into_iter().map(SlackUserId::new).collect(), unasked.len())
}

async fn link(
    slack: &Slack,
    channel: ChannelId,
    ts: MessageTs,
) -> Option<((ChannelId, MessageTs), Lookup<String>)> {
    let found = slack.client.permalink(&channel, &ts).await.ok()?;
    Some(((channel, ts), found))
}

/// What stands against the posts to channels that are missing.
async fn obstacles(slack: &Slack, auth: &AuthTest, found: &View) -> BTreeMap<RecipientKey, (String, String)> {
    let is_planned = |recipient: &&Recipient| {
        let operation = Operation::Post(recipient.key());
        let is_post = |step: &Step| matches!(step, Step::Post { .. });
        let mut planned = found.plan.operations.iter();
        planned.any(|(planned, steps)| *planned == operation && steps.iter().any(is_post))
    };
    let is_channel =
        |recipient: &&Recipient| matches!(recipient, Recipient::ChannelId(_) | Recipient::ChannelName(_));
    let missing = found.recipients.recipients.iter().filter(is_channel).filter(is_planned);
    let rules = Rules { always: missing.cloned().collect(), by_role: Vec::new() };
    let resolved = resolve(&slack.client, &slack.directory, auth, &rules).await;
    let invitation = slack.client.invitation();
    let obstacle = |resolved: &crate::check::online::recipients::Resolved| {
        let key = resolved.recipient.key();
        if let RecipientState::Failed(error) = &resolved.finding {
            return Some((key, (chain(error), "explain the request again in a minute".to_owned())));
        }
        let found = obstacle_of(resolved, &invitation)?;
        Some((key, (found.cause.to_owned(), found.remedy.into_owned())))
    };
    resolved.iter().filter_map(obstacle).collect()
}
