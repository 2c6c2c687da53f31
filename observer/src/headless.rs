//! The headless twin of every view: JSON or text, once or every second. No terminal is needed. The schema
//! stands in `docs/headless.md`.

pub(crate) mod detail;
pub mod traces;

use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use squall_filter::Filter;

use crate::cluster::Cluster;
use crate::error::Error;
use crate::facts;
use crate::feed::Feed;
use crate::feed::grpc::GrpcFeed;
use crate::gather::Gather;
use crate::measure::width;
use crate::model::{Pane, Screen};
use crate::prepare::{fields, whole_table};
use crate::table::{Align, Line, RowId, Table};
use crate::units::{Moment, clock};

pub use detail::{to_json as detail_to_json, to_text as detail_to_text};

/// Version of the JSON schema.
pub const SCHEMA: u32 = 1;

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a picture.
    Json,
    /// A table.
    Text,
    /// A line a record, with a line of headings, as RFC 4180 has it.
    Csv,
}

/// How it is printed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses of any ports of any nodes.
    pub addresses: Vec<String>,
    /// Which view.
    pub view: Screen,
    /// JSON or text.
    pub format: Format,
    /// Only rows that match; empty means all.
    pub filter: String,
    /// How long to wait for a whole picture.
    pub patience: Duration,
    /// The exchange, or the pid of the process, that is shown in detail instead of the rows of its view.
    pub detail: Option<String>,
}

impl Options {
    /// Options with an empty filter and three seconds of patience.
    #[must_use]
    pub fn new(addresses: Vec<String>, view: Screen, format: Format) -> Self {
        Self {
            addresses,
            view,
            format,
            filter: String::new(),
            patience: Duration::from_secs(3),
            detail: None,
        }
    }
}

/// Prints one picture. A reader that is gone is no error.
///
/// # Errors
/// [`Error::Unreachable`] when no node answered, [`Error::Filter`], [`Error::Io`].
pub async fn once(options: &Options, out: &mut impl Write) -> Result<(), Error> {
    let filter = Filter::parse(&options.filter, &fields(options.view))?;
    let gather = gathered(options).await?;
    print(options, &filter, &gather, out).map(|_| ())
}

/// Prints a picture every second until the reader is gone or the future is dropped. A cluster that goes
/// away later is shown as it is.
///
/// # Errors
/// As [`once`].
pub async fn watch(options: &Options, out: &mut impl Write) -> Result<(), Error> {
    let filter = Filter::parse(&options.filter, &fields(options.view))?;
    let mut gather = gathered(options).await?;
    while print(options, &filter, &gather, out)? {
        gather.go_on(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// The first whole picture. Of what is shown in detail something is sampled only while somebody watches, so that is done for a
/// while.
async fn gathered(options: &Options) -> Result<Gather<GrpcFeed>, Error> {
    let page = detail::page(options.view, options.detail.as_deref())?;
    let watched = page.is_some();
    let mut gather = Gather::of(GrpcFeed::start(options.addresses.clone()), options.view, page);
    gather.complete(options.view, options.patience).await?;
    if watched {
        gather.go_on(detail::WATCHED).await;
    }
    Ok(gather)
}

/// The view as JSON.
///
/// # Errors
/// [`Error::Json`] when a record cannot be written.
pub fn to_json(cluster: &Cluster, now: Moment, view: Screen, filter: &Filter) -> Result<Value, Error> {
    let (name, rows) = match view {
        Screen::Overview => ("nodes", records(facts::nodes(cluster, now))?),
        Screen::Mesh => ("links", records(facts::links(cluster, now))?),
        Screen::Exchanges => ("exchanges", records(facts::exchanges(cluster, now))?),
        Screen::Leaders => ("leaders", records(facts::leaders(cluster, now))?),
        Screen::Processes => ("processes", records(facts::processes(cluster, now))?),
        Screen::Registry => ("registry", records(facts::registry(cluster, now))?),
        Screen::Chaos => ("faults", records(facts::faults(cluster, now))?),
        // They are no part of the cluster: `traces` has them.
        Screen::Traces => ("traces", Vec::new()),
        Screen::Timeline => ("events", records(facts::events(cluster).map(|(_, e)| e))?),
    };
    let rows = if filter.is_all() {
        rows
    } else {
        let wanted = wanted(cluster, now, view, filter);
        rows.into_iter()
            .filter(|row| wanted.contains(&identity(view, row)))
            .collect()
    };
    let mut object = Map::new();
    object.insert("version".to_owned(), json!(SCHEMA));
    object.insert("taken_unix_ms".to_owned(), json!(now.0));
    object.insert(name.to_owned(), Value::Array(rows));
    if view == Screen::Timeline {
        object.insert(
            "failovers".to_owned(),
            Value::Array(records(facts::failovers(cluster))?),
        );
    }
    Ok(Value::Object(object))
}

fn records<T: Serialize>(all: impl IntoIterator<Item = T>) -> Result<Vec<Value>, Error> {
    let all = all.into_iter().map(serde_json::to_value);
    Ok(all.collect::<Result<_, _>>()?)
}

/// What a filter wants of a view, by the fields that tell its records apart: the table decides, so that both say the same.
fn wanted(cluster: &Cluster, now: Moment, view: Screen, filter: &Filter) -> HashSet<Vec<String>> {
    let mut pane = Pane {
        filter: filter.clone(),
        ..Pane::default()
    };
    let table = whole_table(cluster, now, view, &mut pane);
    let cell = |line: &Line, i: usize| line.cells.get(i).map_or_else(String::new, |c| c.text.clone());
    let of = |line: &Line| match (&line.id, line.cells.get(1)) {
        // What is registered is told apart by kind, name and node, and by its pid.
        (id, _) if view == Screen::Registry => {
            let pid = match id {
                RowId::Process(_, pid) => pid.clone(),
                _ => String::new(),
            };
            vec![cell(line, 0), cell(line, 1), pid]
        }
        (RowId::Fault(node, id), _) => vec![node.clone(), id.clone()],
        (RowId::Node(name), _) => vec![name.clone()],
        (RowId::Link(from, to), _) => vec![from.clone(), to.clone()],
        // An opinion is of a node on an exchange.
        (RowId::Exchange(name), Some(node)) if view == Screen::Leaders => {
            vec![name.clone(), node.text.clone()]
        }
        (RowId::Exchange(name), _) => vec![name.clone()],
        (RowId::Process(node, pid), _) => vec![node.clone(), pid.clone()],
        (RowId::Event(key), _) => {
            vec![key.node.clone(), key.incarnation.to_string(), key.seq.to_string()]
        }
        (RowId::Trace(trace) | RowId::Span(trace, _), _) => vec![trace.to_string()],
        // They are the console's, which is not asked here.
        (RowId::Invariants, _) => vec!["invariants".to_owned()],
        (RowId::Scenario(name), _) => vec![name.clone()],
        (RowId::Decision(of), _) => vec![of.origin.clone(), of.message.to_string()],
    };
    table.lines.iter().map(of).collect()
}

fn identity(view: Screen, row: &Value) -> Vec<String> {
    let fields: &[&str] = match view {
        Screen::Overview | Screen::Exchanges => &["name"],
        Screen::Mesh => &["from", "to"],
        Screen::Leaders => &["exchange", "node"],
        Screen::Processes => &["node", "pid"],
        Screen::Registry => &["kind", "name", "pid"],
        Screen::Timeline => &["node", "incarnation", "seq"],
        Screen::Chaos => &["node", "id"],
        Screen::Traces => &["trace_id"],
    };
    let text = |field: &&str| match &row[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    fields.iter().map(text).collect()
}

/// The view as CSV: the fields of its records in the order of their names. What is itself a list or a record is JSON.
///
/// # Errors
/// As of [`to_json`].
pub fn to_csv(cluster: &Cluster, now: Moment, view: Screen, filter: &Filter) -> Result<String, Error> {
    Ok(csv_of(&to_json(cluster, now, view, filter)?))
}

/// The records of a document as CSV.
fn csv_of(document: &Value) -> String {
    let rows = document.as_object().into_iter().flat_map(Map::values);
    let rows = rows
        .filter_map(Value::as_array)
        .next()
        .cloned()
        .unwrap_or_default();
    let fields: Vec<String> = match rows.first() {
        Some(Value::Object(first)) => first.keys().cloned().collect(),
        _ => return String::new(),
    };
    let mut out = csv_line(fields.iter().cloned());
    for row in &rows {
        let cell = |field: &String| match &row[field] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        out.push_str(&csv_line(fields.iter().map(cell)));
    }
    out
}

/// Quoted where it has to be. A cell that a spreadsheet would take for a formula is quoted in its way: names come from outside.
fn csv_line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        let formula = cell.starts_with(['=', '+', '@', '\t'])
            || (cell.starts_with('-') && cell.parse::<f64>().is_err());
        let cell = if formula { format!("'{cell}") } else { cell };
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    });
    let mut line = quoted.collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// The view as text: a table with headings.
#[must_use]
pub fn to_text(cluster: &Cluster, now: Moment, view: Screen, filter: &Filter) -> String {
    let mut pane = Pane {
        filter: filter.clone(),
        ..Pane::default()
    };
    written(&whole_table(cluster, now, view, &mut pane))
}

/// A table as text.
fn written(table: &Table) -> String {
    let widths: Vec<usize> = (0..table.columns.len()).map(|i| widest(table, i)).collect();
    let mut text = String::new();
    let titles: Vec<&str> = table.columns.iter().map(|c| c.title).collect();
    line(&mut text, table, &widths, &titles);
    for row in &table.lines {
        let cells: Vec<&str> = row.cells.iter().map(|c| c.text.as_str()).collect();
        line(&mut text, table, &widths, &cells);
    }
    text
}

/// Prints one picture; false when nobody reads any more.
fn print<F: Feed>(
    options: &Options,
    filter: &Filter,
    gather: &Gather<F>,
    out: &mut impl Write,
) -> Result<bool, Error> {
    let (cluster, now) = (&gather.cluster, gather.clock.now());
    let text = match (
        detail::page(options.view, options.detail.as_deref())?,
        options.format,
    ) {
        (Some(page), Format::Json) => format!("{}\n", detail::to_json(cluster, now, &page)?),
        // A page has no columns.
        (Some(page), Format::Text | Format::Csv) => format!(
            "{}{}\n",
            heading(cluster, now, options.view),
            detail::to_text(cluster, now, &page)?
        ),
        (None, Format::Json) => format!("{}\n", to_json(cluster, now, options.view, filter)?),
        (None, Format::Csv) => to_csv(cluster, now, options.view, filter)?,
        (None, Format::Text) => format!(
            "{}{}\n",
            heading(cluster, now, options.view),
            to_text(cluster, now, options.view, filter)
        ),
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn heading(cluster: &Cluster, now: Moment, view: Screen) -> String {
    use crate::cluster::health::{findings, meta_leader};
    let up = cluster.fresh(now).count();
    let leader = meta_leader(cluster, now).unwrap_or("none");
    let mut text = format!(
        "{} · {} UTC · {up} of {} nodes up · leader {leader}\n",
        view.title(),
        clock(now.0),
        cluster.nodes.len()
    );
    for finding in findings(cluster, now) {
        text.push_str(&format!("  ! {}\n", finding.text));
    }
    text
}

fn widest(table: &Table, i: usize) -> usize {
    let cells = table
        .lines
        .iter()
        .filter_map(|l| l.cells.get(i))
        .map(|c| width(&c.text));
    usize::from(cells.max().unwrap_or(0).max(width(table.columns[i].title)))
}

fn line(text: &mut String, table: &Table, widths: &[usize], cells: &[&str]) {
    let mut row = String::new();
    for ((column, room), cell) in table.columns.iter().zip(widths).zip(cells) {
        let blank = " ".repeat(room.saturating_sub(usize::from(width(cell))));
        match column.align {
            Align::Left => row.extend([*cell, &blank, "  "]),
            Align::Right => row.extend([&blank, *cell, "  "]),
        }
    }
    text.push_str(row.trim_end());
    text.push('\n');
}
