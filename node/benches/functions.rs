//! What a decision of an exchange's owner costs, in nanoseconds of processor time: the kernel's step alone, and with a
//! function before it.
//!
//! Then what the worst scripts known use of the processor before they are declined.
//!
//!     cargo bench -p squall-node --bench functions

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_kernel::exchange::{Choice, Exchange, ExchangeConfig, ExchangeInput, RequestKey};
use squall_kernel::id::{Boot, Epoch, ExchangeId, MessageId, NodeId, Pid};
use squall_kernel::registry::Strategy;
use squall_kernel::time::{Instant, Span};
use squall_node::functions::{Candidate, Question};
use squall_node::script::Script;

const HANDLERS: u32 = 16;
const ROUNDS: u64 = 300_000;
/// Requests before the clock runs.
const WARM_UP: u64 = 50_000;
const FAR: Instant = Instant(u64::MAX / 2);

fn pid(n: u32) -> Pid {
    Pid::new(NodeId(1), Boot(1), n)
}

fn exchange(strategy: Strategy) -> Exchange {
    let config = ExchangeConfig {
        id: ExchangeId(1),
        strategy,
        epoch: Epoch(1),
        leader: None,
        leader_gone: false,
        settle: Span::from_ms(100),
        awaited: Vec::new(),
        promise: Span::from_ms(50),
    };
    let mut exchange = Exchange::new(Instant(0), config);
    for n in 1..=HANDLERS {
        let input = ExchangeInput::Attach {
            handler: pid(n),
            service_tag: String::new(),
            bound: Vec::new(),
            returned: None,
        };
        exchange.step(Instant(0), &input, &mut Vec::new());
    }
    exchange
}

/// Routes requests of a thousand keys, each as `choose` says.
fn measure(name: &str, strategy: Strategy, mut choose: impl FnMut(&Bytes) -> Choice) {
    let mut exchange = exchange(strategy);
    let keys: Vec<Bytes> = (0..1000).map(|n| Bytes::from(format!("customer-{n}"))).collect();
    let mut effects = Vec::new();
    let mut begun = processor_time();
    for n in 0..ROUNDS + WARM_UP {
        if n == WARM_UP {
            begun = processor_time();
        }
        let key = &keys[usize::try_from(n % 1000).expect("below a thousand")];
        let input = ExchangeInput::Request {
            request: RequestKey {
                origin: NodeId(9),
                message: MessageId(n),
            },
            epoch: Epoch(1),
            service_tag: Bytes::new(),
            key: key.clone(),
            choice: choose(key),
            deadline: FAR,
            lease_until: FAR,
        };
        effects.clear();
        exchange.step(Instant(n), &input, &mut effects);
        black_box(&effects);
    }
    let each = (processor_time() - begun).as_nanos() / u128::from(ROUNDS);
    println!("| {name} | {each} |");
}

/// What it costs to explain a request before it is routed, which is done for some while somebody watches the exchange.
fn measure_explained(name: &str, strategy: Strategy) {
    let exchange = exchange(strategy);
    let key = Bytes::from_static(b"customer-7");
    let input = |n| ExchangeInput::Request {
        request: RequestKey {
            origin: NodeId(9),
            message: MessageId(n),
        },
        epoch: Epoch(1),
        service_tag: Bytes::new(),
        key: key.clone(),
        choice: Choice::None,
        deadline: FAR,
        lease_until: FAR,
    };
    let begun = processor_time();
    for n in 0..ROUNDS {
        black_box(exchange.explain(Instant(n), &input(n)));
    }
    let each = (processor_time() - begun).as_nanos() / u128::from(ROUNDS);
    println!("| {name} | {each} |");
}

fn scripted(name: &str, strategy: Strategy, source: &str) {
    let script = Script::compile(source).expect("a good script");
    let candidates = (1..=HANDLERS).map(|n| Candidate {
        pid: pid(n),
        text: pid(n).to_string(),
        service_tag: String::new(),
    });
    let handlers = Arc::new(candidates.collect::<Vec<_>>());
    let (payload, empty) = (Bytes::from(vec![7; 256]), Bytes::new());
    measure(name, strategy, |key| {
        let question = Question {
            key,
            service_tag: &empty,
            request_tag: &empty,
            payload: &payload,
            handlers: &handlers,
        };
        script.route(&question).expect("it answers").choice
    });
}

/// Programs that make the most of their operations: copies of what is as large as it may be, texts looked through.
const WORST: [(&str, &str); 15] = [
    ("nothing, in a loop", "loop { }"),
    ("numbers", "let n = 1; loop { n = n * 3 % 1000003; }"),
    ("functions", "fn f(a, b, c, d) { a } loop { f(1, 2, 3, 4); }"),
    (
        "a list copied",
        "let a = []; for i in 0..64 { a += i; } let y = (); loop { y = a; }",
    ),
    (
        "a list of texts copied",
        "let a = []; for i in 0..64 { a += `${i}0123456789`; } let y = (); loop { y = a; }",
    ),
    (
        "lists in lists copied",
        "let a = []; for i in 0..32 { a += [[i]]; } let y = (); loop { y = a; }",
    ),
    ("a map copied", "MAP let y = (); loop { y = m; }"),
    ("maps in a list copied", "MAPS let y = (); loop { y = m; }"),
    ("empty maps in a list copied", "EMPTY let y = (); loop { y = m; }"),
    (
        "lists joined",
        "let a = []; for i in 0..32 { a += `${i}0123456789`; } loop { a + a; }",
    ),
    ("a text joined", "TEXT loop { s + \"x\"; }"),
    ("a text interpolated", "TEXT loop { `${s}x`; }"),
    ("a text looked through", "TEXT loop { \"    x\" in s; }"),
    ("a character of a text", "TEXT loop { s[-1]; s[1800]; }"),
    (
        "a payload put together",
        "let p = payload; loop { p + \"x\" + payload; }",
    ),
];

/// The processor time of this thread.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it is not negative")
}

/// Prints what each of the worst takes, the longest of many runs.
fn measure_worst() {
    let (payload, empty) = (Bytes::from(vec![200; 2048]), Bytes::new());
    let handlers = Arc::default();
    let question = Question {
        key: &empty,
        service_tag: &empty,
        request_tag: &empty,
        payload: &payload,
        handlers: &handlers,
    };
    let text = "let s = \"\"; for i in 0..63 { s += \"                                \"; }";
    let map = (0..32).map(|n| format!("a_rather_long_name_of_a_key_{n}: {n}, "));
    let map = format!("let m = #{{{}}};", map.collect::<String>());
    let maps = format!("let m = [{}];", "#{ a: 1 }, ".repeat(32));
    let empties = format!("let m = [{}];", "#{},".repeat(63));
    println!("\n| program | its longest run |\n|---|---|");
    for (name, source) in WORST {
        let source = source
            .replace("EMPTY", &empties)
            .replace("TEXT", text)
            .replace("MAPS", &maps)
            .replace("MAP", &map);
        let script = Script::compile(&source).expect("a script");
        let runs = (0..200).map(|_| {
            let begun = processor_time();
            let why = script.route(&question).expect_err("it never ends");
            (processor_time() - begun, why)
        });
        let (longest, why) = runs.max_by_key(|run| run.0).expect("there are runs");
        assert!(why.0.contains("operations"), "{name}: {why}");
        println!("| {name} | {longest:.1?} |");
    }
}

fn main() {
    println!("| strategy | ns per request |\n|---|---|");
    measure("round-robin", Strategy::RoundRobin, |_| Choice::None);
    measure("sticky, a known key", Strategy::Sticky, |_| Choice::None);
    measure("fun, a Rust function", Strategy::Fun, |key| {
        Choice::Pick(pid(1 + u32::from(key[key.len() - 1]) % HANDLERS))
    });
    scripted("sticky-fun, the script `key`", Strategy::StickyFun, "key");
    scripted(
        "fun, the script `pick(payload_len % handlers.len)`",
        Strategy::Fun,
        "pick(payload_len % handlers.len)",
    );
    scripted(
        "fun, a script that looks through all handlers",
        Strategy::Fun,
        "let best = 0; for h in handlers { if h.service_tag == \"\" { best = h.place; } } pick(best)",
    );
    measure_explained("round-robin, explained beforehand", Strategy::RoundRobin);
    measure_worst();
}
