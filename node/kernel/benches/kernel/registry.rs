//! The registry as the bytes of a snapshot and back, and one command applied to it, by the number of its exchanges.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use squall_kernel::id::{Boot, ClusterId, ExchangeName, Incarnation, NodeId, NodeName, Revision};
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Command, Introduction, Outcome, Pattern, Registry, Settings, Strategy};

const EXCHANGES: [u64; 3] = [1, 100, 10_000];
const NODES: u64 = 5;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry");
    for exchanges in EXCHANGES {
        let registry = registry(exchanges);
        let bytes = encoded(&registry);
        assert_eq!(decoded(&bytes), registry);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("encode", exchanges), |bencher| {
            bencher.iter(|| encoded(black_box(&registry)));
        });
        group.bench_function(BenchmarkId::new("decode", exchanges), |bencher| {
            bencher.iter(|| decoded(black_box(&bytes)));
        });
        let (at, command) = (Revision(registry.revision.0 + 1), declare(exchanges));
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("declare", exchanges), |bencher| {
            bencher.iter_batched_ref(
                || registry.clone(),
                |registry| registry.apply(at, black_box(&command)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn encoded(registry: &Registry) -> Vec<u8> {
    postcard::to_allocvec(registry).expect("plain data")
}

fn decoded(bytes: &[u8]) -> Registry {
    postcard::from_bytes(bytes).expect("it was just encoded")
}

fn registry(exchanges: u64) -> Registry {
    let mut registry = Registry::default();
    let found = Command::Found {
        cluster: ClusterId(1),
        profile: Profile::Lan,
    };
    let nodes = (1..=NODES).map(|n| Command::NodeUp(introduction(n)));
    let commands = std::iter::once(found)
        .chain(nodes)
        .chain((0..exchanges).map(declare));
    for (at, command) in (1..).zip(commands) {
        assert_eq!(registry.apply(Revision(at), &command), Outcome::Done);
    }
    registry
}

fn introduction(n: u64) -> Introduction {
    Introduction {
        id: NodeId(n),
        name: node(n),
        incarnation: Incarnation(n),
        boot: Boot(1),
        mesh_addr: format!("10.0.0.{n}:7400"),
        grpc_addr: format!("10.0.0.{n}:7401"),
        functions: Vec::new(),
        zone: None,
    }
}

fn node(n: u64) -> NodeName {
    NodeName::new(&format!("n{n}")).expect("a letter and a number are a name")
}

fn declare(n: u64) -> Command {
    Command::Declare {
        name: ExchangeName::new(&format!("orders-{n}")).expect("a word and a number are a name"),
        pattern: Pattern::RequestResponse,
        strategy: Strategy::RoundRobin,
        function: None,
        settings: Settings::default(),
        failover: vec![node(1 + n % NODES)],
        takeover: None,
    }
}
