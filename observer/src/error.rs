//! What can go wrong for a caller of the observer.

use std::io;

/// Why the observer ended without doing its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No node answered at any of the addresses in time.
    #[error("no node answered: {}", list(tried))]
    Unreachable {
        /// Addresses and what came of each.
        tried: Vec<(String, String)>,
    },
    /// There is no terminal to draw on.
    #[error("standard output is no terminal; use --once or --watch")]
    NoTerminal,
    /// The filter is none.
    #[error("filter: {0}")]
    Filter(#[from] squall_filter::FilterError),
    /// There is nothing to show in detail.
    #[error("{0}")]
    NoDetail(String),
    /// Details of rows that have none.
    #[error(
        "details are of an exchange or a process: use --view exchanges or --view processes, and of a process its whole pid"
    )]
    NotDetailed,
    /// The size is too small for a picture.
    #[error("a picture of {0}x{1} is too small: at least {min}x{height} is needed", min = crate::limits::WIDTH_MIN, height = crate::limits::HEIGHT_MIN)]
    TooSmall(u16, u16),
    /// A recording cannot be written, or read.
    #[error(transparent)]
    Recording(#[from] crate::recording::RecordingError),
    /// There is nowhere to get traces from.
    #[error("there is no source of traces: give --jaeger URL or --otlp-listen")]
    NoTraceSource,
    /// The sources of traces have brought nothing, and say why.
    #[error("no traces: {0}")]
    NoTraces(String),
    /// The terminal or the output failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A record could not be written as JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

fn list(tried: &[(String, String)]) -> String {
    if tried.is_empty() {
        return "no address was given".to_owned();
    }
    tried
        .iter()
        .map(|(addr, why)| format!("{addr}: {why}"))
        .collect::<Vec<_>>()
        .join("; ")
}
