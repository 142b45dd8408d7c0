//! The series of one metric, in the order of their labels. The crate's own `Family` has no order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Names and values of a series' labels; the values come from closed lists.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The series of one metric; clones share them.
#[derive(Debug)]
pub(super) struct Family<const N: usize, M> {
    series: Arc<Mutex<BTreeMap<Labels<N>, M>>>,
    make: fn() -> M,
}

impl<const N: usize, M: Clone> Family<N, M> {
    /// No series yet; `make` makes the value of a new one.
    pub(super) fn new(make: fn() -> M) -> Self {
        Self { series: Arc::default(), make }
    }

    /// The value of a series, made if it is not there.
    pub(super) fn get(&self, labels: Labels<N>) -> M {
        self.series.lock().entry(labels).or_insert_with(self.make).clone()
    }

    /// Makes these series. A counter that is first seen at one hides its first step from `rate`.
    pub(super) fn init(&self, all: impl IntoIterator<Item = Labels<N>>) {
        all.into_iter().for_each(|labels| drop(self.get(labels)));
    }
}

impl<const N: usize> Family<N, Counter> {
    pub(super) fn counters() -> Self {
        Self::new(Counter::default)
    }

    pub(super) fn increment(&self, labels: Labels<N>) {
        self.get(labels).inc();
    }
}

impl<const N: usize, M> Clone for Family<N, M> {
    fn clone(&self) -> Self {
        Self { series: Arc::clone(&self.series), make: self.make }
    }
}

impl<const N: usize, M: EncodeMetric + TypedMetric> EncodeMetric for Family<N, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (labels, value) in self.series.lock().iter() {
            value.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.series.lock().is_empty()
    }
}
