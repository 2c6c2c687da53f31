//! What tracing costs: the rate of requests without it, at three shares of traced requests, and with a collector that is not
//! there or does not answer, in turn, round after round. Each measurement is `squall bench req-resp` in processes of its own.
//! What does not live here: the requests (`req_resp`) and the collectors (`collector`).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use squall_node::telemetry::Share;
use tokio::process::Command;

use super::req_resp::{Traces, Where};
use super::{BenchError, Machine, SCHEMA, io_error};

mod collector;

use collector::Collector;

/// Share of the requests that are traced by default, which is the one that goals are about.
const USUAL: f64 = 0.01;

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
    /// Requests in flight, in this order.
    pub in_flight: Vec<usize>,
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
    /// Requests in flight.
    pub in_flight: usize,
    /// How it was traced.
    pub setting: Setting,
    /// Requests answered per second.
    pub rate: f64,
    /// Spans that the collector took for each of them.
    pub spans: f64,
}

/// All measurements of a setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Arrangement.
    #[serde(rename = "where")]
    pub place: Where,
    /// Requests in flight.
    pub in_flight: usize,
    /// How it was traced.
    #[serde(flatten)]
    pub setting: Setting,
    /// Requests answered per second, in the order of the rounds.
    pub rates: Vec<f64>,
    /// The middle one.
    pub rate: f64,
    /// That of each round to the one without traces in the same round: the middle one of these.
    pub ratio: f64,
    /// The least of them.
    pub ratio_min: f64,
    /// The greatest.
    pub ratio_max: f64,
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
        for &in_flight in &options.in_flight {
            let mut steps = Vec::new();
            for round in 0..options.rounds {
                for setting in turn(round) {
                    let step = measure(options, place, in_flight, setting).await?;
                    tell(&step);
                    steps.push(step);
                }
            }
            rows.extend(Setting::ALL.map(|setting| row(&steps, setting)));
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
    in_flight: usize,
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
    let (rate, requests) = requests(options, place, in_flight, traces).await?;
    let spans = collector.map_or(0, |collector| collector.spans());
    // With no share there are some, too: of requests that came before the first handler.
    if setting.collector == Taker::Taking && setting.share > 0.0 && spans == 0 {
        let what = format!("{}: no span came", setting.words());
        return Err(BenchError::Unsound(what));
    }
    Ok(Step {
        place,
        in_flight,
        setting,
        rate,
        spans: spans as f64 / requests,
    })
}

/// Requests per second, and all of them.
async fn requests(
    options: &TracingOptions,
    place: Where,
    in_flight: usize,
    traces: Option<Traces>,
) -> Result<(f64, f64), BenchError> {
    let mut command = Command::new(&options.program);
    command
        .args(["bench", "req-resp", "--json", "--where", place.as_str()])
        .args(["--in-flight", &in_flight.to_string()])
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
    let told: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let figure = |name: &str| told.as_ref()?["rows"][0][name].as_f64();
    match (figure("rate"), figure("requests")) {
        (Some(rate), Some(requests)) if output.status.success() => Ok((rate, requests)),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(BenchError::Unsound(format!("no figures: {}", said.trim())))
        }
    }
}

/// What the steps of a setting say, beside those without traces of the same rounds. There is a step of each in each round.
fn row(steps: &[Step], setting: Setting) -> Row {
    let of = |setting| steps.iter().filter(move |step: &&Step| step.setting == setting);
    let rates: Vec<f64> = of(setting).map(|step| step.rate).collect();
    let ratios: Vec<f64> = of(setting)
        .zip(of(Setting::ALL[0]))
        .map(|(step, untraced)| step.rate / untraced.rate)
        .collect();
    let (least, middle, most) = spread(ratios);
    Row {
        place: steps[0].place,
        in_flight: steps[0].in_flight,
        setting,
        rate: spread(rates.clone()).1,
        rates,
        ratio: middle,
        ratio_min: least,
        ratio_max: most,
        spans: spread(of(setting).map(|step| step.spans).collect()).1,
    }
}

/// The least, the middle and the greatest; of an even number the greater one of the two in the middle.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[0], figures[figures.len() / 2], figures[figures.len() - 1])
}

impl Step {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{}{:>12.0}",
            start(self.place, self.in_flight, self.setting),
            self.rate
        )
    }
}

impl Tracing {
    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "\nmedians of {} rounds\n{} {:>11} {:>9} {:>9} {:>14}\n",
            self.rounds,
            heading(),
            "to untraced",
            "least",
            "most",
            "spans/request"
        );
        for row in &self.rows {
            let _ = writeln!(
                text,
                "{}{:>12.0} {:>11.3} {:>9.3} {:>9.3} {:>14.3}",
                start(row.place, row.in_flight, row.setting),
                row.rate,
                row.ratio,
                row.ratio_min,
                row.ratio_max,
                row.spans
            );
        }
        text
    }
}

fn start(place: Where, in_flight: usize, setting: Setting) -> String {
    format!("{:<12} {:>9}  {:<24}", place.as_str(), in_flight, setting.words())
}

/// Heading of the lines for people.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<12} {:>9}  {:<24}{:>12}",
        "where", "in flight", "traces", "requests/s"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(setting: Setting, rate: f64) -> Step {
        Step {
            place: Where::Local,
            in_flight: 10,
            setting,
            rate,
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
        let row = row(&steps, usual);
        assert_eq!((row.rate, &row.rates), (90.0, &vec![90.0, 150.0, 50.0]));
        assert_eq!((row.ratio_min, row.ratio, row.ratio_max), (0.75, 0.9, 1.0));
        assert_eq!(row.spans, 0.04);
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(
            (&json["collector"], &json["share"]),
            (&"taking".into(), &0.01.into())
        );
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
                .map(|setting| row(&[step(Setting::ALL[0], 9.0), step(setting, 8.0)], setting))
                .into(),
        };
        let table = measured.table();
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(lines.len(), 8);
        let widths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }
}
