//! Searching traces with the filter language: fields of the list, and bare text over all names and attribute values.
//!
//! What does not live here: the language, and the columns (`prepare::traces`).

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use squall_filter::Filter;

use super::span::TraceId;
use super::store::Trace;
use crate::prepare::traces::{COLUMNS, since_ms};
use crate::units::{Moment, clock};

/// What a filter said of traces before: text is looked for once in a trace that has not changed, and in so many of them at a
/// time.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Traces that the filter has not been asked of yet.
    pub left: usize,
    filter: Filter,
    verdicts: BTreeMap<TraceId, (u64, bool)>,
}

impl Found {
    /// The traces that a filter wants, of those that it was asked of: of about `bytes` of them at a time, the others in the
    /// calls that follow.
    pub fn wanted<'a>(
        &mut self,
        filter: &Filter,
        traces: impl Iterator<Item = &'a Trace>,
        now: Moment,
        bytes: usize,
    ) -> Vec<&'a Trace> {
        self.left = 0;
        if filter.is_all() {
            return traces.collect();
        }
        let old = std::mem::take(&mut self.verdicts);
        let known = self.filter == *filter;
        if !known {
            self.filter = filter.clone();
        }
        let mut wanted = Vec::new();
        let mut asked = 0;
        for trace in traces {
            let before = old
                .get(&trace.id)
                .filter(|(version, _)| known && *version == trace.version);
            let verdict = match before {
                Some((_, verdict)) => {
                    self.verdicts.insert(trace.id, (trace.version, *verdict));
                    *verdict
                }
                None if asked >= bytes => {
                    self.left += 1;
                    continue;
                }
                None => {
                    asked += trace.bytes();
                    self.ask(filter, trace, now)
                }
            };
            if verdict {
                wanted.push(trace);
            }
        }
        wanted
    }

    fn ask(&mut self, filter: &Filter, trace: &Trace, now: Moment) -> bool {
        let seen = Seen {
            trace,
            now,
            ages: Cell::new(false),
        };
        let verdict = filter.matches(&seen);
        if !seen.ages.get() {
            self.verdicts.insert(trace.id, (trace.version, verdict));
        }
        verdict
    }
}

/// A trace as a filter sees it.
struct Seen<'a> {
    trace: &'a Trace,
    now: Moment,
    /// Its age was asked for, which is another one later.
    ages: Cell<bool>,
}

impl squall_filter::Row for Seen<'_> {
    fn any_text(&self, look: &mut dyn FnMut(&str) -> bool) -> bool {
        let attributes = |all: &[(String, String)], look: &mut dyn FnMut(&str) -> bool| {
            all.iter().any(|(_, value)| look(value))
        };
        look(&self.trace.id.to_string())
            || self.trace.spans.values().any(|span| {
                look(&span.name)
                    || look(&span.message)
                    || look(&span.origin.service)
                    || look(&span.origin.node)
                    || attributes(&span.attributes, look)
                    || attributes(&span.origin.attributes, look)
                    || span
                        .events
                        .iter()
                        .any(|event| look(&event.name) || attributes(&event.attributes, look))
            })
    }

    fn text(&self, field: usize) -> Option<Cow<'_, str>> {
        let of = &self.trace.summary;
        match COLUMNS.get(field)?.title {
            "started" => Some(clock(of.start_ns / 1_000_000).into()),
            "name" => Some(of.name.as_str().into()),
            _ => None,
        }
    }

    fn texts(&self, field: usize, look: &mut dyn FnMut(&str) -> bool) -> bool {
        let of = &self.trace.summary;
        let all = match COLUMNS.get(field).map(|c| c.title) {
            Some("service") => &of.services,
            Some("node") => &of.nodes,
            Some("exchange") => &of.exchanges,
            _ => return self.text(field).is_some_and(|text| look(&text)),
        };
        all.iter().any(|text| look(text))
    }

    fn number(&self, field: usize) -> Option<f64> {
        let of = &self.trace.summary;
        Some(match COLUMNS.get(field)?.title {
            "duration" => of.duration_ns() as f64 / 1000.0,
            "spans" => self.trace.spans.len() as f64,
            "errors" => of.errors as f64,
            "ago" => {
                self.ages.set(true);
                since_ms(of.start_ns, self.now) as f64 * 1000.0
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
#[path = "search_test.rs"]
mod tests;
