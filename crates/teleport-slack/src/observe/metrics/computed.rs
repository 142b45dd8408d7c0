//! The gauges that are computed from the state of the daemon on each request.
//!
//! A time is exported as Unix time. It is kept on the monotonic clock and converted on each request, so that a query that
//! subtracts it from the time of the query is right again as soon as this machine's clock is. A gauge without a value is absent.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::Instant;

use crate::observe::health::{Health, State};
use crate::observe::skew::Side;

/// A gauge that is computed from the state of the daemon.
#[derive(Clone, Debug)]
pub(super) struct Computed {
    pub(super) health: Health,
    pub(super) value: fn(&State) -> Option<f64>,
}

impl EncodeMetric for Computed {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match (self.value)(&self.health.state()) {
            Some(value) => ConstGauge::new(value).encode(encoder),
            None => Ok(()),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        (self.value)(&self.health.state()).is_none()
    }
}

/// Whether `/readyz` answers 200.
#[derive(Debug)]
pub(super) struct Ready(pub(super) Health);

impl EncodeMetric for Ready {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let is_ready = self.0.unready_reasons(Instant::now(), Timestamp::now()).is_empty();
        ConstGauge::new(f64::from(u8::from(is_ready))).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// How far the other sides' clocks are ahead of ours, of those whose answers showed it.
#[derive(Debug)]
pub(super) struct ClockSkew(pub(super) Health);

impl ClockSkew {
    fn known(&self) -> impl Iterator<Item = (Side, f64)> {
        let skews = self.0.state().skews;
        Side::ALL.into_iter().filter_map(move |side| Some((side, skews.of(side)?.as_secs_f64())))
    }
}

impl EncodeMetric for ClockSkew {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (side, skew) in self.known() {
            ConstGauge::new(skew).encode(encoder.encode_family(&[("side", side.label())])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.known().next().is_none()
    }
}

/// A time on the monotonic clock, in Unix time by this machine's clock now, to the millisecond.
pub(super) fn unix_time(at: Instant) -> f64 {
    let (now, time) = (Instant::now(), Timestamp::now().as_duration().as_secs_f64());
    let signed = |later: Instant, earlier: Instant| later.saturating_duration_since(earlier).as_secs_f64();
    let at = time + signed(at, now) - signed(now, at);
    (at * 1_000.0).round() / 1_000.0
}

/// From a request's creation, by Teleport's clock, until `now`, when Slack confirmed its first message. Never less than
/// `known_for`, for which this daemon knew the request: two clocks that differ would show a shorter time, or a negative one.
pub(super) fn notification_delay(created: Timestamp, now: Timestamp, known_for: Duration) -> Duration {
    Duration::try_from(now.duration_since(created)).unwrap_or_default().max(known_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_delay_is_never_shorter_than_the_daemon_knew_the_request() {
        let at = |millis: i64| Timestamp::from_millisecond(1_795_770_720_000 + millis).unwrap();
        let (ms, created) = (Duration::from_millis, at(0));
        assert_eq!(notification_delay(created, at(700), ms(200)), ms(700));
        assert_eq!(notification_delay(created, at(100), ms(200)), ms(200), "our clock is a little behind");
        assert_eq!(notification_delay(created, at(-60_000), ms(200)), ms(200), "and a minute behind");
        assert!(notification_delay(created, Timestamp::MAX, ms(0)) > ms(1));
        assert_eq!(notification_delay(Timestamp::MAX, Timestamp::MIN, ms(5)), ms(5));
    }
}
