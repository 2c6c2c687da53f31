//! How full the node's runtimes are: for how long their threads were busy, out of how many.
//!
//! What does not live here: how late that makes the node's own work (`control`, which measures its timers).

use std::time::Duration;

use tokio::runtime::Handle;

use crate::metrics::{RUNTIME_BUSY, RUNTIME_TASKS, RUNTIME_THREADS, Scrape};

/// A thread counts what it was busy with when it goes on to something else; one that a handler blocks does so at the end.
///
/// How many tasks wait for a thread is not told: of their queues tokio tells but the one for what comes from outside the runtime,
/// which is empty while its threads have more to do than they can.
pub(super) fn measured(to: &mut Scrape, name: &str, runtime: &Handle) {
    let figures = runtime.metrics();
    let threads = figures.num_workers();
    let busy: Duration = (0..threads)
        .map(|thread| figures.worker_total_busy_duration(thread))
        .sum();
    to.count(&RUNTIME_TASKS, &[name], figures.num_alive_tasks() as u64);
    to.count(&RUNTIME_THREADS, &[name], threads as u64);
    to.put(&RUNTIME_BUSY, &[name], busy.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::runtime::Builder;

    use super::*;
    use crate::metrics::{Metric, Value};

    fn value(runtime: &Handle, metric: &Metric) -> f64 {
        let mut scrape = Scrape::default();
        measured(&mut scrape, "data", runtime);
        let families = scrape.finish();
        let family = families.iter().find(|family| family.metric.name == metric.name);
        match family.expect("it was measured").series[..] {
            [(ref labels, Value::Number(number))] if labels[..] == ["data"] => number,
            ref other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_runtimes_threads_did_is_counted_and_so_are_they() {
        let runtime = Builder::new_multi_thread().worker_threads(2).build();
        let runtime = runtime.expect("a runtime");
        let at = runtime.handle();
        assert_eq!(value(at, &RUNTIME_THREADS), 2.0);
        let busy = Duration::from_millis(1);
        let works = async move {
            let began = Instant::now();
            while began.elapsed() < busy {}
        };
        runtime.block_on(at.spawn(works)).expect("it ends");
        // The thread puts it down before it waits for something else to do.
        while value(at, &RUNTIME_BUSY) < busy.as_secs_f64() {
            std::thread::yield_now();
        }
        assert_eq!(value(at, &RUNTIME_TASKS), 0.0);
    }
}
