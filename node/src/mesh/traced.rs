//! Which messages are among bytes on their way: the contexts of those that are sampled, read from the encoded frames. Only
//! where a fault acts on the bytes and spans are exported.
//!
//! What does not live here: what is told of them (`faults`).

use std::collections::VecDeque;

use bytes::Bytes;
use squall_kernel::frame::TraceContext;

/// The contexts of the sampled frames in these parts, which are whole frames one behind the other: each part begins with one,
/// or goes on with the payload of the one before it.
pub(super) fn sampled(parts: &VecDeque<Bytes>) -> Vec<TraceContext> {
    let mut found = Vec::new();
    // Bytes of the last frame that are still to come.
    let mut rest = 0;
    for part in parts {
        let mut at = rest.min(part.len());
        rest -= at;
        while let Some((len, trace)) = part.get(at..).and_then(TraceContext::peek) {
            found.extend(trace);
            let end = at + len;
            at = end.min(part.len());
            rest = end - at;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use squall_kernel::frame::{Frame, Kind};

    use super::super::limits::COPY_BYTES_MAX;
    use super::super::outbox::Outbox;
    use super::*;

    fn frame(number: u8, sampled: bool, bytes: usize) -> Frame {
        Frame {
            trace: TraceContext {
                trace_id: [number; 16],
                span_id: [number; 8],
                sampled,
            },
            payload: Bytes::from(vec![0xff; bytes]),
            ..Frame::new(Kind::Deliver)
        }
    }

    #[test]
    fn the_sampled_ones_are_found_however_they_lie() {
        let large = COPY_BYTES_MAX + 1;
        let frames = [
            frame(1, true, 0),
            frame(2, false, 30),
            frame(3, true, large),
            frame(4, true, 200),
            frame(5, false, large),
            frame(6, true, large),
            frame(7, true, 3),
        ];
        let mut outbox = Outbox::after(0);
        for frame in &frames {
            outbox.push(frame);
        }
        let (mut parts, mut taken) = (VecDeque::new(), 0);
        while let Some(batch) = outbox.take(&mut parts) {
            taken += batch.frames;
        }
        assert_eq!(taken, frames.len());
        let expected: Vec<TraceContext> = frames.iter().map(|f| f.trace).filter(|t| t.sampled).collect();
        assert_eq!(sampled(&parts), expected);
        assert!(sampled(&VecDeque::new()).is_empty());
    }
}
