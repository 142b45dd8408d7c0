//! What the process itself uses, under the names that Prometheus's own clients give it.
//!
//! Read from `/proc` at each scrape. A series whose source cannot be read is absent: a 0 would say something else.
//! Sources: proc(5); Prometheus's "Writing client libraries", "Process metrics".

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The resources of this process.
#[derive(Debug)]
pub(super) struct Process {
    /// `/proc/self`
    proc: PathBuf,
    /// The start that was shown before.
    started: Mutex<Option<f64>>,
}

impl Process {
    pub(super) fn new(proc: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), started: Mutex::default() }
    }

    /// When the process started, in Unix time by this machine's clock now.
    fn started(&self, stat: &Stat) -> f64 {
        let boot = clock_gettime(ClockId::Boottime);
        let since_boot = boot.tv_sec as f64 + boot.tv_nsec as f64 / 1e9;
        let now = Timestamp::now().as_duration().as_secs_f64();
        let started = now - (since_boot - in_seconds(stat.start_ticks));
        let mut shown = self.started.lock();
        let started = steady(*shown, started);
        *shown.insert(started)
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stat = Stat::read(&self.proc.join("stat"));
        if let Some(stat) = &stat {
            let (help, seconds) = ("Processor time used, in user and system mode.", Some(&Unit::Seconds));
            ConstCounter::new(in_seconds(stat.cpu_ticks)).encode(encoder.encode_descriptor(
                "process_cpu",
                help,
                seconds,
                MetricType::Counter,
            )?)?;
        }
        let mut gauge = |name, help, unit: Option<Unit>, value: Option<f64>| match value {
            Some(value) => ConstGauge::new(value).encode(encoder.encode_descriptor(
                name,
                help,
                unit.as_ref(),
                MetricType::Gauge,
            )?),
            None => Ok(()),
        };
        let max_fds = getrlimit(Resource::Nofile).current;
        gauge("process_max_fds", "How many files may be open at once.", None, max_fds.map(as_f64))?;
        gauge("process_open_fds", "Open files, sockets included.", None, open_fds(&self.proc.join("fd")))?;
        let resident =
            stat.as_ref().map(|stat| as_f64(stat.resident_pages) * rustix::param::page_size() as f64);
        gauge("process_resident_memory", "Memory in use.", Some(Unit::Bytes), resident)?;
        let started = stat.as_ref().map(|stat| self.started(stat));
        gauge("process_start_time", "When the process started.", Some(Unit::Seconds), started)?;
        let virtual_bytes = stat.as_ref().map(|stat| as_f64(stat.virtual_bytes));
        gauge("process_virtual_memory", "Address space in use.", Some(Unit::Bytes), virtual_bytes)
    }
}

/// What `/proc/self/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    /// Since the machine started.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(path: &Path) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&std::fs::read(path).ok()?))
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may itself hold parentheses and spaces.
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // Numbered as in proc(5): the first field that is left is the third.
        let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn open_fds(folder: &Path) -> Option<f64> {
    let entries = std::fs::read_dir(folder).ok()?.count();
    // Less the one through which the folder was read.
    Some(entries.saturating_sub(1) as f64)
}

/// The start that was shown before, unless this machine's clock was set since: a start that moved a little with each
/// reading would look like a restart to `changes()`.
fn steady(shown: Option<f64>, computed: f64) -> f64 {
    shown.filter(|shown| (shown - computed).abs() < 1.0).unwrap_or(computed)
}

fn in_seconds(ticks: u64) -> f64 {
    as_f64(ticks) / as_f64(rustix::param::clock_ticks_per_second())
}

/// Exact up to 9 PB.
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    fn registry(proc: &Path) -> Registry {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::new(proc)));
        registry
    }

    fn value(registry: &Registry, name: &str) -> Option<f64> {
        let mut out = String::new();
        text::encode(&mut out, registry).unwrap();
        out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    #[test]
    fn this_process_is_described() {
        let registry = registry(Path::new("/proc/self"));
        let shown = |name| value(&registry, name).unwrap_or_else(|| panic!("{name} is absent"));
        let mebibyte = 1024.0 * 1024.0;
        let (resident, all) = (shown("process_resident_memory_bytes"), shown("process_virtual_memory_bytes"));
        assert!(resident > mebibyte && resident < all, "{resident} of {all}");
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix(" kB"));
        let expected = kilobytes.unwrap().trim().parse::<f64>().unwrap() * 1024.0;
        assert!((resident / expected - 1.0).abs() < 0.5, "{resident}, and the kernel says {expected}");
        let age = Timestamp::now().as_duration().as_secs_f64() - shown("process_start_time_seconds");
        assert!((-1.0..3_600.0).contains(&age), "started {age} s ago");
        assert!(shown("process_cpu_seconds_total") < 3_600.0);
        assert!(shown("process_max_fds") >= shown("process_open_fds"));
    }

    #[test]
    fn used_processor_time_and_open_files_are_counted() {
        let registry = registry(Path::new("/proc/self"));
        let cpu = || value(&registry, "process_cpu_seconds_total").unwrap();
        let (before, files) = (cpu(), value(&registry, "process_open_fds").unwrap());
        // Far more than other tests in this process open meanwhile.
        let opened: Vec<_> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        let more = value(&registry, "process_open_fds").unwrap() - files;
        assert!((150.0..).contains(&more), "{more} more");
        drop(opened);
        while cpu() <= before {
            std::hint::black_box((0..100_000).sum::<u64>());
        }
    }

    #[test]
    fn the_start_stays_where_it_is() {
        let registry = registry(Path::new("/proc/self"));
        let started = || value(&registry, "process_start_time_seconds");
        let first = started();
        for _ in 0..50 {
            assert_eq!(started(), first);
        }
        assert_eq!(steady(None, 5.25), 5.25);
        assert_eq!(steady(Some(5.0), 5.25), 5.0, "two clocks are never read at the same time");
        assert_eq!(steady(Some(5.0), 3_605.25), 3_605.25, "the clock was set");
    }

    #[test]
    fn a_program_may_have_any_name() {
        let fields = "S 1 2 3 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 5 0 12345 987654321 2600 184 rest";
        let expected =
            Stat { cpu_ticks: 400, start_ticks: 12_345, virtual_bytes: 987_654_321, resident_pages: 2_600 };
        for name in ["teleport-slack", "a b", ") 1 (", "))", ""] {
            assert_eq!(Stat::parse(&format!("42 ({name}) {fields}")).as_ref(), Some(&expected), "{name}");
        }
        for text in ["", "42 (x)", "42 (x) S 1 2", "42 x S", &fields.replace("12345", "-1")] {
            assert_eq!(Stat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let empty = tempfile::tempdir().unwrap();
        let mut out = String::new();
        text::encode(&mut out, &registry(empty.path())).unwrap();
        let left: Vec<_> = out.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(left.len() == 1 && left[0].starts_with("process_max_fds "), "{out}");
    }
}
