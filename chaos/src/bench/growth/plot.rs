//! The figures as SVG: one panel for each dimension, with the processor time of a request and its median and slow latencies, in
//! microseconds; both axes are logarithmic. What does not live here: what the figures mean.

use std::fmt::Write as _;

use super::{Cell, Dimension, Grown, Verdict};

const PANEL_WIDTH: f64 = 420.0;
const PANEL_HEIGHT: f64 = 280.0;
const COLUMNS: usize = 2;
/// Room in a panel for numbers on the left, the title above, sizes below.
const LEFT: f64 = 68.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 34.0;
/// Room that a size below takes; one that would come closer to the one before is left out.
const APART: f64 = 34.0;
/// Room below all panels for what the colours mean.
const LEGEND: f64 = 28.0;

type Figure = fn(&Cell) -> f64;

/// Words, colour (told apart without red and green), figure.
const CURVES: [(&str, &str, Figure); 3] = [
    ("processor time", "#0072b2", |cell| cell.cpu_us),
    ("latency, half", "#e69f00", |cell| cell.p50_us),
    ("latency, 99 of 100", "#cc79a7", |cell| cell.p99_us),
];

/// The whole picture; empty panels for nothing that was not measured.
pub(super) fn svg(grown: &Grown) -> String {
    let panels = grown.verdicts.len();
    let rows = panels.div_ceil(COLUMNS);
    let columns = panels.min(COLUMNS);
    let (width, height) = (columns as f64 * PANEL_WIDTH, rows as f64 * PANEL_HEIGHT + LEGEND);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    for (place, verdict) in grown.verdicts.iter().enumerate() {
        let (x, y) = (
            (place % COLUMNS) as f64 * PANEL_WIDTH,
            (place / COLUMNS) as f64 * PANEL_HEIGHT,
        );
        let _ = write!(svg, "<g transform=\"translate({x} {y})\">");
        let of_it = |cell: &&Cell| cell.dimension == verdict.dimension;
        let cells: Vec<&Cell> = grown.cells.iter().filter(of_it).collect();
        panel(&mut svg, verdict, &cells);
        svg.push_str("</g>");
    }
    legend(&mut svg, height - LEGEND / 2.0);
    svg + "</svg>\n"
}

fn panel(svg: &mut String, verdict: &Verdict, cells: &[&Cell]) {
    title(svg, verdict);
    let all = || {
        cells
            .iter()
            .flat_map(|cell| CURVES.map(|(_, _, figure)| figure(cell)))
    };
    let across = Axis::of(cells.iter().map(|cell| place(cell)), LEFT, PANEL_WIDTH - RIGHT);
    // Upwards on the page is downwards in numbers.
    let (Some(across), Some(up)) = (across, Axis::of(all(), PANEL_HEIGHT - BOTTOM, TOP)) else {
        return;
    };
    for (value, y) in up.decades() {
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value} µs</text>",
            PANEL_WIDTH - RIGHT,
            LEFT - 4.0,
            y + 4.0
        );
    }
    let mut last = f64::NEG_INFINITY;
    for cell in cells {
        let (x, y) = (across.at(place(cell)), PANEL_HEIGHT - BOTTOM + 16.0);
        if x - last < APART {
            continue;
        }
        last = x;
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
            words(cell)
        );
    }
    for (_, colour, figure) in CURVES {
        curve(
            svg,
            colour,
            cells
                .iter()
                .map(|cell| (across.at(place(cell)), up.at(figure(cell)))),
        );
    }
}

fn title(svg: &mut String, verdict: &Verdict) {
    let judged = match verdict.growth {
        Some(growth) if growth.worse_than_linear => ": worse than linear",
        _ => "",
    };
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{}{judged}</text>",
        verdict.dimension.as_str()
    );
}

fn curve(svg: &mut String, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
    let (mut line, mut dots) = (String::new(), String::new());
    for (x, y) in points {
        let _ = write!(line, "{x:.1},{y:.1} ");
        let _ = write!(
            dots,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
        );
    }
    let _ = write!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>{dots}",
        line.trim_end()
    );
}

fn legend(svg: &mut String, y: f64) {
    for (place, (words, colour, _)) in CURVES.iter().enumerate() {
        let x = LEFT + place as f64 * 130.0;
        let _ = write!(
            svg,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{words}</text>",
            x + 8.0,
            y + 4.0
        );
    }
}

/// Where a cell is drawn: one without payload at the size of its frame, as it is compared.
fn place(cell: &Cell) -> f64 {
    cell.dimension.size(cell.at).unwrap_or(cell.at as f64)
}

fn words(cell: &Cell) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match cell.at {
        at if cell.dimension != Dimension::Payload => at.to_string(),
        at if at >= MIB => format!("{} MiB", at / MIB),
        at if at >= KIB => format!("{} KiB", at / KIB),
        at => format!("{at} B"),
    }
}

/// From values to places on the page, by their logarithms, whole decades wide.
#[derive(Debug, Clone, Copy)]
struct Axis {
    /// Exponents of ten.
    from: f64,
    to: f64,
    begin: f64,
    end: f64,
}

impl Axis {
    /// None without a value above 0.
    fn of(values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Option<Self> {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (least, most) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), log| {
            (least.min(log), most.max(log))
        });
        if !least.is_finite() {
            return None;
        }
        let from = least.floor();
        let to = most.ceil().max(from + 1.0);
        Some(Self { from, to, begin, end })
    }

    fn at(&self, value: f64) -> f64 {
        let log = value.max(f64::MIN_POSITIVE).log10().clamp(self.from, self.to);
        self.begin + (self.end - self.begin) * (log - self.from) / (self.to - self.from)
    }

    /// Each power of ten, and where it is.
    fn decades(&self) -> Vec<(f64, f64)> {
        let count = (self.to - self.from) as i32;
        let power = |n: i32| 10_f64.powi(self.from as i32 + n);
        (0..=count).map(|n| (power(n), self.at(power(n)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_as_wide_for_each_decade() {
        let axis = Axis::of([3.0, 400.0].into_iter(), 0.0, 300.0).unwrap();
        let places: Vec<f64> = axis
            .decades()
            .into_iter()
            .map(|(_, place)| place.round())
            .collect();
        assert_eq!(places, [0.0, 100.0, 200.0, 300.0]);
        assert!((axis.at(10.0) - 100.0).abs() < 1e-9);
        assert!(
            (axis.at(0.0) - 0.0).abs() < 1e-9,
            "what is no value is at the edge"
        );
        let one = Axis::of([100.0].into_iter(), 0.0, 100.0).unwrap();
        assert!(one.decades().len() == 2 && one.at(100.0).abs() < 1e-9);
        assert!(Axis::of([0.0, -1.0].into_iter(), 0.0, 1.0).is_none());
    }
}
