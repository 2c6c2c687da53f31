//! Nobody watching, that a process can be watched allocates nothing: not for its counters, not for each message.

use std::sync::Arc;

use squall_kernel::id::{Boot, NodeId};
use squall_kernel::time::{Instant, Span};
use squall_node::clock::Clock;
use squall_node::process::{Envelope, Letter, Process, ProcessKind, ProcessTable, mailbox};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

struct News;

impl Letter for News {
    fn envelope(&self) -> Envelope {
        Envelope::of("news")
    }
}

/// Allocations while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    work();
    dhat::HeapStats::get().total_blocks - before
}

fn count(process: &Arc<Process>, messages: u64) {
    for n in 0..messages {
        process.count_enqueued(Instant(n));
        process.count_wait(Span(n));
        process.count_dequeued(Instant(n));
        process.count_busy(Span(n));
        process.count_sent(1);
    }
}

/// Bytes on the heap for each process of a table, which holds it by its number.
fn bytes_of_a_process(table: &ProcessTable) -> u64 {
    const PROCESSES: u64 = 10_000;
    let mut all = Vec::with_capacity(10_000);
    let before = dhat::HeapStats::get().curr_bytes as u64;
    for _ in 0..PROCESSES {
        all.push(table.enter(ProcessKind::Subscriber, "news", 4096, Instant(1)));
    }
    (dhat::HeapStats::get().curr_bytes as u64 - before) / PROCESSES
}

#[test]
fn nobody_watching_no_message_allocates_anything_to_be_watched() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let table = ProcessTable::new(NodeId(1), Boot(1));
    let bytes = bytes_of_a_process(&table);
    assert!(
        (1..=256).contains(&bytes),
        "{bytes} bytes a process, with its name and its place"
    );
    let process = table.enter(ProcessKind::Handler, "echo", 64, Instant(0));
    assert_eq!(allocations(|| count(&process, 10_000)), 0, "counters");

    let (mailbox, mut inbox) = mailbox(Arc::clone(&process), Clock::start(), 64);
    let mut pass = |messages: u64| {
        for _ in 0..messages {
            assert!(mailbox.push(News).is_ok() && inbox.try_next().is_some());
        }
    };
    // The queue's own blocks are used again and again.
    pass(1_000);
    assert_eq!(allocations(|| pass(10_000)), 0, "mailbox");

    let watch = process.watch();
    assert!(allocations(|| pass(1_000)) > 0, "a watch keeps envelopes");
    drop(watch);
    pass(1_000);
    assert_eq!(allocations(|| pass(10_000)), 0, "and nothing afterwards");
}
