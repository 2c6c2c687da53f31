//! The log of the binary: for people on a terminal, JSON otherwise, always on standard error. `SQUALL_LOG` says what
//! is written, in the syntax of `tracing_subscriber`'s `EnvFilter`. What does not live here: what is logged.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::{TRACE_TARGET, Telemetry};

/// Variable that says what is logged.
pub const VARIABLE: &str = "SQUALL_LOG";
/// What is logged when nothing is said: the engine room of Raft and HTTP/2 only from warnings on, and of Raft's changes of
/// members only what this node makes of them: Raft calls each an error that has to be tried again a moment later.
pub const DEFAULT: &str = "info,openraft=error,openraft::raft::api::management=off,h2=warn,hyper=warn,tonic=warn,\
                           tower=warn,opentelemetry=warn";

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is none.
    #[error("{VARIABLE}='{filter}' is no log filter: {reason}")]
    Filter {
        /// Text given.
        filter: String,
        /// What is wrong.
        reason: String,
    },
    /// Another subscriber is installed already.
    #[error("the log is set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up the log of this program, and the traces where there are any. `filter` is the value of [`VARIABLE`].
///
/// # Errors
/// [`LoggingError`] when the filter is none, or on the second call.
pub fn init(filter: Option<&str>, telemetry: Option<&Telemetry>) -> Result<(), LoggingError> {
    let filter = parse(filter.unwrap_or(DEFAULT))?;
    let traces = telemetry.map(Telemetry::layer::<Registry>);
    let subscriber = tracing_subscriber::registry().with(traces);
    if stderr().is_terminal() {
        let people = fmt::layer().with_writer(stderr).with_target(false).compact();
        subscriber.with(people.with_filter(filter)).try_init()?;
    } else {
        let machines = fmt::layer().with_writer(stderr).json().flatten_event(true);
        subscriber.with(machines.with_filter(filter)).try_init()?;
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, LoggingError> {
    let bad = |reason: String| LoggingError::Filter {
        filter: filter.to_owned(),
        reason,
    };
    let no_traces = format!("{TRACE_TARGET}=off").parse().expect("a directive");
    let parsed = EnvFilter::builder()
        .parse(filter)
        .map_err(|e| bad(e.to_string()))?;
    Ok(parsed.add_directive(no_traces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_checked_and_named() {
        assert!(parse(DEFAULT).is_ok());
        assert!(parse("debug,squall_node=trace").is_ok());
        let error = parse("squall=loud").expect_err("no level").to_string();
        assert!(
            error.starts_with("SQUALL_LOG='squall=loud' is no log filter"),
            "{error}"
        );
    }
}
