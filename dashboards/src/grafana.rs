//! A dashboard as Grafana reads it (schema 41, of Grafana 12; 11 reads it, too). What does not live here: what is in it.

use serde_json::{Value, json};

use crate::model::{Dashboard, Limit, MARKS, Mark, Panel, Query, Show, Unit};

/// The schema that Grafana 12 writes; versions before and after bring it to their own.
const SCHEMA: u32 = 41;
/// Columns of the grid.
const COLUMNS: u32 = 24;
/// Its lines that a panel with one value takes.
const LOW: u32 = 4;
/// Its lines that a panel with curves takes.
const HIGH: u32 = 8;
/// What all of them are found by.
const TAG: &str = "squall";

impl Dashboard {
    /// Name of its file in `grafana/`.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.json", self.uid)
    }

    /// What is in that file.
    #[must_use]
    pub fn json(&self) -> String {
        let value = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "refresh": "10s",
            "time": { "from": "now-30m", "to": "now" },
            "timepicker": {},
            "timezone": "",
            "links": [{
                "type": "dashboards",
                "title": "Squall",
                "tags": [TAG],
                "asDropdown": false,
                "keepTime": true,
                "includeVars": true,
                "targetBlank": false,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }],
            "annotations": { "list": marks() },
            "templating": { "list": self.variables() },
            "panels": self.panels(),
        });
        format!("{value:#}\n")
    }

    /// The choices at its top.
    fn variables(&self) -> Vec<Value> {
        let source = json!({
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "includeAll": false,
            "multi": false,
        });
        let mut all = vec![
            source,
            chosen("cluster", "Cluster", "label_values(squall_node_info, job)", false),
        ];
        if self.scope.contains("$exchange") {
            let query = "label_values(squall_exchange_epoch{job=\"$cluster\"}, exchange)";
            all.push(chosen("exchange", "Exchange", query, true));
        }
        if self.scope.contains("$node") {
            let query = "label_values(squall_node_info{job=\"$cluster\"}, instance)";
            all.push(chosen("node", "Node", query, true));
        }
        all
    }

    fn panels(&self) -> Vec<Value> {
        let mut panels = Vec::new();
        let mut y = 0;
        for row in &self.rows {
            let id = panels.len() + 1;
            panels.push(json!({
                "id": id,
                "type": "row",
                "title": row.title,
                "collapsed": false,
                "panels": [],
                "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
            }));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                if x + panel.width > COLUMNS {
                    (x, y) = (0, y + tallest);
                }
                let high = panel.height();
                let mut drawn = self.panel(panel);
                drawn["id"] = json!(panels.len() + 1);
                drawn["gridPos"] = json!({ "x": x, "y": y, "w": panel.width, "h": high });
                panels.push(drawn);
                (x, tallest) = (x + panel.width, high);
            }
            y += tallest;
        }
        panels
    }

    fn panel(&self, panel: &Panel) -> Value {
        let targets = panel.queries.iter().zip('A'..='Z');
        let targets: Vec<Value> = targets
            .map(|(query, id)| self.target(panel.show, query, id))
            .collect();
        let mut value = json!({
            "type": panel.show.plugin(),
            "title": panel.title,
            "description": panel.about,
            "datasource": source(),
            "targets": targets,
            "fieldConfig": { "defaults": panel.fields(self), "overrides": [] },
            "options": panel.show.options(),
        });
        if panel.show == Show::Table {
            value["transformations"] = json!([{
                "id": "organize",
                "options": { "excludeByName": { "Time": true, "job": true, "__name__": true } },
            }]);
        }
        value
    }

    fn target(&self, show: Show, query: &Query, id: char) -> Value {
        let format = match show {
            Show::Heat => "heatmap",
            Show::Table => "table",
            _ => "time_series",
        };
        let newest = matches!(show, Show::Number | Show::Name | Show::Table);
        json!({
            "refId": id,
            "datasource": source(),
            "editorMode": "code",
            "expr": self.scoped(query.expr),
            "legendFormat": query.legend,
            "format": format,
            "instant": newest,
            "range": !newest,
        })
    }

    /// Where a click on a series leads.
    fn leads_to(&self, queries: &[Query]) -> Vec<Value> {
        let named = |label: &str| queries.iter().all(|query| query.legend.contains(label));
        let pages = [
            ("{{exchange}}", "squall-exchange", "exchange"),
            ("{{instance}}", "squall-node", "node"),
        ];
        let pages = pages
            .into_iter()
            .filter(|(label, uid, _)| named(label) && self.uid != *uid);
        pages
            .map(|(label, uid, variable)| {
                let label = label.trim_matches(['{', '}']);
                json!({
                    "title": format!("This {variable}"),
                    "url": format!(
                        "/d/{uid}?var-datasource=${{datasource}}&var-cluster=${{cluster}}&\
                         var-{variable}=${{__field.labels.{label}}}&${{__url_time_range}}"
                    ),
                })
            })
            .collect()
    }
}

impl Panel {
    fn height(&self) -> u32 {
        match self.show {
            Show::Number | Show::Name => LOW,
            _ => HIGH,
        }
    }

    fn fields(&self, of: &Dashboard) -> Value {
        let mut fields = json!({
            "unit": self.unit.name(),
            "thresholds": self.limit.steps(),
            "links": of.leads_to(&self.queries),
            "custom": self.show.drawn(self.limit),
        });
        if let Some([no, yes]) = self.words {
            fields["mappings"] = json!([{
                "type": "value",
                "options": { "0": { "text": no, "index": 0 }, "1": { "text": yes, "index": 1 } },
            }]);
        }
        // Curves have colours of their own; what is good or bad colours the rest.
        let by = match self.show {
            Show::Lines | Show::Stacked => "palette-classic",
            _ => "thresholds",
        };
        fields["color"] = json!({ "mode": by });
        if matches!(self.show, Show::Lines | Show::Stacked) {
            fields["min"] = json!(0);
        }
        fields
    }
}

impl Show {
    const fn plugin(self) -> &'static str {
        match self {
            Self::Number | Self::Name => "stat",
            Self::Lines | Self::Stacked => "timeseries",
            Self::States => "state-timeline",
            Self::Heat => "heatmap",
            Self::Table => "table",
        }
    }

    fn options(self) -> Value {
        let newest = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self {
            Self::Number | Self::Name => json!({
                "reduceOptions": newest,
                "textMode": if self == Self::Name { "name" } else { "value_and_name" },
                "colorMode": "value",
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
            }),
            Self::Lines | Self::Stacked => json!({
                "legend": { "showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": [] },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Self::States => json!({
                "legend": { "showLegend": false, "displayMode": "list", "placement": "bottom" },
                "mergeValues": true,
                "showValue": "never",
                "rowHeight": 0.8,
                "alignValue": "left",
                "tooltip": { "mode": "single", "sort": "none" },
            }),
            Self::Heat => json!({
                "calculate": false,
                "cellGap": 1,
                "color": { "mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange" },
                "yAxis": { "axisPlacement": "left", "unit": "s" },
                "tooltip": { "mode": "single", "yHistogram": false },
                "legend": { "show": true },
            }),
            Self::Table => json!({ "showHeader": true, "cellHeight": "sm" }),
        }
    }

    fn drawn(self, limit: Limit) -> Value {
        match self {
            Self::Lines | Self::Stacked => json!({
                "drawStyle": "line",
                "lineInterpolation": "linear",
                "lineWidth": 1,
                "fillOpacity": if self == Self::Stacked { 25 } else { 5 },
                "showPoints": "never",
                "spanNulls": false,
                "stacking": { "group": "A", "mode": if self == Self::Stacked { "normal" } else { "none" } },
                "thresholdsStyle": { "mode": if limit == Limit::None { "off" } else { "dashed" } },
            }),
            Self::States => json!({ "fillOpacity": 70, "lineWidth": 0 }),
            _ => json!({}),
        }
    }
}

impl Unit {
    /// As Grafana calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Count => "short",
            Self::PerSecond => "cps",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "Bps",
            Self::Share => "percentunit",
        }
    }
}

impl Limit {
    fn steps(self) -> Value {
        let (below, from) = match self {
            Self::None => return json!({ "mode": "absolute", "steps": [{ "color": "blue", "value": null }] }),
            Self::BadFrom(value) => ("green", ("red", value)),
            Self::BadBelow(value) => ("red", ("green", value)),
        };
        json!({
            "mode": "absolute",
            "steps": [{ "color": below, "value": null }, { "color": from.0, "value": from.1 }],
        })
    }
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn chosen(name: &str, label: &str, query: &str, several: bool) -> Value {
    let mut value = json!({
        "name": name,
        "label": label,
        "type": "query",
        "datasource": source(),
        "definition": query,
        "query": { "qryType": 1, "query": query, "refId": name },
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
    });
    if several {
        value["allValue"] = json!(".+");
        value["current"] = json!({ "text": ["All"], "value": ["$__all"] });
    }
    value
}

/// Grafana's own notes, and ours.
fn marks() -> Vec<Value> {
    let own = json!({
        "builtIn": 1,
        "datasource": { "type": "grafana", "uid": "-- Grafana --" },
        "enable": true,
        "hide": true,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    });
    std::iter::once(own).chain(MARKS.iter().map(mark)).collect()
}

fn mark(mark: &Mark) -> Value {
    json!({
        "name": mark.name,
        "datasource": source(),
        "enable": true,
        "iconColor": mark.colour,
        "expr": mark.expr,
        "titleFormat": mark.text,
        "step": "5s",
        "useValueForTime": false,
    })
}
