//! The two text formats of `/metrics`, and which of them a caller gets.
//!
//! Prometheus asks for OpenMetrics; `promtool check metrics`, older agents and scripts read only the text format 0.0.4 that
//! preceded it. `text_format` makes the second of the first.

/// The text format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Text,
}

impl Format {
    /// The media type of this format.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The format for the value of an `Accept` header; empty if there is none.
    ///
    /// The greater weight wins. OpenMetrics needs to be named, if only as `application/*`; then it wins a tie, because
    /// a caller that names it reads it. Everything else gets the text format: also who asks for something else only, since
    /// readable metrics help more than a refusal does.
    pub fn negotiate(accept: &str) -> Self {
        let ranges: Vec<_> = accept.split(',').filter_map(Range::parse).collect();
        let preference = |format| {
            // The most specific range that covers a format has its weight (RFC 9110, 12.5.1).
            let covering = ranges.iter().filter_map(|range| Some((range.covers(format)?, range.weight)));
            covering.max().map(|(specificity, weight)| (weight, specificity))
        };
        match preference(Self::OpenMetrics) {
            Some((weight, specificity))
                if weight > 0
                    && specificity > Specificity::Any
                    && Some((weight, specificity)) >= preference(Self::Text) =>
            {
                Self::OpenMetrics
            }
            _ => Self::Text,
        }
    }

    /// Type, subtype and version.
    fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
            Self::Text => ("text", "plain", "0.0.4"),
        }
    }
}

/// How closely a range names a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    /// `*/*`
    Any,
    /// `text/*`
    Type,
    /// `text/plain`
    Subtype,
    /// `text/plain;version=0.0.4`
    Version,
}

/// One element of `Accept`.
#[derive(Debug)]
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    weight: u16,
}

impl<'a> Range<'a> {
    /// `None` if it is no media range or its weight is none. Parameters other than `version` and `q` say nothing about
    /// our formats. A comma within quotes ends an element too; none of ours has quotes.
    fn parse(element: &'a str) -> Option<Self> {
        let mut parts = element.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut range = Self { kind, subtype, version: None, weight: 1_000 };
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            if name.eq_ignore_ascii_case("version") {
                range.version = Some(value.trim_matches('"'));
            } else if name.eq_ignore_ascii_case("q") {
                range.weight = weight(value)?;
            }
        }
        Some(range)
    }

    fn covers(&self, format: Format) -> Option<Specificity> {
        let (kind, subtype, version) = format.parts();
        if (self.kind, self.subtype) == ("*", "*") {
            return Some(Specificity::Any);
        }
        if !self.kind.eq_ignore_ascii_case(kind) {
            return None;
        }
        match self.version {
            _ if self.subtype == "*" => Some(Specificity::Type),
            _ if !self.subtype.eq_ignore_ascii_case(subtype) => None,
            None => Some(Specificity::Subtype),
            Some(asked) => (asked == version).then_some(Specificity::Version),
        }
    }
}

/// A weight from 0 to 1 with at most three decimals (RFC 9110, 12.4.2), in thousandths.
fn weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| is_number)?;
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(format: Format, accepts: &[&str]) {
        for accept in accepts {
            assert_eq!(Format::negotiate(accept), format, "{accept}");
        }
    }

    #[test]
    fn who_prefers_openmetrics_gets_it() {
        check(
            Format::OpenMetrics,
            &[
                // Prometheus 2.42, and Grafana Agent with its code.
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                // Prometheus 3.
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                // The same with native histograms, which need a format that we do not have.
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                "application/openmetrics-text",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                "application/openmetrics-text;version=\"1.0.0\";q=0.001",
                "APPLICATION/OpenMetrics-Text; Version=1.0.0 ; Q=0.5 , TEXT/plain;q=0.4",
                "application/openmetrics-text, */*",
                "application/*",
                "text/plain;q=0.5, application/*;q=0.6",
                // A tie between the two.
                "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0",
                "text/plain;q=0, */*;q=0.5, application/openmetrics-text;q=0.1",
            ],
        );
    }

    #[test]
    fn everything_else_gets_the_text_format() {
        check(
            Format::Text,
            &[
                "",
                // curl, and a browser.
                "*/*",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
                // Telegraf.
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                "text/plain;version=0.0.4",
                "text/plain",
                "text/*, application/*;q=0.9",
                // A version of OpenMetrics that we do not write.
                "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                "application/openmetrics-text;version=2.0.0",
                // The more specific range has the weight.
                "application/openmetrics-text;version=1.0.0;q=0.2, application/openmetrics-text, text/plain;q=0.3",
                "application/openmetrics-text;q=0, application/*, */*",
                "application/openmetrics-text;q=0.4, text/plain;version=0.0.4;q=0.5",
                // Nothing that we have, and no weights or ranges.
                "application/json",
                "application/openmetrics-text;q=0",
                "application/openmetrics-text;q=2",
                "application/openmetrics-text;q=-1",
                "application/openmetrics-text;q=0.1234",
                "application/openmetrics-text;q=1.001",
                "application/openmetrics-text;q=NaN",
                "application/openmetrics-text;q=",
                "application/openmetrics-text;q=0.+1",
                "openmetrics-text",
                ",;=/,//,;q=1,*;q=1",
            ],
        );
    }

    proptest! {
        #[test]
        fn any_header_gets_an_answer(accept in "(application/openmetrics-text|text/plain|[*]/[*]|[;,=/*q.0-9a-zé\" ]){0,12}") {
            Format::negotiate(&accept);
        }
    }
}
