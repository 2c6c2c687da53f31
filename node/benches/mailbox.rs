//! What a mailbox costs: a message put in and taken out, counters and clock included. What does not live here: waking the
//! one who waits for it (`squall bench req-resp`).
//!
//!     cargo bench -p squall-node --bench mailbox

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use squall_kernel::id::{Boot, NodeId};
use squall_node::clock::Clock;
use squall_node::process::{Envelope, Inbox, Letter, Mailbox, ProcessKind, ProcessTable, Push, mailbox};

const BOUND: usize = 4096;
/// Messages that are put in before they are taken out.
const BATCHES: [usize; 3] = [1, 100, BOUND];

/// A message of the size of a small one.
struct Note([u64; 8]);

impl Letter for Note {
    fn envelope(&self) -> Envelope {
        Envelope::of("note")
    }
}

fn pair() -> (Mailbox<Note>, Inbox<Note>) {
    let clock = Clock::start();
    let table = ProcessTable::new(NodeId(1), Boot(1));
    let process = table.enter(ProcessKind::Handler, "bench", BOUND, clock.now());
    mailbox(process, clock, BOUND)
}

fn push_and_take(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox");
    for batch in BATCHES {
        let (post, mut inbox) = pair();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("push and take", batch), |bencher| {
            bencher.iter(|| {
                for n in 0..batch {
                    assert!(post.push(Note([n as u64; 8])).is_ok(), "there is room");
                }
                let taken = std::iter::from_fn(|| inbox.try_next()).map(|(note, _)| note.0[0]);
                assert_eq!(taken.count(), batch);
            });
        });
    }
    group.finish();
}

fn refused(criterion: &mut Criterion) {
    let (post, _inbox) = pair();
    while post.push(Note([0; 8])).is_ok() {}
    criterion.bench_function("mailbox/push to a full one", |bencher| {
        bencher.iter(|| assert!(matches!(black_box(post.push(Note([1; 8]))), Err(Push::Full(_)))));
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    push_and_take(&mut criterion);
    refused(&mut criterion);
    criterion.final_summary();
}
