//! `squall bench growth`: its options, how they are said, and the picture.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use squall_chaos::bench::growth::{self, Dimension, GrowthOptions};

use super::{begin, finish, seconds, signals, tell};
use crate::cli::exit::{Exit, Quiet};

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct GrowthArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long each cell is measured
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Only these [default: all]
    #[arg(long, value_name = "DIMENSION", value_delimiter = ',', value_parser = dimension())]
    dimensions: Vec<Dimension>,
    /// Leave out cells with more of it than this
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    most: u64,
    /// Draw the figures into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl GrowthArgs {
    fn options(&self) -> GrowthOptions {
        GrowthOptions {
            dimensions: match self.dimensions.as_slice() {
                [] => Dimension::ALL.to_vec(),
                given => given.to_vec(),
            },
            most: self.most,
            measured: self.seconds,
            warm_up: self.seconds / 5,
        }
    }
}

pub(super) async fn run(args: GrowthArgs) -> Result<()> {
    if let Some(file) = &args.svg {
        // Before some minutes of measuring, whose figures would be lost.
        look_if_writable(file)?;
    }
    begin(args.json, &growth::heading())?;
    let mut told = Ok(());
    let options = args.options();
    let grown = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        grown = growth::run(&options, |cell| tell(args.json, &cell.line(), &mut told)) => grown?,
    };
    told?;
    if let Some(file) = &args.svg {
        std::fs::write(file, grown.svg()).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    finish(args.json, &serde_json::to_value(&grown)?, &grown.verdict_lines())
}

/// What is in it stays there.
fn look_if_writable(file: &Path) -> Result<()> {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened.with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(())
}

fn dimension() -> impl TypedValueParser<Value = Dimension> {
    PossibleValuesParser::new(Dimension::ALL.map(Dimension::as_str)).map(|word| {
        let found = Dimension::ALL
            .into_iter()
            .find(|dimension| dimension.as_str() == word);
        found.expect("clap lets only these words through")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: GrowthArgs,
    }

    fn options(line: &str) -> Option<GrowthOptions> {
        let words = std::iter::once("growth").chain(line.split_whitespace());
        let line = <Line as clap::Parser>::try_parse_from(words).ok()?;
        Some(line.args.options())
    }

    #[test]
    fn all_dimensions_are_measured_unless_some_are_named() {
        assert_eq!(options("").unwrap().dimensions, Dimension::ALL);
        let some = options("--dimensions handlers,nodes --most 10 --seconds 0.5").unwrap();
        assert_eq!(some.dimensions, [Dimension::Handlers, Dimension::Nodes]);
        assert_eq!((some.most, some.warm_up), (10, Duration::from_millis(100)));
        for wrong in ["--dimensions width", "--seconds 0", "--most -1"] {
            assert!(options(wrong).is_none(), "{wrong}");
        }
    }
}
