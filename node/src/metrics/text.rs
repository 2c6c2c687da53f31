//! Families of metrics as text, in the format of OpenMetrics that Prometheus reads. What does not live here: the families.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as Of};

use super::{BOUNDS, Family, Kind, Times, Unit, Value};

/// What the text is, for whoever asked over HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Microseconds in a second.
const MICROS: f64 = 1e6;

/// Writes the families as one text with its end mark.
#[must_use]
pub fn encode(families: Vec<Family>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut out = String::new();
    text::encode(&mut out, &registry).expect("a text takes everything");
    out
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let metric = family.metric;
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let unit = match metric.unit {
                Unit::None | Unit::Things(_) => None,
                Unit::Seconds => Some(Of::Seconds),
                Unit::Bytes => Some(Of::Bytes),
            };
            let name = metric.name.replace('.', "_");
            let mut of = encoder.encode_descriptor(&name, metric.help, unit.as_ref(), kind)?;
            for (labels, value) in &family.series {
                let names = metric.labels.iter().copied();
                let labels: Vec<(&str, &str)> = names.zip(labels.iter().map(String::as_str)).collect();
                if labels.is_empty() {
                    write(&mut of, metric.kind, value)?;
                } else {
                    write(&mut of.encode_family(&labels)?, metric.kind, value)?;
                }
            }
        }
        Ok(())
    }
}

fn write(to: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Number(value)) => to.encode_counter::<NoLabelSet, f64, f64>(value, None),
        (_, Value::Number(value)) => to.encode_gauge(value),
        (_, Value::Times(times)) => histogram(to, times),
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn histogram(to: &mut MetricEncoder<'_>, times: &Times) -> fmt::Result {
    let ends = BOUNDS.iter().map(|us| *us as f64 / MICROS).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = ends.zip(times.buckets).collect();
    to.encode_histogram::<NoLabelSet>(times.sum_us as f64 / MICROS, times.count(), &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use squall_kernel::time::Span;

    #[test]
    fn each_kind_is_written_as_prometheus_reads_it() {
        let mut scrape = Scrape::default();
        scrape.count(&REQUESTS, &["a \"quoted\" one\\"], 7);
        scrape.put(&UPTIME, &[], 1.5);
        let times = Histogram::default();
        times.record(Span(300));
        times.record(Span(40_000_000));
        scrape.times(&REQUEST_TIME, &["orders"], times.read());
        let text = encode(scrape.finish());
        for line in [
            "# HELP squall_requests Requests, publishes and tasks that entered the cluster at this node.",
            "# TYPE squall_requests counter",
            "squall_requests_total{exchange=\"a \\\"quoted\\\" one\\\\\"} 7.0",
            "# UNIT process_uptime_seconds seconds",
            "process_uptime_seconds 1.5",
            "# TYPE squall_request_duration_seconds histogram",
            "squall_request_duration_seconds_bucket{le=\"0.00025\",exchange=\"orders\"} 0",
            "squall_request_duration_seconds_bucket{le=\"0.0005\",exchange=\"orders\"} 1",
            "squall_request_duration_seconds_bucket{le=\"+Inf\",exchange=\"orders\"} 2",
            "squall_request_duration_seconds_count{exchange=\"orders\"} 2",
            "squall_request_duration_seconds_sum{exchange=\"orders\"} 40.0003",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
