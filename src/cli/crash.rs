//! The end of a node that panicked: a file that tells what is known, and no running on in a half-dead process. What does
//! not live here: the panics of handlers, which are caught, counted and survived.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use squall_node::handlers::panics_are_caught;
use squall_node::introspect::EventLog;

/// Events that a crash file tells.
const EVENTS: usize = 1000;

/// From now on a panic that nobody catches writes `crash-INCARNATION.txt` into `dir` and ends the process at once.
pub(crate) fn end_on_panic(dir: &Path, events: Arc<EventLog>) {
    let file = dir.join(format!("crash-{}.txt", events.incarnation()));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if panics_are_caught() {
            return;
        }
        let trace = std::backtrace::Backtrace::force_capture();
        let text = format!("{panic}\n\n{trace}\n\nlast events:\n{}", last(&events));
        // The report on standard error stands even where the file cannot be written.
        let _unwritten = std::fs::write(&file, text);
        std::process::abort();
    }));
}

fn last(events: &EventLog) -> String {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let batch = events.read(from);
        if batch.events.is_empty() {
            break;
        }
        from = batch.next;
        all.extend(batch.events);
    }
    let mut text = String::new();
    for event in &all[all.len().saturating_sub(EVENTS)..] {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} {} {} {}",
            event.unix_ms, event.kind, event.subject, event.text
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::Incarnation;
    use squall_node::introspect::Wake;
    use squall_proto::v1::Severity;

    use super::*;

    #[test]
    fn the_last_events_are_told_and_no_more() {
        let events = EventLog::new(Incarnation(1), Wake::default());
        for n in 0..EVENTS + 10 {
            events.record("link-up", &format!("n{n}"), "is up", Severity::Info, 0);
        }
        let text = last(&events);
        assert_eq!(text.lines().count(), EVENTS);
        assert!(
            text.lines().next().is_some_and(|line| line.contains(" n10 ")),
            "the oldest are left out"
        );
    }
}
