//! Tests of the figures, and of each part with very little of everything: that it measures at all.

use super::*;

#[test]
fn a_budget_is_kept_or_missed() {
    let figure = |value| Figure::new(Part::Frames, "frame", value, "ms").at_most(4.0);
    assert_eq!((figure(4.0).met, figure(4.01).met), (Some(true), Some(false)));
    assert!(
        figure(4.1).line().ends_with("≤ 4        MISSED"),
        "{}",
        figure(4.1).line()
    );
    let held = Figure::new(Part::Ring, "held", 599.0, "s").at_least(599.0);
    assert_eq!(held.met, Some(true));
    let json = serde_json::to_value(&held).unwrap();
    assert_eq!(
        (&json["at_least"], &json["met"], &json["part"]),
        (&599.0.into(), &true.into(), &"ring".into())
    );
    assert_eq!(Figure::new(Part::Keys, "x", 1.0, "ms").met, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_no_processes_of_its_own_is_measured() {
    let options = ObserveOptions {
        program: "squall".into(),
        parts: vec![Part::Ring, Part::Attach, Part::Stream],
        trials: 1,
        scale: Scale {
            processes: 300,
            frames: 3,
            nodes: 2,
            each: 50,
            measured: Duration::from_secs(1),
            seen: Duration::from_secs(2),
        },
    };
    let mut told = Vec::new();
    let done = run(&options, |figure| told.push(figure.line())).await.unwrap();
    assert_eq!(told.len(), done.figures.len());
    for part in options.parts {
        let budgets = done.figures.iter().filter(|f| f.part == part && f.met.is_some());
        assert!(budgets.count() > 0, "{part:?}");
    }
    let bytes = done.figures.iter().find(|f| f.part == Part::Stream).unwrap();
    assert!(bytes.value > 0.0, "{bytes:?}");
}
