//! The log of the binary: for people on a terminal, JSON otherwise, always on standard error. `SQUALL_LOG` says what
//! is written, in the syntax of `tracing_subscriber`'s `EnvFilter`. Every line says which run of which node wrote it, and what is
//! written while a handler works which trace it belongs to. What does not live here: what is logged.

use std::fmt as text;
use std::future::Future;
use std::io::{IsTerminal, stderr};

use squall_kernel::frame::TraceContext;
use squall_kernel::id::{Incarnation, NodeName};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::context::trace_id_text;
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

tokio::task_local! {
    /// The trace of the message that is worked on.
    static WORKED_ON: TraceContext;
}

/// Does the work of a message: what is logged meanwhile names its trace.
pub(crate) fn within<F: Future>(trace: TraceContext, work: F) -> impl Future<Output = F::Output> {
    WORKED_ON.scope(trace, work)
}

/// Whose log it is.
#[derive(Debug, Clone)]
pub struct Author {
    /// Node.
    pub node: NodeName,
    /// Which run of it.
    pub incarnation: Incarnation,
}

/// Sets up the log of this program, and the traces where there are any. `filter` is the value of [`VARIABLE`].
///
/// # Errors
/// [`LoggingError`] when the filter is none, or on the second call.
pub fn init(filter: Option<&str>, telemetry: Option<&Telemetry>, author: Author) -> Result<(), LoggingError> {
    let filter = parse(filter.unwrap_or(DEFAULT))?;
    let traces = telemetry.map(Telemetry::layer::<Registry>);
    let subscriber = tracing_subscriber::registry().with(traces);
    if stderr().is_terminal() {
        let lines = fmt::format().with_target(false).compact();
        let people = fmt::layer().with_writer(stderr);
        let people = people.event_format(People { author, lines });
        subscriber.with(people.with_filter(filter)).try_init()?;
    } else {
        let lines = fmt::format().json().flatten_event(true);
        let machines = fmt::layer().json().with_writer(stderr);
        let machines = machines.event_format(Machines { author, lines });
        subscriber.with(machines.with_filter(filter)).try_init()?;
    }
    Ok(())
}

/// Node and trace in front of the line.
struct People<F> {
    author: Author,
    lines: F,
}

impl<S, N, F> FormatEvent<S, N> for People<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> text::Result {
        write!(writer, "{} ", self.author.node)?;
        if let Some(trace) = trace_id() {
            write!(writer, "trace_id={trace} ")?;
        }
        self.lines.format_event(context, writer, event)
    }
}

/// Fields in front of those of the line.
struct Machines<F> {
    author: Author,
    lines: F,
}

impl<S, N, F> FormatEvent<S, N> for Machines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> text::Result {
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        // A name is letters, digits, dots and dashes: nothing in it has to be escaped.
        let Author { node, incarnation } = &self.author;
        write!(
            writer,
            "{{\"squall.node\":\"{node}\",\"squall.incarnation\":{},",
            incarnation.0
        )?;
        if let Some(trace) = trace_id() {
            write!(writer, "\"trace_id\":\"{trace}\",")?;
        }
        writer.write_str(line.strip_prefix('{').unwrap_or(&line))
    }
}

/// Of what is worked on.
fn trace_id() -> Option<String> {
    WORKED_ON.try_with(trace_id_text).ok()?
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
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn author() -> Author {
        Author {
            node: NodeName::new("a").unwrap(),
            incarnation: Incarnation(7),
        }
    }

    /// What is written of one event outside of any message, and of one while a message is worked on.
    fn written(subscriber: impl Subscriber + Send + Sync, lines: &Lines) -> Vec<String> {
        let trace = TraceContext {
            trace_id: [0xab; 16],
            span_id: [1; 8],
            sampled: false,
        };
        let _here = tracing::subscriber::set_default(subscriber);
        tracing::info!(exchange = "orders", "alone");
        let work = within(trace, async { tracing::info!("at \"work\"") });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(work);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_line_for_machines_says_who_wrote_it_and_of_which_trace() {
        let lines = Lines::default();
        let format = Machines {
            author: author(),
            lines: fmt::format().json().flatten_event(true),
        };
        let layer = fmt::layer()
            .json()
            .with_writer(lines.clone())
            .event_format(format);
        let lines: Vec<serde_json::Value> = written(Registry::default().with(layer), &lines)
            .iter()
            .map(|line| serde_json::from_str(line).expect("a document a line"))
            .collect();
        for line in &lines {
            assert_eq!(
                (line["squall.node"].as_str(), line["squall.incarnation"].as_u64()),
                (Some("a"), Some(7))
            );
        }
        assert_eq!(lines[0]["exchange"], "orders");
        assert!(lines[0].get("trace_id").is_none());
        assert_eq!(lines[1]["message"], "at \"work\"");
        assert_eq!(lines[1]["trace_id"], "ab".repeat(16));
    }

    #[test]
    fn a_line_for_people_says_so_too() {
        let lines = Lines::default();
        let format = People {
            author: author(),
            lines: fmt::format().with_target(false).compact().without_time(),
        };
        let layer = fmt::layer()
            .with_ansi(false)
            .with_writer(lines.clone())
            .event_format(format);
        let lines = written(Registry::default().with(layer), &lines);
        assert!(
            lines[0].starts_with("a ") && lines[0].ends_with("alone exchange=\"orders\""),
            "{lines:?}"
        );
        let trace = format!("trace_id={}", "ab".repeat(16));
        assert!(lines[1].starts_with(&format!("a {trace} ")), "{lines:?}");
    }

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
