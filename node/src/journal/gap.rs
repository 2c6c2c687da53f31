//! Notices lines that are missing in a journal, by the numbers its writer gave them. What does not live here: what the
//! lines say (`read`, `replay`).

use super::ReplayError;

/// Follows the numbers of the lines. Journals of earlier versions have none; nothing can be said of those.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    latest: Option<u64>,
}

impl Numbers {
    /// Takes the number of a line, which stands in the file as line `line`, from 1.
    pub(super) fn next(&mut self, line: usize, number: Option<u64>) -> Result<(), ReplayError> {
        let expected = match self.latest {
            Some(latest) => latest + 1,
            None if line == 1 => 1,
            None => return Ok(()),
        };
        let found = match number {
            Some(number) => number,
            None if self.latest.is_none() => return Ok(()),
            None => 0,
        };
        if found != expected {
            return Err(ReplayError::Gap {
                line,
                expected,
                found,
            });
        }
        self.latest = Some(found);
        Ok(())
    }
}

/// What is missing, in words.
pub(super) fn words(expected: &u64, found: &u64) -> String {
    let (expected, found) = (*expected, *found);
    if found == 0 {
        return format!("it has no number where number {expected} belongs");
    }
    match found.checked_sub(expected) {
        Some(1) => format!("number {expected} is missing before it"),
        Some(missing) if missing > 1 => format!("numbers {expected} to {} are missing before it", found - 1),
        _ => format!("it is number {found}, and number {expected} belongs here"),
    }
}
