//! Answers as gateways of several versions write them.

use super::*;
use crate::traces::legacy;

#[test]
fn spans_are_read_with_ids_and_numbers_in_either_form() {
    let body = r#"{"result":{"resourceSpans":[{
        "resource":{"attributes":[
            {"key":"service.name","value":{"stringValue":"squall"}},
            {"key":"service.instance.id","value":{"stringValue":"b"}},
            {"key":"squall.incarnation","value":{"intValue":"3"}}]},
        "scopeSpans":[{"spans":[
            {"traceId":"000000000000009600000000000000a0","spanId":"00000000000000b4","parentSpanId":"",
             "name":"request orders","kind":4,"startTimeUnixNano":"1700056800000000000",
             "endTimeUnixNano":"1700056800004000000","status":{"code":2,"message":"no responders"},
             "attributes":[{"key":"messaging.destination.name","value":{"stringValue":"orders"}},
                           {"key":"squall.candidates","value":{"intValue":3}}],
             "events":[{"timeUnixNano":"1700056800001000000","name":"queued"}]},
            {"traceId":"AAAAAAAAAJYAAAAAAAAAoA==","spanId":"AAAAAAAAALU=","parentSpanId":"AAAAAAAAALQ=",
             "name":"route orders","kind":"SPAN_KIND_INTERNAL","startTimeUnixNano":1700056800001000000,
             "endTimeUnixNano":1700056800002000000,"status":{"code":"STATUS_CODE_ERROR"}},
            {"traceId":"nonsense","spanId":"1","name":"left out"}
        ]}]}]}}"#;
    let spans = spans(body.as_bytes()).expect("spans");
    let [request, route] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(
        (request.trace, request.id, request.parent),
        (route.trace, SpanId(0xb4), None)
    );
    assert_eq!((route.id, route.parent), (SpanId(0xb5), Some(SpanId(0xb4))));
    assert_eq!(
        (request.kind, route.kind),
        (SpanKind::Producer, SpanKind::Internal)
    );
    assert!(request.error && route.error && request.message == "no responders");
    assert_eq!(
        (request.duration_ns(), route.duration_ns()),
        (4_000_000, 1_000_000)
    );
    assert_eq!(
        (request.exchange(), request.attribute("squall.candidates")),
        (Some("orders"), Some("3"))
    );
    assert_eq!(
        (request.origin.service.as_str(), request.origin.node.as_str()),
        ("squall", "b")
    );
    assert_eq!(request.events[0].name, "queued");
}

#[test]
fn several_objects_and_none_are_answers_and_others_are_said_to_be_none() {
    let one = r#"{"result":{"resourceSpans":[]}}"#;
    assert_eq!(spans(format!("{one}\n{one}").as_bytes()), Ok(Vec::new()));
    assert_eq!(spans(b"{}"), Ok(Vec::new()));
    assert!(matches!(spans(b"<html>"), Err(JsonError::Syntax(_))));
    assert_eq!(spans(br#"{"data":[]}"#), Err(JsonError::Form("'resourceSpans'")));
    assert_eq!(
        legacy::spans(br#"{"resourceSpans":[]}"#),
        Err(JsonError::Form("'data'"))
    );
    assert_eq!(legacy::spans(br#"{"data":null}"#), Ok(Vec::new()));
}

#[test]
fn the_older_form_says_the_same() {
    let body = r#"{"data":[{"traceID":"9600000000000000a0","spans":[
        {"traceID":"9600000000000000a0","spanID":"b4","operationName":"request orders","references":[],
         "startTime":1700056800000000,"duration":4000,"processID":"p1",
         "tags":[{"key":"span.kind","type":"string","value":"producer"},{"key":"error","type":"bool","value":true},
                 {"key":"otel.status_description","value":"no responders"},
                 {"key":"messaging.destination.name","value":"orders"}],
         "logs":[{"timestamp":1700056800001000,"fields":[{"key":"event","value":"queued"}]}]},
        {"traceID":"9600000000000000a0","spanID":"b5","operationName":"route orders",
         "references":[{"refType":"FOLLOWS_FROM","traceID":"9600000000000000a0","spanID":"1"},
                       {"refType":"CHILD_OF","traceID":"9600000000000000a0","spanID":"b4"}],
         "startTime":1700056800001000,"duration":1000,"processID":"gone","tags":null}],
        "processes":{"p1":{"serviceName":"squall","tags":[{"key":"service.instance.id","value":"b"}]}}}]}"#;
    let spans = legacy::spans(body.as_bytes()).expect("spans");
    let [request, route] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(
        (request.kind, request.error, request.message.as_str()),
        (SpanKind::Producer, true, "no responders")
    );
    assert_eq!(
        (request.start_ns, request.duration_ns()),
        (1_700_056_800_000_000_000, 4_000_000)
    );
    assert_eq!(
        (request.origin.service.as_str(), request.origin.node.as_str()),
        ("squall", "b")
    );
    assert_eq!(
        (request.exchange(), request.events[0].name.as_str()),
        (Some("orders"), "queued")
    );
    assert_eq!(route.parent, Some(SpanId(0xb4)));
}

#[test]
fn names_with_escapes_are_cleaned() {
    let body = "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"1\",\"spanId\":\"2\",\"name\":\"\\u001b[2J\",\
         \"attributes\":[{\"key\":\"a\\u202e\",\"value\":{\"stringValue\":\"\\u0007\"}}]}]}]}]}";
    let spans = spans(body.as_bytes()).expect("spans");
    assert_eq!(spans[0].name, "␛[2J");
    assert_eq!(spans[0].attributes, [("a␦".to_owned(), "␇".to_owned())]);
}
