//! The log of the binary, of nodes and of all other commands: for people on a terminal, JSON otherwise, always on standard error.
//! `SQUALL_LOG` says what is written, in the syntax of `tracing_subscriber`'s `EnvFilter`. Every line of a node says which run of
//! which node wrote it, and one that is about a message which trace that belongs to. What does not live here: what is logged.

use std::fmt as text;
use std::future::Future;
use std::io::{IsTerminal, stderr};

use squall_kernel::frame::TraceContext;
use squall_kernel::id::{Boot, Incarnation, NodeName};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::context::trace_id_text;
use super::{TRACE_TARGET, Telemetry};
use crate::datadir::DataDir;

/// Variable that says what is logged.
pub const VARIABLE: &str = "SQUALL_LOG";
/// What a node logs when nothing is said: the engine room of Raft and HTTP/2 only from warnings on, and of Raft's changes of
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
pub(crate) async fn within<F: Future>(trace: TraceContext, work: F) -> F::Output {
    if trace.is_some() {
        WORKED_ON.scope(trace, work).await
    } else {
        work.await
    }
}

/// The same of what is done at once.
pub(crate) fn about<T>(trace: TraceContext, work: impl FnOnce() -> T) -> T {
    if trace.is_some() {
        WORKED_ON.sync_scope(trace, work)
    } else {
        work()
    }
}

/// Whose log it is: which run of which node.
#[derive(Debug, Clone)]
pub struct Author {
    node: NodeName,
    /// As machines know the run.
    incarnation: Incarnation,
    /// As people do: the how manieth on its data directory.
    boot: Boot,
}

impl Author {
    /// The node of that name, in this run on its directory.
    #[must_use]
    pub fn of(node: &NodeName, dir: &DataDir) -> Self {
        Self {
            node: node.clone(),
            incarnation: dir.incarnation(),
            boot: dir.boot(),
        }
    }
}

/// Sets up the log of this program, and the traces where there are any. `filter` is the value of [`VARIABLE`], or what goes where
/// that says nothing; there is an author where the log is a node's.
///
/// # Errors
/// [`LoggingError`] when the filter is none, or on the second call.
pub fn init(filter: &str, telemetry: Option<&Telemetry>, author: Option<Author>) -> Result<(), LoggingError> {
    let filter = parse(filter)?;
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

/// Node with its run and trace in front of the line.
struct People<F> {
    author: Option<Author>,
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
        if let Some(Author { node, boot, .. }) = &self.author {
            write!(writer, "{node}#{} ", boot.0)?;
        }
        if let Some(trace) = trace_id() {
            write!(writer, "trace_id={trace} ")?;
        }
        self.lines.format_event(context, writer, event)
    }
}

/// Fields in front of those of the line.
struct Machines<F> {
    author: Option<Author>,
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
        writer.write_char('{')?;
        // A name is letters, digits, dots and dashes: nothing in it has to be escaped.
        if let Some(Author {
            node, incarnation, ..
        }) = &self.author
        {
            let run = incarnation.0;
            write!(writer, "\"squall.node\":\"{node}\",\"squall.incarnation\":{run},")?;
        }
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

/// What this thread logs that everybody is to know, from now on until what is given is dropped.
#[cfg(test)]
pub(crate) fn overheard() -> tests::Heard {
    tests::Heard::new(None)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, LazyLock, Mutex};

    use tracing::Dispatch;
    use tracing_subscriber::filter::LevelFilter;
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

    /// Lines that are written on a thread.
    pub(crate) struct Heard {
        lines: Lines,
        _here: tracing::subscriber::DefaultGuard,
    }

    impl Heard {
        /// As people read them.
        pub(super) fn new(author: Option<Author>) -> Self {
            let lines = Lines::default();
            let format = People {
                author,
                lines: fmt::format().with_target(false).compact().without_time(),
            };
            let layer = fmt::layer().with_ansi(false).with_writer(lines.clone());
            let layer = layer.event_format(format).with_filter(LevelFilter::INFO);
            Self::by(Registry::default().with(layer), lines)
        }

        /// As machines do.
        fn documents(author: Option<Author>) -> Self {
            let lines = Lines::default();
            let format = Machines {
                author,
                lines: fmt::format().json().flatten_event(true),
            };
            let layer = fmt::layer().json().with_writer(lines.clone());
            let subscriber = Registry::default().with(layer.event_format(format));
            Self::by(subscriber, lines)
        }

        fn by(subscriber: impl Subscriber + Send + Sync, lines: Lines) -> Self {
            // While there is only one subscriber, `tracing` asks the thread that comes to an event first whether anybody wants that,
            // and keeps the answer for all threads: another test's is no. Where there are two it asks both.
            static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Registry::default()));
            LazyLock::force(&ANOTHER);
            Self {
                lines,
                _here: tracing::subscriber::set_default(subscriber),
            }
        }

        /// Those since the last time, without the blanks around them.
        pub(crate) fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.lines.0.lock().unwrap());
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(|line| line.trim().to_owned()).collect()
        }
    }

    fn author() -> Option<Author> {
        Some(Author {
            node: NodeName::new("a").unwrap(),
            incarnation: Incarnation(1_795_385_735_121),
            boot: Boot(7),
        })
    }

    const TRACE: TraceContext = TraceContext {
        trace_id: [0xab; 16],
        span_id: [1; 8],
        sampled: false,
    };

    /// An event outside of any message, and two while a message is worked on.
    fn log() {
        tracing::info!(exchange = "orders", "alone");
        let work = within(TRACE, async { tracing::info!("at \"work\"") });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(work);
        about(TRACE, || tracing::info!("at once"));
    }

    fn documents(author: Option<Author>) -> Vec<serde_json::Value> {
        let heard = Heard::documents(author);
        log();
        let lines = heard.take();
        let lines = lines.iter().map(|line| serde_json::from_str(line));
        lines.map(|line| line.expect("a document a line")).collect()
    }

    #[test]
    fn a_line_for_machines_says_who_wrote_it_and_of_which_trace() {
        let lines = documents(author());
        for line in &lines {
            assert_eq!(
                (line["squall.node"].as_str(), line["squall.incarnation"].as_u64()),
                (Some("a"), Some(1_795_385_735_121))
            );
        }
        assert_eq!(lines[0]["exchange"], "orders");
        assert!(lines[0].get("trace_id").is_none());
        assert_eq!(lines[1]["message"], "at \"work\"");
        for line in &lines[1..] {
            assert_eq!(line["trace_id"], "ab".repeat(16));
        }
    }

    #[test]
    fn a_line_for_people_says_so_too() {
        let heard = Heard::new(author());
        log();
        let lines = heard.take();
        assert!(
            lines[0].starts_with("a#7 ") && lines[0].ends_with("alone exchange=\"orders\""),
            "{lines:?}"
        );
        let trace = format!("trace_id={}", "ab".repeat(16));
        for line in &lines[1..] {
            assert!(line.starts_with(&format!("a#7 {trace} ")), "{lines:?}");
        }
    }

    #[test]
    fn a_program_that_is_no_node_says_the_same_without_an_author() {
        let lines = documents(None);
        assert!(lines.iter().all(|line| line.get("squall.node").is_none()));
        assert_eq!(
            (&lines[0]["message"], &lines[2]["trace_id"]),
            (&"alone".into(), &"ab".repeat(16).into())
        );
        let heard = Heard::new(None);
        log();
        assert_eq!(heard.take()[0], "INFO alone exchange=\"orders\"");
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
