//! Tests of the queue: what is taken, resumed, acknowledged and given back, down to the frame.

use squall_kernel::frame::Kind;
use squall_kernel::id::MessageId;

use super::*;

fn frame(n: u64, len: usize) -> Frame {
    Frame {
        message: MessageId(n),
        payload: Bytes::from(vec![7; len]),
        ..Frame::new(Kind::Request)
    }
}

fn filled(lens: &[usize]) -> Outbox {
    let mut outbox = Outbox::after(0);
    for (n, len) in (1..).zip(lens) {
        outbox.push(&frame(n, *len));
    }
    outbox
}

/// Numbers (link, message) of everything taken.
fn taken(outbox: &mut Outbox) -> Vec<(u64, u64)> {
    let (mut parts, mut bytes, mut frames) = (VecDeque::new(), BytesMut::new(), 0);
    while let Some(batch) = outbox.take(&mut parts) {
        frames += batch.frames;
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    let mut found = Vec::new();
    while let Some((seq, frame)) = Frame::decode(&mut bytes, FRAME_BYTES_MAX).unwrap() {
        found.push((seq.0, frame.message.0));
    }
    assert_eq!(found.len(), frames);
    found
}

fn numbers(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(|f| f.message.0).collect()
}

const LARGE: usize = COPY_BYTES_MAX + 1;

#[test]
fn frames_are_taken_once_in_order_whatever_their_size() {
    let mut outbox = filled(&[1, LARGE, 0, 3, LARGE, LARGE]);
    assert_eq!(taken(&mut outbox), (1..=6).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!(taken(&mut outbox), []);
    outbox.push(&frame(7, 1));
    assert_eq!(taken(&mut outbox), [(7, 7)]);
}

#[test]
fn a_resumed_queue_goes_on_within_a_chunk() {
    let mut outbox = filled(&[1, 2, 3, LARGE, 5]);
    taken(&mut outbox);
    assert!(outbox.resume(2));
    assert_eq!(taken(&mut outbox), [(3, 3), (4, 4), (5, 5)]);
    assert!(outbox.resume(4));
    outbox.push(&frame(6, 1));
    assert_eq!(taken(&mut outbox), [(5, 5), (6, 6)]);
    assert!(!outbox.resume(3) && !outbox.resume(7));
}

#[test]
fn acknowledged_frames_free_their_room() {
    let mut outbox = filled(&[1, LARGE, 3]);
    assert!(!outbox.ack(1), "nothing was written yet");
    taken(&mut outbox);
    assert!(outbox.ack(2));
    assert_eq!((outbox.frames(), outbox.bytes()), (1, frame(3, 3).wire_len()));
    assert!(outbox.ack(3) && !outbox.ack(4));
    assert_eq!((outbox.frames(), outbox.bytes()), (0, 0));
}

#[test]
fn what_is_given_back_tells_written_from_unwritten() {
    let mut outbox = filled(&[1, 2, LARGE]);
    taken(&mut outbox);
    assert!(outbox.ack(1));
    outbox.push(&frame(4, LARGE));
    outbox.push(&frame(5, 5));
    let drained = outbox.drain();
    assert_eq!(
        (numbers(&drained.written), numbers(&drained.unwritten)),
        (vec![2, 3], vec![4, 5])
    );
    assert_eq!(
        (outbox.frames(), outbox.bytes(), taken(&mut outbox)),
        (0, 0, vec![])
    );
    assert_eq!(drained.written[1], frame(3, LARGE));
}

#[test]
fn many_small_frames_stay_in_bounded_chunks() {
    let mut outbox = filled(&[100; 5000]);
    assert!(
        outbox
            .chunks
            .iter()
            .all(|c| c.bytes() <= CHUNK_BYTES + frame(0, 100).wire_len())
    );
    assert_eq!(taken(&mut outbox).len(), 5000);
    outbox.forget_taken();
    assert_eq!((outbox.frames(), outbox.chunks.len()), (0, 0));
}
