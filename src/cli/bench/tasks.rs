//! `squall bench tasks`: its options, and how they are said.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use squall_chaos::bench::tasks::{self, IN_FLIGHT, Place, TasksOptions};

use super::{begin, finish, loads, rate, seconds, signals, tell};
use crate::cli::exit::{Exit, Quiet};

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct TasksArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long each row is measured
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Only tasks kept there; may be repeated
    #[arg(long = "where", value_name = "WHERE", value_parser = place())]
    places: Vec<Place>,
    /// Only so many tasks in flight; may be repeated [default: 1, 10, 100 and 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    in_flight: Vec<u16>,
    /// Instead: so many a second whatever becomes of those before, each latency counted from when it was to be submitted; may be
    /// repeated
    #[arg(long = "rate", value_name = "N/s", value_parser = rate, conflicts_with = "in_flight")]
    rates: Vec<u32>,
}

impl TasksArgs {
    fn options(&self) -> TasksOptions {
        TasksOptions {
            places: match self.places.as_slice() {
                [] => Place::ALL.to_vec(),
                given => given.to_vec(),
            },
            loads: loads(&self.in_flight, &self.rates, &IN_FLIGHT),
            measured: self.seconds,
            warm_up: self.seconds / 5,
        }
    }
}

pub(super) async fn run(args: TasksArgs) -> Result<()> {
    begin(args.json, &tasks::heading())?;
    let mut told = Ok(());
    let options = args.options();
    let measured = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        measured = tasks::run(&options, |row| tell(args.json, &row.line(), &mut told)) => measured?,
    };
    told?;
    finish(args.json, &serde_json::to_value(&measured)?, "")
}

fn place() -> impl TypedValueParser<Value = Place> {
    PossibleValuesParser::new(Place::ALL.map(Place::as_str)).map(|word| {
        let found = Place::ALL.into_iter().find(|place| place.as_str() == word);
        found.expect("clap lets only these words through")
    })
}

#[cfg(test)]
mod tests {
    use squall_chaos::bench::Load;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: TasksArgs,
    }

    fn options(line: &str) -> Option<TasksOptions> {
        let words = std::iter::once("tasks").chain(line.split_whitespace());
        let line = <Line as clap::Parser>::try_parse_from(words).ok()?;
        Some(line.args.options())
    }

    #[test]
    fn all_is_measured_unless_some_is_named() {
        let all = options("").unwrap();
        assert_eq!(
            (all.places, all.loads),
            (Place::ALL.to_vec(), IN_FLIGHT.map(Load::Closed).to_vec())
        );
        let some = options("--where backup --in-flight 7 --in-flight 8 --seconds 1").unwrap();
        let both = vec![Load::Closed(7), Load::Closed(8)];
        assert_eq!((some.places, some.loads), (vec![Place::Backup], both));
        assert_eq!(options("--rate 2000/s").unwrap().loads, [Load::Open(2_000)]);
        for wrong in [
            "--rate 0",
            "--rate 5 --in-flight 1",
            "--where nowhere",
            "--in-flight 0",
            "--in-flight 1001",
        ] {
            assert!(options(wrong).is_none(), "{wrong}");
        }
    }
}
