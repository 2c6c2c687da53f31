//! The page of a small report.

use super::super::judged::Judged;
use super::super::{Bucket, Finding, Series};
use super::*;
use crate::bench::Machine;
use crate::bench::failover::phases::Phases;
use crate::load::Outcomes;

fn report() -> Report {
    let bucket = |good, failed| Bucket {
        sent: good + failed,
        good,
        failed,
        p50_us: 900 * u64::from(good > 0),
        p99_us: 4_000 * u64::from(good > 0),
        max_us: 5_000,
    };
    Report {
        schema: 1,
        scenario: "kill-owner".into(),
        teaches: "Owners <die>.".into(),
        text: "name = \"kill-owner\"".into(),
        nodes: 3,
        profile: "lan",
        machine: Machine::here(),
        began_us: 0,
        lasted_ms: 400,
        ended: Ended::Failed,
        findings: vec![
            Finding {
                what: "I1".into(),
                was: "ok".into(),
                ruling: Ruling::Ok,
            },
            Finding {
                what: "orders: at most 0 requests handled twice".into(),
                was: "2".into(),
                ruling: Ruling::Failed,
            },
        ],
        deeds: vec![Deed {
            at_ms: 100,
            ends_ms: 300,
            text: "kill at owner(orders)".into(),
            came: vec!["kill a".into()],
            undone: false,
            failovers: vec![Failover {
                exchange: "orders".into(),
                epoch: 2,
                trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
                phases: Phases {
                    detect_ms: Some(3.0),
                    assign_ms: Some(40.2),
                    ..Phases::default()
                },
            }],
        }],
        series: vec![Series {
            exchange: "orders".into(),
            bucket_ms: 100,
            buckets: vec![bucket(30, 0), bucket(0, 12), bucket(0, 0), bucket(30, 0)],
            outcomes: Outcomes {
                sent: 72,
                replied: 60,
                interrupted: 12,
                ..Outcomes::default()
            },
            gap_at_ms: 90,
            gap_ms: 220,
            lost: 0,
            doubled: 2,
            wrong: 0,
        }],
        moments: Vec::new(),
        judged: Judged {
            verdicts: vec![("I1".into(), "ok".into())],
            breaches: Vec::new(),
            seen: vec![("an owner was killed with requests in flight".into(), 1)],
            events: 17,
        },
        held: std::collections::BTreeMap::new(),
    }
}

#[test]
fn a_page_says_what_was_done_and_what_came_of_it() {
    let page = page(&report());
    for words in [
        "Owners &lt;die&gt;.",
        "<p class=\"verdict failed\">failed: something that must hold did not</p><ul><li>orders: at most 0 requests handled twice: \
         2</li></ul>",
        "72 requests: 60 answered, 12 interrupted (delivered, fate unknown), 2 handled twice",
        "The longest silence lasted 220 ms and began 0.1 s after the beginning.",
        "<td>kill at owner(orders)<td>kill a<td>orders: detect 3 ms, assign 40 ms<br>trace \
         <code>0af7651916cd43dd8448eb211c80319c</code>",
        "I1: ",
        "<td class=n>1<td>an owner was killed with requests in flight",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(!page.contains("http"), "it needs nothing else");
}

#[test]
fn a_curve_breaks_off_where_nothing_was_answered() {
    let report = report();
    let svg = plot::latencies(&report, &report.series[0]);
    let paths: Vec<&str> = svg.split("<path d=\"").skip(1).collect();
    assert_eq!(paths.len(), 2);
    assert!(
        paths.iter().all(|path| path.matches('M').count() == 2),
        "{paths:?}"
    );
    assert!(svg.contains("fill=\"var(--band)\""), "the fault is a band");
}
