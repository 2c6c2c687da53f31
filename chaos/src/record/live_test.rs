//! Tests of what only live runs need: views of handlers, the registry's log, what nodes hold, faults, marks, and where a
//! run had settled.

use std::sync::Arc;

use squall_kernel::core::{CoreEffect, CoreInput};
use squall_kernel::exchange::{Exchange, ExchangeConfig, ExchangeEffect, ExchangeInput};
use squall_kernel::id::{
    Boot, ClusterId, Counter, Epoch, ExchangeId, Incarnation, LeaderEpoch, NodeId, NodeName, Revision,
};
use squall_kernel::message::{Servers, System};
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Command, Introduction, Registry, Strategy};
use squall_kernel::time::{Instant, Span};
use squall_node::clock::machine_now;
use squall_node::journal::{Fact, Journal, MachineKind};

use super::tests::{handler, marked, recorded, verdict};
use super::*;
use crate::history::What;
use crate::invariant::Verdict;

const EXCHANGE: ExchangeId = ExchangeId(1);
/// After everything that a test marks.
const LATER: u64 = 3_600_000_000;

fn found(cluster: u128) -> Command {
    Command::Found {
        cluster: ClusterId(cluster),
        profile: Profile::Slow,
    }
}

fn applied(command: &Command) -> Fact {
    Fact::Applied {
        cluster: ClusterId(7),
        revision: Revision(1),
        command: Box::new(command.clone()),
    }
}

fn acknowledged(command: &Command) -> Fact {
    Fact::Acknowledged {
        revision: Revision(1),
        command: Box::new(command.clone()),
    }
}

/// The node's registry is at revision 1.
fn registry(journal: &Journal) {
    let mut registry = Registry::default();
    registry.apply(Revision(1), &found(7));
    let input = CoreInput::Registry(Arc::new(registry));
    journal.step::<_, CoreEffect>(MachineKind::Core, "core", Instant(300), &input, &[]);
}

/// Its registry is at revision 1, and then at 2: another node is up.
fn registry_moves(journal: &Journal) {
    let mut registry = Registry::default();
    registry.apply(Revision(1), &found(7));
    let first = registry.clone();
    let up = Introduction {
        id: NodeId(2),
        name: NodeName::new("b").expect("a name"),
        incarnation: Incarnation(1),
        boot: Boot(1),
        mesh_addr: "127.0.0.1:1".into(),
        grpc_addr: "127.0.0.1:2".into(),
        functions: Vec::new(),
        zone: None,
    };
    registry.apply(Revision(2), &Command::NodeUp(up));
    for (now, registry) in [(300, first), (310, registry)] {
        let input = CoreInput::Registry(Arc::new(registry));
        journal.step::<_, CoreEffect>(MachineKind::Core, "core", Instant(now), &input, &[]);
    }
}

/// An owner takes two handlers; gives what it told the second one.
fn owner(journal: &Journal) -> (Counter, System) {
    let config = ExchangeConfig {
        id: EXCHANGE,
        strategy: Strategy::RoundRobin,
        epoch: Epoch(1),
        leader: None,
        leader_gone: false,
        awaited: Vec::new(),
        settle: Span::from_ms(100),
        promise: Span::from_ms(120),
    };
    journal.start(MachineKind::Exchange, "1@1", Instant(302), &config);
    let mut exchange = Exchange::new(Instant(302), config);
    let mut told = None;
    for (now, n) in [(303, 1), (304, 2)] {
        let attach = ExchangeInput::Attach {
            handler: handler(n),
            service_tag: String::new(),
            bound: Vec::new(),
            returned: None,
        };
        let mut effects = Vec::new();
        exchange.step(Instant(now), &attach, &mut effects);
        journal.step(MachineKind::Exchange, "1@1", Instant(now), &attach, &effects);
        told = effects.into_iter().find_map(|effect| match effect {
            ExchangeEffect::Tell { counter, what, .. } => Some((counter, what)),
            _ => None,
        });
    }
    told.expect("who attaches is told who serves")
}

fn heard((counter, what): (Counter, System)) -> Fact {
    Fact::Heard {
        exchange: EXCHANGE,
        handler: handler(2),
        epoch: Epoch(1),
        counter,
        what,
    }
}

/// A node that owns, and applies what it asked for; `more` happens beside.
fn busy(started: Instant, more: &[(u64, Fact)]) -> Vec<u8> {
    recorded(1, started.0, |journal| {
        journal.fact(Instant(10), &applied(&found(7)));
        registry(journal);
        let told = owner(journal);
        journal.fact(Instant(310), &heard(told));
        journal.fact(Instant(320), &acknowledged(&found(7)));
        for (now, fact) in more {
            journal.fact(Instant(*now), fact);
        }
        journal.fact(Instant(LATER), &Fact::Left);
    })
}

fn quiet(started: Instant) -> Vec<u8> {
    recorded(2, started.0, |journal| {
        journal.fact(Instant(290), &applied(&found(7)));
        registry(journal);
        journal.fact(Instant(LATER), &Fact::Left);
    })
}

fn fault(id: &str, ends: u64) -> Fact {
    Fact::Fault {
        id: id.into(),
        text: "cut to b".into(),
        ends: Instant(ends),
    }
}

fn over(id: &str) -> Fact {
    Fact::FaultOver { id: id.into() }
}

fn holds(count: u64) -> Fact {
    Fact::Holds {
        place: "open requests".into(),
        count,
        bound: 8,
    }
}

/// A kill that is mended, and a heal.
fn marks() -> Marks {
    let mut marks = Marks::default();
    let kill = marks.fault(NodeId(2), "kill b", Span::from_ms(60_000));
    marks.over(kill);
    marks.healed();
    marks
}

/// A moment so long ago that all that a test records was before what it marks.
fn before() -> Instant {
    Instant(machine_now().0 - 1_000)
}

fn breach(journals: &[Vec<u8>], marks: &Marks, number: u8) -> String {
    match verdict(&marked(journals, marks), number) {
        Verdict::Fail(breach) => breach.text,
        other => panic!("I{number} is broken, and not {other}"),
    }
}

#[test]
fn what_a_live_run_tells_is_enough_for_every_verdict() {
    let started = before();
    let facts = [(400, fault("f1", 900)), (401, holds(3)), (800, over("f1"))];
    let history = marked(&[busy(started, &facts), quiet(started)], &marks());
    for number in [8, 12, 13, 14, 15] {
        assert_eq!(verdict(&history, number), Verdict::Ok, "I{number}");
    }
    let healed = history.iter().position(|event| event.what == What::Healed);
    let settled = history.iter().position(|event| event.what == What::Settled);
    assert_eq!(settled, healed.map(|at| at + 1), "all was good at once");
}

/// What a node tells of others is of the revision that it tells last, in simulated runs as in live ones.
#[test]
fn a_registry_moves_before_what_is_different_in_it_is_told() {
    let history = marked(&[recorded(1, before().0, registry_moves)], &Marks::default());
    let told = history.iter().filter_map(|event| match &event.what {
        What::Applied { revision, .. } => Some(format!("at {revision}")),
        what @ What::Up { .. } => Some(what.to_string()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["at 1", "at 2", "2 is up"]);
}

#[test]
fn a_handler_that_sees_others_than_its_owner_is_found() {
    let wrong = recorded(1, before().0, |journal| {
        let (counter, _) = owner(journal);
        let nobody = System::Leader {
            leader: None,
            leader_epoch: LeaderEpoch(0),
            servers: Servers::default(),
        };
        journal.fact(Instant(310), &heard((counter, nobody)));
    });
    let text = breach(&[wrong], &Marks::default(), 8);
    assert!(text.ends_with("<2.1:1> saw no leader of []"), "{text}");
}

#[test]
fn what_was_acknowledged_and_is_not_what_was_applied_is_found() {
    let more = [(500, acknowledged(&found(8)))];
    let text = breach(&[busy(before(), &more)], &Marks::default(), 12);
    assert_eq!(
        text,
        "at revision 1 another command was acknowledged than applied"
    );
}

#[test]
fn a_fault_that_outlives_its_time_is_found_and_one_that_ends_with_its_node_is_not() {
    let stays = [
        (400, fault("f1", 900)),
        (1_000_000, holds(1)),
        (2_000_000, over("f1")),
    ];
    let text = breach(&[busy(before(), &stays)], &Marks::default(), 15);
    assert!(text.contains("had to end by 0.000900s and still acts"), "{text}");
    let killed = recorded(1, before().0, |journal| {
        journal.fact(Instant(400), &fault("f1", 60_000_000));
        journal.fact(Instant(500), &holds(1));
    });
    assert_eq!(verdict(&marked(&[killed], &Marks::default()), 15), Verdict::Ok);
}

#[test]
fn a_place_that_is_too_full_is_found() {
    let text = breach(&[busy(before(), &[(400, holds(9))])], &Marks::default(), 14);
    assert_eq!(text, "open requests of node 1 holds 9, its bound is 8");
}

#[test]
fn nodes_that_do_not_settle_in_time_are_found() {
    let started = before();
    let behind = recorded(2, started.0, |journal| {
        journal.fact(Instant(LATER), &Fact::Left);
    });
    let beyond = (settling::SETTLE_WITHIN.0 + 60_000_000, holds(1));
    let text = breach(&[busy(started, &[beyond]), behind], &marks(), 13);
    assert_eq!(text, "node 2 runs and has no registry");
}

/// Journals that grow by a few bytes at a time give the same history as whole ones.
#[test]
fn a_run_that_is_followed_gives_the_history_that_is_read_afterwards() {
    let dir = tempfile::tempdir().expect("a directory");
    let journals = [
        busy(Instant(1_000), &[]),
        recorded(2, 5_000, |journal| {
            journal.fact(Instant(50), &applied(&found(7)));
            journal.fact(Instant(600_000), &heard_late());
        }),
    ];
    let paths: Vec<PathBuf> = (0..2).map(|n| dir.path().join(format!("{n}.journal"))).collect();
    let mut files: Vec<File> = paths
        .iter()
        .map(|path| File::create(path).expect("room"))
        .collect();
    let mut follow = Follow::default();
    for path in &paths {
        follow.add(path.clone(), File::open(path).expect("it is there"));
    }
    let mut followed = Vec::new();
    for at in (0..journals.iter().map(Vec::len).max().unwrap_or_default()).step_by(97) {
        for (file, journal) in files.iter_mut().zip(&journals) {
            let piece = &journal[at.min(journal.len())..(at + 97).min(journal.len())];
            std::io::Write::write_all(file, piece).expect("room");
        }
        followed.extend(follow.poll().expect("journals"));
    }
    assert!(
        followed.len() > 3,
        "some of it is given while the nodes run: {followed:?}"
    );
    follow.over(&paths[1]);
    followed.extend(follow.poll().expect("journals"));
    followed.extend(follow.finish().expect("journals"));
    assert_eq!(followed, history_of(&paths).expect("journals"));
}

/// While a node stands still, what others told waits for it; the tries with which they told it must not be forgotten meanwhile.
#[test]
fn a_try_is_known_until_what_was_told_of_it_had_its_turn() {
    let dir = tempfile::tempdir().expect("a directory");
    let (request, exchange) = (MessageId(1), EXCHANGE);
    let busy = recorded(1, 1_000, |journal| {
        for n in 0..9 {
            let message = MessageId(10 + n);
            journal.fact(Instant(100 * n), &Fact::Tried { request, message });
            let passed = Fact::Passed {
                request: RequestKey {
                    origin: NodeId(1),
                    message,
                },
                exchange,
                handler: handler(1),
                epoch: Epoch(1),
                leader_epoch: LeaderEpoch(0),
                signature: None,
            };
            journal.fact(Instant(100 * n + 50), &passed);
        }
    });
    let paused = recorded(2, 1_000, |_| {});
    let mut follow = Follow::remembering(2);
    for (name, journal) in [("busy", busy), ("paused", paused)] {
        let path = dir.path().join(name);
        std::fs::write(&path, journal).expect("room");
        follow.add(path.clone(), File::open(&path).expect("it is there"));
    }
    let mut events = follow.poll().expect("journals");
    events.extend(follow.finish().expect("journals"));
    let of = |event: &Event| match &event.what {
        What::Handled { request, .. } => Some(request.message),
        _ => None,
    };
    let handled: Vec<MessageId> = events.iter().filter_map(of).collect();
    assert_eq!(handled, [request; 9]);
}

/// A line of a node that is behind.
fn heard_late() -> Fact {
    Fact::Late {
        message: MessageId(9),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_journal_may_break_off_within_a_character_and_come_through_a_pipe_that_is_empty_now() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a pipe");
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let read = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).expect("its end to read");
    let mut write = File::options().write(true).open(&path).expect("its end to write");
    let journal = recorded(1, 1_000, |journal| {
        journal.fact(
            Instant(50),
            &Fact::Fault {
                id: "slow".into(),
                text: "delay 200ms ±50ms to b".into(),
                ends: Instant(90),
            },
        );
    });
    let mut follow = Follow::default();
    follow.add(path.clone(), File::from(read));
    assert_eq!(follow.poll().expect("nothing is wrong"), []);
    let cut = journal
        .iter()
        .position(|byte| *byte == 0xC2)
        .expect("a sign of two bytes")
        + 1;
    for part in [&journal[..cut], &journal[cut..]] {
        std::io::Write::write_all(&mut write, part).expect("room");
        follow.poll().expect("what is not whole is waited for");
    }
    drop(write);
    let events = follow.finish().expect("a journal");
    let fault =
        |event: &Event| matches!(&event.what, What::Fault { text, .. } if text == "delay 200ms ±50ms to b");
    assert!(events.iter().any(fault), "{events:?}");
}
