//! Tests of the handshake: every refusal on both sides, the proof, and the step that follows each message.

use std::format;
use std::string::ToString;
use std::vec;

use super::*;
use crate::id::{Boot, Incarnation, NodeId, NodeName};
use crate::message::{self, HandshakeMessage};

const COOKIE: &[u8] = b"secret";
const DIALLER_NONCE: Nonce = [1; NONCE_BYTES];
const LISTENER_NONCE: Nonce = [2; NONCE_BYTES];

fn node(id: u64, name: &str) -> Introduction {
    Introduction {
        id: NodeId(id),
        name: NodeName::new(name).unwrap(),
        incarnation: Incarnation(5),
        boot: Boot(1),
        mesh_addr: format!("127.0.0.1:74{id}0"),
        grpc_addr: format!("127.0.0.1:74{id}1"),
        functions: Vec::new(),
        zone: None,
    }
}

fn facts<'a>(me: &'a Introduction, cookie: &'a [u8], live: &'a [Introduction]) -> Facts<'a> {
    Facts {
        me,
        process: None,
        cluster: None,
        initialized: false,
        cookie,
        live,
    }
}

fn process(pid: u32) -> ProcessIdentity {
    ProcessIdentity {
        boot_id: [3; 16],
        pid_namespace: 4,
        pid,
        start_time: 5,
    }
}

/// Both last steps of a handshake, messages through the real codec.
fn shake(dialler: &Facts<'_>, listener: &Facts<'_>, purpose: Purpose) -> (Step, Step) {
    let mut d = Dialler::node(dialler, purpose, DIALLER_NONCE);
    let mut l = Listener::new(LISTENER_NONCE);
    let mut wire = travel(&d.hello());
    loop {
        let at_listener = l.step(listener, wire);
        let answer = match &at_listener {
            Step::Send(message) => message.clone(),
            Step::Done { .. } => HandshakeMessage::Accepted(Accepted::new(LinkSeq(7), vec![node(9, "i")])),
            Step::Refuse { refusal, detail, .. } => refusal_message(*refusal, detail),
        };
        match d.step(dialler.cookie, dialler.live, travel(&answer)) {
            Step::Send(message) => wire = travel(&message),
            Step::Refuse {
                refusal,
                detail,
                by: Side::Us,
            } => {
                let told = l.step(listener, travel(&refusal_message(refusal, &detail)));
                return (
                    Step::Refuse {
                        refusal,
                        detail,
                        by: Side::Us,
                    },
                    told,
                );
            }
            last => return (last, at_listener),
        }
    }
}

fn travel(message: &HandshakeMessage) -> HandshakeMessage {
    read(&message::control(message).payload).unwrap()
}

/// Both sides give the same reason in the same words; `by_dialler` says who found it.
fn assert_refused(steps: &(Step, Step), refusal: Refusal, detail: &str, by_dialler: bool) {
    let (first, second) = if by_dialler {
        (Side::Us, Side::Them)
    } else {
        (Side::Them, Side::Us)
    };
    let step = |by| Step::Refuse {
        refusal,
        detail: detail.to_string(),
        by,
    };
    assert_eq!(*steps, (step(first), step(second)));
}

#[test]
fn two_nodes_with_one_cookie_accept_each_other() {
    let (a, b) = (node(0, "a"), node(1, "b"));
    let purpose = Purpose::Link { lane: 2 };
    let cluster = Some(ClusterId(3));
    let dialler = Facts {
        process: Some(process(70)),
        ..facts(&a, COOKIE, &[])
    };
    let listener = Facts {
        process: Some(process(80)),
        cluster,
        initialized: true,
        ..facts(&b, COOKIE, &[])
    };
    let (at_dialler, at_listener) = shake(&dialler, &listener, purpose);
    let peer = Peer::Node {
        introduction: b.clone(),
        process: listener.process,
        purpose,
        cluster,
        initialized: true,
    };
    let accepted = Some(Accepted {
        received: LinkSeq(7),
        members: vec![node(9, "i")],
    });
    assert_eq!(at_dialler, Step::Done { peer, accepted });
    let peer = Peer::Node {
        introduction: a.clone(),
        process: Some(process(70)),
        purpose,
        cluster: None,
        initialized: false,
    };
    assert_eq!(at_listener, Step::Done { peer, accepted: None });
}

#[test]
fn a_client_needs_the_cookie_and_nothing_else() {
    let b = node(1, "b");
    let listener = Facts {
        cluster: Some(ClusterId(3)),
        ..facts(&b, COOKIE, &[])
    };
    let mut client = Dialler::client("tele\u{1b}x", DIALLER_NONCE);
    let mut l = Listener::new(LISTENER_NONCE);
    let Step::Send(welcome) = l.step(&listener, client.hello()) else {
        panic!("refused")
    };
    let Step::Send(prove) = client.step(COOKIE, &[], welcome) else {
        panic!("refused")
    };
    let peer = Peer::Client {
        name: "tele?x".into(),
    };
    assert_eq!(l.step(&listener, prove), Step::Done { peer, accepted: None });
}

#[test]
fn a_wrong_cookie_is_named_on_both_sides() {
    let (a, b) = (node(0, "a"), node(1, "b"));
    let steps = shake(&facts(&a, b"other", &[]), &facts(&b, COOKIE, &[]), Purpose::Seed);
    let detail = "node 'a' at 127.0.0.1:7400 and node 'b' at 127.0.0.1:7410 have different ones; \
                  use the same --cookie-file";
    assert_refused(&steps, Refusal::Cookie, detail, true);
}

#[test]
fn a_listener_believes_no_proof_it_did_not_check() {
    let (a, b) = (node(0, "a"), node(1, "b"));
    let dialler = Dialler::node(&facts(&a, COOKIE, &[]), Purpose::Seed, DIALLER_NONCE);
    let mut l = Listener::new(LISTENER_NONCE);
    let Step::Send(HandshakeMessage::Welcome(welcome)) = l.step(&facts(&b, COOKIE, &[]), dialler.hello())
    else {
        panic!("refused")
    };
    // The listener's own proof sent back.
    let reflected = HandshakeMessage::Prove(Prove { proof: welcome.proof });
    let step = l.step(&facts(&b, COOKIE, &[]), reflected);
    assert!(
        matches!(
            step,
            Step::Refuse {
                refusal: Refusal::Cookie,
                by: Side::Us,
                ..
            }
        ),
        "{step:?}"
    );
}

#[test]
fn a_process_that_was_changed_on_its_way_is_refused() {
    let (a, b) = (node(0, "a"), node(1, "b"));
    let of = |me, pid| Facts {
        process: Some(process(pid)),
        ..facts(me, COOKIE, &[])
    };
    let (dialling, listening) = (of(&a, 70), of(&b, 80));
    for told in [None, Some(process(71))] {
        let mut dialler = Dialler::node(&dialling, Purpose::Seed, DIALLER_NONCE);
        let HandshakeMessage::Hello(mut hello) = dialler.hello() else {
            panic!("a hello comes first")
        };
        hello.process = told;
        let mut listener = Listener::new(LISTENER_NONCE);
        let Step::Send(welcome) = listener.step(&listening, HandshakeMessage::Hello(hello)) else {
            panic!("refused")
        };
        // The listener proved something else than the dialler said.
        assert_cookie(&dialler.step(COOKIE, &[], welcome));
        let mut dialler = Dialler::node(&dialling, Purpose::Seed, DIALLER_NONCE);
        let Step::Send(HandshakeMessage::Welcome(mut welcome)) =
            Listener::new(LISTENER_NONCE).step(&listening, dialler.hello())
        else {
            panic!("refused")
        };
        welcome.process = told;
        assert_cookie(&dialler.step(COOKIE, &[], HandshakeMessage::Welcome(welcome)));
    }
}

fn assert_cookie(step: &Step) {
    let wanted = matches!(
        step,
        Step::Refuse {
            refusal: Refusal::Cookie,
            by: Side::Us,
            ..
        }
    );
    assert!(wanted, "{step:?}");
}

#[test]
fn pids_mean_the_same_on_one_boot_in_one_namespace() {
    let one = process(70);
    assert!(one.shares_pids_with(&process(80)));
    let other_boot = ProcessIdentity {
        boot_id: [9; 16],
        ..one
    };
    let other_namespace = ProcessIdentity {
        pid_namespace: 9,
        ..one
    };
    assert!(!one.shares_pids_with(&other_boot) && !one.shares_pids_with(&other_namespace));
}

#[test]
fn another_cluster_is_refused_but_none_is_welcome() {
    let (a, b) = (node(0, "a"), node(1, "b"));
    let of = |cluster| Facts {
        cluster,
        ..facts(&a, COOKIE, &[])
    };
    let listener = Facts {
        cluster: Some(ClusterId(2)),
        ..facts(&b, COOKIE, &[])
    };
    let purpose = Purpose::Link { lane: 0 };
    for cluster in [None, Some(ClusterId(2))] {
        assert!(matches!(
            shake(&of(cluster), &listener, purpose),
            (Step::Done { .. }, Step::Done { .. })
        ));
    }
    let detail = "node 'a' at 127.0.0.1:7400 belongs to cluster 00000000000000000000000000000001, \
                  node 'b' at 127.0.0.1:7410 to cluster 00000000000000000000000000000002";
    assert_refused(
        &shake(&of(Some(ClusterId(1))), &listener, purpose),
        Refusal::Cluster,
        detail,
        false,
    );
}

#[test]
fn a_name_that_a_live_node_has_is_refused() {
    let (a, b, other_a) = (node(0, "a"), node(1, "b"), node(2, "a"));
    let purpose = Purpose::Link { lane: 0 };
    let known = [other_a.clone()];
    let detail = "the name of node 'a' at 127.0.0.1:7400 belongs to the live node 'a' at 127.0.0.1:7420; \
                  choose another";
    let steps = shake(&facts(&a, COOKIE, &[]), &facts(&b, COOKIE, &known), purpose);
    assert_refused(&steps, Refusal::NameTaken, detail, false);
    // The listener itself has it.
    let steps = shake(&facts(&a, COOKIE, &[]), &facts(&other_a, COOKIE, &[]), purpose);
    assert_refused(&steps, Refusal::NameTaken, detail, false);
    // The dialler knows of it, the listener does not.
    let known = [node(3, "b")];
    let (at_dialler, _) = shake(&facts(&a, COOKIE, &known), &facts(&b, COOKIE, &[]), purpose);
    assert!(matches!(
        at_dialler,
        Step::Refuse {
            refusal: Refusal::NameTaken,
            by: Side::Us,
            ..
        }
    ));
}

#[test]
fn an_older_run_of_a_live_node_is_refused_and_a_newer_one_is_not() {
    let (a, b) = (node(0, "a"), node(1, "b"));
    let run = |incarnation| {
        [Introduction {
            incarnation: Incarnation(incarnation),
            ..a.clone()
        }]
    };
    let purpose = Purpose::Link { lane: 0 };
    for known in [run(4), run(5)] {
        let (at_dialler, _) = shake(&facts(&a, COOKIE, &[]), &facts(&b, COOKIE, &known), purpose);
        assert!(matches!(at_dialler, Step::Done { .. }), "{at_dialler:?}");
    }
    let detail = "node 'a' at 127.0.0.1:7400 is run 5, but run 6 of it is live";
    let steps = shake(&facts(&a, COOKIE, &[]), &facts(&b, COOKIE, &run(6)), purpose);
    assert_refused(&steps, Refusal::OldIncarnation, detail, false);
}

#[test]
fn a_node_that_reaches_itself_says_so() {
    let a = node(0, "a");
    let steps = shake(&facts(&a, COOKIE, &[]), &facts(&a, COOKIE, &[]), Purpose::Seed);
    assert_refused(
        &steps,
        Refusal::Myself,
        "node 'a' at 127.0.0.1:7400 reached itself",
        false,
    );
}

#[test]
fn another_version_is_told_from_garbage_even_when_the_rest_differs() {
    let detail = format!("one side speaks version {PROTOCOL_VERSION} of the protocol, the other version 99");
    assert_eq!(read(&[0, 99, 255, 255]), Err((Refusal::Version, detail.clone())));
    assert_eq!(read(&[1, 99]), Err((Refusal::Version, detail.clone())));
    assert_eq!(
        read(&[0, u8::try_from(PROTOCOL_VERSION).unwrap(), 255]),
        Err((Refusal::Garbage, "the frame is not a handshake".into()))
    );
    let (a, b) = (node(0, "a"), node(1, "b"));
    let mut dialler = Dialler::node(&facts(&a, COOKIE, &[]), Purpose::Seed, DIALLER_NONCE);
    dialler.hello.version = 99;
    let step = Listener::new(LISTENER_NONCE).step(&facts(&b, COOKIE, &[]), dialler.hello());
    assert_eq!(
        step,
        Step::Refuse {
            refusal: Refusal::Version,
            detail,
            by: Side::Us
        }
    );
}

#[test]
fn messages_out_of_turn_are_garbage() {
    let b = node(1, "b");
    let early = HandshakeMessage::Prove(Prove { proof: vec![0; 32] });
    let step = Listener::new(LISTENER_NONCE).step(&facts(&b, COOKIE, &[]), early);
    let detail = "the dialler's message is out of turn".into();
    assert_eq!(
        step,
        Step::Refuse {
            refusal: Refusal::Garbage,
            detail,
            by: Side::Us
        }
    );
}

#[test]
fn only_nodes_link_on_lanes_that_exist() {
    let (a, b) = (node(0, "a"), node(1, "b"));
    let dialler = Dialler::node(
        &facts(&a, COOKIE, &[]),
        Purpose::Link { lane: LANES },
        DIALLER_NONCE,
    );
    let step = Listener::new(LISTENER_NONCE).step(&facts(&b, COOKIE, &[]), dialler.hello());
    assert_eq!(
        step,
        Step::Refuse {
            refusal: Refusal::Garbage,
            detail: "there is no lane 3".into(),
            by: Side::Us
        }
    );
}
