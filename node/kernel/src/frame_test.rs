//! Tests of the frame codec: round trips, torn input, hostile input.

use proptest::prelude::*;

use super::*;
use crate::reason::NoReply;

fn sample() -> Frame {
    Frame {
        status: Status::None(NoReply::Interrupted),
        exchange: ExchangeId(7),
        epoch: Epoch(3),
        leader_epoch: LeaderEpoch(2),
        message: MessageId(99),
        origin: NodeId(5),
        to: 12,
        from: Pid {
            node: NodeId(6),
            serial: 8,
        },
        left_ms: 1500,
        index: 2,
        count: 5,
        signature: 0xfeed_beef,
        credit: 64,
        priority: Priority::new(7).expect("below ten"),
        ahead: true,
        trace: TraceContext {
            trace_id: [1; 16],
            span_id: [2; 8],
            sampled: true,
        },
        tags: Tags {
            request: Bytes::from_static(b"r-1"),
            connection: Bytes::new(),
            service: Bytes::from_static(b"eu"),
            key: Bytes::from_static(b"customer.7"),
        },
        payload: Bytes::from_static(b"hello"),
        ..Frame::new(Kind::Reply)
    }
}

fn encoded(frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    frame.encode(LinkSeq(42), &mut out);
    out
}

#[test]
fn a_header_is_as_long_as_it_says() {
    assert_eq!(encoded(&Frame::new(Kind::Ack)).len(), HEADER_BYTES);
    assert_eq!(encoded(&sample()).len(), sample().wire_len());
}

#[test]
fn what_was_encoded_comes_out_the_same_even_byte_by_byte() {
    let bytes = encoded(&sample());
    let mut input = BytesMut::new();
    for (i, byte) in bytes.iter().enumerate() {
        input.put_u8(*byte);
        let got = Frame::decode(&mut input, limits::FRAME_BYTES_MAX).expect("valid bytes");
        assert_eq!(got.is_some(), i + 1 == bytes.len(), "after {} bytes", i + 1);
        if let Some((seq, frame)) = got {
            assert_eq!((seq, frame), (LinkSeq(42), sample()));
        }
    }
}

#[test]
fn every_flipped_bit_is_caught() {
    let bytes = encoded(&sample());
    for bit in 32..bytes.len() * 8 {
        let mut broken = bytes.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        assert!(
            matches!(
                Frame::decode(&mut broken, limits::FRAME_BYTES_MAX),
                Err(FrameError::Checksum { .. })
            ),
            "bit {bit}"
        );
    }
}

#[test]
fn an_oversized_or_short_length_is_refused_before_anything_is_allocated() {
    let mut huge = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
    let capacity = huge.capacity();
    assert!(matches!(
        Frame::decode(&mut huge, 1024),
        Err(FrameError::Oversized { max: 1024, .. })
    ));
    assert_eq!(huge.capacity(), capacity);
    let mut short = BytesMut::from(&3u32.to_le_bytes()[..]);
    assert_eq!(Frame::decode(&mut short, 1024), Err(FrameError::Short { len: 7 }));
}

#[test]
fn a_head_and_its_payload_written_apart_are_the_same_frame() {
    let frame = sample();
    let mut head = BytesMut::new();
    frame.encode_head(LinkSeq(42), &mut head);
    head.put_slice(&frame.payload);
    assert_eq!(head, encoded(&frame));
}

#[test]
fn the_context_of_an_encoded_frame_is_seen_without_decoding_it() {
    let mut frame = sample();
    frame.trace = TraceContext {
        trace_id: [3; 16],
        span_id: [4; 8],
        sampled: true,
    };
    let bytes = encoded(&frame);
    assert_eq!(TraceContext::peek(&bytes), Some((bytes.len(), Some(frame.trace))));
    let header = &bytes[..HEADER_BYTES];
    assert_eq!(TraceContext::peek(header), Some((bytes.len(), Some(frame.trace))));
    assert_eq!(TraceContext::peek(&bytes[..HEADER_BYTES - 1]), None);
    frame.trace.sampled = false;
    let bytes = encoded(&frame);
    assert_eq!(TraceContext::peek(&bytes), Some((bytes.len(), None)));
}

#[test]
fn a_priority_above_nine_is_refused() {
    let mut bytes = encoded(&sample());
    bytes[9] |= 0xa0;
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(
        Frame::decode(&mut bytes, limits::FRAME_BYTES_MAX),
        Err(FrameError::Malformed)
    );
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut input = BytesMut::from(&bytes[..]);
        let _ = Frame::decode(&mut input, 512);
    }

    #[test]
    fn garbage_with_a_right_checksum_never_panics(body in proptest::collection::vec(any::<u8>(), 128..400)) {
        let mut input = BytesMut::new();
        input.put_u32_le(u32::try_from(body.len() + 4).expect("short"));
        input.put_u32_le(crc32c::crc32c(&body));
        input.put_slice(&body);
        let _ = Frame::decode(&mut input, 4096);
    }
}
