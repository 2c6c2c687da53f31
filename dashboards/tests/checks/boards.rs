//! The files for Grafana, and what their panels ask.
//! `SQUALL_REGENERATE=1 cargo test -p squall-dashboards` writes them anew.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use squall_dashboards::promql::{Metrics, of_any_program};
use squall_dashboards::{Asked, dashboards, plain};

use super::{here, read};

fn asked() -> Vec<Asked> {
    dashboards()
        .iter()
        .flat_map(|dashboard| dashboard.asked())
        .collect()
}

#[test]
fn the_committed_dashboards_are_what_the_definition_gives() {
    let rewrite = std::env::var_os("SQUALL_REGENERATE").is_some();
    let mut names = BTreeSet::new();
    for dashboard in dashboards() {
        let path = here().join("grafana").join(dashboard.file());
        if rewrite {
            fs::write(&path, dashboard.json()).expect("write a dashboard");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == dashboard.json(),
            "{} differs from its definition: run SQUALL_REGENERATE=1 cargo test -p squall-dashboards",
            path.display()
        );
        names.insert(dashboard.file());
    }
    let there: BTreeSet<String> = fs::read_dir(here().join("grafana"))
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(there, names, "a dashboard that nothing defines");
}

#[test]
fn every_panel_asks_for_what_nodes_have_and_calls_it_by_labels_that_are_there() {
    let metrics = Metrics::of_nodes();
    for Asked { place, expr, legend } in asked() {
        let labels = metrics.labels(&plain(&expr, "squall"));
        let labels = labels.unwrap_or_else(|problem| panic!("{place}: {problem}"));
        for label in legend.split("{{").skip(1) {
            let (label, _) = label.split_once("}}").expect("closed braces");
            assert!(labels.contains(label), "{place}: {legend}: there are {labels:?}");
        }
    }
}

#[test]
fn no_panel_takes_what_other_programs_tell_for_what_nodes_do() {
    for Asked { place, expr, .. } in asked() {
        assert_eq!(of_any_program(&plain(&expr, "squall")), Ok(Vec::new()), "{place}");
    }
}

#[test]
fn every_metric_of_the_catalogue_has_a_panel() {
    let all: String = asked().into_iter().map(|asked| asked.expr + "\n").collect();
    for metric in squall_node::metrics::CATALOGUE {
        let name = metric.prometheus_name();
        assert!(all.contains(&name), "{name}");
    }
}

#[test]
fn panels_fill_their_rows_and_each_says_what_to_look_for() {
    for dashboard in dashboards() {
        let mut titles = BTreeSet::new();
        for row in &dashboard.rows {
            let widths: Vec<u32> = row.panels.iter().map(|panel| panel.width).collect();
            let mut line = 0;
            for width in &widths {
                line += width;
                assert!(line <= 24, "{} / {}: {widths:?}", dashboard.title, row.title);
                line %= 24;
            }
            assert_eq!(line, 0, "{} / {}: {widths:?}", dashboard.title, row.title);
            for panel in &row.panels {
                let place = format!("{} / {}", dashboard.title, panel.title);
                assert!(titles.insert(panel.title), "{place} twice");
                assert!(panel.about.ends_with('.') && panel.about.len() > 60, "{place}");
                assert!(!panel.queries.is_empty(), "{place}");
            }
        }
    }
}

/// What Grafana would stumble over: ids that are there twice, panels upon each other, sources or variables that are not defined,
/// links to pages that do not exist.
#[test]
fn the_files_are_sound_in_themselves() {
    let uids: BTreeSet<&str> = dashboards().iter().map(|dashboard| dashboard.uid).collect();
    for dashboard in dashboards() {
        let text = read(format!("grafana/{}", dashboard.file()));
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let variables = json["templating"]["list"].as_array().expect("variables");
        let variables: BTreeSet<&str> = variables.iter().filter_map(|it| it["name"].as_str()).collect();
        for used in text.split('$').skip(1) {
            let name: String = used
                .trim_start_matches('{')
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            assert!(
                name.starts_with("__") || variables.contains(name.as_str()),
                "{name}"
            );
        }
        for link in text.split("\"/d/").skip(1) {
            let (uid, _) = link.split_once('?').expect("a query");
            assert!(uids.contains(uid), "{uid}");
        }
        let panels = json["panels"].as_array().expect("panels");
        let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len());
        let mut taken = BTreeSet::new();
        for panel in panels {
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
            for (x, y) in (0..at("w")).flat_map(|x| (0..at("h")).map(move |y| (x, y))) {
                let free = taken.insert((at("x") + x, at("y") + y));
                assert!(free && at("x") + x < 24, "{}", panel["title"]);
            }
            for target in panel["targets"].as_array().into_iter().flatten() {
                assert_eq!(target["datasource"]["uid"], "${datasource}");
                assert!(!target["expr"].as_str().expect("an expression").contains('@'));
            }
        }
    }
}
