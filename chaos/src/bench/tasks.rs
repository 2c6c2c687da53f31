//! Tasks submitted, carried out and settled per second, in a closed loop or an open one: a client submits, five workers confirm,
//! each a client with a connection of its own; in one node, and with a backup that has a copy of each task before it is acknowledged.
//! What does not live here: the clients (`scene`), the loops (`working`), which tasks are under way (`ledger`).

use std::time::Duration;

use serde::Serialize;

use super::load::held_back_line;
use super::{BenchError, Load, Machine, SCHEMA};

pub(super) mod ledger;
pub(super) mod scene;
pub(super) mod working;

use scene::Scene;
use working::Worked;

/// Tasks in flight, one row each.
pub const IN_FLIGHT: [usize; 4] = [1, 10, 100, 1000];
/// Workers of the exchange.
pub const WORKERS: usize = 5;
/// The exchange.
const EXCHANGE: &str = "bench-tasks";

/// Where tasks are kept. All of it, clients included, is in the benchmark's process; clients and nodes are connected over
/// loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// At one node.
    OneNode,
    /// At two nodes, each with a copy.
    Backup,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::OneNode, Self::Backup];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneNode => "one_node",
            Self::Backup => "backup",
        }
    }
}

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TasksOptions {
    /// Places, in this order.
    pub places: Vec<Place>,
    /// Loads, in this order.
    pub loads: Vec<Load>,
    /// How long each is measured.
    pub measured: Duration,
    /// How long each runs before that.
    pub warm_up: Duration,
}

/// One measurement. Every task of it was kept where it should be, carried out once, at its first attempt, and settled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Where tasks were kept.
    #[serde(rename = "where")]
    pub place: Place,
    /// When tasks were submitted.
    #[serde(flatten)]
    pub load: Load,
    /// Tasks settled within the measured time; in an open loop those that were to be submitted within it.
    pub tasks: u64,
    /// The same per second.
    pub rate: f64,
    /// Tasks of an open loop that were not submitted within the measured time, because 4096 were open.
    pub held_back: u64,
    /// From a submit to the word that the task is kept: half took no longer.
    pub kept_p50_us: f64,
    /// 99 in 100 took no longer.
    pub kept_p99_us: f64,
    /// 999 in 1000 took no longer.
    pub kept_p999_us: f64,
    /// From a submit to the settlement: half took no longer.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
    /// Processor time for each, clients, workers and nodes together.
    pub cpu_us: f64,
}

/// All measurements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tasks {
    /// Version of this form.
    pub version: u32,
    /// What they were taken on.
    pub machine: Machine,
    /// The measurements.
    pub rows: Vec<Row>,
}

/// Measures, and tells each row as soon as it is there.
///
/// # Errors
/// [`BenchError`], also when a task was not settled exactly once.
pub async fn run(options: &TasksOptions, mut tell: impl FnMut(&Row)) -> Result<Tasks, BenchError> {
    let machine = Machine::here();
    let mut rows = Vec::new();
    for &place in &options.places {
        let scene = Scene::begin(place).await?;
        for &load in &options.loads {
            let worked = working::work(&scene.submitter, load, (options.warm_up, options.measured)).await?;
            let row = row(place, load, &worked, options.measured)?;
            tell(&row);
            rows.push(row);
        }
        scene.end().await;
    }
    Ok(Tasks {
        version: SCHEMA,
        machine,
        rows,
    })
}

fn row(place: Place, load: Load, worked: &Worked, measured: Duration) -> Result<Row, BenchError> {
    let unsound = |what: String| {
        let (place, load) = (place.as_str(), load.words());
        Err(BenchError::Unsound(format!("{place}, {load}: {what}")))
    };
    let tally = &worked.tally;
    if let Some(failure) = &tally.failure {
        return unsound(format!("of {} tasks: {failure}", tally.asked));
    }
    let tasks = tally.took.total();
    if tasks == 0 {
        return unsound("no task was settled in the measured time".into());
    }
    let micros = |took: &super::Histogram, quantile| {
        (took.quantile(quantile).as_nanos() as f64 / 100.0).round() / 10.0
    };
    Ok(Row {
        place,
        load,
        tasks,
        rate: (tasks as f64 / measured.as_secs_f64()).round(),
        held_back: tally.held_back,
        kept_p50_us: micros(&worked.kept, 0.5),
        kept_p99_us: micros(&worked.kept, 0.99),
        kept_p999_us: micros(&worked.kept, 0.999),
        p50_us: micros(&tally.took, 0.5),
        p99_us: micros(&tally.took, 0.99),
        p999_us: micros(&tally.took, 0.999),
        cpu_us: (worked.processor.as_secs_f64() * 1e7 / tasks as f64).round() / 10.0,
    })
}

/// Heading of the table for people.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<9} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>11}",
        "where",
        "in flight",
        "tasks",
        "tasks/s",
        "kept p50",
        "kept p99",
        "kept p99.9",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "cpu µs/task"
    )
}

impl Row {
    /// One line of that table.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:<9} {:>9} {:>10} {:>10.0} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>11.1}",
            self.place.as_str(),
            self.load,
            self.tasks,
            self.rate,
            self.kept_p50_us,
            self.kept_p99_us,
            self.kept_p999_us,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            self.cpu_us
        );
        line.push_str(&held_back_line(self.held_back));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worked(micros: &[u64]) -> Worked {
        let mut worked = Worked {
            processor: Duration::from_micros(80),
            ..Worked::default()
        };
        for us in micros {
            worked.tally.asked += 1;
            worked.tally.took.count(Duration::from_micros(*us));
            worked.kept.count(Duration::from_micros(us / 2));
        }
        worked
    }

    #[test]
    fn a_row_has_both_latencies_and_the_processor_time_of_a_task() {
        let row = row(
            Place::Backup,
            Load::Closed(10),
            &worked(&[10, 20, 30, 40]),
            Duration::from_secs(2),
        )
        .unwrap();
        assert_eq!((row.tasks, row.rate, row.cpu_us), (4, 2.0, 20.0));
        assert!(row.kept_p50_us < row.p50_us && row.p50_us < row.p99_us);
        assert_eq!(heading().chars().count(), row.line().chars().count());
    }

    #[test]
    fn a_task_that_went_wrong_leaves_no_row() {
        let mut failed = worked(&[10]);
        failed.tally.fail("it was lost".into());
        let error = row(Place::OneNode, Load::Closed(1), &failed, Duration::from_secs(1)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("one_node, 1 in flight: of 1 tasks: it was lost"),
            "{error}"
        );
        assert!(
            row(
                Place::OneNode,
                Load::Open(1),
                &worked(&[]),
                Duration::from_secs(1)
            )
            .is_err()
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_small_run_settles_every_task_with_and_without_a_backup() {
        let options = TasksOptions {
            places: Place::ALL.to_vec(),
            loads: vec![Load::Closed(1), Load::Closed(20), Load::Open(500)],
            measured: Duration::from_millis(300),
            warm_up: Duration::ZERO,
        };
        let mut told = 0;
        let done = run(&options, |_| told += 1).await.unwrap();
        assert_eq!((told, done.rows.len(), done.version), (6, 6, SCHEMA));
        assert!(done.rows.iter().all(|row| row.tasks > 0));
    }
}
