//! `teleport-slack render`: shows what Slack would show of a request, without posting it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use access_core::domain::ids::RequestId;
use access_core::domain::lifecycle::Phase;
use access_core::policy::ModeSetting;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::check::Format;
use super::explain::request_id;
use crate::causes::Exit;
use crate::check::output::Style;
use crate::config::{self, Config};
use crate::exit::ExitError;
use crate::render::canvas::Canvas;
use crate::render::items::{Audience, Subject};
use crate::render::judge::{Judgment, judge};
use crate::render::mrkdwn::Reader;
use crate::render::output::Page;
use crate::render::subject::{Context, from_teleport, from_text, read_file};

/// What the help says below the arguments.
pub const HELP: &str = "\
Nothing is posted and nothing is changed, in Slack or in Teleport. The reason that the requester gave is shown, as it is in
Slack. By an id, the request and the record of it are read from Teleport. With --file, the request is what tctl printed as
JSON, and Teleport is not asked: --cluster, --edition and --web-proxy say what it would answer. Without a phase and an audience
everything is shown. docs/render.md describes it all.

With --format json, a phase, and an audience that sees one message (channel, requester, unrecorded, plain), the output is that
message, byte for byte as the daemon puts it into its call. Paste it into https://app.slack.com/block-kit-builder to see it
in Slack's own hand; a modal there under \"Modal Preview\".

--validate checks Slack's limits and asks Slack with blocks.validate, which shows nothing to any user. With --offline only the
limits are checked.

Exit status: 0 done, 1 Slack would not show it, or there is no such request, or a side is away, 2 wrong command line,
77 refused credentials or a file that cannot be used, 78 wrong configuration.

Examples:
  teleport-slack render 8f77d2d1-2bbf-4031-a300-58926237a807
  tctl get access_request/8f77d2d1-2bbf-4031-a300-58926237a807 --format=json | teleport-slack render --file -
  teleport-slack render --file request.json --phase approved --audience channel --format json";

/// The arguments of `render`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").args(["request", "file"]).required(true).multiple(true))]
pub struct Args {
    /// The request's id, in full. With --file, which of its requests.
    #[arg(value_name = "REQUEST")]
    pub request: Option<String>,
    /// A file with the request as `tctl` prints it with --format=json; `-` reads standard input.
    #[arg(short, long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// The configuration file, which says who may decide. Without it, --file and --offline use none [default:
    /// /etc/teleport-slack.toml]
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Only this phase of the request; may be given several times.
    #[arg(short, long, value_name = "PHASE", value_enum)]
    pub phase: Vec<ShownPhase>,
    /// Only what this audience sees; may be given several times.
    #[arg(short, long, value_name = "AUDIENCE", value_enum)]
    pub audience: Vec<Audience>,
    /// Every phase and every audience, also if some are named.
    #[arg(long)]
    pub all: bool,
    /// How the messages are printed: drawn for people, or as Block Kit JSON.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
    /// Columns of the drawing: by default those of the terminal, else 80.
    #[arg(short, long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(20..=1000))]
    pub width: Option<u16>,
    /// Check Slack's limits, and ask Slack whether it would show it.
    #[arg(long)]
    pub validate: bool,
    /// With --validate: do not ask Slack.
    #[arg(long, requires = "validate")]
    pub offline: bool,
    /// With --file and without a configuration: as if users could decide in Slack.
    #[arg(long, requires = "file", conflicts_with = "config")]
    pub buttons: bool,
    /// With --file: the name of the Teleport cluster.
    #[arg(long, value_name = "NAME", requires = "file", default_value = "example.com")]
    pub cluster: String,
    /// With --file: the edition of Teleport. By default enterprise if the rest asks for it, else community.
    #[arg(long, value_enum, value_name = "EDITION", requires = "file")]
    pub edition: Option<Edition>,
    /// With --file: the address of Teleport's web UI, to which the messages link.
    #[arg(long, value_name = "HOST", requires = "file")]
    pub web_proxy: Option<String>,
}

/// A phase, by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ShownPhase {
    /// The request's own phase now.
    Current,
    Pending,
    Approved,
    Denied,
    /// Became membership of an access list.
    Promoted,
    Expired,
    Deleted,
    /// In a state that this version does not know.
    Unknown,
}

impl ShownPhase {
    fn of(self, subject: &Subject) -> Phase {
        match self {
            Self::Current => subject.phase(),
            Self::Pending => Phase::Pending,
            Self::Approved => Phase::Approved,
            Self::Denied => Phase::Denied,
            Self::Promoted => Phase::Promoted,
            Self::Expired => Phase::Expired,
            Self::Deleted => Phase::Deleted,
            Self::Unknown => Phase::Unknown,
        }
    }
}

/// An edition of Teleport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Edition {
    /// Administrators decide with `tctl`.
    Community,
    /// Reviewers decide with `tsh` or in the web UI.
    Enterprise,
}

/// The status with which the program ends.
///
/// # Errors
/// If the request or the configuration cannot be read, or Teleport or Slack gives no answer.
pub fn run(args: &Args) -> Result<ExitCode, ExitError> {
    let id = args.request.as_deref().map(request_id).transpose()?;
    let config = config(args)?;
    let subject = super::block_on(subject(args, id.as_ref(), config.as_ref()))??;
    let (phases, audiences) = chosen(args, &subject);
    let found = subject.items(&phases, &audiences);
    let judgments = match args.validate {
        true => {
            let asked = config.as_ref().filter(|_| !args.offline);
            Some(super::block_on(judge(&found.items, asked))??)
        }
        false => None,
    };
    let is_bad = judgments.iter().flatten().any(Judgment::is_bad);
    let exit = is_bad.then_some(Exit::Failed);
    let page = Page { subject: &subject, found: &found, judgments: judgments.as_deref() };
    let text = match args.format {
        Format::Text => page.text(canvas(args), &Reader { zone: TimeZone::system(), now: Timestamp::now() }),
        Format::Json => {
            let is_one = phases.len() == 1 && matches!(audiences[..], [audience] if audience.sees_one());
            let document = page.document().filter(|_| is_one && !args.validate);
            document.unwrap_or_else(|| page.json(exit.map_or(0, Exit::code)))
        }
    };
    super::print(&text)?;
    Ok(exit.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// The configuration, where one is needed or named. Without Teleport and Slack its secrets are not.
fn config(args: &Args) -> Result<Option<Config>, ExitError> {
    let asks_slack = args.validate && !args.offline;
    let asks_teleport = args.file.is_none();
    let path = match &args.config {
        Some(path) => path.clone(),
        None if asks_slack || asks_teleport => PathBuf::from(config::DEFAULT_PATH),
        None => return Ok(None),
    };
    let loaded =
        if asks_slack || asks_teleport { config::load(&path) } else { config::load_without_secrets(&path) };
    Ok(Some(loaded?.config))
}

async fn subject(args: &Args, id: Option<&RequestId>, config: Option<&Config>) -> Result<Subject, ExitError> {
    match (&args.file, id, config) {
        (Some(path), id, config) => {
            let request = read_file(path, id)?;
            Ok(from_text(request, context(args, config), config, args.buttons))
        }
        (None, Some(id), Some(config)) => from_teleport(config, id).await,
        (None, _, _) => unreachable!("clap demands an id or a file, and an id is read with a configuration"),
    }
}

fn context(args: &Args, config: Option<&Config>) -> Context {
    let mode = config.and_then(|config| config.review.as_ref()).map(|review| review.mode);
    let is_enterprise = match args.edition {
        Some(edition) => edition == Edition::Enterprise,
        None => args.web_proxy.is_some() || mode == Some(ModeSetting::Reviewer),
    };
    Context { cluster: args.cluster.clone(), is_enterprise, web_proxy: args.web_proxy.clone() }
}

/// Empty lists stand for all.
fn chosen(args: &Args, subject: &Subject) -> (Vec<Phase>, Vec<Audience>) {
    if args.all {
        return (Vec::new(), Vec::new());
    }
    let mut phases: Vec<_> = args.phase.iter().map(|phase| phase.of(subject)).collect();
    phases.dedup();
    (phases, args.audience.clone())
}

fn canvas(args: &Args) -> Canvas {
    let stdout = io::stdout();
    let terminal =
        rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|columns| *columns >= 20);
    let width = args.width.or(terminal).unwrap_or(80);
    let style = Style::new(stdout.is_terminal(), |name| std::env::var(name).ok());
    Canvas { style, width: width.into(), out: String::new() }
}
