//! The report as one page that needs nothing else: what was to be learned, the verdict, the faults over rates and latencies, what
//! failovers were made of, what was found. What does not live here: drawing (`plot`), and any figure.

use std::fmt::Write as _;

use super::report::{Deed, Failover, Report};
use super::{Ended, Ruling, upkeep};

mod plot;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2733;--dim:#66717d;--paper:#fbfbf9;--line:#d9dde0;--good:#1d7f4e;--bad:#b3261e;\
--odd:#9a6b00;--band:#e8590c;--rate:#1864ab;--tail:#862e9c}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--dim:#98a3ae;--paper:#15191e;--line:#333b44;--good:#51cf92;--bad:#ff7b72;\
--odd:#e3b341;--band:#ff922b;--rate:#74b4f5;--tail:#d0a2f7}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .4rem}p{max-width:50rem}.dim{color:var(--dim)}\
.passed,.ok{color:var(--good)}.failed{color:var(--bad)}.unknown,.halted{color:var(--odd)}\
.verdict{font-size:1.2rem;font-weight:600}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;\
padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--line)}th{color:var(--dim);font-weight:500}\
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}svg{width:100%;height:auto;display:block}\
svg text{fill:var(--dim);font:11px system-ui,sans-serif}pre{white-space:pre-wrap;border:1px solid var(--line);padding:.6rem;\
border-radius:4px;font-size:13px}details{margin:.5rem 0}";

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{name}: {ended}</title><style>{STYLE}</style><h1>{name}</h1>{teaches}",
        name = text(&report.scenario),
        ended = report.ended.as_str(),
        teaches = paragraph(&report.teaches),
    );
    verdict(&mut page, report);
    for series in &report.series {
        let _ = write!(page, "<h2>{}</h2>", text(&series.exchange));
        page += &plot::rates(report, series);
        page += &plot::latencies(report, series);
        let _ = write!(page, "<p>{}</p>", fared(series));
    }
    deeds(&mut page, &report.deeds);
    findings(&mut page, report);
    breaches(&mut page, report);
    moments(&mut page, report);
    seen(&mut page, report);
    held(&mut page, report);
    let _ = write!(
        page,
        "<details><summary>The scenario</summary><pre>{}</pre></details><p class=dim>{} nodes, times \
         <em>{}</em>. {}</p></html>",
        text(&report.text),
        report.nodes,
        report.profile,
        text(&report.machine.line())
    );
    page
}

fn verdict(page: &mut String, report: &Report) {
    let ended = report.ended;
    let words = match ended {
        Ended::Passed => "all that was expected came about, and nothing that must hold was broken",
        Ended::Failed => "something that must hold did not",
        Ended::Halted => "it was ended before its time",
        Ended::Unknown => "nobody can say",
    };
    let word = ended.as_str();
    let _ = write!(page, "<p class=\"verdict {word}\">{word}: {words}</p>");
    let complaints = report.complaints();
    if !complaints.is_empty() {
        *page += "<ul>";
        for complaint in complaints {
            let _ = write!(page, "<li>{}</li>", text(&complaint));
        }
        *page += "</ul>";
    }
}

fn fared(series: &super::Series) -> String {
    let outcomes = &series.outcomes;
    let mut line = format!("{} requests: {} answered", outcomes.sent, outcomes.replied);
    let named = [
        ("interrupted (delivered, fate unknown)", outcomes.interrupted),
        ("timed out", outcomes.timeout),
        ("unavailable (certainly not delivered)", outcomes.unavailable),
        ("without responders", outcomes.no_responders),
        ("rejected", outcomes.rejected),
        ("declined", outcomes.declined),
        ("not sent, because too many were open", outcomes.held_back),
        ("without an end", series.lost),
        ("handled twice", series.doubled),
        ("stale or changed", series.wrong),
    ];
    for (name, count) in named.into_iter().filter(|(_, count)| *count > 0) {
        let _ = write!(line, ", {count} {name}");
    }
    let _ = write!(
        line,
        ". The longest silence lasted {} ms and began {:.1} s after the beginning.",
        series.gap_ms,
        series.gap_at_ms as f64 / 1000.0
    );
    line
}

fn deeds(page: &mut String, deeds: &[Deed]) {
    *page += "<h2>What was done</h2><table><tr><th>when<th>what<th>what it came to<th>failover";
    for deed in deeds {
        let came: Vec<String> = deed.came.iter().map(|came| text(came)).collect();
        let class = if deed.undone { " class=failed" } else { "" };
        let _ = write!(
            page,
            "<tr><td class=n>{:.1} s<td>{}<td{class}>{}<td>",
            deed.at_ms as f64 / 1000.0,
            text(&deed.text),
            came.join("<br>")
        );
        for failover in &deed.failovers {
            let Failover { exchange, phases, .. } = failover;
            let _ = write!(page, "{}: {phases}", text(exchange));
            if let Some(trace) = &failover.trace_id {
                let _ = write!(page, "<br>trace <code>{trace}</code>");
            }
            *page += "<br>";
        }
    }
    *page += "</table>";
}

fn findings(page: &mut String, report: &Report) {
    *page += "<h2>What was looked at</h2><table><tr><th>what was to be<th>what was<th>";
    for finding in &report.findings {
        let (class, word) = match finding.ruling {
            Ruling::Ok => ("ok", "ok"),
            Ruling::Failed => ("failed", "failed"),
            Ruling::Unknown => ("unknown", "unknown"),
            Ruling::Halted => ("halted", "halted"),
        };
        let was = finding.was.lines().next().unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td class={class}>{word}",
            text(&named(&finding.what)),
            text(was)
        );
    }
    *page += "</table>";
}

/// An invariant with its claim.
fn named(what: &str) -> String {
    let all = crate::invariant::all();
    let claim = all.iter().find(|check| check.id().to_string() == what);
    claim.map_or_else(|| what.to_owned(), |check| format!("{what}: {}", check.claim()))
}

fn breaches(page: &mut String, report: &Report) {
    for breach in &report.judged.breaches {
        let _ = write!(
            page,
            "<h2 class=failed>Two events that cannot both be</h2><pre>{}</pre>",
            text(breach)
        );
    }
}

fn moments(page: &mut String, report: &Report) {
    let _ = write!(
        page,
        "<details><summary>What the nodes told ({})</summary><table><tr><th>when<th>node<th>what<th>",
        report.moments.len()
    );
    for moment in &report.moments {
        let _ = write!(
            page,
            "<tr><td class=n>{:.3} s<td>{}<td>{}<td>{}",
            moment.at_ms as f64 / 1000.0,
            text(&moment.node),
            text(&moment.kind),
            text(&moment.text)
        );
    }
    *page += "</table></details>";
}

fn seen(page: &mut String, report: &Report) {
    let _ = write!(
        page,
        "<details><summary>What happened at all: what never happened was not tested ({} events judged)</summary>\
         <table><tr><th>times<th>what",
        report.judged.events
    );
    for (sight, count) in &report.judged.seen {
        let _ = write!(page, "<tr><td class=n>{count}<td>{}", text(sight));
    }
    *page += "</table></details>";
}

fn held(page: &mut String, report: &Report) {
    *page += "<details><summary>What the processes held</summary><ul>";
    for (name, held) in &report.held {
        let _ = write!(page, "<li>{}", text(&upkeep::in_words(name, held)));
    }
    *page += "</ul></details>";
}

fn paragraph(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!("<p>{}</p>", text(words))
    }
}

/// Text as HTML shows it.
fn text(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c if c.is_control() && c != '\n' => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
#[path = "html_test.rs"]
mod tests;
