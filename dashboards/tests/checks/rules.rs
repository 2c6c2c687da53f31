//! Rules, alerts, their tests, and the documents that tell of them.

use std::collections::{BTreeMap, BTreeSet};

use saphyr::YamlOwned;
use squall_dashboards::dashboards;
use squall_dashboards::promql::{Labels, Metrics, of_any_program};

use super::{quoted, read, yaml};

const ALERTS: &str = "prometheus/rules/alerts.yml";
const RECORDING: &str = "prometheus/rules/recording.yml";

/// The rules of a file.
fn rules(path: &str) -> Vec<YamlOwned> {
    let file = yaml(path);
    let groups = file["groups"].as_vec().expect("groups");
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_vec().expect("rules"));
    rules.cloned().collect()
}

fn text<'a>(rule: &'a YamlOwned, key: &str) -> &'a str {
    let value = rule.as_mapping_get(key).and_then(YamlOwned::as_str);
    value.unwrap_or_else(|| panic!("no {key} in {rule:?}"))
}

/// The catalogue, with what the recording rules make of it.
fn metrics() -> Metrics {
    let mut metrics = Metrics::of_nodes();
    for rule in rules(RECORDING) {
        let name = text(&rule, "record");
        metrics
            .learn(name, text(&rule, "expr"))
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
    metrics
}

fn names() -> Vec<String> {
    rules(ALERTS)
        .iter()
        .map(|rule| text(rule, "alert").to_owned())
        .collect()
}

/// The labels that a template takes.
fn taken(template: &str) -> Labels {
    let after = template.split("$labels.").skip(1);
    after
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

#[test]
fn recording_rules_ask_for_what_nodes_have_and_their_names_say_what_is_left() {
    let metrics = metrics();
    for rule in rules(RECORDING) {
        let name = text(&rule, "record");
        let (level, _) = name.split_once(':').expect("level:metric:operation");
        let labels = metrics.labels(name).expect("it was learnt");
        let named: Labels = level.split('_').map(ToOwned::to_owned).collect();
        assert_eq!(labels, named, "{name}");
    }
}

#[test]
fn every_alert_asks_for_what_there_is_and_tells_where_to_look() {
    let metrics = metrics();
    let uids: BTreeSet<&str> = dashboards().iter().map(|dashboard| dashboard.uid).collect();
    for rule in rules(ALERTS) {
        let name = text(&rule, "alert");
        let labels = metrics.labels(text(&rule, "expr"));
        let labels = labels.unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(labels.contains("job"), "{name} does not say in which cluster");
        let annotations = &rule["annotations"];
        for key in ["summary", "description"] {
            let taken = taken(text(annotations, key));
            assert!(taken.is_subset(&labels), "{name}: {taken:?} of {labels:?}");
        }
        assert!(uids.contains(text(annotations, "dashboard")), "{name}");
        let section = format!("docs/alerts.md#{}", name.to_lowercase());
        assert_eq!(text(annotations, "runbook"), section);
        let severity = text(&rule["labels"], "severity");
        assert!(["critical", "warning", "info"].contains(&severity), "{name}");
    }
}

#[test]
fn no_rule_takes_what_other_programs_tell_for_what_nodes_do() {
    for rule in rules(ALERTS).iter().chain(&rules(RECORDING)) {
        let expr = text(rule, "expr");
        assert_eq!(of_any_program(expr), Ok(Vec::new()), "{expr}");
    }
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_a_moment_in_which_it_does_not() {
    let file = yaml("prometheus/rules/tests.yml");
    let mut tests = BTreeMap::new();
    for test in file["tests"].as_vec().expect("tests") {
        let fires = |moment: &YamlOwned| {
            let samples = moment["exp_samples"].as_vec().expect("samples").iter();
            let wanted = format!("alertname=\"{}\"", text(test, "name"));
            samples
                .filter(|sample| text(sample, "labels").contains(&wanted))
                .count()
        };
        let moments = test["promql_expr_test"].as_vec().expect("moments");
        let moments: Vec<usize> = moments.iter().map(fires).collect();
        assert!(
            moments.contains(&0) && moments.iter().any(|count| *count > 0),
            "{}",
            text(test, "name")
        );
        tests.insert(text(test, "name").to_owned(), moments);
    }
    assert_eq!(
        tests.into_keys().collect::<BTreeSet<_>>(),
        names().into_iter().collect()
    );
}

/// Sections of the runbook, in the order of the alerts, each with its three answers.
#[test]
fn the_runbook_has_a_section_for_each_alert() {
    let runbook = read("../docs/alerts.md");
    let mut sections = runbook.split("\n## ");
    let _preface = sections.next();
    let sections: Vec<(&str, &str)> = sections
        .map(|section| section.split_once('\n').expect("a heading"))
        .collect();
    assert_eq!(
        sections.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        names()
    );
    for (name, section) in sections {
        for answer in ["**Means**", "**Look**", "**Do**"] {
            assert!(section.contains(answer), "{name}: {answer}");
        }
    }
}

/// A panel is named in quotes, behind its dashboard in asterisks.
#[test]
fn the_runbook_names_panels_that_there_are() {
    let runbook = read("../docs/alerts.md");
    for section in runbook.split("\n## ").skip(1) {
        let plain: String = section.split('`').step_by(2).collect();
        let mut titles = BTreeSet::new();
        for dashboard in dashboards() {
            if plain
                .replace('\n', " ")
                .contains(&format!("*{}*", dashboard.title))
            {
                let panels = dashboard.rows.iter().flat_map(|row| &row.panels);
                titles.extend(panels.map(|panel| panel.title));
            }
        }
        for named in quoted(&plain, '"') {
            assert!(titles.contains(named), "{named:?} in {section}");
        }
    }
}

#[test]
fn the_documents_ask_for_what_nodes_have() {
    let metrics = metrics();
    let text = read("../docs/metrics.md");
    let (_, questions) = text.split_once("Some questions").expect("a table of questions");
    let (questions, _) = questions.split_once("\n## ").expect("its end");
    let rows = questions.lines().filter(|line| line.starts_with('|'));
    let expressions: Vec<&str> = rows.flat_map(|row| quoted(row, '`')).collect();
    assert!(expressions.len() > 8, "{expressions:?}");
    for expr in expressions {
        metrics.labels(expr).unwrap_or_else(|problem| panic!("{problem}"));
    }
    for document in ["../docs/metrics.md", "../docs/alerts.md", "../README.md"] {
        let text = read(document);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        for word in words.filter(|word| word.starts_with("squall_")) {
            assert!(metrics.has(word), "{document}: {word}");
        }
    }
}
