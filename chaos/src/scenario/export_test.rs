use super::*;
use crate::scenario::{Deed, Scenario, read as read_scenario};

fn fault(at_ms: u64, node: &str, what: &str, lasted_ms: u64) -> proto::SessionFault {
    proto::SessionFault {
        at_ms,
        node: node.into(),
        what: what.into(),
        lasted_ms,
    }
}

fn exported(faults: Vec<proto::SessionFault>, since: Option<Duration>) -> Result<Scenario, NothingToExport> {
    let session = proto::SessionResponse {
        faults,
        exchanges: vec![proto::SessionExchange { id: 3, begun: 5_000 }],
        lasted_ms: 20_000,
    };
    let exchanges =
        [(3, "orders", "consensus"), (4, "idle", "round-robin")].map(|(id, name, strategy)| Worked {
            name: name.into(),
            strategy: strategy.into(),
            id,
        });
    let nodes = ["n2", "n1", "n3"].map(String::from);
    let text = export(&session, &nodes, &exchanges, since)?;
    Ok(read_scenario("session.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

fn steps(scenario: &Scenario) -> Vec<(u128, String, u128)> {
    let step =
        |step: &crate::scenario::Step| (step.at.as_millis(), step.deed.to_string(), step.ttl.as_millis());
    scenario.steps.iter().map(step).collect()
}

#[test]
fn what_was_done_is_done_again_at_its_time_for_as_long_as_it_lasted() {
    let scenario = exported(
        vec![
            fault(9_000, "n2", "kill stay-down n2", 2_500),
            fault(4_000, "n1", "delay 200ms ±50ms normal to n3", 700),
            fault(4_030, "n3", "delay 200ms ±50ms normal to n1", 690),
            fault(4_030, "n3", "cut to n1", 690),
            fault(12_000, "n3", "handlers of idle suspended", 400),
        ],
        None,
    )
    .expect("a scenario");
    assert_eq!(
        steps(&scenario),
        [
            (
                1_000,
                "delay 200ms ±50ms normal at a -> c; c -> a".to_owned(),
                700
            ),
            (1_030, "cut at c -> a".to_owned(), 690),
            (6_000, "kill at b".to_owned(), 2_500),
            (9_000, "handlers of idle suspended at c".to_owned(), 400),
        ]
    );
    assert_eq!((scenario.nodes, scenario.lasts.as_millis()), (3, 12_400));
    let plans: Vec<_> = scenario
        .exchanges
        .iter()
        .map(|plan| (plan.name.as_str(), plan.rate))
        .collect();
    assert_eq!(plans, [("orders", 250), ("idle", 1)]);
}

#[test]
fn only_what_was_done_lately_is_written_where_that_is_asked_for() {
    let faults = vec![
        fault(1_000, "n1", "pause n1", 50),
        fault(15_000, "n1", "burn 2 threads", 50),
    ];
    let late = exported(faults.clone(), Some(Duration::from_secs(10))).expect("a scenario");
    assert_eq!(steps(&late), [(1_000, "burn 2 threads at a".to_owned(), 50)]);
    let calm = exported(faults, Some(Duration::from_secs(1))).expect_err("nothing was done");
    assert_eq!(calm, NothingToExport::Calm);
    let strange = exported(vec![fault(0, "n1", "melt n1", 1)], None).expect_err("no such fault");
    assert_eq!(strange, NothingToExport::Unreadable("melt n1".into()));
}

#[test]
fn every_fault_that_a_node_tells_of_can_be_written() {
    for form in crate::fault::FORMS {
        let fired: Fault = form.example.parse().expect("an example");
        let told = match &fired {
            Fault::Link(what) => FaultKind::link("n2".parse().expect("a name"), *what).to_string(),
            Fault::Held(kind) => kind.to_string(),
            Fault::Node(deed) => format!("{deed} n1"),
            // Its parts are told one by one.
            Fault::Profile(_) => continue,
        };
        let scenario = exported(vec![fault(1_000, "n1", &told, 500)], None).expect(&told);
        let Deed::Fault { fault, .. } = &scenario.steps[0].deed else {
            panic!("{told}");
        };
        assert_eq!(*fault, fired, "{told}");
    }
}
