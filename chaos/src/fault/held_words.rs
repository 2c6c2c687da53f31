//! The words of faults that a node holds for itself: its clocks, its disk, its processors, its handlers, and messages of what it
//! owns. They are read as the kernel writes them.
//!
//! What does not live here: faults on links, and which amounts the kernel takes.

use squall_kernel::fault::{ClockFault, DiskFault, FaultKind, MessageFault, ProcessFault, Wanted};
use squall_kernel::id::ExchangeName;
use squall_kernel::keys::KeyPattern;

use super::Unreadable;
use super::amount;
use super::cursor::{Cursor, shown};
use super::words::{explained, one, time};

/// Reads what comes behind the first word; none where that is no word of such a fault.
pub(super) fn held(word: &str, line: &mut Cursor<'_>) -> Result<Option<FaultKind>, Unreadable> {
    let kind = match word {
        "clock" => FaultKind::Clock(clock(line)?),
        "disk" => FaultKind::Disk(disk(line)?),
        "burn" => {
            let threads = one(line, word, |text| {
                text.parse()
                    .map_err(|_| format!("'{text}' is no number of threads: write 1 to 64"))
            })?;
            let _unit = line.take("threads") || line.take("thread");
            FaultKind::Burn { threads }
        }
        "handlers" => {
            let _of = line.take("of ");
            FaultKind::Process {
                exchange: one(line, word, exchange)?,
                what: process(line)?,
            }
        }
        "message" => message(line)?,
        _ => return Ok(None),
    };
    Ok(Some(kind))
}

fn clock(line: &mut Cursor<'_>) -> Result<ClockFault, Unreadable> {
    if line.take("stepped by") {
        let ms = one(line, "clock", amount::jump)?;
        return Ok(ClockFault::Step { ms });
    }
    let ppm = one(line, "clock", amount::rate)?;
    Ok(ClockFault::Skew { ppm })
}

fn disk(line: &mut Cursor<'_>) -> Result<DiskFault, Unreadable> {
    match line.word() {
        Some("slow") => {
            let _by = line.take("by ");
            let by = one(line, "disk", time)?;
            Ok(DiskFault::Slow { by })
        }
        Some("full") => Ok(DiskFault::Full),
        Some("torn") => Ok(DiskFault::Torn),
        Some("lost-tail") => Ok(DiskFault::LostTail),
        other => Err(unknown(line, other, "disk")),
    }
}

fn process(line: &mut Cursor<'_>) -> Result<ProcessFault, Unreadable> {
    match line.word() {
        Some("killed") => Ok(ProcessFault::Kill),
        Some("suspended") => Ok(ProcessFault::Suspend),
        Some("slow") => {
            let _by = line.take("by ");
            let by = one(line, "handlers", time)?;
            Ok(ProcessFault::Slow { by })
        }
        Some("panic") => Ok(ProcessFault::Panic),
        Some("full") => Ok(ProcessFault::Fill),
        other => Err(unknown(line, other, "handlers")),
    }
}

fn message(line: &mut Cursor<'_>) -> Result<FaultKind, Unreadable> {
    let exchange = one(line, "message", exchange)?;
    let mut part = one(line, "message", |text| Ok(text.to_owned()))?;
    let mut key = None;
    if !part.ends_with('%') {
        let read = KeyPattern::new(&part);
        key = Some(
            read.map_err(|why| line.error_at(&part, format!("'{}' is no pattern: {why}", shown(&part))))?,
        );
        part = one(line, "message", |text| Ok(text.to_owned()))?;
    }
    let share = amount::share(&part).map_err(|why| line.error_at(&part, why))?;
    let what = match line.word() {
        Some("dropped") => MessageFault::Drop,
        Some("doubled") => MessageFault::Duplicate,
        Some("delayed") => {
            let _by = line.take("by ");
            let by = one(line, "message", time)?;
            MessageFault::Delay { by }
        }
        other => return Err(unknown(line, other, "message")),
    };
    let of = Wanted { exchange, key, share };
    Ok(FaultKind::Message { of, what })
}

fn exchange(text: &str) -> Result<ExchangeName, String> {
    ExchangeName::new(text).map_err(|why| format!("'{}' is no exchange: {why}", shown(text)))
}

fn unknown(line: &mut Cursor<'_>, found: Option<&str>, of: &str) -> Unreadable {
    match found {
        Some(word) => explained(
            line.error_at(word, format!("'{}' is nothing of that", shown(word))),
            of,
        ),
        None => explained(line.expected("what is done"), of),
    }
}
