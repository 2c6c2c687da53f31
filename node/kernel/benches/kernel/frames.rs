//! A frame into bytes and back, checksum included, by the size of its payload.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use squall_kernel::frame::{Frame, HEADER_BYTES, Kind};
use squall_kernel::id::LinkSeq;
use squall_kernel::limits::FRAME_BYTES_MAX;

const PAYLOADS: [usize; 4] = [0, 64, 1024, 64 * 1024];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for payload in PAYLOADS {
        let mut frame = Frame::new(Kind::Request);
        frame.tags.key = Bytes::from_static(b"customer-7");
        frame.payload = Bytes::from(vec![7; payload]);
        group.throughput(Throughput::Bytes(frame.wire_len() as u64));
        let mut out = BytesMut::with_capacity(frame.wire_len());
        group.bench_function(BenchmarkId::new("encode", payload), |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&frame).encode(LinkSeq(1), &mut out);
                black_box(out.len())
            });
        });
        let mut encoded = BytesMut::new();
        frame.encode(LinkSeq(1), &mut encoded);
        assert!(encoded.len() >= HEADER_BYTES + payload);
        group.bench_function(BenchmarkId::new("decode", payload), |bencher| {
            // Each gets bytes of its own, as from a socket; making them is not measured.
            bencher.iter_batched(
                || encoded.clone(),
                |mut input| Frame::decode(&mut input, FRAME_BYTES_MAX).expect("it was just encoded"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
