//! What a node measures, for Prometheus, collectors and whoever else asks: one catalogue ([`CATALOGUE`]), read from what the parts of the node
//! publish at the moment in which somebody asks. Nothing is counted for it on the way of messages that was not counted before,
//! but for two additions a request.
//!
//! Each metric has a bound on its series, and there is one on the exchanges that are told of: what is beyond them is left out, and how
//! much that is can be read.
//!
//! What does not live here: which figures there are in the parts (`sources::measures` reads them), and who asks (`grpc`).

mod catalogue;
mod histogram;
pub mod otlp;
pub mod push;
mod text;

use std::collections::{BTreeMap, HashSet};

pub use catalogue::*;
pub use histogram::{BOUNDS, Histogram, Times};
pub use push::{Exports, Push, Pusher};
pub use text::{CONTENT_TYPE, encode};

/// Exchanges that figures are told of, where there are more: those with the lowest numbers, in all metrics the same, for what is
/// told of one exchange here and of another one there cannot be compared, and what comes and goes with each scrape is no curve.
pub const EXCHANGES_MAX: usize = 1_000;
/// Most values that another label has beside the exchange: the results of deliveries.
const VALUES_MAX: usize = 6;
/// Series of one metric; those beyond it are left out, and counted in [`SERIES_LEFT_OUT`]. What is told of exchanges fits in it, so
/// that only what nobody has foreseen is cut.
pub const SERIES_MAX: usize = VALUES_MAX * EXCHANGES_MAX;

/// How a metric is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the node.
    Counter,
    /// It is what it is now.
    Gauge,
    /// Times, by how long they were.
    Histogram,
}

/// What a metric is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Neither: it is true or false, the number of something, or a figure without a unit.
    None,
    /// Things; a word for one of them.
    Things(&'static str),
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A metric: what it is called, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name as OpenTelemetry has it, with dots.
    pub name: &'static str,
    /// How it is to be read.
    pub kind: Kind,
    /// What it is counted in.
    pub unit: Unit,
    /// Names of its labels, in the order of their values.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

impl Metric {
    /// Name as Prometheus has it, without the suffix of histograms' series: `squall_link_queue_size_bytes`,
    /// `squall_requests_total`.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            Unit::None | Unit::Things(_) => "",
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
        };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

/// A value of one series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Times(Times),
}

/// A metric with all that was measured of it.
#[derive(Debug, Clone)]
pub struct Family {
    /// What it is.
    pub metric: &'static Metric,
    /// Values of its labels, and its own.
    pub series: Vec<(Vec<String>, Value)>,
}

/// What a node has measured, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    families: BTreeMap<&'static str, Family>,
    /// The exchanges that are told of; all where there is none.
    exchanges: Option<HashSet<String>>,
    left_out: u64,
}

impl Scrape {
    /// These are all the exchanges that there are, in the order of their numbers: from now on the first [`EXCHANGES_MAX`] of them are
    /// told of, in every metric with the label `exchange`.
    pub fn of_exchanges<'a>(&mut self, names: impl ExactSizeIterator<Item = &'a str>) {
        self.exchanges =
            (names.len() > EXCHANGES_MAX).then(|| names.take(EXCHANGES_MAX).map(str::to_owned).collect());
    }

    /// True but for an exchange that is not told of. What serves none has no name there.
    fn tells_of(&self, metric: &Metric, labels: &[&str]) -> bool {
        let Some(exchanges) = &self.exchanges else {
            return true;
        };
        let mut labels = metric.labels.iter().zip(labels);
        labels.all(|(label, value)| *label != "exchange" || value.is_empty() || exchanges.contains(*value))
    }

    /// A value of a counter or a gauge.
    pub fn put(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.add(metric, labels, Value::Number(value));
    }

    /// The same of a count. Beyond 2^53 it is rounded.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn count(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        self.put(metric, labels, value as f64);
    }

    /// A value of a histogram.
    pub fn times(&mut self, metric: &'static Metric, labels: &[&str], times: Times) {
        self.add(metric, labels, Value::Times(times));
    }

    fn add(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        if !self.tells_of(metric, labels) {
            self.left_out += 1;
            return;
        }
        let family = self.families.entry(metric.name).or_insert_with(|| Family {
            metric,
            series: Vec::new(),
        });
        if family.series.len() >= SERIES_MAX {
            self.left_out += 1;
            return;
        }
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        family.series.push((labels, value));
    }

    /// All families, by name, with how much was left out.
    #[must_use]
    pub fn finish(mut self) -> Vec<Family> {
        let left_out = self.left_out;
        self.count(&SERIES_LEFT_OUT, &[], left_out);
        self.families.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_say_their_units_and_are_found_once() {
        let names: BTreeSet<String> = CATALOGUE.iter().map(|metric| metric.prometheus_name()).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for metric in CATALOGUE {
            let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
            assert!(metric.name.chars().all(plain), "{}", metric.name);
            assert!(
                metric.help.ends_with('.') && metric.help.len() > 20,
                "{}",
                metric.name
            );
            assert!(
                (metric.kind == Kind::Histogram) <= (metric.unit == Unit::Seconds),
                "{}",
                metric.name
            );
        }
        assert_eq!(REQUESTS.prometheus_name(), "squall_requests_total");
        assert_eq!(LINK_QUEUE.prometheus_name(), "squall_link_queue_size_bytes");
    }

    /// As docs/metrics.md has it.
    fn table() -> String {
        let mut table = String::from("| metric | kind | labels | |\n|---|---|---|---|\n");
        for metric in CATALOGUE {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, labels, help) = (metric.prometheus_name(), labels.join(", "), metric.help);
            table += &format!("| `{name}` | {kind} | {labels} | {help} |\n");
        }
        table
    }

    #[test]
    fn the_document_has_the_same_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let text = std::fs::read_to_string(path).expect("it is there");
        let table = table();
        assert!(text.contains(&table), "docs/metrics.md must have:\n{table}");
    }

    /// What was told of an exchange, by metric.
    fn told_of(families: &[Family], metric: &Metric) -> BTreeSet<String> {
        let of = families.iter().filter(|family| family.metric.name == metric.name);
        let place = metric.labels.iter().position(|label| *label == "exchange");
        let place = place.expect("it has that label");
        of.flat_map(|family| &family.series)
            .map(|(labels, _)| labels[place].clone())
            .collect()
    }

    #[test]
    fn of_too_many_exchanges_the_same_ones_are_told_of_everywhere() {
        let names: Vec<String> = (0..EXCHANGES_MAX + 3)
            .map(|number| format!("x{number:04}"))
            .collect();
        let mut scrape = Scrape::default();
        scrape.of_exchanges(names.iter().map(String::as_str));
        for name in &names {
            scrape.count(&EXCHANGE_EPOCH, &[name], 1);
            scrape.count(&MAILBOX_MESSAGES, &["handler", name], 1);
        }
        // Whatever hashes them gives them in any order.
        for name in names.iter().rev() {
            scrape.times(&REQUEST_TIME, &[name], Times::default());
            for result in ["accepted", "rejected", "dropped", "expired", "held", "fenced"] {
                scrape.count(&DELIVERIES, &[name, result], 1);
            }
        }
        scrape.count(&MAILBOX_MESSAGES, &["session", ""], 1);
        let families = scrape.finish();
        let first: BTreeSet<String> = names[..EXCHANGES_MAX].iter().cloned().collect();
        for metric in [&EXCHANGE_EPOCH, &REQUEST_TIME, &DELIVERIES] {
            assert_eq!(told_of(&families, metric), first, "{}", metric.name);
        }
        let mailboxes = told_of(&families, &MAILBOX_MESSAGES);
        assert!(mailboxes.contains("") && mailboxes.len() == EXCHANGES_MAX + 1);
        let left_out = families
            .iter()
            .find(|family| family.metric.name == SERIES_LEFT_OUT.name);
        let beyond = 3 * (1 + 1 + 1 + VALUES_MAX);
        assert_eq!(
            left_out.map(|family| family.series.clone()),
            Some(vec![(Vec::new(), Value::Number(f64::from(beyond as u32)))])
        );
    }

    #[test]
    fn as_many_exchanges_as_are_told_of_are_all_told_of() {
        let names: Vec<String> = (0..EXCHANGES_MAX).map(|number| number.to_string()).collect();
        let mut scrape = Scrape::default();
        scrape.of_exchanges(names.iter().map(String::as_str));
        scrape.count(&EXCHANGE_EPOCH, &["just deleted"], 1);
        assert!(told_of(&scrape.finish(), &EXCHANGE_EPOCH).contains("just deleted"));
    }

    #[test]
    fn series_beyond_the_bound_are_left_out_and_counted() {
        let mut scrape = Scrape::default();
        for number in 0..SERIES_MAX + 3 {
            scrape.count(&EXCHANGE_EPOCH, &[&number.to_string()], 1);
        }
        let families = scrape.finish();
        let of = |metric: &Metric| families.iter().find(|family| family.metric.name == metric.name);
        assert_eq!(
            of(&EXCHANGE_EPOCH).map(|family| family.series.len()),
            Some(SERIES_MAX)
        );
        assert_eq!(
            of(&SERIES_LEFT_OUT).map(|family| family.series.clone()),
            Some(vec![(Vec::new(), Value::Number(3.0))])
        );
    }
}
