//! Between traces and rows: filters that rows become, rows that spans lead to, folding, and what is asked of a source.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::update;
use crate::model::{Cmd, Message, Model, Overlay, Page, Screen};
use crate::prepare::Body;
use crate::table::RowId;
use crate::traces::span::{EXCHANGE, Origin};
use crate::traces::{Span, SpanId, TraceId};
use crate::units::Moment;

/// 14:00:00 of some day.
const START: u64 = 1_700_056_800_000;

fn span(trace: u128, id: u64, parent: u64, node: &str, attributes: &[(&str, &str)]) -> Span {
    let start_ns = (START + trace as u64 * 1000 + id) * 1_000_000;
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Span {
        start_ns,
        end_ns: start_ns + 50_000_000,
        origin: Arc::new(Origin {
            service: "squall".to_owned(),
            node: node.to_owned(),
            attributes: Vec::new(),
        }),
        attributes: attributes.iter().map(own).collect(),
        ..Span::new(
            TraceId(trace),
            SpanId(id),
            (parent != 0).then_some(SpanId(parent)),
            &format!("span {id}"),
        )
    }
}

/// Trace 2, the newest, over a, b and c on exchange orders; trace 1 on d alone.
fn model() -> Model {
    let mut m = Model::new((120, 40), Screen::Traces, false);
    let orders = (EXCHANGE, "orders");
    let spans = vec![
        span(2, 1, 0, "a", &[orders]),
        span(2, 2, 1, "b", &[orders, ("squall.picked", "<c.12>")]),
        span(2, 3, 2, "c", &[orders, ("squall.handler", "<c.12>")]),
        span(2, 4, 3, "a", &[]),
        span(1, 1, 0, "d", &[("what", "ever"), ("chaos.fault_id", "f1")]),
    ];
    update(&mut m, Message::Traced(spans));
    update(&mut m, Message::Tick(Moment(START + 9_000)));
    m
}

fn press(m: &mut Model, code: KeyCode) -> Vec<Cmd> {
    update(m, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn keys(m: &mut Model, keys: &str) {
    for c in keys.chars() {
        press(m, KeyCode::Char(c));
    }
}

/// Ids of the traces that show.
fn shown(m: &Model) -> Vec<u128> {
    let Body::Traces(list) = &m.prepared.body else {
        panic!("{:?}", m.prepared.body);
    };
    let id = |line: &crate::table::Line| match line.id {
        RowId::Trace(id) => id.0,
        _ => 0,
    };
    list.table.lines.iter().map(id).collect()
}

#[test]
fn traces_of_a_row_are_those_that_have_to_do_with_it() {
    let rows = [
        (RowId::Exchange("orders".into()), "exchange = \"orders\"", vec![2]),
        (RowId::Node("d".into()), "node = \"d\"", vec![1]),
        (
            RowId::Link("a".into(), "c".into()),
            "node = \"a\" and node = \"c\"",
            vec![2],
        ),
        (
            RowId::Link("a".into(), "d".into()),
            "node = \"a\" and node = \"d\"",
            vec![],
        ),
        (RowId::Process("c".into(), "<c.12>".into()), "\"<c.12>\"", vec![2]),
        (RowId::Fault("b".into(), "f1".into()), "\"f1\"", vec![1]),
    ];
    for (id, filter, expected) in rows {
        let mut m = model();
        m.open(Screen::Processes);
        m.page = Some(Page::new(id));
        keys(&mut m, "T");
        assert_eq!((m.screen, &m.page), (Screen::Traces, &None));
        assert_eq!(
            (m.pane().filter_text.as_str(), &m.pane().filter_error),
            (filter, &None)
        );
        assert_eq!(shown(&m), expected, "{filter}");
    }
}

#[test]
fn fields_and_bare_text_find_traces_and_what_comes_later_is_found_too() {
    let table: [(&str, &[u128]); 8] = [
        ("spans > 1", &[2]),
        ("duration > 10ms and errors = 0", &[2, 1]),
        ("node != a", &[1]),
        ("service = squall and name ~ span", &[2, 1]),
        ("ago < 7500ms", &[2]),
        ("ever", &[1]),
        ("<c.12>", &[2]),
        ("!ever", &[2]),
    ];
    for (filter, expected) in table {
        let mut m = model();
        keys(&mut m, &format!("/{filter}"));
        assert_eq!(m.pane().filter_error, None, "{filter}");
        assert_eq!(shown(&m), expected, "{filter}");
    }
    let mut m = model();
    keys(&mut m, "/ever");
    press(&mut m, KeyCode::Enter);
    update(
        &mut m,
        Message::Traced(vec![span(2, 9, 1, "b", &[("it", "was ever so")])]),
    );
    update(&mut m, Message::Tick(Moment(START + 10_000)));
    assert_eq!(shown(&m), [2, 1]);
    // Ages are other ones later.
    let mut m = model();
    keys(&mut m, "/ago < 7500ms");
    update(&mut m, Message::Tick(Moment(START + 60_000)));
    assert_eq!(shown(&m), [0; 0]);
}

#[test]
fn a_trace_opens_is_asked_for_folds_and_leads_to_rows() {
    let mut m = model();
    let cmds = press(&mut m, KeyCode::Enter);
    assert!(matches!(&cmds[..], [Cmd::Trace(TraceId(2))]), "{cmds:?}");
    let lines = |m: &Model| match &m.prepared.body {
        Body::Waterfall(page) => page
            .lines
            .iter()
            .map(|l| l.name.trim().to_owned())
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(lines(&m), ["▾ span 1", "▾ span 2", "▾ span 3", "span 4"]);
    keys(&mut m, "j");
    press(&mut m, KeyCode::Left);
    assert_eq!(lines(&m), ["▾ span 1", "▸ +2 span 2"]);
    // Folded already: to what it belongs to.
    press(&mut m, KeyCode::Left);
    press(&mut m, KeyCode::Enter);
    assert_eq!(lines(&m), ["▸ +3 span 1"]);
    press(&mut m, KeyCode::Right);
    keys(&mut m, "j");
    press(&mut m, KeyCode::Right);
    assert_eq!(lines(&m).len(), 4);
    let leads = |steps: &str| {
        let mut there = m.clone();
        keys(&mut there, steps);
        keys(&mut there, "o");
        (there.screen, there.pane().cursor.id.clone())
    };
    let exchange = RowId::Exchange("orders".into());
    assert_eq!(leads(""), (Screen::Exchanges, Some(exchange)));
    let process = RowId::Process("c".into(), "<c.12>".into());
    assert_eq!(leads("j"), (Screen::Processes, Some(process)));
    assert_eq!(leads("jj"), (Screen::Overview, Some(RowId::Node("a".into()))));
    press(&mut m, KeyCode::Esc);
    assert_eq!(shown(&m), [2, 1]);
}

#[test]
fn a_frozen_screen_shows_no_later_trace_and_a_trace_that_went_closes_its_page() {
    let mut m = model();
    keys(&mut m, " ");
    let mut late = span(1, 1, 0, "a", &[]);
    (late.trace, late.start_ns) = (TraceId(5), (START + 11_000) * 1_000_000);
    update(&mut m, Message::Traced(vec![late]));
    update(&mut m, Message::Tick(Moment(START + 12_000)));
    assert_eq!(shown(&m), [2, 1]);
    let Body::Traces(list) = &m.prepared.body else {
        panic!("the traces");
    };
    assert_eq!(
        (list.table.total, list.table.unfiltered),
        (2, 2),
        "no filter hides the later one"
    );
    keys(&mut m, "L");
    assert_eq!(shown(&m), [5, 2, 1]);
    press(&mut m, KeyCode::Enter);
    m.traces.store = crate::traces::Store::default();
    update(&mut m, Message::Tick(Moment(START + 13_000)));
    assert_eq!(shown(&m), [0; 0]);
    assert_eq!(m.overlay, Overlay::None);
}

#[test]
fn traces_say_up_to_when_they_are_and_that_a_recording_has_none() {
    use crate::model::Replay;
    use crate::traces::SourceStatus;
    let list = |m: &Model| match &m.prepared.body {
        Body::Traces(list) => list.clone(),
        other => panic!("{other:?}"),
    };
    let mut m = model();
    assert_eq!(list(&m).until, None);
    keys(&mut m, " ");
    assert_eq!(list(&m).until.as_deref(), Some("14:00:09"));
    assert_eq!(
        m.prepared.age, "no spans yet",
        "nobody knew the time when they came"
    );
    update(&mut m, Message::Traced(vec![span(2, 9, 1, "b", &[])]));
    update(&mut m, Message::Tick(Moment(START + 9_000)));
    assert_eq!(m.prepared.age, "0.0s old");
    update(&mut m, Message::Tick(Moment(START + 14_000)));
    assert_eq!(m.prepared.age, "5.0s old", "since spans came last");
    let mut m = Model::new((120, 40), Screen::Traces, false);
    m.replay = Some(Replay {
        speed: 1.0,
        paused: false,
        ended: None,
    });
    update(&mut m, Message::Tick(Moment(START)));
    assert_eq!(
        (list(&m).hint, list(&m).sources.len()),
        (vec!["A recording has no traces."], 0)
    );
    let source = SourceStatus {
        name: "OTLP".to_owned(),
        ..SourceStatus::default()
    };
    update(&mut m, Message::Sourced(vec![source]));
    update(&mut m, Message::Tick(Moment(START + 100)));
    assert!(list(&m).sources[0].0.starts_with("a recording has no traces"));
}
