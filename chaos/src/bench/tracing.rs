//! What tracing costs: the rate of requests without it, at three shares of traced requests, and with a collector that is not
//! there or does not answer, in turn, round after round. Each measurement is `squall bench req-resp` in processes of its own.
//! What does not live here: the requests (`req_resp`) and the collectors (`collector`).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use squall_node::telemetry::Share;
use tokio::process::Command;

use super::ratio::Spread;
use super::req_resp::{Traces, Where, known};
use super::{BenchError, Load, Machine, SCHEMA, io_error};

mod collector;

use collector::Collector;

/// Share of the requests that are traced by default, which is the one that goals are about.
const USUAL: f64 = 0.01;
/// So many traced requests expected are never none: by chance once in half a billion.
const DRAWN_ENOUGH: f64 = 20.0;
/// Rate with that share traced to that without traces, whoever takes them, and be it nobody: no less than this.
pub const GOAL: f64 = 0.97;

/// Who takes the traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Taker {
    /// Nobody is meant to: nodes send none.
    Nobody,
    /// A collector that takes all it is sent.
    Taking,
    /// Connections are refused.
    Refusing,
    /// A collector that takes connections and never answers.
    Silent,
}

/// How nodes trace, in one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Setting {
    /// Who takes the traces.
    pub collector: Taker,
    /// Share of requests that are traced.
    pub share: f64,
}

impl Setting {
    /// All of them. The first one is what the others are compared with.
    pub const ALL: [Self; 7] = [
        Self::of(Taker::Nobody, 0.0),
        Self::of(Taker::Taking, 0.0),
        Self::of(Taker::Taking, USUAL),
        Self::of(Taker::Taking, 1.0),
        Self::of(Taker::Refusing, USUAL),
        Self::of(Taker::Silent, USUAL),
        Self::of(Taker::Silent, 1.0),
    ];

    const fn of(collector: Taker, share: f64) -> Self {
        Self { collector, share }
    }

    /// What its rate is to be at least, to that without traces; none where nothing was set.
    fn goal(self) -> Option<f64> {
        (self.share == USUAL).then_some(GOAL)
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> String {
        let share = self.share * 100.0;
        match self.collector {
            Taker::Nobody => "no traces".into(),
            Taker::Taking => format!("{share}% traced"),
            Taker::Refusing => format!("{share}%, no collector there"),
            Taker::Silent => format!("{share}%, it does not answer"),
        }
    }
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct TracingOptions {
    /// The squall program.
    pub program: PathBuf,
    /// Arrangements, in this order.
    pub places: Vec<Where>,
    /// Loads, in this order.
    pub loads: Vec<Load>,
    /// How long each measurement takes.
    pub measured: Duration,
    /// How often each setting is measured.
    pub rounds: usize,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Arrangement.
    pub place: Where,
    /// When requests were sent.
    pub load: Load,
    /// How it was traced.
    pub setting: Setting,
    /// What was measured.
    pub figures: Figures,
    /// Spans that the collector took for each request.
    pub spans: f64,
}

/// What `squall bench req-resp` tells of one row.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Figures {
    requests: f64,
    /// Requests answered per second.
    pub rate: f64,
    /// Half of them took no longer, in microseconds, as all latencies.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
    /// Processor time of all processes of the arrangement for each request, in microseconds; none where the system does not tell.
    pub cpu_us: Option<f64>,
}

/// All measurements of a setting. In the middle means: of the rounds, each figure by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Arrangement.
    #[serde(rename = "where")]
    pub place: Where,
    /// When requests were sent.
    #[serde(flatten)]
    pub load: Load,
    /// How it was traced.
    #[serde(flatten)]
    pub setting: Setting,
    /// Requests answered per second, in the order of the rounds.
    pub rates: Vec<f64>,
    /// The same in the middle.
    pub rate: f64,
    /// Half of the requests took no longer, in microseconds, as all latencies; in the middle.
    pub p50_us: f64,
    /// 99 in 100 took no longer.
    pub p99_us: f64,
    /// 999 in 1000 took no longer.
    pub p999_us: f64,
    /// Processor time of all processes of the arrangement for each request, in microseconds, in the middle; none where the system does
    /// not tell.
    pub cpu_us: Option<f64>,
    /// Rate of each round to the one without traces in the same round.
    pub ratio: Spread,
    /// What the middle one is to be at least; none where nothing was set.
    pub goal: Option<f64>,
    /// Whether it is.
    pub met: Option<bool>,
    /// Spans that the collector took for each request, in the middle.
    pub spans: f64,
}

/// What tracing costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tracing {
    /// Version of this form.
    pub version: u32,
    /// What it was measured on.
    pub machine: Machine,
    /// Rounds.
    pub rounds: usize,
    /// Settings of each arrangement and load.
    pub rows: Vec<Row>,
}

/// Measures, and tells each measurement as soon as it is there. Dropping the future ends all processes it started.
///
/// # Errors
/// [`BenchError`], also when a request was not answered exactly once, or no span came where some must.
pub async fn run(options: &TracingOptions, mut tell: impl FnMut(&Step)) -> Result<Tracing, BenchError> {
    let machine = Machine::here();
    let mut rows = Vec::new();
    for &place in &options.places {
        for &load in &options.loads {
            let mut steps = Vec::new();
            for round in 0..options.rounds {
                for setting in turn(round) {
                    let step = measure(options, place, load, setting).await?;
                    tell(&step);
                    steps.push(step);
                }
            }
            rows.extend(
                Setting::ALL
                    .into_iter()
                    .filter_map(|setting| row(&steps, setting)),
            );
        }
    }
    Ok(Tracing {
        version: SCHEMA,
        machine,
        rounds: options.rounds,
        rows,
    })
}

/// The settings in the order of a round: each round begins with the next one, so that none is always the first.
fn turn(round: usize) -> [Setting; 7] {
    let mut settings = Setting::ALL;
    settings.rotate_left(round % Setting::ALL.len());
    settings
}

async fn measure(
    options: &TracingOptions,
    place: Where,
    load: Load,
    setting: Setting,
) -> Result<Step, BenchError> {
    let collector = match setting.collector {
        Taker::Nobody => Ok(None),
        Taker::Taking => Collector::taking().await.map(Some),
        Taker::Refusing => Collector::refusing().map(Some),
        Taker::Silent => Collector::silent().await.map(Some),
    };
    let collector = collector.map_err(io_error("a collector of traces"))?;
    let share = Share::new(setting.share).expect("each setting has a share");
    let traces = collector.as_ref().map(|collector| Traces {
        endpoint: collector.endpoint(),
        share,
    });
    let figures = requests(options, place, load, traces).await?;
    let spans = collector.map_or(0, |collector| collector.spans());
    // Which requests are traced is drawn: of few there may be none.
    let drawn = setting.share * figures.requests;
    if setting.collector == Taker::Taking && drawn >= DRAWN_ENOUGH && spans == 0 {
        let what = format!("{}: no span came", setting.words());
        return Err(BenchError::Unsound(what));
    }
    Ok(Step {
        place,
        load,
        setting,
        figures,
        spans: spans as f64 / figures.requests,
    })
}

async fn requests(
    options: &TracingOptions,
    place: Where,
    load: Load,
    traces: Option<Traces>,
) -> Result<Figures, BenchError> {
    let load = match load {
        Load::Closed(in_flight) => ["--in-flight".to_owned(), in_flight.to_string()],
        Load::Open(rate) => ["--rate".to_owned(), rate.to_string()],
    };
    let mut command = Command::new(&options.program);
    command
        .args(["bench", "req-resp", "--json", "--where", place.as_str()])
        .args(load)
        .args(["--seconds", &options.measured.as_secs_f64().to_string()]);
    if let Some(traces) = traces {
        command.args(["--otlp", &traces.endpoint]);
        command.args(["--trace-ratio", &traces.share.get().to_string()]);
    }
    // What the settings say goes, not what whoever measures has in the environment.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    let output = command
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(io_error("a process of the benchmark"))?;
    let row = serde_json::from_slice(&output.stdout)
        .ok()
        .and_then(|mut told: Value| serde_json::from_value(told["rows"][0].take()).ok());
    match row {
        Some(figures) if output.status.success() => Ok(figures),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(BenchError::Unsound(format!("no figures: {}", said.trim())))
        }
    }
}

/// What the steps of a setting say, beside those without traces of the same rounds; none when there are none.
fn row(steps: &[Step], setting: Setting) -> Option<Row> {
    let of = |setting| steps.iter().filter(move |step: &&Step| step.setting == setting);
    let middle = |figure: fn(&Step) -> f64| Some(Spread::of(of(setting).map(figure).collect())?.median);
    let ratios = of(setting)
        .zip(of(Setting::ALL[0]))
        .map(|(step, untraced)| step.figures.rate / untraced.figures.rate);
    let ratio = Spread::of(ratios.collect())?;
    let cpu: Option<Vec<f64>> = of(setting).map(|step| step.figures.cpu_us).collect();
    let goal = setting.goal();
    Some(Row {
        place: steps[0].place,
        load: steps[0].load,
        setting,
        rates: of(setting).map(|step| step.figures.rate).collect(),
        rate: middle(|step| step.figures.rate)?,
        p50_us: middle(|step| step.figures.p50_us)?,
        p99_us: middle(|step| step.figures.p99_us)?,
        p999_us: middle(|step| step.figures.p999_us)?,
        cpu_us: cpu.and_then(Spread::of).map(|spread| spread.median),
        ratio,
        goal,
        met: goal.map(|goal| ratio.median >= goal),
        spans: middle(|step| step.spans)?,
    })
}

impl Step {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let Figures {
            rate,
            p50_us,
            p99_us,
            p999_us,
            cpu_us,
            ..
        } = self.figures;
        let latencies = [p50_us, p99_us, p999_us];
        line((self.place, self.load, self.setting), rate, latencies, cpu_us)
    }
}

impl Tracing {
    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "\nmedians of {} rounds\n{} {:>11} {:>7} {:>7} {:>13}  goal\n",
            self.rounds,
            heading(),
            "to untraced",
            "least",
            "most",
            "spans/request"
        );
        for row in &self.rows {
            let latencies = [row.p50_us, row.p99_us, row.p999_us];
            let start = (row.place, row.load, row.setting);
            let _ = write!(
                text,
                "{} {:>11.3} {:>7.3} {:>7.3} {:>13.3}",
                line(start, row.rate, latencies, row.cpu_us),
                row.ratio.median,
                row.ratio.least,
                row.ratio.most,
                row.spans
            );
            if let (Some(goal), Some(met)) = (row.goal, row.met) {
                let _ = write!(text, "  ≥ {goal} {}", if met { "met" } else { "not met" });
            }
            text.push('\n');
        }
        text
    }
}

fn line(start: (Where, Load, Setting), rate: f64, latencies: [f64; 3], cpu_us: Option<f64>) -> String {
    let (place, load, setting) = start;
    let [p50, p99, p999] = latencies;
    format!(
        "{:<12} {load:>9}  {:<24}{rate:>12.0} {p50:>9.1} {p99:>9.1} {p999:>9.1} {:>10}",
        place.as_str(),
        setting.words(),
        known(cpu_us),
    )
}

/// Heading of the lines for people.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<12} {:>9}  {:<24}{:>12} {:>9} {:>9} {:>9} {:>10}",
        "where", "in flight", "traces", "requests/s", "p50 µs", "p99 µs", "p99.9 µs", "cpu µs/req"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(setting: Setting, rate: f64) -> Step {
        Step {
            place: Where::Local,
            load: Load::Closed(10),
            setting,
            figures: Figures {
                requests: rate,
                rate,
                p50_us: rate / 10.0,
                p99_us: rate / 5.0,
                p999_us: rate,
                cpu_us: Some(2.0),
            },
            spans: setting.share * 4.0,
        }
    }

    #[test]
    fn a_setting_is_compared_with_the_untraced_one_of_its_own_round() {
        let [untraced, _, usual, ..] = Setting::ALL;
        let steps = [
            step(untraced, 100.0),
            step(usual, 90.0),
            step(usual, 150.0),
            step(untraced, 200.0),
            step(untraced, 50.0),
            step(usual, 50.0),
        ];
        let row = row(&steps, usual).unwrap();
        assert_eq!((row.rate, &row.rates), (90.0, &vec![90.0, 150.0, 50.0]));
        let ratio = row.ratio;
        assert_eq!((ratio.least, ratio.median, ratio.most), (0.75, 0.9, 1.0));
        assert_eq!((row.p50_us, row.cpu_us), (9.0, Some(2.0)));
        assert_eq!((row.goal, row.met), (Some(GOAL), Some(false)));
        assert_eq!(row.spans, 0.04);
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(
            (&json["collector"], &json["share"], &json["in_flight"]),
            (&"taking".into(), &0.01.into(), &10.into())
        );
    }

    #[test]
    fn a_goal_is_set_for_the_usual_share_whoever_takes_the_traces() {
        let set = Setting::ALL
            .into_iter()
            .filter(|setting| setting.goal().is_some());
        let takers: Vec<Taker> = set.map(|setting| setting.collector).collect();
        assert_eq!(takers, [Taker::Taking, Taker::Refusing, Taker::Silent]);
    }

    #[test]
    fn the_row_of_a_measurement_is_read_from_what_it_prints() {
        let told = r#"{"where": "local", "requests": 5, "rate": 2.5, "p50_us": 1, "p99_us": 2, "p999_us": 3, "cpu_us": null}"#;
        let figures: Figures = serde_json::from_str(told).unwrap();
        assert_eq!((figures.requests, figures.rate, figures.cpu_us), (5.0, 2.5, None));
    }

    #[test]
    fn every_setting_is_in_each_round_and_none_is_always_the_first() {
        let firsts: Vec<Setting> = (0..7).map(|round| turn(round)[0]).collect();
        assert_eq!(firsts, Setting::ALL);
        assert!(Setting::ALL.iter().all(|setting| turn(5).contains(setting)));
    }

    #[test]
    fn the_table_has_a_line_for_each_row_below_its_heading() {
        let measured = Tracing {
            version: SCHEMA,
            machine: Machine::here(),
            rounds: 1,
            rows: Setting::ALL
                .map(|setting| row(&[step(Setting::ALL[0], 9.0), step(setting, 8.0)], setting).unwrap())
                .into(),
        };
        let table = measured.table();
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(lines.len(), 8);
        let width = lines[0].trim_end_matches("  goal").chars().count();
        for line in &lines[1..] {
            let figures = line.split("  ≥ ").next().unwrap();
            assert_eq!(figures.chars().count(), width, "{table}");
        }
        assert_eq!(table.matches("≥ 0.97 not met").count(), 3, "{table}");
    }
}
