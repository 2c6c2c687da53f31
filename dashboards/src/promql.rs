//! Checks of PromQL against the catalogue: does every metric exist, has it the labels that are asked of it, can both sides of an
//! operator meet, is a rate that of a counter.
//!
//! What does not live here: what an expression gives (Prometheus knows that, and the end-to-end tests ask it).

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{
    self, AggregateExpr, BinModifier, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality,
    VectorSelector,
};
use squall_node::metrics::{CATALOGUE, Kind};

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is no PromQL.
    #[error("{0}")]
    Syntax(String),
    /// It asks for something that no node has.
    #[error("there is no metric '{0}'")]
    NoMetric(String),
    /// It asks for a label that is not there.
    #[error("'{of}' has no label '{label}'")]
    NoLabel {
        /// A metric, or what stands within an aggregation.
        of: String,
        /// What it lacks.
        label: String,
    },
    /// Both sides have different labels, so that no series meets one of the other side.
    #[error("'{0}' and '{1}' have different labels and never meet")]
    NeverMeet(String, String),
    /// A rate of what is no counter.
    #[error("{function} of '{metric}', which is no counter")]
    NoCounter {
        /// The function.
        function: String,
        /// What it is of.
        metric: String,
    },
}

/// Names of labels.
pub type Labels = BTreeSet<String>;

#[derive(Debug, Clone)]
struct Known {
    labels: Labels,
    counts: bool,
}

/// What can be asked for: the catalogue, as Prometheus has it when it has scraped nodes, and the rules that were [learnt](Self::learn).
#[derive(Debug, Clone)]
pub struct Metrics(BTreeMap<String, Known>);

/// What Prometheus adds to each series.
const OF_TARGETS: [&str; 2] = ["job", "instance"];
/// What there is of alerts that fire: labels of Prometheus, and all that alerts take from metrics.
const OF_ALERTS: [&str; 5] = ["job", "instance", "alertname", "alertstate", "severity"];

impl Metrics {
    /// The catalogue, and what Prometheus tells of itself.
    #[must_use]
    pub fn of_nodes() -> Self {
        let mut all = Self(BTreeMap::new());
        all.add("up", &OF_TARGETS, false);
        all.add("ALERTS", &OF_ALERTS, false);
        for metric in CATALOGUE {
            let name = metric.prometheus_name();
            let labels: Vec<&str> = OF_TARGETS.iter().chain(metric.labels).copied().collect();
            if metric.kind == Kind::Histogram {
                all.add(&format!("{name}_sum"), &labels, true);
                all.add(&format!("{name}_count"), &labels, true);
                all.add(&format!("{name}_bucket"), &[&labels[..], &["le"]].concat(), true);
            } else {
                all.add(&name, &labels, metric.kind == Kind::Counter);
            }
        }
        all
    }

    fn add(&mut self, name: &str, labels: &[&str], counts: bool) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.0.insert(name.to_owned(), Known { labels, counts });
    }

    /// Takes in a recording rule.
    ///
    /// # Errors
    /// [`Problem`] of its expression.
    pub fn learn(&mut self, name: &str, expr: &str) -> Result<(), Problem> {
        let labels = self.labels(expr)?;
        self.0.insert(
            name.to_owned(),
            Known {
                labels,
                counts: false,
            },
        );
        Ok(())
    }

    /// True for a metric's name, that of a histogram without suffix included.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name) || self.0.contains_key(&format!("{name}_bucket"))
    }

    /// The labels that the series of an expression have.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn labels(&self, expr: &str) -> Result<Labels, Problem> {
        self.of(&parsed(expr)?)
    }

    fn of(&self, expr: &Expr) -> Result<Labels, Problem> {
        match expr {
            Expr::VectorSelector(it) => self.selected(it),
            Expr::MatrixSelector(it) => self.selected(&it.vs),
            Expr::Paren(it) => self.of(&it.expr),
            Expr::Unary(it) => self.of(&it.expr),
            Expr::Subquery(it) => self.of(&it.expr),
            Expr::Aggregate(it) => self.aggregated(it),
            Expr::Binary(it) => self.combined(it),
            Expr::Call(it) => self.called(it),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Ok(Labels::new()),
        }
    }

    fn known(&self, selector: &VectorSelector) -> Result<&Known, Problem> {
        let name = selector.name.clone().unwrap_or_default();
        self.0.get(&name).ok_or(Problem::NoMetric(name))
    }

    fn selected(&self, selector: &VectorSelector) -> Result<Labels, Problem> {
        let labels = self.known(selector)?.labels.clone();
        let asked = matchers(selector).map(|matcher| matcher.name.clone());
        within(asked, &labels, || selector.name.clone().unwrap_or_default())?;
        Ok(labels)
    }

    fn aggregated(&self, it: &AggregateExpr) -> Result<Labels, Problem> {
        let labels = self.of(&it.expr)?;
        let keeps_all = matches!(it.op.to_string().as_str(), "topk" | "bottomk");
        let Some(modifier) = &it.modifier else {
            return Ok(if keeps_all { labels } else { Labels::new() });
        };
        let named = named(modifier);
        within(named.iter().cloned(), &labels, || it.expr.to_string())?;
        Ok(match modifier {
            _ if keeps_all => labels,
            LabelModifier::Include(_) => named,
            LabelModifier::Exclude(_) => &labels - &named,
        })
    }

    fn combined(&self, it: &BinaryExpr) -> Result<Labels, Problem> {
        let (left, right) = (self.of(&it.lhs)?, self.of(&it.rhs)?);
        if is_number(&it.lhs) {
            return Ok(right);
        }
        if is_number(&it.rhs) {
            return Ok(left);
        }
        let default = BinModifier::default();
        let modifier = it.modifier.as_ref().unwrap_or(&default);
        let by = if let Some(LabelModifier::Include(on)) = &modifier.matching {
            let on: Labels = on.labels.iter().cloned().collect();
            within(on.iter().cloned(), &left, || it.lhs.to_string())?;
            within(on.iter().cloned(), &right, || it.rhs.to_string())?;
            on
        } else {
            let without = modifier.matching.as_ref().map(named).unwrap_or_default();
            let by = &left - &without;
            // `or vector(0)`: something in place of nothing.
            let in_place = it.op.to_string() == "or" && right.is_empty();
            if by != &right - &without && !in_place {
                return Err(Problem::NeverMeet(it.lhs.to_string(), it.rhs.to_string()));
            }
            by
        };
        Ok(match &modifier.card {
            VectorMatchCardinality::ManyToMany => left,
            VectorMatchCardinality::OneToOne => by,
            VectorMatchCardinality::ManyToOne(more) => taken(left, &more.labels, &right, &it.rhs)?,
            VectorMatchCardinality::OneToMany(more) => taken(right, &more.labels, &left, &it.lhs)?,
        })
    }

    fn called(&self, call: &Call) -> Result<Labels, Problem> {
        let Some(of) = call.args.args.iter().find(|of| !is_number(of)) else {
            return Ok(Labels::new());
        };
        let mut labels = self.of(of)?;
        match call.func.name {
            "vector" | "scalar" => labels.clear(),
            "histogram_quantile" if !labels.remove("le") => {
                let (of, label) = (of.to_string(), "le".into());
                return Err(Problem::NoLabel { of, label });
            }
            function @ ("rate" | "irate" | "increase") => {
                if let Expr::MatrixSelector(it) = &**of
                    && !self.known(&it.vs)?.counts
                {
                    return Err(Problem::NoCounter {
                        function: function.into(),
                        metric: it.vs.to_string(),
                    });
                }
            }
            _ => {}
        }
        Ok(labels)
    }
}

/// An expression without its comparisons: what stands on their left, which has series also where nothing is wrong.
///
/// # Errors
/// [`Problem::Syntax`].
pub fn without_comparisons(expr: &str) -> Result<String, Problem> {
    Ok(stripped(parsed(expr)?).to_string())
}

fn stripped(expr: Expr) -> Expr {
    match expr {
        Expr::Binary(it) if it.op.is_comparison_operator() => stripped(*it.lhs),
        Expr::Binary(mut it) => {
            it.lhs = Box::new(stripped(*it.lhs));
            it.rhs = Box::new(stripped(*it.rhs));
            Expr::Binary(it)
        }
        Expr::Paren(mut it) => {
            it.expr = Box::new(stripped(*it.expr));
            Expr::Paren(it)
        }
        Expr::Aggregate(mut it) => {
            it.expr = Box::new(stripped(*it.expr));
            Expr::Aggregate(it)
        }
        Expr::Call(mut it) => {
            let args = it.args.args.into_iter();
            it.args.args = args.map(|arg| Box::new(stripped(*arg))).collect();
            Expr::Call(it)
        }
        other => other,
    }
}

/// What an expression takes for granted: metric, label, value, wherever it names a value in full.
///
/// # Errors
/// [`Problem::Syntax`].
pub fn named_values(expr: &str) -> Result<Vec<[String; 3]>, Problem> {
    let mut found = Vec::new();
    collect(&parsed(expr)?, &mut found);
    Ok(found)
}

fn collect(expr: &Expr, found: &mut Vec<[String; 3]>) {
    match expr {
        Expr::VectorSelector(it) => values(it, found),
        Expr::MatrixSelector(it) => values(&it.vs, found),
        Expr::Paren(it) => collect(&it.expr, found),
        Expr::Unary(it) => collect(&it.expr, found),
        Expr::Subquery(it) => collect(&it.expr, found),
        Expr::Aggregate(it) => collect(&it.expr, found),
        Expr::Binary(it) => {
            collect(&it.lhs, found);
            collect(&it.rhs, found);
        }
        Expr::Call(it) => it.args.args.iter().for_each(|arg| collect(arg, found)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn values(selector: &VectorSelector, found: &mut Vec<[String; 3]>) {
    let metric = selector.name.clone().unwrap_or_default();
    for matcher in matchers(selector) {
        let alternatives: Vec<&str> = match &matcher.op {
            MatchOp::Equal => vec![&matcher.value],
            MatchOp::Re(_) => matcher.value.split('|').collect(),
            _ => continue,
        };
        let plain = |value: &&str| !value.contains(['.', '*', '+', '(', '[', '\\']);
        for value in alternatives.into_iter().filter(plain) {
            found.push([metric.clone(), matcher.name.clone(), value.to_owned()]);
        }
    }
}

/// Metrics that programs of all kinds have, where an expression takes them from whoever has them: neither of a job that is named, nor
/// of targets that have a metric of nodes alone.
///
/// # Errors
/// [`Problem::Syntax`].
pub fn of_any_program(expr: &str) -> Result<Vec<String>, Problem> {
    Ok(unbound(&parsed(expr)?))
}

fn unbound(expr: &Expr) -> Vec<String> {
    match expr {
        Expr::VectorSelector(it) => Vec::from_iter(taken_from_anybody(it)),
        Expr::MatrixSelector(it) => Vec::from_iter(taken_from_anybody(&it.vs)),
        Expr::Paren(it) => unbound(&it.expr),
        Expr::Unary(it) => unbound(&it.expr),
        Expr::Subquery(it) => unbound(&it.expr),
        Expr::Aggregate(it) => unbound(&it.expr),
        Expr::Binary(it) => {
            let (left, right) = (unbound(&it.lhs), unbound(&it.rhs));
            let one_is_bound = left.is_empty() || right.is_empty();
            if one_is_bound && goes_by_target(it) {
                return Vec::new();
            }
            [left, right].concat()
        }
        Expr::Call(it) => it.args.args.iter().flat_map(|arg| unbound(arg)).collect(),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Vec::new(),
    }
}

fn taken_from_anybody(selector: &VectorSelector) -> Option<String> {
    let name = selector.name.clone().unwrap_or_default();
    let of_nodes = name.starts_with("squall_") || name.contains(":squall_") || name == "ALERTS";
    let of_a_job = matchers(selector).any(|matcher| matcher.name == "job");
    (!of_nodes && !of_a_job).then_some(name)
}

/// What is on one side alone is left out.
fn goes_by_target(it: &BinaryExpr) -> bool {
    let matching = it.modifier.as_ref().and_then(|it| it.matching.as_ref());
    let by_target = |on: &LabelModifier| {
        matches!(on, LabelModifier::Include(_)) && OF_TARGETS.iter().all(|label| named(on).contains(*label))
    };
    let keeps_both = ["or", "unless"].contains(&it.op.to_string().as_str());
    matching.is_some_and(by_target) && !keeps_both
}

fn parsed(expr: &str) -> Result<Expr, Problem> {
    parser::parse(expr).map_err(|error| Problem::Syntax(format!("{error}: {expr}")))
}

fn matchers(selector: &VectorSelector) -> impl Iterator<Item = &Matcher> {
    let others = selector.matchers.or_matchers.iter().flatten();
    selector.matchers.matchers.iter().chain(others)
}

fn named(modifier: &LabelModifier) -> Labels {
    let (LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) = modifier;
    labels.labels.iter().cloned().collect()
}

fn within(
    asked: impl IntoIterator<Item = String>,
    labels: &Labels,
    of: impl FnOnce() -> String,
) -> Result<(), Problem> {
    match asked.into_iter().find(|label| !labels.contains(label)) {
        None => Ok(()),
        Some(label) => Err(Problem::NoLabel { of: of(), label }),
    }
}

/// The labels of the many, with some of the one's.
fn taken(many: Labels, more: &[String], one: &Labels, side: &Expr) -> Result<Labels, Problem> {
    within(more.iter().cloned(), one, || side.to_string())?;
    Ok(many.into_iter().chain(more.iter().cloned()).collect())
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => true,
        Expr::Paren(it) => is_number(&it.expr),
        Expr::Call(it) => matches!(it.func.name, "scalar" | "time"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(expr: &str) -> Result<Vec<String>, Problem> {
        Ok(Metrics::of_nodes().labels(expr)?.into_iter().collect())
    }

    #[test]
    fn labels_follow_aggregations_operators_and_functions() {
        let table: [(&str, &[&str]); 11] = [
            ("squall_quorum", &["instance", "job"]),
            ("sum(squall_requests_total)", &[]),
            (
                "sum by (exchange) (rate(squall_requests_total[1m]))",
                &["exchange"],
            ),
            (
                "sum without (instance) (squall_requests_open)",
                &["exchange", "job"],
            ),
            ("topk(3, squall_requests_open)", &["exchange", "instance", "job"]),
            (
                "histogram_quantile(0.9, sum by (le, cause) (squall_failover_duration_seconds_bucket))",
                &["cause"],
            ),
            ("1 - max by (exchange) (squall_exchange_owned)", &["exchange"]),
            ("sum(squall_faults_active) or vector(0)", &[]),
            (
                "squall_link_up == 0 and on (job, peer) (max by (job, peer) (squall_link_up) == 1)",
                &["instance", "job", "peer"],
            ),
            (
                "process_uptime_seconds * on (job, instance) group_left (version) squall_node_info",
                &["instance", "job", "version"],
            ),
            (
                "squall_requests_open * ignoring (exchange) group_left () squall_quorum",
                &["exchange", "instance", "job"],
            ),
        ];
        for (expr, expected) in table {
            assert_eq!(labels(expr).expect(expr), expected, "{expr}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let table = [
            (
                "squall_request_total",
                "there is no metric 'squall_request_total'",
            ),
            ("squall_quorum{node=\"a\"}", "'squall_quorum' has no label 'node'"),
            (
                "sum by (exchange) (squall_quorum)",
                "'squall_quorum' has no label 'exchange'",
            ),
            (
                "rate(squall_quorum[1m])",
                "rate of 'squall_quorum', which is no counter",
            ),
            (
                "sum by (job) (squall_quorum) / sum by (instance) (squall_quorum)",
                "'sum by (job) (squall_quorum)' and 'sum by (instance) (squall_quorum)' have different labels and never meet",
            ),
            (
                "histogram_quantile(0.9, squall_requests_open)",
                "'squall_requests_open' has no label 'le'",
            ),
            (
                "squall_members * on (exchange) group_left () squall_quorum",
                "'squall_members' has no label 'exchange'",
            ),
            (
                "process_uptime_seconds * on (job, instance) group_left (zone) squall_node_info",
                "'squall_node_info' has no label 'zone'",
            ),
        ];
        for (expr, expected) in table {
            let problem = labels(expr).expect_err(expr).to_string();
            assert_eq!(problem, expected, "{expr}");
        }
        assert!(matches!(labels("sum(("), Err(Problem::Syntax(_))));
    }

    #[test]
    fn a_rule_is_known_when_it_was_learnt() {
        let mut metrics = Metrics::of_nodes();
        let asks = "sum by (job) (job_exchange:squall_requests:rate1m)";
        assert!(metrics.labels(asks).is_err());
        let expr = "sum by (job, exchange) (rate(squall_requests_total[1m]))";
        metrics
            .learn("job_exchange:squall_requests:rate1m", expr)
            .expect("it is sound");
        assert!(metrics.labels(asks).is_ok());
        assert!(metrics.has("squall_request_duration_seconds") && !metrics.has("squall_request"));
    }

    #[test]
    fn comparisons_are_taken_off_wherever_they_stand() {
        let table = [
            ("squall_quorum == 0", "squall_quorum"),
            (
                "squall_quorum == 0 and on (job) (max by (job) (squall_quorum) == 1)",
                "squall_quorum and on (job) (max by (job) (squall_quorum))",
            ),
            (
                "sum(squall_mailbox_oldest_seconds > 3) + 1 > 2",
                "sum(squall_mailbox_oldest_seconds) + 1",
            ),
        ];
        for (expr, expected) in table {
            assert_eq!(without_comparisons(expr).expect(expr), expected);
        }
    }

    #[test]
    fn what_any_program_has_is_of_a_job_or_of_nodes() {
        let uptime = ["process_uptime_seconds"].map(String::from);
        let join = "process_uptime_seconds * on (job, instance) group_left () squall_node_info";
        for (expr, expected) in [
            ("resets(process_uptime_seconds[15m]) > 2", &uptime[..]),
            ("resets(process_uptime_seconds{job=\"a\"}[15m]) > 2", &[]),
            ("max by (job) (squall_quorum) == 0", &[]),
            (
                "resets(process_uptime_seconds[15m]) and on (job, instance) squall_quorum",
                &[],
            ),
            ("process_uptime_seconds and on (job) squall_quorum", &uptime[..]),
            (
                "process_uptime_seconds unless on (job, instance) squall_quorum",
                &uptime[..],
            ),
            (join, &[]),
        ] {
            assert_eq!(of_any_program(expr).expect(expr), expected, "{expr}");
        }
    }

    #[test]
    fn values_that_are_named_in_full_are_told() {
        let expr = "rate(squall_events_total{kind=~\"fault-.*\",severity=~\"info|alert\"}[1m])";
        let named =
            ["info", "alert"].map(|value| ["squall_events_total", "severity", value].map(String::from));
        assert_eq!(named_values(expr), Ok(named.to_vec()));
    }
}
