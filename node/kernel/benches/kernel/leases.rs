//! An owner's lease: whether it holds, which is asked at every request, and what a voter's promise makes of it.

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use squall_kernel::id::{NodeId, Tenure};
use squall_kernel::promises::{Electorate, Lease};
use squall_kernel::time::{Instant, Span};

const LENGTH: Span = Span::from_ms(250);
const VOTERS: [u64; 3] = [1, 3, 5];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lease");
    for voters in VOTERS {
        let electorate = Electorate::from((1..=voters).map(NodeId).collect::<BTreeSet<_>>());
        let mut lease = Lease::default();
        lease.set_tenure(Tenure(1));
        lease.set_voters(&electorate);
        let promise = |lease: &mut Lease, now: u64| {
            let voter = NodeId(1 + now % voters);
            lease.promised(voter, Tenure(1), electorate.at, Instant(now), LENGTH);
        };
        (1..=voters).for_each(|now| promise(&mut lease, now));
        assert!(lease.until() > Instant(voters), "a majority has promised");
        group.bench_function(BenchmarkId::new("check", voters), |bencher| {
            bencher.iter(|| black_box(Instant(1)) < black_box(&lease).until());
        });
        let mut now = voters;
        group.bench_function(BenchmarkId::new("promise", voters), |bencher| {
            bencher.iter(|| {
                now += 1;
                promise(&mut lease, now);
                black_box(lease.until())
            });
        });
    }
    group.finish();
}
