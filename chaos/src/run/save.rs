//! A report as files. What does not live here: what is in them (`report`, `html`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Report, page};

/// Where the report of a run that begins now goes unless something else is said: a directory in this one.
#[must_use]
pub fn report_dir(scenario: &str) -> PathBuf {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    PathBuf::from(format!("chaos-report-{scenario}-{}", since.as_secs()))
}

/// Writes `report.html` and `report.json` into a directory, which is made, and gives the path of the page.
///
/// # Errors
/// A file cannot be written: which one, and why.
pub fn save(dir: &Path, report: &Report) -> Result<PathBuf, (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |error| (path, error)
    };
    std::fs::create_dir_all(dir).map_err(at(dir))?;
    let json = dir.join("report.json");
    let text = serde_json::to_string_pretty(report).map_err(|error| at(&json)(error.into()))?;
    std::fs::write(&json, text).map_err(at(&json))?;
    let html = dir.join("report.html");
    std::fs::write(&html, page(report)).map_err(at(&html))?;
    Ok(html)
}
