//! Where traces come from, end to end: an exporter's own client over OTLP/gRPC, the same passed on, and a Jaeger that answers
//! as its two APIs are documented.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::Value;
use squall_filter::Filter;
use squall_observer::headless::traces::{once, to_json};
use squall_observer::headless::{Format, Options};
use squall_observer::traces::{Sources, Store, TraceFeed, TraceId, Traces};
use squall_observer::units::Moment;
use squall_observer::{Error, Screen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::Code;

/// What has not happened by then will not.
const PATIENCE: Duration = Duration::from_secs(20);
/// 14:00:00 of some day.
const START: u64 = 1_700_056_800_000_000_000;

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn span(trace: u8, id: u8, parent: u8, name: &str) -> Span {
    let bytes = |id: u8, len: usize| if id == 0 { Vec::new() } else { vec![id; len] };
    Span {
        trace_id: bytes(trace, 16),
        span_id: bytes(id, 8),
        parent_span_id: bytes(parent, 8),
        name: name.to_owned(),
        start_time_unix_nano: START + u64::from(id) * 1000,
        end_time_unix_nano: START + 100_000 - u64::from(id) * 1000,
        ..Default::default()
    }
}

fn pair(key: &str, value: AnyKind) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, AnyKind::StringValue(value.to_owned()))
}

fn export(node: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let attributes = vec![text("service.name", "squall"), text("service.instance.id", node)];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

async fn client(at: SocketAddr) -> TraceServiceClient<tonic::transport::Channel> {
    let client = TraceServiceClient::connect(format!("http://{at}")).await;
    client.expect("the receiver listens")
}

/// Takes spans until `enough` says so.
async fn gathered(feed: &mut TraceFeed, enough: impl Fn(&Store, &TraceFeed) -> bool) -> Store {
    let mut store = Store::default();
    let gather = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while !enough(&store, feed) {
            tokio::select! {
                Some(spans) = feed.next() => store.insert(spans),
                _ = look.tick() => {}
            }
        }
    };
    timeout(PATIENCE, gather).await.expect("enough spans");
    store
}

#[tokio::test]
async fn spans_of_two_processes_are_one_trace_and_are_passed_on() {
    let mut behind = Sources::default();
    let collector = behind.listen(loopback(), None).expect("a port");
    let mut sources = Sources::default();
    let forward = format!("http://{collector}");
    let at = sources.listen(loopback(), Some(&forward)).expect("a port");
    let mut client = client(at).await;
    let failed = Span {
        status: Some(Status {
            code: 2,
            message: "no responders".to_owned(),
        }),
        ..span(7, 2, 1, "route orders")
    };
    client.export(export("b", vec![failed])).await.expect("taken");
    client
        .export(export("a", vec![span(7, 1, 0, "request orders")]))
        .await
        .expect("taken");
    for sources in [sources, behind] {
        let mut feed = sources.feed();
        let whole = |store: &Store, _: &TraceFeed| store.traces().any(|trace| trace.spans.len() == 2);
        let store = gathered(&mut feed, whole).await;
        let of = &store.traces().next().expect("a trace").summary;
        assert_eq!((of.name.as_str(), of.errors), ("request orders", 1));
        assert_eq!(
            of.nodes.iter().map(String::as_str).collect::<Vec<_>>(),
            ["a", "b"]
        );
        if feed.status().len() == 2 {
            gathered(&mut feed, |_, feed| feed.status()[0].received == 2).await;
        }
    }
}

#[tokio::test]
async fn what_is_no_span_is_refused_in_words_and_counted() {
    let mut sources = Sources::default();
    let at = sources.listen(loopback(), None).expect("a port");
    let mut client = client(at).await;
    let bad = Span {
        span_id: vec![1, 2, 3],
        ..span(1, 1, 0, "short id")
    };
    let answer = client
        .export(export(
            "a",
            vec![bad, span(0, 1, 0, "no trace"), span(2, 1, 0, "good")],
        ))
        .await;
    let partial = answer
        .expect("an answer")
        .into_inner()
        .partial_success
        .expect("a refusal");
    assert_eq!(partial.rejected_spans, 2, "{}", partial.error_message);
    let status = &sources.feed().status()[0];
    assert_eq!((status.received, status.dropped), (1, 2));
}

#[tokio::test]
async fn a_screen_that_does_not_read_costs_spans_and_says_so() {
    let mut sources = Sources::default();
    let at = sources.listen(loopback(), None).expect("a port");
    let mut client = client(at).await;
    let many = |trace: u8| {
        let span = |i: u16| Span {
            span_id: vec![1, 1, 1, 1, 1, 1, (i >> 8) as u8, i as u8],
            ..span(trace, 1, 0, "s")
        };
        export("a", (0..4_096).map(span).collect())
    };
    let mut refused = None;
    for trace in 1..=20 {
        if let Err(status) = client.export(many(trace)).await {
            refused = Some(status.code());
        }
    }
    assert_eq!(refused, Some(Code::Unavailable));
    let status = &sources.feed().status()[0];
    assert_eq!(status.received + status.dropped, 20 * 4_096);
    assert!(status.dropped > 0 && status.received > 0);
}

#[tokio::test]
async fn hostile_spans_stay_within_their_bounds() {
    let mut sources = Sources::default();
    let at = sources.listen(loopback(), None).expect("a port");
    let mut client = client(at).await;
    let huge = export(
        "a",
        vec![Span {
            attributes: vec![text("k", &"x".repeat(5_000_000))],
            ..span(1, 1, 0, "too long")
        }],
    );
    let refused = client.export(huge).await.expect_err("more than 4 MiB");
    assert!(
        matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{refused}"
    );
    // Some 100 MB of attributes.
    let mut nested = AnyKind::StringValue("deep".to_owned());
    for _ in 0..40 {
        let values = vec![AnyValue { value: Some(nested) }; 1];
        nested = AnyKind::ArrayValue(ArrayValue { values });
    }
    let mut feed = sources.feed();
    let mut store = Store::default();
    for i in 1..=30u8 {
        let mut attributes: Vec<KeyValue> = (0..3_500)
            .map(|k| text(&format!("\u{1b}[2J{k}"), &"\u{202e}y".repeat(250)))
            .collect();
        attributes.insert(0, pair("nested", nested.clone()));
        let odd = Span {
            attributes,
            start_time_unix_nano: u64::MAX,
            end_time_unix_nano: 0,
            ..span(1, i, i % 30 + 1, "\u{1b}]0;owned\u{7}")
        };
        client.export(export("\u{9b}a", vec![odd])).await.expect("taken");
        let spans = timeout(PATIENCE, feed.next())
            .await
            .expect("in time")
            .expect("spans");
        store.insert(spans);
    }
    assert!(store.bytes() < 30 * 100_000, "{}", store.bytes());
    let traces = Traces {
        store,
        ..Traces::default()
    };
    let json = to_json(&traces, Moment(0), &Filter::default())
        .expect("JSON")
        .to_string();
    assert!(!json.contains("\\u001b") && !json.contains('\u{202e}') && !json.contains('\u{9b}'));
    let spans = traces.store.traces().next().expect("a trace").spans.values();
    let spans: Vec<_> = spans.collect();
    assert_eq!(spans.len(), 30);
    assert!(
        spans
            .iter()
            .all(|s| s.left_out > 3_000 && s.attributes[0].1.starts_with("[[[[…"))
    );
}

#[tokio::test]
async fn a_taken_port_and_a_wrong_url_are_said() {
    let mut sources = Sources::default();
    let at = sources.listen(loopback(), None).expect("a port");
    let taken = sources.listen(at, None).expect_err("it is taken").to_string();
    assert!(
        taken.contains(&at.to_string()) && taken.contains("use"),
        "{taken}"
    );
    for url in ["https://h:1", "http://", "::"] {
        let wrong = sources.jaeger(url).expect_err(url).to_string();
        assert!(wrong.contains("is no address"), "{wrong}");
    }
    assert!(sources.listen(loopback(), Some("https://h:1")).is_err());
}

/// A Jaeger with canned answers by the beginning of the path; the longest that fits. It notes what it is asked.
struct Jaeger {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: tokio::task::JoinSet<()>,
}

impl Jaeger {
    async fn start(answers: &[(&'static str, u16, &'static str)]) -> Self {
        let listener = TcpListener::bind(loopback()).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let answers: BTreeMap<&str, (u16, &str)> = answers.iter().map(|(p, s, b)| (*p, (*s, *b))).collect();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    request.push(byte);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let fitting = answers.iter().rev().find(|(begin, _)| path.starts_with(**begin));
                let (status, body) = fitting.map_or((404, "not found"), |(_, answer)| *answer);
                noted.lock().expect("not poisoned").push(path);
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
                // A client that has gone needs no answer.
                let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Self {
            url,
            asked,
            _serving: serving,
        }
    }

    fn was_asked(&self, begin: &str) -> bool {
        let asked = self.asked.lock().expect("not poisoned");
        asked.iter().any(|path| path.starts_with(begin))
    }
}

const V3: &str = r#"{"result":{"resourceSpans":[{"resource":{"attributes":[
    {"key":"service.name","value":{"stringValue":"squall"}},{"key":"service.instance.id","value":{"stringValue":"b"}}]},
    "scopeSpans":[{"scope":{},"spans":[{"traceId":"000000000000000000000000000000a0","spanId":"00000000000000b4",
    "parentSpanId":"","name":"request orders","kind":4,"startTimeUnixNano":"1700056800000000000",
    "endTimeUnixNano":"1700056800004000000","attributes":[],"status":{}}]}]}]}}"#;
const OLDER: &str = r#"{"data":[{"traceID":"a0","spans":[{"traceID":"a0","spanID":"b4","operationName":"request orders",
    "references":[],"startTime":1700056800000000,"duration":4000,"tags":[],"logs":[],"processID":"p1"}],
    "processes":{"p1":{"serviceName":"squall","tags":[{"key":"service.instance.id","type":"string","value":"b"}]}}}],
    "total":0,"limit":0,"offset":0,"errors":null}"#;

async fn printed(url: &str) -> Result<Value, Error> {
    let mut sources = Sources::default();
    sources.jaeger(url).expect("an address");
    let mut options = Options::new(Vec::new(), Screen::Traces, Format::Json);
    options.patience = PATIENCE;
    let mut out = Vec::new();
    once(&options, sources, &mut out).await?;
    Ok(serde_json::from_slice(&out).expect("JSON"))
}

fn assert_is_the_trace(printed: &Value) {
    let trace = &printed["traces"][0];
    assert_eq!(printed["version"], 1);
    assert_eq!(trace["trace_id"], "000000000000000000000000000000a0");
    assert_eq!(
        (&trace["name"], &trace["duration_us"]),
        (&"request orders".into(), &4000.into())
    );
    assert_eq!(
        (&trace["services"][0], &trace["nodes"][0]),
        (&"squall".into(), &"b".into())
    );
    assert_eq!(trace["spans"][0]["critical_us"], 4000);
}

#[tokio::test]
async fn a_jaeger_with_api_v3_is_asked_for_its_services_and_their_newest_traces() {
    let jaeger = Jaeger::start(&[
        ("/api/v3/services", 200, r#"{"services":["jaeger","squall"]}"#),
        ("/api/v3/traces?query.service_name=squall&", 200, V3),
    ])
    .await;
    assert_is_the_trace(&printed(&jaeger.url).await.expect("traces"));
    assert!(
        !jaeger.was_asked("/api/v3/traces?query.service_name=jaeger") && !jaeger.was_asked("/api/services")
    );
}

#[tokio::test]
async fn an_older_jaeger_that_answers_with_its_page_is_asked_in_its_own_way() {
    let jaeger = Jaeger::start(&[
        ("/", 200, "<!doctype html><title>Jaeger UI</title>"),
        ("/api/services", 200, r#"{"data":["squall"],"total":1}"#),
        ("/api/traces?service=squall&", 200, OLDER),
    ])
    .await;
    assert_is_the_trace(&printed(&jaeger.url).await.expect("traces"));
}

#[tokio::test]
async fn a_trace_that_somebody_looks_at_is_asked_for_by_its_id() {
    let jaeger = Jaeger::start(&[
        ("/api/v3/services", 200, r#"{"services":["squall"]}"#),
        (
            "/api/v3/traces?",
            404,
            r#"{"error":{"httpCode":404,"message":"No traces found"}}"#,
        ),
        ("/api/v3/traces/000000000000000000000000000000a0", 200, V3),
    ])
    .await;
    let mut sources = Sources::default();
    sources.jaeger(&jaeger.url).expect("an address");
    let mut feed = sources.feed();
    gathered(&mut feed, |_, feed| feed.status()[0].rounds > 0).await;
    feed.want(TraceId(0xa0));
    let store = gathered(&mut feed, |store, _| !store.is_empty()).await;
    assert!(store.get(TraceId(0xa0)).is_some());
}

#[tokio::test]
async fn a_jaeger_that_is_none_or_fails_is_said_in_words() {
    let page = Jaeger::start(&[("/", 200, "<!doctype html>")]).await;
    let failing = Jaeger::start(&[("/api/v3/services", 503, "storage is down")]).await;
    let odd = Jaeger::start(&[
        ("/api/v3/services", 200, r#"{"services":["squall"]}"#),
        ("/api/v3/traces?", 200, r#"{"answer":42}"#),
    ])
    .await;
    let nobody = {
        let listener = TcpListener::bind(loopback()).await.expect("a port");
        format!("http://{}", listener.local_addr().expect("bound"))
    };
    let table = [
        (page.url.as_str(), "it is no Jaeger"),
        (&failing.url, "status 503"),
        (&odd.url, "no 'resourceSpans'"),
        (&nobody, "refused"),
    ];
    for (url, words) in table {
        let mut sources = Sources::default();
        sources.jaeger(url).expect("an address");
        let mut feed = sources.feed();
        gathered(&mut feed, |_, feed| feed.status()[0].error.is_some()).await;
        let said = feed.status()[0].error.clone().unwrap_or_default();
        assert!(said.contains(words), "{url}: {said}");
    }
}

#[tokio::test]
async fn without_a_source_it_says_how_to_get_one() {
    let options = Options::new(Vec::new(), Screen::Traces, Format::Text);
    let refused = once(&options, Sources::default(), &mut Vec::new())
        .await
        .expect_err("no source");
    assert!(
        refused.to_string().contains("--jaeger URL or --otlp-listen"),
        "{refused}"
    );
}
