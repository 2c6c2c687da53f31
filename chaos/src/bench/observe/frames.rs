//! Frames with very many processes, as `squall bench screen` measures them; here the slowest view counts.

use super::{Figure, Part, Scale};
use crate::bench::BenchError;
use crate::bench::screen::{self, ScreenOptions};

pub(super) fn measure(scale: Scale) -> Result<Vec<Figure>, BenchError> {
    let options = ScreenOptions {
        processes: scale.processes,
        size: (200, 60),
        frames: scale.frames,
        pace: screen::PACE,
    };
    let screens = screen::run(&options, |_| ())?;
    let slowest = screens.rows.iter().max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
    let slowest = slowest.ok_or_else(|| BenchError::Unsound("there is no view".into()))?;
    let name = slowest.view.word();
    let of = |percent: &str| {
        format!(
            "frame of {name}, the slowest view, {} processes, {percent}",
            scale.processes
        )
    };
    Ok(vec![
        Figure::new(Part::Frames, of("p50"), slowest.p50_ms, "ms"),
        Figure::new(Part::Frames, of("p99"), slowest.p99_ms, "ms").at_most(4.0),
    ])
}
