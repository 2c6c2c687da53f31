//! Makes updates out of the frames of one Watch stream: collects the parts of a snapshot, watches the
//! sequence numbers, and says when to ask again. Pure. What does not live here: the connection.

use squall_proto::v1;
use squall_proto::v1::frame::Body;

use super::RowsUpdate;
use crate::limits::ROWS_PER_NODE_MAX;

/// What a frame led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing to show yet.
    Nothing,
    /// Rows to show.
    Rows(RowsUpdate),
    /// A frame is missing: send a new interest, with this id.
    AskAgain(u32),
    /// The node refused the interest.
    Refused(String),
    /// The stream makes no sense any more: close it.
    Broken(String),
}

/// State of one stream.
#[derive(Debug, Clone)]
pub struct Assembler {
    node: String,
    interest: u32,
    seq: u64,
    parts: Option<Parts>,
    complete: bool,
    gaps: u64,
}

#[derive(Debug, Clone, Default)]
struct Parts {
    id: u64,
    next: u32,
    rows: Vec<v1::Row>,
    removed: Vec<v1::RowKey>,
}

impl Assembler {
    /// A stream of `node` that was opened with the interest `interest`; `gaps` were healed before.
    #[must_use]
    pub fn new(node: String, interest: u32, gaps: u64) -> Self {
        Self {
            node,
            interest,
            seq: 0,
            parts: None,
            complete: false,
            gaps,
        }
    }

    /// Id for the next interest, when the watcher wants something else.
    pub fn ask(&mut self) -> u32 {
        self.interest = self.interest.wrapping_add(1).max(1);
        self.parts = None;
        self.complete = false;
        self.interest
    }

    /// Gaps seen so far.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Takes one frame.
    pub fn take(&mut self, frame: v1::Frame) -> Step {
        let expected = self.seq.wrapping_add(1);
        let gap = frame.seq != expected;
        self.seq = frame.seq;
        if gap {
            self.gaps += 1;
            return Step::AskAgain(self.ask());
        }
        if let Some(Body::Refused(refused)) = frame.body {
            return Step::Refused(refused.reason);
        }
        if frame.interest != self.interest {
            return Step::Nothing;
        }
        let cost = frame.cost.unwrap_or_default();
        let update = RowsUpdate {
            node: self.node.clone(),
            taken_unix_ms: frame.taken_unix_ms,
            coalesced: cost.coalesced,
            rows_omitted: cost.rows_omitted,
            gaps: self.gaps,
            ..Default::default()
        };
        match frame.body {
            Some(Body::Snapshot(part)) => self.part(part, update),
            Some(Body::Delta(delta)) => self.delta(delta, update),
            Some(Body::Refused(_)) | None => Step::Nothing,
        }
    }

    fn part(&mut self, part: v1::SnapshotPart, update: RowsUpdate) -> Step {
        if part.part == 0 {
            self.parts = Some(Parts {
                id: part.id,
                ..Default::default()
            });
        }
        let Some(parts) = self
            .parts
            .as_mut()
            .filter(|p| p.id == part.id && p.next == part.part)
        else {
            self.gaps += 1;
            return Step::AskAgain(self.ask());
        };
        parts.next = parts.next.saturating_add(1);
        parts.rows.extend(part.rows);
        if parts.rows.len() > ROWS_PER_NODE_MAX {
            return Step::Broken(format!("sends more than {ROWS_PER_NODE_MAX} rows"));
        }
        if !part.last {
            return Step::Nothing;
        }
        let Parts { rows, removed, .. } = self.parts.take().unwrap_or_default();
        self.complete = true;
        Step::Rows(RowsUpdate {
            whole: true,
            rows,
            removed,
            ..update
        })
    }

    fn delta(&mut self, delta: v1::Delta, update: RowsUpdate) -> Step {
        if let Some(parts) = &mut self.parts {
            // Newer than the parts already here, older than none: it belongs to the picture.
            parts.rows.extend(delta.rows);
            parts.removed.extend(delta.removed);
            return Step::Nothing;
        }
        if !self.complete {
            return Step::Nothing;
        }
        Step::Rows(RowsUpdate {
            rows: delta.rows,
            removed: delta.removed,
            ..update
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(interest: u32, seq: u64, part: u32, last: bool) -> v1::Frame {
        let rows = vec![v1::Row::default()];
        let body = Some(Body::Snapshot(v1::SnapshotPart {
            id: 7,
            part,
            last,
            rows,
        }));
        v1::Frame {
            interest,
            seq,
            body,
            ..Default::default()
        }
    }

    fn delta(interest: u32, seq: u64) -> v1::Frame {
        v1::Frame {
            interest,
            seq,
            body: Some(Body::Delta(v1::Delta::default())),
            ..Default::default()
        }
    }

    #[test]
    fn a_snapshot_shows_when_its_last_part_is_there() {
        let mut a = Assembler::new("a".to_owned(), 1, 0);
        assert_eq!(a.take(snapshot(1, 1, 0, false)), Step::Nothing);
        let Step::Rows(whole) = a.take(snapshot(1, 2, 1, true)) else {
            panic!("rows expected")
        };
        assert!(whole.whole && whole.rows.len() == 2);
        assert!(matches!(a.take(delta(1, 3)), Step::Rows(r) if !r.whole));
    }

    #[test]
    fn a_gap_asks_again_and_old_frames_do_not_count() {
        let mut a = Assembler::new("a".to_owned(), 1, 0);
        a.take(snapshot(1, 1, 0, true));
        assert_eq!(a.take(delta(1, 3)), Step::AskAgain(2));
        assert_eq!(a.take(delta(1, 4)), Step::Nothing);
        assert!(matches!(a.take(snapshot(2, 5, 0, true)), Step::Rows(r) if r.whole && r.gaps == 1));
    }

    #[test]
    fn a_missing_part_asks_again() {
        let mut a = Assembler::new("a".to_owned(), 1, 0);
        assert_eq!(a.take(snapshot(1, 1, 1, true)), Step::AskAgain(2));
    }

    #[test]
    fn a_delta_before_the_picture_is_left_out() {
        let mut a = Assembler::new("a".to_owned(), 1, 0);
        assert_eq!(a.take(delta(1, 1)), Step::Nothing);
    }

    #[test]
    fn a_refusal_keeps_the_stream() {
        let mut a = Assembler::new("a".to_owned(), 1, 0);
        a.take(snapshot(1, 1, 0, true));
        let body = Some(Body::Refused(v1::InterestRefused {
            reason: "no such column".to_owned(),
        }));
        assert_eq!(
            a.take(v1::Frame {
                interest: 1,
                seq: 2,
                body,
                ..Default::default()
            }),
            Step::Refused("no such column".to_owned())
        );
        assert!(matches!(a.take(delta(1, 3)), Step::Rows(_)));
    }
}
