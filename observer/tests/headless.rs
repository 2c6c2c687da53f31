//! The headless output: the schema of `docs/headless.md`, and the same words as on the screen.

#[path = "golden/detail.rs"]
mod detail;
#[path = "golden/scene.rs"]
mod scene;

use scene::Scene;
use serde_json::Value;
use squall_filter::Filter;
use squall_observer::headless::{Format, Options, detail_to_json, detail_to_text, once, to_json, to_text};
use squall_observer::prepare::fields;
use squall_observer::table::RowId;
use squall_observer::{Error, Screen};

fn json(scene: Scene, view: Screen, filter: &str) -> Value {
    let model = scene::model(scene, (80, 24), view);
    let filter = Filter::parse(filter, &fields(view)).expect("a filter");
    to_json(&model.live, model.now, view, &filter).expect("records are JSON")
}

/// The record whose fields have these values.
fn record<'a>(object: &'a Value, array: &str, fields: &[(&str, &str)]) -> &'a Value {
    let all = object[array].as_array().expect("the array is named for the view");
    let fits = |r: &&Value| fields.iter().all(|(k, v)| r[*k] == *v);
    all.iter()
        .find(fits)
        .unwrap_or_else(|| panic!("no {fields:?} in {all:#?}"))
}

#[test]
fn every_view_has_its_array_and_the_version() {
    let names = [
        "nodes",
        "links",
        "exchanges",
        "leaders",
        "processes",
        "registry",
        "events",
    ];
    for (view, name) in Screen::ALL.into_iter().zip(names) {
        let object = json(Scene::Healthy, view, "");
        assert_eq!(object["version"], 1);
        let rows = object[name].as_array().expect("the array is named for the view");
        assert!(!rows.is_empty(), "{name}");
        let snake = |k: &str| {
            k.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        for row in rows {
            assert!(row.as_object().expect("a record").keys().all(|k| snake(k)));
        }
    }
}

#[test]
fn every_field_is_documented() {
    let page = include_str!("../../docs/headless.md");
    for view in Screen::ALL {
        let object = json(Scene::Lost, view, "");
        let arrays = object
            .as_object()
            .expect("an object")
            .values()
            .filter_map(Value::as_array);
        let fields = arrays
            .filter_map(|a| a.first())
            .flat_map(|r| r.as_object().expect("a record").keys());
        for field in fields {
            assert!(
                page.contains(&format!("`{field}`")),
                "{field} of {view:?} is not in docs/headless.md"
            );
        }
    }
}

#[test]
fn a_lost_node_is_down_and_its_exchange_has_moved() {
    let nodes = json(Scene::Lost, Screen::Overview, "");
    let lost = record(&nodes, "nodes", &[("name", "b")]);
    assert_eq!(
        (lost["state"].as_str(), lost["why"].as_str()),
        (Some("down"), Some("connection refused"))
    );
    assert!(lost["stale_ms"].as_u64().is_some());
    assert_eq!(record(&nodes, "nodes", &[("name", "a")])["role"], "leader");

    let exchanges = json(Scene::Lost, Screen::Exchanges, "");
    let orders = record(&exchanges, "exchanges", &[("name", "orders")]);
    assert_eq!(
        (&orders["owner"], &orders["epoch"], &orders["handlers"]),
        (&"c".into(), &8.into(), &3.into())
    );

    let leaders = json(Scene::Lost, Screen::Leaders, "");
    let owner = record(&leaders, "leaders", &[("exchange", "orders"), ("node", "c")]);
    assert_eq!(
        (&owner["role"], &owner["believed_by"]),
        (&"owner".into(), &serde_json::json!(["a", "c"]))
    );
}

#[test]
fn a_split_is_said_and_a_filter_leaves_out() {
    let leaders = json(Scene::Split, Screen::Leaders, "");
    let split =
        |node| record(&leaders, "leaders", &[("exchange", "orders"), ("node", node)])["split"].clone();
    assert_eq!([split("a"), split("b"), split("c")], [true, true, false]);
    let filtered = json(Scene::Split, Screen::Leaders, "!orders");
    assert_eq!(filtered["leaders"].as_array().map(Vec::len), Some(3));
}

/// C8: the filter language, the same in every format.
#[test]
fn fields_are_compared_alike_in_json_and_in_text() {
    let table = [
        (
            Screen::Overview,
            "state = up and rss > 1MiB and not role = leader",
        ),
        (Screen::Mesh, "from = a* and p99 < 1s"),
        (Screen::Exchanges, "exchange ~ ord or handlers > 90"),
        (Screen::Leaders, "node = b and acts-as ~ route"),
        (Screen::Processes, "mailbox > 2 and kind != session"),
        (Screen::Timeline, "severity != info and ago > 1ms"),
    ];
    for (view, text) in table {
        let of = if view == Screen::Timeline {
            Scene::Lost
        } else {
            Scene::Healthy
        };
        let model = scene::model(of, (80, 24), view);
        let filter = Filter::parse(text, &fields(view)).unwrap_or_else(|e| panic!("{text}: {e}"));
        let rows = json(of, view, text);
        let count = |object: &Value| {
            let mut arrays = object.as_object().expect("an object").values();
            arrays.find_map(Value::as_array).expect("the view's array").len()
        };
        let lines = to_text(&model.live, model.now, view, &filter).lines().count() - 1;
        assert_eq!(count(&rows), lines, "{text}");
        let all = count(&json(of, view, ""));
        assert!(lines > 0 && lines < all, "{text}: {lines} of {all}");
    }
}

#[test]
fn checks_say_what_holds_what_does_not_and_what_cannot_be_known() {
    use squall_observer::check::{Question, Verdict, answer};
    let table = [
        (Scene::Healthy, [Verdict::Holds, Verdict::Holds, Verdict::Holds]),
        (Scene::Split, [Verdict::Holds, Verdict::Broken, Verdict::Broken]),
        (Scene::Lost, [Verdict::Holds, Verdict::Holds, Verdict::Holds]),
        (
            Scene::Leaderless,
            [Verdict::Broken, Verdict::Broken, Verdict::Holds],
        ),
        (Scene::Loading, [Verdict::Unknown; 3]),
    ];
    for (scene, expected) in table {
        let model = scene::model(scene, (80, 24), Screen::Leaders);
        for (question, expected) in Question::ALL.into_iter().zip(expected) {
            let told = answer(&model.live, model.now, question);
            assert_eq!(told.verdict, expected, "{scene:?} {question:?}: {}", told.why);
            assert!(!told.why.is_empty());
        }
    }
    // The same, but its owner is silent instead of gone.
    let mut model = scene::model(Scene::Healthy, (80, 24), Screen::Leaders);
    let now = squall_observer::units::Moment(model.now.0 + 700);
    let silent = model.live.nodes.get_mut("b").expect("a node");
    silent.heard = squall_observer::units::Moment(now.0 - 2_000);
    for name in ["a", "c"] {
        model.live.nodes.get_mut(name).expect("a node").heard = now;
    }
    let told = answer(&model.live, now, Question::Leaders);
    assert_eq!(told.verdict, Verdict::Unknown, "{}", told.why);
    assert!(
        told.why.contains("the owner of orders does not answer: b"),
        "{}",
        told.why
    );
    assert_eq!(
        answer(&model.live, now, Question::Faults).verdict,
        Verdict::Unknown
    );
    assert_eq!(answer(&model.live, now, Question::Quorum).verdict, Verdict::Holds);
}

#[test]
fn csv_has_a_line_per_record_and_quotes_what_has_to_be() {
    use squall_observer::headless::to_csv;
    for view in Screen::ALL {
        let model = scene::model(Scene::Split, (80, 24), view);
        let csv = to_csv(&model.live, model.now, view, &Filter::default()).expect("it is written");
        let object = json(Scene::Split, view, "");
        let mut arrays = object.as_object().expect("an object").values();
        let rows = arrays.find_map(Value::as_array).expect("the view's array").len();
        assert_eq!(
            csv.matches("\r\n").count(),
            if rows == 0 { 0 } else { rows + 1 },
            "{view:?}"
        );
        let columns = csv.lines().next().map_or(0, |head| head.split(',').count());
        assert!(rows == 0 || columns > 4, "{csv}");
    }
    let model = scene::model(Scene::Split, (80, 24), Screen::Exchanges);
    let csv = to_csv(&model.live, model.now, Screen::Exchanges, &Filter::default()).expect("it is written");
    assert!(csv.contains(r#""[""b"",""c"",""a""]""#), "{csv}");
}

#[test]
fn text_has_a_line_per_record() {
    let model = scene::model(Scene::Healthy, (80, 24), Screen::Processes);
    let text = to_text(&model.live, model.now, Screen::Processes, &Filter::default());
    assert_eq!(text.lines().count(), 13, "{text}");
    assert!(text.lines().all(|l| l == l.trim_end()), "{text}");
    assert!(text.starts_with("pid"));
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_an_error_that_names_the_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let mut options = Options::new(vec![addr.clone()], Screen::Overview, Format::Json);
    options.patience = std::time::Duration::from_millis(400);
    let mut out = Vec::new();
    let result = once(&options, &mut out).await;
    assert!(matches!(result, Err(Error::Unreachable { tried }) if tried[0].0 == addr));
    assert!(out.is_empty());
}

/// C3.
#[test]
fn an_exchange_in_detail_says_as_json_and_as_text_why_its_handler() {
    let mut model = scene::model(Scene::Lost, (80, 24), Screen::Exchanges);
    detail::orders(&mut model);
    let orders = RowId::Exchange("orders".into());
    let object = detail_to_json(&model.live, model.now, &orders).expect("it is shown");
    let owner = record(&object, "details", &[("node", "c")]);
    let decision = &owner["exchange"]["decisions"][1];
    assert_eq!(decision["outcome"], "given to <a.12>");
    assert_eq!(decision["candidates"][2]["why"], "other group");
    assert_eq!(decision["key"], "␛[2Jcustomer-7", "names are cleaned");
    let other = record(&object, "details", &[("node", "a")]);
    assert_eq!(
        (&other["exchange"]["held"], &other["exchange"]["owned_here"]),
        (&3.into(), &false.into())
    );
    let text = detail_to_text(&model.live, model.now, &orders).expect("it is shown");
    assert!(text.contains("not <c.14> bound to <a.12>"), "{text}");
    assert!(!text.contains('\u{1b}'));
    let none = detail_to_json(&model.live, model.now, &RowId::Exchange("users".into()));
    assert!(matches!(none, Err(Error::NoDetail(_))), "{none:?}");
}

#[test]
fn every_field_of_details_is_documented() {
    let page = include_str!("../../docs/headless.md");
    let mut model = scene::model(Scene::Lost, (80, 24), Screen::Exchanges);
    detail::orders(&mut model);
    let orders = RowId::Exchange("orders".into());
    let exchange = detail_to_json(&model.live, model.now, &orders).expect("it is shown");
    detail::process(&mut model, "a", "<a.11>");
    let pid = RowId::Process("a".into(), "<a.11>".into());
    let process = detail_to_json(&model.live, model.now, &pid).expect("it is shown");
    let mut names = Vec::new();
    for object in [exchange, process] {
        fields_of(&object["details"], &mut names);
    }
    for name in names {
        let named = [format!("`{name}`"), format!("`{name}[]`")];
        assert!(named.iter().any(|name| page.contains(name)), "{name}");
    }
}

fn fields_of(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name.clone());
                fields_of(value, names);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| fields_of(value, names)),
        _ => {}
    }
}
