//! `squall task list` and `squall task dead`: open tasks and dead letters, as a table or a document. A queue may have a
//! hundred thousand: a page is shown, and how to get the next one.

use std::io::{Write as _, stdout};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use squall_kernel::id::ExchangeName;
use squall_kernel::tasks::TaskId;
use squall_proto::v1::{ListTasksResponse, TaskFigures, TaskInfo, TaskState};

use crate::cli::connect::ConnectArgs;
use crate::cli::exchange::told_of;
use crate::cli::values::{columns, counted, for_terminal};

/// Characters of a worker's words in the table; the document has them all.
const SAID_CHARS: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ListArgs {
    /// Exchange with the pattern `task`
    exchange: ExchangeName,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only those after this one, for the next page: the last task of the page before
    #[arg(long, value_name = "TASK")]
    after: Option<Number>,
    /// As JSON: an object with the array `tasks`, with `more` and `figures`
    #[arg(long)]
    json: bool,
}

/// A task's number as it is written: `epoch.n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(TaskId);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.');
        let halves = parts.and_then(|(epoch, n)| Some((epoch.parse::<u32>().ok()?, n.parse::<u32>().ok()?)));
        let (epoch, n) =
            halves.ok_or_else(|| format!("'{text}' is not a task: they are written such as 1.17"))?;
        Ok(Self(TaskId((u64::from(epoch) << 32) | u64::from(n))))
    }
}

pub(super) async fn run(args: &ListArgs, dead: bool, connect: &ConnectArgs) -> Result<()> {
    let after = args.after.map_or(0, |number| number.0.0);
    let operator = connect.operator().await?;
    let page = operator
        .tasks(args.exchange.as_str(), dead, after, args.limit)
        .await;
    let page = page.map_err(|error| told_of(&args.exchange, error))?;
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{:#}", document(&args.exchange, &page))?;
    } else {
        write!(out, "{}", text(&args.exchange, dead, &page))?;
    }
    Ok(())
}

fn document(exchange: &ExchangeName, page: &ListTasksResponse) -> Value {
    json!({
        "exchange": exchange.as_str(),
        "tasks": page.tasks.iter().map(object).collect::<Vec<_>>(),
        "more": page.more,
        "figures": page.figures.as_ref().map(figures),
    })
}

fn object(task: &TaskInfo) -> Value {
    let some = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let bytes = |bytes: &[u8]| some(&String::from_utf8_lossy(bytes));
    let time = |ms: u64| (ms > 0).then_some(ms);
    json!({
        "task": task.name,
        "state": state(task.state()),
        "key": bytes(&task.key),
        "service_tag": bytes(&task.service_tag),
        "priority": task.priority,
        "payload_bytes": task.payload_bytes,
        "attempts": task.attempts,
        "attempts_max": task.attempts_max,
        "worker": some(&task.worker),
        "lease": some(&task.lease),
        "left_ms": time(task.left_ms),
        "deadline_ms": time(task.deadline_ms),
        "said": some(&task.said),
        "reason": some(&task.reason),
        "to_forward": task.to_forward,
    })
}

/// What a queue is like, as a document.
pub(crate) fn figures(queue: &TaskFigures) -> Value {
    json!({
        "waiting": queue.waiting,
        "in_hand": queue.in_hand,
        "dead": queue.dead,
        "workers": queue.workers,
        "backup": if queue.backup.is_empty() { Value::Null } else { queue.backup.clone().into() },
        "doubled": queue.doubled,
        "submitted": queue.submitted,
        "completed": queue.completed,
        "returned": queue.returned,
        "died": queue.died,
        "dropped": queue.dropped,
        "lost": queue.lost,
        "lost_unknown": queue.lost_unknown,
    })
}

/// The same in words.
pub(crate) fn in_words(queue: &TaskFigures) -> String {
    let copy = match (queue.backup.as_str(), queue.doubled) {
        ("", _) => "no second copy".to_owned(),
        (backup, true) => format!("second copy at {}", for_terminal(backup)),
        (backup, false) => format!("second copy at {} not whole", for_terminal(backup)),
    };
    format!(
        "{} waiting, {} in hand, {} dead; {}; {copy}",
        queue.waiting,
        queue.in_hand,
        queue.dead,
        counted(queue.workers, "worker", "workers")
    )
}

fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Unspecified => "unknown",
        TaskState::Ready => "ready",
        TaskState::Later => "later",
        TaskState::Behind => "behind its key",
        TaskState::Asked => "scheduler asked",
        TaskState::InHand => "in hand",
        TaskState::Dead => "dead",
    }
}

fn text(exchange: &ExchangeName, dead: bool, page: &ListTasksResponse) -> String {
    let mut text = if page.tasks.is_empty() {
        String::new()
    } else if dead {
        dead_letters(&page.tasks)
    } else {
        open(&page.tasks)
    };
    let queue = page.figures.as_ref().map(in_words).unwrap_or_default();
    text += &format!("{exchange}: {queue}\n");
    if let Some(last) = page.tasks.last().filter(|_| page.more) {
        text += &format!("there are more: --after {} shows the next ones\n", last.name);
    }
    text
}

fn open(tasks: &[TaskInfo]) -> String {
    let head = [
        "TASK", "STATE", "KEY", "PRIORITY", "ATTEMPTS", "WORKER", "LEASE", "LEFT", "SAID",
    ];
    let row = |task: &TaskInfo| {
        [
            task.name.clone(),
            state(task.state()).to_owned(),
            cell(&String::from_utf8_lossy(&task.key)),
            task.priority.to_string(),
            attempts(task),
            cell(&task.worker),
            cell(&task.lease),
            left(task.left_ms),
            cell(&task.said),
        ]
    };
    table(head, tasks, row)
}

fn dead_letters(tasks: &[TaskInfo]) -> String {
    let head = ["TASK", "KEY", "BYTES", "ATTEMPTS", "PASSED ON", "REASON", "SAID"];
    let row = |task: &TaskInfo| {
        [
            task.name.clone(),
            cell(&String::from_utf8_lossy(&task.key)),
            task.payload_bytes.to_string(),
            attempts(task),
            if task.to_forward { "not yet" } else { "-" }.to_owned(),
            cell(&task.reason),
            cell(&task.said),
        ]
    };
    table(head, tasks, row)
}

fn table<const N: usize>(
    head: [&str; N],
    tasks: &[TaskInfo],
    row: impl Fn(&TaskInfo) -> [String; N],
) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(String::from))
        .chain(tasks.iter().map(row))
        .collect();
    columns(&rows)
}

fn attempts(task: &TaskInfo) -> String {
    format!("{}/{}", task.attempts, task.attempts_max)
}

fn left(ms: u64) -> String {
    if ms == 0 {
        "-".into()
    } else {
        // Whole milliseconds: what is below would only be noise.
        format!("{:?}", Duration::from_millis(ms))
    }
}

/// Text of others in one cell: on one line, not too wide, without what a terminal obeys.
fn cell(text: &str) -> String {
    let flat: String = for_terminal(text)
        .chars()
        .map(|c| if c == '\n' || c == '\t' { ' ' } else { c })
        .collect();
    if flat.is_empty() {
        return "-".into();
    }
    if flat.chars().count() <= SAID_CHARS {
        return flat;
    }
    flat.chars().take(SAID_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
#[path = "list_test.rs"]
mod tests;
