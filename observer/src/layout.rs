//! Where everything stands, as pure arithmetic. Preparing a table needs its height before anything is
//! drawn, so both sides ask here.

pub mod chaos;
pub mod grid;
mod tabs;

use ratatui::layout::Rect;

pub use tabs::{Tab, tabs};

/// The parts every view has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shell {
    /// Who and how.
    pub header: Rect,
    /// Tabs.
    pub tabs: Rect,
    /// Lines that must be seen.
    pub banners: Rect,
    /// The view.
    pub body: Rect,
    /// The caller's own line.
    pub status: Rect,
    /// Keys.
    pub footer: Rect,
}

/// Cuts the screen up.
#[must_use]
pub fn shell(area: Rect, banners: u16, status: bool) -> Shell {
    let mut rest = area;
    let header = top(&mut rest, 1);
    let tabs = top(&mut rest, 1);
    let banners = top(&mut rest, banners);
    let footer = bottom(&mut rest, 1);
    let status = bottom(&mut rest, u16::from(status));
    Shell {
        header,
        tabs,
        banners,
        body: rest,
        status,
        footer,
    }
}

/// Where what lies over the view may stand: not on the lines above it, which must be seen, nor on the keys.
#[must_use]
pub fn under(area: Rect, body: Rect) -> Rect {
    Rect {
        y: body.y,
        height: area.height.saturating_sub(body.y - area.y + 1),
        ..area
    }
}

/// Takes `height` rows off the top.
pub fn top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let taken = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    taken
}

/// Takes `height` rows off the bottom.
pub fn bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect {
        y: rest.y + rest.height,
        height,
        ..*rest
    }
}

/// Takes `width` columns off the right.
pub fn right(rest: &mut Rect, width: u16) -> Rect {
    let width = width.min(rest.width);
    rest.width -= width;
    Rect {
        x: rest.x + rest.width,
        width,
        ..*rest
    }
}

/// Parts of the Overview; a part without height is not drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverviewParts {
    /// Table of nodes.
    pub nodes: Rect,
    /// Charts.
    pub load: Rect,
    /// What is wrong, and what holds.
    pub health: Rect,
    /// The newest events.
    pub latest: Rect,
}

/// Rows of a box that are not its content: two borders.
pub const BORDERS: u16 = 2;
/// Rows the newest events are worth a box from.
const LATEST_MIN: u16 = 5;
/// Rows of a table in a box that are not lines: borders and headings.
pub const TABLE_EXTRA: u16 = 3;

/// Cuts the Overview's body up for so many nodes, so many findings, and so many lines on health in all.
#[must_use]
pub fn overview(body: Rect, nodes: u16, findings: u16, said: u16) -> OverviewParts {
    let mut rest = body;
    let chart = nodes.max(1) + 2 + BORDERS;
    let wide = body.width >= 100;
    // One more line for the totals.
    let wanted = nodes.max(1) + 1 + TABLE_EXTRA;
    let health_least = findings.clamp(1, 6) + BORDERS;
    let health_whole = said.max(1) + BORDERS;
    let most = body.height.saturating_sub(health_least.min(4)).max(5);
    let nodes = top(&mut rest, wanted.min(most));
    if wide && rest.height >= chart {
        let mut side = right(&mut rest, body.width * 2 / 5);
        let latest = if side.height >= health_whole + LATEST_MIN {
            let height = side.height - health_whole;
            bottom(&mut side, height)
        } else {
            Rect::default()
        };
        return OverviewParts {
            nodes,
            load: rest,
            health: side,
            latest,
        };
    }
    let mut parts = OverviewParts {
        nodes,
        load: Rect::default(),
        health: rest,
        latest: Rect::default(),
    };
    if rest.height >= health_least + chart {
        let height = health_whole.min(rest.height - chart);
        parts.health = bottom(&mut rest, height);
        parts.load = rest;
    }
    parts
}

/// Columns right of a chart: its scale.
const SCALE: u16 = 7;

/// The inside of the charts' box, and what of it they are drawn in, beside names of that width.
#[must_use]
pub fn chart(area: Rect, names: u16) -> (Rect, Rect) {
    let inside = inside(area);
    let side = names.clamp(7, 12) + 1;
    let plot = Rect {
        x: inside.x + 1 + side,
        width: inside.width.saturating_sub(side + 2 + SCALE),
        ..inside
    };
    (inside, plot)
}

/// Parts of the Mesh view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeshParts {
    /// The matrix.
    pub matrix: Rect,
    /// The ring; without width when there is no room.
    pub ring: Rect,
    /// The selected link.
    pub detail: Rect,
}

/// Width from which the matrix and the graph stand side by side.
const BOTH_FROM: u16 = 110;

/// Cuts the Mesh view's body up: the matrix, with the graph beside it where there is room; or the graph alone.
#[must_use]
pub fn mesh(body: Rect, graph: bool) -> MeshParts {
    let mut rest = body;
    let detail = bottom(&mut rest, if body.height >= 14 { 6 } else { 4 });
    if graph {
        return MeshParts {
            matrix: Rect::default(),
            ring: rest,
            detail,
        };
    }
    let ring = if body.width >= BOTH_FROM && rest.height >= 14 {
        right(&mut rest, body.width * 2 / 5)
    } else {
        Rect::default()
    };
    MeshParts {
        matrix: rest,
        ring,
        detail,
    }
}

/// What is inside of a box.
#[must_use]
pub fn inside(area: Rect) -> Rect {
    Rect {
        x: area.x + 1.min(area.width),
        y: area.y + 1.min(area.height),
        width: area.width.saturating_sub(BORDERS),
        height: area.height.saturating_sub(BORDERS),
    }
}

/// Parts of a table with details of the selected row below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListParts {
    /// The table.
    pub table: Rect,
    /// The selected row; without height when there is no room.
    pub detail: Rect,
}

/// Cuts a list up; the details need `detail` rows with their borders.
#[must_use]
pub fn list(body: Rect, detail: u16) -> ListParts {
    let mut rest = body;
    let height = if body.height >= detail + 10 { detail } else { 0 };
    let detail = bottom(&mut rest, height);
    ListParts { table: rest, detail }
}

/// Parts of the Timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineParts {
    /// The events.
    pub table: Rect,
    /// The selected one; without height when there is no room.
    pub detail: Rect,
    /// The failover's stopwatch; without height when there is none, or no room.
    pub stopwatch: Rect,
}

/// Cuts the Timeline's body up: events above, the selected one and the stopwatch below, beside each other where it is wide.
#[must_use]
pub fn timeline(body: Rect, detail: u16, stopwatch: u16, failed_over: bool) -> TimelineParts {
    let list = list(body, detail);
    let none = Rect::default();
    if !failed_over || body.height < stopwatch + 8 {
        return TimelineParts {
            table: list.table,
            detail: list.detail,
            stopwatch: none,
        };
    }
    let mut rest = body;
    let mut below = bottom(&mut rest, stopwatch);
    if body.width >= 110 {
        let stopwatch = right(&mut below, body.width / 2);
        return TimelineParts {
            table: rest,
            detail: below,
            stopwatch,
        };
    }
    let height = if rest.height >= detail + 10 { detail } else { 0 };
    let detail = bottom(&mut rest, height);
    TimelineParts {
        table: rest,
        detail,
        stopwatch: below,
    }
}

/// Cuts the page of a trace up: its tree above, what the selected span tells below.
#[must_use]
pub fn waterfall(body: Rect) -> ListParts {
    let mut rest = body;
    let detail = bottom(&mut rest, (body.height / 3).max(4));
    ListParts { table: rest, detail }
}

/// Parts of the Leaders view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeadersParts {
    /// The registry's own leader, term and revisions.
    pub registry: Rect,
    /// The matrix of opinions.
    pub matrix: Rect,
    /// The opinions on the selected exchange in full; without height when there is no room.
    pub detail: Rect,
    /// What happened to the selected exchange; without height when there is no room.
    pub history: Rect,
}

/// Cuts the Leaders view's body up for so many nodes and exchanges.
#[must_use]
pub fn leaders(body: Rect, nodes: u16, exchanges: u16) -> LeadersParts {
    let mut rest = body;
    let own = nodes.max(1) + TABLE_EXTRA;
    let registry = top(&mut rest, own.min(body.height / 2));
    let height = if rest.height >= own + 8 { own } else { 0 };
    let needed = exchanges.max(1).saturating_add(TABLE_EXTRA);
    let history = if height > 0 && rest.height >= needed.saturating_add(height + LATEST_MIN) {
        let spare = rest.height - needed - height;
        bottom(&mut rest, spare)
    } else {
        Rect::default()
    };
    let detail = bottom(&mut rest, height);
    LeadersParts {
        registry,
        matrix: rest,
        detail,
        history,
    }
}

/// Lines of a table that fit into a box.
#[must_use]
pub fn lines(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(TABLE_EXTRA))
}

/// A box of this size in the middle.
#[must_use]
pub fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}

#[cfg(test)]
#[path = "layout_test.rs"]
mod tests;
