//! Families of metrics as OTLP has them: what a collector takes. What does not live here: sending them (`push`).

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::{BOUNDS, Family, Kind, SERIES_MAX, Times, Unit, Value};

/// Points of one request, beyond which another one begins: with names as long as they may be half of what collectors take by default.
pub const POINTS_MAX: usize = 6_000;

/// Microseconds in a second.
const MICROS: f64 = 1e6;

const _: () = assert!(SERIES_MAX <= POINTS_MAX);

/// Who measured, and when.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Who.
    pub resource: Resource,
    /// Since when counters count, in nanoseconds since 1970.
    pub since_ns: u64,
    /// When it was measured, likewise.
    pub at_ns: u64,
}

/// The families as requests of at most [`POINTS_MAX`] points each, in their order; none where nothing was measured.
#[must_use]
pub fn requests(families: Vec<Family>, measured: &Measured) -> Vec<ExportMetricsServiceRequest> {
    let mut requests = Vec::new();
    let (mut metrics, mut points) = (Vec::new(), 0);
    for family in families {
        if points + family.series.len() > POINTS_MAX {
            requests.push(request(std::mem::take(&mut metrics), measured));
            points = 0;
        }
        points += family.series.len();
        metrics.push(of_family(family, measured));
    }
    if !metrics.is_empty() {
        requests.push(request(metrics, measured));
    }
    requests
}

fn request(metrics: Vec<Metric>, measured: &Measured) -> ExportMetricsServiceRequest {
    let scope = InstrumentationScope {
        name: "squall".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let of_scope = ScopeMetrics {
        scope: Some(scope),
        metrics,
        ..ScopeMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(measured.resource.clone()),
            scope_metrics: vec![of_scope],
            ..ResourceMetrics::default()
        }],
    }
}

fn of_family(family: Family, measured: &Measured) -> Metric {
    let metric = family.metric;
    let numbers = |series: Vec<(Vec<String>, Value)>, since_ns| -> Vec<NumberDataPoint> {
        let number = |(labels, value): (Vec<String>, Value)| match value {
            Value::Number(number) => Some(NumberDataPoint {
                attributes: attributes(metric.labels, labels),
                start_time_unix_nano: since_ns,
                time_unix_nano: measured.at_ns,
                value: Some(number_data_point::Value::AsDouble(number)),
                ..NumberDataPoint::default()
            }),
            Value::Times(_) => None,
        };
        series.into_iter().filter_map(number).collect()
    };
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match metric.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(family.series, measured.since_ns),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        // It is of this moment: a start says nothing.
        Kind::Gauge => metric::Data::Gauge(Gauge {
            data_points: numbers(family.series, 0),
        }),
        Kind::Histogram => {
            let times = |(labels, value)| match value {
                Value::Times(times) => Some(of_times(attributes(metric.labels, labels), &times, measured)),
                Value::Number(_) => None,
            };
            metric::Data::Histogram(Histogram {
                data_points: family.series.into_iter().filter_map(times).collect(),
                aggregation_temporality: cumulative,
            })
        }
    };
    Metric {
        name: metric.name.into(),
        description: metric.help.into(),
        unit: unit(metric.unit),
        data: Some(data),
        ..Metric::default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn of_times(attributes: Vec<KeyValue>, times: &Times, measured: &Measured) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: measured.since_ns,
        time_unix_nano: measured.at_ns,
        count: times.count(),
        sum: Some(times.sum_us as f64 / MICROS),
        bucket_counts: times.buckets.to_vec(),
        explicit_bounds: BOUNDS.iter().map(|us| *us as f64 / MICROS).collect(),
        ..HistogramDataPoint::default()
    }
}

/// As the Unified Code for Units of Measure writes it. Nothing has the unit `1`: Prometheus takes a gauge with it for a share, and
/// calls it a ratio.
fn unit(unit: Unit) -> String {
    match unit {
        Unit::None => String::new(),
        Unit::Things(thing) => format!("{{{thing}}}"),
        Unit::Seconds => "s".to_owned(),
        Unit::Bytes => "By".to_owned(),
    }
}

fn attributes(names: &[&str], values: Vec<String>) -> Vec<KeyValue> {
    let attribute = |(name, value): (&&str, String)| KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value)),
        }),
        ..KeyValue::default()
    };
    names.iter().zip(values).map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{
        CATALOGUE, EXCHANGE_EPOCH, EXCHANGE_OWNED, EXCHANGE_OWNERLESS, LINK_IO, QUORUM, REQUEST_TIME,
        REQUESTS, Scrape, UPTIME,
    };
    use super::*;
    use squall_kernel::time::Span;

    fn measured() -> Measured {
        Measured {
            resource: Resource::default(),
            since_ns: 5,
            at_ns: 9,
        }
    }

    fn metrics(requests: &[ExportMetricsServiceRequest]) -> Vec<Vec<Metric>> {
        let of_request = |request: &ExportMetricsServiceRequest| {
            let scopes = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
            scopes.flat_map(|scope| scope.metrics.clone()).collect()
        };
        requests.iter().map(of_request).collect()
    }

    #[test]
    fn each_kind_goes_as_the_protocol_has_it() {
        let mut scrape = Scrape::default();
        scrape.count(&LINK_IO, &["b"], 7);
        scrape.put(&UPTIME, &[], 1.5);
        let times = super::super::Histogram::default();
        times.record(Span(300));
        times.record(Span(40_000_000));
        scrape.times(&REQUEST_TIME, &["orders"], times.read());
        let all = metrics(&requests(scrape.finish(), &measured())).remove(0);
        let of = |name: &str| {
            all.iter()
                .find(|metric| metric.name == name)
                .expect("it is there")
        };

        let counter = of("squall.link.io");
        assert_eq!(
            (counter.unit.as_str(), counter.description.as_str()),
            ("By", LINK_IO.help)
        );
        let Some(metric::Data::Sum(sum)) = &counter.data else {
            panic!("{counter:?}")
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
        let point = &sum.data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 9));
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(7.0)));
        assert_eq!(point.attributes, attributes(&["peer"], vec!["b".into()]));

        let gauge = of("process.uptime");
        let Some(metric::Data::Gauge(values)) = &gauge.data else {
            panic!("{gauge:?}")
        };
        let point = &values.data_points[0];
        assert_eq!((gauge.unit.as_str(), point.start_time_unix_nano), ("s", 0));
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(1.5)));

        let histogram = of("squall.request.duration");
        let Some(metric::Data::Histogram(times)) = &histogram.data else {
            panic!("{histogram:?}")
        };
        assert_eq!(
            times.aggregation_temporality(),
            AggregationTemporality::Cumulative
        );
        let point = &times.data_points[0];
        assert_eq!((point.count, point.sum), (2, Some(40.0003)));
        assert_eq!(point.explicit_bounds[..2], [0.000_25, 0.000_5]);
        assert_eq!(point.explicit_bounds.len() + 1, point.bucket_counts.len());
        assert_eq!((point.bucket_counts[1], point.bucket_counts[16]), (1, 1));
        assert_eq!(point.start_time_unix_nano, 5);
    }

    /// The name that Prometheus gives a metric that comes over OTLP, in its receiver and in collectors' exporters
    /// (opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics, "OTLP Metric points to Prometheus"): its parts,
    /// its unit unless that is one of them, `total` for what only grows, `ratio` for a gauge of the unit 1.
    fn called_by_prometheus(metric: &Metric) -> String {
        let mut name: Vec<&str> = metric.name.split(['.', '_']).collect();
        let unit = match metric.unit.as_str() {
            "s" => "seconds",
            "By" => "bytes",
            "" | "1" => "",
            unit if unit.starts_with('{') && unit.ends_with('}') => "",
            other => panic!("{}: {other}", metric.name),
        };
        if !unit.is_empty() && !name.contains(&unit) {
            name.push(unit);
        }
        let mut ends_with = |word| {
            name.retain(|part| *part != word);
            name.push(word);
        };
        match &metric.data {
            Some(metric::Data::Sum(sum)) if sum.is_monotonic => ends_with("total"),
            Some(metric::Data::Gauge(_)) if metric.unit == "1" => ends_with("ratio"),
            _ => {}
        }
        name.join("_")
    }

    #[test]
    fn prometheus_calls_what_comes_from_a_collector_as_what_it_scrapes() {
        for metric in CATALOGUE {
            let family = Family {
                metric,
                series: Vec::new(),
            };
            let sent = of_family(family, &measured());
            assert_eq!(called_by_prometheus(&sent), metric.prometheus_name());
        }
        let of = |metric: &'static super::super::Metric| unit(metric.unit);
        assert_eq!([of(&REQUESTS), of(&QUORUM)], ["{request}", ""]);
    }

    #[test]
    fn very_many_series_go_in_several_requests_and_none_is_left_behind() {
        let mut scrape = Scrape::default();
        for metric in [&EXCHANGE_EPOCH, &EXCHANGE_OWNED, &EXCHANGE_OWNERLESS] {
            for number in 0..SERIES_MAX {
                scrape.count(metric, &[&number.to_string()], 1);
            }
        }
        let families = scrape.finish();
        let series: usize = families.iter().map(|family| family.series.len()).sum();
        let requests = metrics(&requests(families, &measured()));
        let points = |metrics: &Vec<Metric>| -> usize {
            let of = |metric: &Metric| match &metric.data {
                Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
                other => panic!("{other:?}"),
            };
            metrics.iter().map(of).sum()
        };
        assert!(requests.len() > 1);
        assert!(requests.iter().all(|request| points(request) <= POINTS_MAX));
        assert_eq!(requests.iter().map(points).sum::<usize>(), series);
        assert_eq!(super::requests(Vec::new(), &measured()), []);
    }
}
