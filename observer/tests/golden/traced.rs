//! Made-up traces: a request over three nodes that went well, one that failed, and one of which only odd parts came.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use squall_observer::traces::span::{EXCHANGE, Origin, SpanEvent, SpanKind};
use squall_observer::traces::{SourceStatus, Span, SpanId, TraceId};

use crate::scene;

/// When they are looked at.
pub(crate) const NOW: u64 = scene::START + 151_000;

/// A key as it is typed: a line break is Enter, an escape is Esc.
pub(crate) fn key(c: char) -> KeyEvent {
    let code = match c {
        '\n' => KeyCode::Enter,
        '\u{1b}' => KeyCode::Esc,
        '<' => KeyCode::Left,
        c => KeyCode::Char(c),
    };
    KeyEvent::new(code, KeyModifiers::NONE)
}

/// A receiver that had no room once, and a Jaeger that does not answer.
pub(crate) fn sources() -> Vec<SourceStatus> {
    vec![
        SourceStatus {
            name: "OTLP 127.0.0.1:4317".to_owned(),
            received: 1_234,
            dropped: 7,
            ..Default::default()
        },
        SourceStatus {
            name: "Jaeger http://localhost:16686".to_owned(),
            error: Some("Connection refused (os error 111)".to_owned()),
            pages: Some("http://localhost:16686".to_owned()),
            ..Default::default()
        },
    ]
}

/// A span by trace, id, parent, node and name, from and to so many microseconds after some moment.
struct Row(u128, u64, u64, &'static str, &'static str, u64, u64);

fn span(of: &Row) -> Span {
    let Row(trace, id, parent, node, name, from, to) = *of;
    let began = (scene::START + 140_000 + trace as u64 * 1000) * 1_000_000;
    let exchange = name.split_once(' ').map(|(_, exchange)| exchange.to_owned());
    Span {
        start_ns: began + from * 1000,
        end_ns: began + to * 1000,
        kind: SpanKind::Internal,
        origin: Arc::new(Origin {
            service: "squall".to_owned(),
            node: node.to_owned(),
            attributes: vec![("service.version".to_owned(), "0.1.0".to_owned())],
        }),
        attributes: exchange
            .map(|name| (EXCHANGE.to_owned(), name))
            .into_iter()
            .collect(),
        ..Span::new(
            TraceId((trace << 96) + 0xbeef),
            SpanId(id),
            (parent != 0).then_some(SpanId(parent)),
            name,
        )
    }
}

/// All of them.
pub(crate) fn spans() -> Vec<Span> {
    let rows = [
        Row(3, 1, 0, "a", "request orders", 0, 4_200),
        Row(3, 2, 1, "b", "route orders", 310, 420),
        Row(3, 3, 2, "c", "handle orders", 900, 3_700),
        Row(3, 4, 3, "a", "reply", 4_150, 4_150),
        Row(2, 1, 0, "a", "request users", 0, 250_000),
        Row(2, 2, 1, "b", "route users", 200, 230),
        Row(1, 5, 9, "c", "handle orders", 0, 700),
        Row(1, 6, 7, "c", "one way", 100, 200),
        Row(1, 7, 6, "c", "or another", 150, 300),
    ];
    let mut spans: Vec<Span> = rows.iter().map(span).collect();
    let mut tell = |i: usize, key: &str, value: &str| {
        spans[i].attributes.push((key.to_owned(), value.to_owned()));
    };
    tell(1, "squall.strategy", "consensus");
    tell(1, "squall.candidates", "3");
    tell(1, "squall.picked", "<c.12>");
    tell(2, "squall.handler", "<c.12>");
    let began = spans[2].start_ns;
    spans[2].events.push(SpanEvent {
        unix_ns: began + 500_000,
        name: "looked up".to_owned(),
        attributes: vec![("rows".to_owned(), "7".to_owned())],
    });
    (spans[4].error, spans[4].message) = (true, "no responders".to_owned());
    spans
}
