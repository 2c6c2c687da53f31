use std::sync::Mutex;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use tokio::task::JoinHandle;

use super::super::collector::{EXPORT_TIME_MAX, QUIET};
use super::super::logging::overheard;
use super::super::sampling::{Sampling, Share};
use super::super::told::{SpanSink, Told, fresh};
use super::*;

/// What a collector does with an export; none takes it and never answers.
type Does = Option<Answer>;

fn takes() -> Does {
    Some(Ok(ExportTraceServiceResponse::default()))
}

fn fails(code: Code) -> Does {
    Some(Err(Status::new(code, "as \u{1b}[31mthe collector\u{1b}[0m says")))
}

fn refuses(rejected_spans: i64, error_message: &str) -> Does {
    let part = ExportTracePartialSuccess {
        rejected_spans,
        error_message: error_message.into(),
    };
    Some(Ok(ExportTraceServiceResponse {
        partial_success: Some(part),
    }))
}

/// The thread's work on a clock of the test's, and a collector that does as it is told.
struct Rig {
    sink: SpanSink,
    figures: Arc<Figures>,
    /// Spans of each export that the collector was sent.
    sent: Arc<Mutex<Vec<usize>>>,
    closing: watch::Sender<Option<Duration>>,
    work: JoinHandle<()>,
}

/// The collector does this in turn, and takes what comes then.
fn rig(does: impl IntoIterator<Item = Does>) -> Rig {
    let (batcher, inbox) = Batcher::caught();
    let figures = Arc::clone(&batcher.figures);
    let (closing, closed) = watch::channel(None);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (mut does, taken) = (
        does.into_iter().collect::<Vec<_>>().into_iter(),
        Arc::clone(&sent),
    );
    let send = move |message: Bytes| -> BoxFuture<'static, Answer> {
        let request = ExportTraceServiceRequest::decode(message).expect("it is one");
        let [of_resource] = &request.resource_spans[..] else {
            panic!("one resource")
        };
        let [of_scope] = &of_resource.scope_spans[..] else {
            panic!("one scope")
        };
        assert_eq!(
            of_scope.scope.as_ref().map(|scope| scope.name.as_str()),
            Some("squall")
        );
        taken.lock().expect("not poisoned").push(of_scope.spans.len());
        match does.next().unwrap_or_else(takes) {
            Some(answer) => Box::pin(async { answer }),
            None => Box::pin(std::future::pending()),
        }
    };
    let collector = Collector::at("collector:4317").expect("an address");
    let exporter = Exporter::new(send, &collector, Resource::default(), Arc::clone(&figures));
    Rig {
        sink: SpanSink::to(&batcher, Sampling::of(Share::ALL, true)),
        figures,
        sent,
        closing,
        work: tokio::spawn(work(inbox, exporter, closed)),
    }
}

impl Rig {
    /// So many spans are over.
    fn tell(&self, spans: usize) {
        for _ in 0..spans {
            self.sink
                .tell(Told::root(fresh(), "a span", std::time::SystemTime::now()));
        }
    }

    /// The time in which a batch that is not full goes out, and its answer is there.
    async fn a_batch(&self) {
        later(BATCH_WAIT_MAX + MOMENT).await;
    }

    /// exported, dropped, failed
    fn figures(&self) -> [u64; 3] {
        let figures = self.figures.read();
        [figures.exported, figures.dropped, figures.failed]
    }

    fn exports(&self) -> Vec<usize> {
        self.sent.lock().expect("not poisoned").clone()
    }
}

const MOMENT: Duration = Duration::from_millis(10);

/// Moves the time, and lets everybody run who waited for it.
async fn later(time: Duration) {
    sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn spans_that_a_collector_refuses_have_failed_and_what_it_says_is_not_logged() {
    let heard = overheard();
    let rig = rig([
        refuses(3, "too old \u{1b}[31m"),
        refuses(0, "all is well, but"),
        refuses(-7, ""),
        refuses(900, "more than there were"),
    ]);
    for (exported, failed) in [(7, 3), (17, 3), (27, 3), (27, 13)] {
        rig.tell(10);
        rig.a_batch().await;
        assert_eq!(rig.figures(), [exported, 0, failed]);
    }
    let logged = heard.take();
    assert_eq!(logged.len(), 2, "it begins, and is over: {logged:?}");
    assert!(logged.iter().all(|line| !line.contains("old")), "{logged:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_collector_cannot_take_for_the_moment_is_sent_again_and_counts_once() {
    let rig = rig([fails(Code::Unavailable), fails(Code::Aborted), takes()]);
    rig.tell(5);
    later(BATCH_WAIT_MAX + 8 * AGAIN_AFTER).await;
    assert_eq!((rig.exports(), rig.figures()), (vec![5, 5, 5], [5, 0, 0]));
    assert!(!rig.work.is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_would_fail_again_is_not_sent_again_and_nothing_is_for_ever() {
    let gone = || fails(Code::Unavailable);
    let rig = rig([fails(Code::InvalidArgument), gone(), gone(), gone(), gone()]);
    rig.tell(5);
    rig.a_batch().await;
    assert_eq!((rig.exports(), rig.figures()), (vec![5], [0, 0, 5]));
    rig.tell(4);
    later(BATCH_WAIT_MAX + 16 * AGAIN_AFTER).await;
    assert_eq!((rig.exports(), rig.figures()), (vec![5, 4, 4, 4, 4], [0, 0, 9]));
}

#[tokio::test(start_paused = true)]
async fn an_export_without_an_answer_is_given_up_in_time() {
    let rig = rig([None]);
    rig.tell(5);
    later(BATCH_WAIT_MAX + EXPORT_TIME_MAX - MOMENT).await;
    assert_eq!(rig.figures(), [0, 0, 0]);
    later(2 * MOMENT).await;
    assert_eq!(rig.figures(), [0, 0, 5]);
    rig.tell(5);
    rig.a_batch().await;
    assert_eq!(rig.figures(), [5, 0, 5]);
    rig.closing.send_replace(Some(Duration::ZERO));
    rig.work.await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn the_log_says_that_spans_are_lost_and_when_they_arrive_again() {
    let heard = overheard();
    let bad = || fails(Code::InvalidArgument);
    let rig = rig([bad(), bad(), takes(), bad(), takes()]);
    rig.tell(2);
    rig.a_batch().await;
    let lines = heard.take();
    assert!(
        lines.len() == 1 && lines[0].starts_with("WARN traces are lost"),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("http://collector:4317") && !lines[0].contains("says"),
        "{lines:?}"
    );
    rig.tell(3);
    rig.a_batch().await;
    assert_eq!(heard.take(), [""; 0], "it was said");
    rig.tell(1);
    rig.a_batch().await;
    let lines = heard.take();
    assert!(
        lines.len() == 1 && lines[0].starts_with("INFO traces arrive again"),
        "{lines:?}"
    );
    assert!(lines[0].contains("lost=5"), "{lines:?}");
    for _ in 0..2 {
        rig.tell(1);
        rig.a_batch().await;
    }
    assert_eq!(heard.take(), [""; 0], "once a minute");
    assert_eq!(rig.figures(), [2, 0, 6]);
}

/// Nothing fails, and yet not all of them arrive.
#[tokio::test(start_paused = true)]
async fn the_log_says_that_spans_are_dropped() {
    let heard = overheard();
    let rig = rig([]);
    rig.tell(QUEUE_MAX + 7);
    rig.a_batch().await;
    assert_eq!(rig.figures(), [QUEUE_MAX as u64, 7, 0]);
    let lines = heard.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("more than the collector takes") && lines[0].contains("lost=7"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("INFO traces arrive again"), "{lines:?}");
    later(QUIET).await;
    assert_eq!(heard.take(), [""; 0]);
}
