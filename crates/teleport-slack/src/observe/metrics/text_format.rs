//! The text format 0.0.4, made of OpenMetrics text: `prometheus-client` writes only the latter.
//!
//! What differs: the name of a counter has its `_total` in HELP and TYPE too; an info is a gauge named `…_info`; there is no
//! UNIT, no EOF, no exemplar and no `_created`; and HELP leaves quotes as they are. Labels and numbers are written alike.
//! Source: Prometheus's "Exposition formats" and the OpenMetrics specification 1.0.0.

/// The same metrics in the text format 0.0.4, without timestamps. HELP stands before TYPE, as `prometheus-client` writes it.
pub(super) fn from_openmetrics(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let (mut help, mut family) = (None, "");
    for line in openmetrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            family = name;
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "stateset" => ("", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, help)) = help.take().filter(|(described, _)| *described == name) {
                out += &format!("# HELP {name}{suffix} {}\n", with_plain_quotes(help));
            }
            out += &format!("# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            let (series, rest) = line.split_at(series_end(line));
            let is_created = series[..series.find('{').unwrap_or(series.len())]
                .strip_suffix("_created")
                .is_some_and(|name| name == family);
            // What follows the value is a timestamp or an exemplar.
            if let Some(value) = rest.split_whitespace().next().filter(|_| !is_created) {
                out += &format!("{series} {value}\n");
            }
        }
    }
    out
}

/// Where the name with its labels ends. A label's value may hold anything, with quotes and backslashes escaped.
fn series_end(line: &str) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if std::mem::take(&mut is_escaped) => {}
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => return at,
            _ => {}
        }
    }
    line.len()
}

/// OpenMetrics escapes quotes in HELP; the older format takes such a backslash for an error.
fn with_plain_quotes(help: &str) -> String {
    let mut out = String::with_capacity(help.len());
    let mut chars = help.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some('"')) => {}
            ('\\', Some(escaped)) => {
                out.push(c);
                out.push(escaped);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::exemplar::HistogramWithExemplars;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::ConstGauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::{Registry, Unit};
    use proptest::prelude::*;

    use super::*;

    fn encoded(registry: &Registry) -> String {
        let mut out = String::new();
        text::encode(&mut out, registry).unwrap();
        out
    }

    #[test]
    fn each_type_is_written_as_the_older_format_wants_it() {
        let mut registry = Registry::with_prefix("p");
        registry.register("calls", "Calls", Counter::<u64>::default());
        registry.register("build", "What it is", Info::new([("version", "1")]));
        registry.register_with_unit("age", "How old", Unit::Seconds, ConstGauge::new(1.5));
        registry.register_with_unit(
            "cpu",
            "Time",
            Unit::Seconds,
            Counter::<f64, std::sync::atomic::AtomicU64>::default(),
        );
        let durations = Histogram::new([0.5, 10.0]);
        durations.observe(0.75);
        registry.register_with_unit("took", "How long", Unit::Seconds, durations);
        assert_eq!(
            from_openmetrics(&encoded(&registry)),
            "# HELP p_calls_total Calls.\n# TYPE p_calls_total counter\np_calls_total 0\n\
             # HELP p_build_info What it is.\n# TYPE p_build_info gauge\np_build_info{version=\"1\"} 1\n\
             # HELP p_age_seconds How old.\n# TYPE p_age_seconds gauge\np_age_seconds 1.5\n\
             # HELP p_cpu_seconds_total Time.\n# TYPE p_cpu_seconds_total counter\np_cpu_seconds_total 0.0\n\
             # HELP p_took_seconds How long.\n# TYPE p_took_seconds histogram\n\
             p_took_seconds_sum 0.75\np_took_seconds_count 1\np_took_seconds_bucket{le=\"0.5\"} 0\n\
             p_took_seconds_bucket{le=\"10.0\"} 1\np_took_seconds_bucket{le=\"+Inf\"} 1\n"
        );
    }

    #[test]
    fn what_the_older_format_does_not_know_is_left_out() {
        let openmetrics = "# HELP a Say \\\"a\\\\\\\" \\n and \\\\.\n# TYPE a counter\n# UNIT a seconds\n\
            a_total{l=\"x\"} 1.0 1520879607.789\na_created{l=\"x\"} 1520872607.123\n\
            # TYPE b unknown\nb 2 # {t=\"1 # {\"} 0.5\n# TYPE c_created gauge\nc_created 3\n\
            # TYPE s stateset\ns{s=\"on\"} 1\n\n# EOF\n";
        assert_eq!(
            from_openmetrics(openmetrics),
            "# HELP a_total Say \"a\\\\\" \\n and \\\\.\n# TYPE a_total counter\na_total{l=\"x\"} 1.0\n\
             # TYPE b untyped\nb 2\n# TYPE c_created gauge\nc_created 3\n# TYPE s gauge\ns{s=\"on\"} 1\n"
        );
        let mut registry = Registry::default();
        let durations = HistogramWithExemplars::<[(&str, &str); 1]>::new([1.0].into_iter());
        durations.observe(0.25, Some([("trace", "a } # {b=\"c\"} 1")]), None);
        registry.register("took", "How long", durations);
        let text = from_openmetrics(&encoded(&registry));
        assert!(text.contains("\ntook_bucket{le=\"1.0\"} 1\n") && !text.contains("trace"), "{text}");
    }

    /// The labels of a sample, read as the older format says.
    fn label_value(series: &str) -> String {
        let mut value = String::new();
        let mut chars = series.strip_prefix("m_total{l=\"").unwrap().chars();
        loop {
            match chars.next().unwrap() {
                '"' => break,
                '\\' => value.push(match chars.next().unwrap() {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("the escape {c:?}"),
                }),
                c => value.push(c),
            }
        }
        assert_eq!(chars.as_str(), "} 7");
        value
    }

    proptest! {
        #[test]
        fn any_label_value_survives(label in "([ -~]|\\PC|[\\\\\"{}#,= \n\r\t]){0,12}") {
            let family = Family::<[(&str, String); 1], Counter>::default();
            family.get_or_create(&[("l", label.clone())]).inc_by(7);
            let mut registry = Registry::default();
            registry.register("m", "Help", family);
            let text = from_openmetrics(&encoded(&registry));
            let sample = text.strip_prefix("# HELP m_total Help.\n# TYPE m_total counter\n").unwrap();
            prop_assert_eq!(label_value(sample.strip_suffix('\n').unwrap()), label);
        }

        #[test]
        fn any_text_is_converted_without_a_panic(text in "(# (HELP|TYPE|UNIT) |[a-c_{}=\"\\\\ 0-9é]|\n){0,40}") {
            from_openmetrics(&text);
        }
    }
}
