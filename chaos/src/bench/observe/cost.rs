//! What it costs a node that it can be watched: the counters of its processes, in memory and in time, when nobody watches; and
//! its throughput when somebody does.

use std::hint::black_box;
use std::time::{Duration, Instant};

use squall_kernel::id::{Boot, NodeId};
use squall_kernel::time::Instant as Moment;
use squall_node::process::{Process, ProcessKind, ProcessTable};
use squall_observer::Screen;

use super::seat::Seat;
use super::{Figure, Part, Scale};
use crate::bench::req_resp::place::Place;
use crate::bench::req_resp::{ReqRespOptions, Where};
use crate::bench::usage::processor_time;
use crate::bench::{BenchError, Load, nearest_rank};

/// Messages that are counted.
const MESSAGES: u32 = 20_000_000;
/// Rounds with and without an observer.
const ROUNDS: u32 = 3;
const IN_FLIGHT: usize = 100;

pub(super) async fn measure(scale: Scale) -> Result<Vec<Figure>, BenchError> {
    let counting = tokio::task::spawn_blocking(counting).await;
    let counting = counting.map_err(|error| BenchError::Unsound(error.to_string()))?;
    let options = ReqRespOptions::new("squall".into(), scale.measured / 5);
    let place = Place::begin(Where::Local, &options).await?;
    let rates = rates(&place, &options).await;
    place.end().await;
    let (alone, watched, each_us) = rates?;
    let mid = |values: &[f64]| nearest_rank(values, 0.5).unwrap_or_default();
    let ratios: Vec<f64> = alone
        .iter()
        .zip(&watched)
        .map(|(alone, watched)| watched / alone)
        .collect();
    let figure = |what: String, value, unit| Figure::new(Part::Cost, what, value, unit);
    Ok(vec![
        figure("a process: its counters".into(), size_of::<Process>() as f64, "B").at_most(256.0),
        figure(
            "watch check of a message and the loop around it, nobody watching".into(),
            counting.check_ns,
            "ns",
        ),
        figure(
            "counting a message, put in, taken out, worked".into(),
            counting.all_ns,
            "ns",
        ),
        figure(
            format!("requests in one node, {IN_FLIGHT} in flight, nobody watching"),
            mid(&alone),
            "/s",
        ),
        figure("processor time of such a request".into(), mid(&each_us), "µs"),
        figure(
            "share of it spent on watch checks".into(),
            0.1 * CHECKS * counting.check_ns / mid(&each_us).max(f64::EPSILON),
            "%",
        )
        .at_most(1.0),
        figure(
            "requests with an observer on its processes, to those without".into(),
            mid(&ratios),
            "",
        ),
    ])
}

/// A request passes three mailboxes (exchange, handler, requester), and is worked on in two: each asks whether somebody
/// watches.
const CHECKS: f64 = 3.0 * 2.0 + 2.0;

struct Counting {
    check_ns: f64,
    all_ns: f64,
}

fn counting() -> Counting {
    let table = ProcessTable::new(NodeId(1), Boot(1));
    let process = table.enter(ProcessKind::Handler, "echo", 4096, Moment(1));
    let each = |work: &dyn Fn(u32)| {
        let begun = Instant::now();
        (0..MESSAGES).for_each(work);
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(MESSAGES)
    };
    let check_ns = each(&|n| {
        black_box(&process).count_wait(black_box(squall_kernel::time::Span(u64::from(n))));
    });
    let all_ns = each(&|n| {
        let process = black_box(&process);
        process.count_enqueued(Moment(u64::from(n)));
        process.count_dequeued(Moment(u64::from(n)));
        process.count_busy(squall_kernel::time::Span(1));
        process.count_sent(1);
    });
    Counting { check_ns, all_ns }
}

/// Requests a second without and with an observer, in turn; and microseconds of processor time for each of the former.
async fn rates(
    place: &Place,
    options: &ReqRespOptions,
) -> Result<(Vec<f64>, Vec<f64>, Vec<f64>), BenchError> {
    let (mut alone, mut watched, mut each_us) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = processor_time();
        let rate_alone = rate(place, options).await?;
        let used = (processor_time() - before).as_secs_f64();
        // The warm-up took processor time, too: as many requests a second went by meanwhile.
        let asked = rate_alone * (options.warm_up + options.measured).as_secs_f64();
        each_us.push(used * 1e6 / asked.max(1.0));
        alone.push(rate_alone);
        let mut seat = Seat::take(place.grpc().into_iter().collect(), Screen::Processes)?;
        seat.until("the processes are on the screen", |text| text.contains("handler"))
            .await?;
        watched.push(rate(place, options).await?);
    }
    Ok((alone, watched, each_us))
}

async fn rate(place: &Place, options: &ReqRespOptions) -> Result<f64, BenchError> {
    let tally = place
        .ask(Load::Closed(IN_FLIGHT), (options.warm_up, options.measured))
        .await?;
    if let Some(failure) = tally.failure {
        return Err(BenchError::Unsound(failure));
    }
    let seconds = options.measured.max(Duration::from_millis(1)).as_secs_f64();
    Ok(tally.took.total() as f64 / seconds)
}
