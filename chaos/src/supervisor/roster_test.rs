//! The roster's tables: order in, effects and phases out.

use super::*;

const PID: OsPid = OsPid(100);

fn at(ms: u64) -> Instant {
    Instant(ms * 1000)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn order(deed: Deed) -> Order {
    Order {
        node: "a".into(),
        deed,
        ttl: Span::from_ms(1000),
        expect: None,
    }
}

/// Nodes a and b, a running as [`PID`] since 0 ms.
fn running(policy: RestartPolicy) -> Roster {
    let mut roster = Roster::new(at(0), &[name("a"), name("b")], policy);
    assert_eq!(
        roster.tick(at(0)),
        [Effect::Start(name("a")), Effect::Start(name("b"))]
    );
    assert_eq!(roster.tick(at(0)), []);
    roster.started(at(0), &name("a"), PID);
    roster.started(at(0), &name("b"), OsPid(101));
    roster
}

fn phase(roster: &Roster) -> Phase {
    roster.child("a").unwrap().phase
}

#[test]
fn a_stopped_node_gets_a_grace_and_is_then_killed() {
    let mut roster = running(RestartPolicy::Never);
    let stop = order(Deed::Stop { stay_down: false });
    assert_eq!(roster.act(at(5), &stop), Ok(vec![Effect::Term(name("a"))]));
    let grace = END_GRACE.as_ms();
    assert_eq!(roster.next_timeout(), Some(at(5 + grace)));
    assert_eq!(roster.act(at(6), &stop), Ok(vec![]), "once is enough");
    assert!(roster.act(at(7), &order(Deed::Pause)).is_err());
    assert_eq!(roster.tick(at(5 + grace)), [Effect::Kill(name("a"))]);
    assert_eq!(roster.tick(at(6 + grace)), []);
    roster.exited(at(6 + grace), &name("a"), PID, crash("killed by SIGKILL"));
    let restart = Some(at(1006));
    assert_eq!(phase(&roster), Phase::Dead { restart });
}

#[test]
fn a_paused_node_is_thawed_to_be_stopped_and_one_that_ends_in_time_comes_back() {
    let mut roster = running(RestartPolicy::Backoff);
    roster.act(at(1), &order(Deed::Pause)).unwrap();
    let effects = roster.act(at(5), &order(Deed::Stop { stay_down: true }));
    assert_eq!(
        effects,
        Ok(vec![Effect::Term(name("a")), Effect::Thaw(name("a"))])
    );
    roster.exited(at(9), &name("a"), PID, crash("exited with code 0"));
    assert_eq!(phase(&roster), Phase::Dead { restart: None });
}

#[test]
fn a_killed_node_is_started_after_its_ttl() {
    let mut roster = running(RestartPolicy::Never);
    let effects = roster
        .act(at(5), &order(Deed::Kill { stay_down: false }))
        .unwrap();
    assert_eq!(effects, [Effect::Kill(name("a"))]);
    roster.exited(at(7), &name("a"), PID, crash("killed by SIGKILL"));
    assert_eq!(
        phase(&roster),
        Phase::Dead {
            restart: Some(at(1005))
        }
    );
    assert_eq!(roster.next_timeout(), Some(at(1005)));
    assert_eq!(roster.tick(at(1004)), []);
    assert_eq!(roster.tick(at(1005)), [Effect::Start(name("a"))]);
    roster.started(at(1006), &name("a"), OsPid(102));
    assert_eq!(roster.child("a").unwrap().starts, 2);
}

#[test]
fn a_node_killed_to_stay_down_stays_down_until_halt() {
    let mut roster = running(RestartPolicy::Backoff);
    roster.act(at(5), &order(Deed::Kill { stay_down: true })).unwrap();
    roster.exited(at(7), &name("a"), PID, crash("killed"));
    assert_eq!(
        (phase(&roster), roster.next_timeout()),
        (Phase::Dead { restart: None }, None)
    );
    assert_eq!(
        roster.halt(at(9)),
        (vec![Effect::Start(name("a"))], vec![name("a")])
    );
}

#[test]
fn a_pause_ends_at_its_deadline_and_a_second_pause_moves_it() {
    let mut roster = running(RestartPolicy::Never);
    let effects = roster.act(at(0), &order(Deed::Pause)).unwrap();
    assert_eq!(effects, [Effect::Pause(name("a"), Span::from_ms(1000))]);
    roster.act(at(500), &order(Deed::Pause)).unwrap();
    assert_eq!(roster.tick(at(1499)), []);
    assert_eq!(roster.tick(at(1500)), [Effect::Thaw(name("a"))]);
    assert_eq!(phase(&roster), Phase::Running { pid: PID });
}

#[test]
fn resume_thaws_a_paused_node_and_leaves_a_running_one_alone() {
    let mut roster = running(RestartPolicy::Never);
    assert_eq!(roster.act(at(0), &order(Deed::Resume)), Ok(vec![]));
    roster.act(at(0), &order(Deed::Pause)).unwrap();
    assert_eq!(
        roster.act(at(1), &order(Deed::Resume)),
        Ok(vec![Effect::Thaw(name("a"))])
    );
}

#[test]
fn a_paused_node_can_be_killed() {
    let mut roster = running(RestartPolicy::Never);
    roster.act(at(0), &order(Deed::Pause)).unwrap();
    let effects = roster
        .act(at(1), &order(Deed::Kill { stay_down: false }))
        .unwrap();
    assert_eq!(effects, [Effect::Kill(name("a"))]);
    assert_eq!(
        phase(&roster),
        Phase::Dying {
            pid: PID,
            restart: Some(at(1001))
        }
    );
}

#[test]
fn restart_kills_first_and_starts_when_the_end_is_seen() {
    let mut roster = running(RestartPolicy::Never);
    assert_eq!(
        roster.act(at(3), &order(Deed::Restart)),
        Ok(vec![Effect::Kill(name("a"))])
    );
    assert_eq!(roster.tick(at(4)), []);
    roster.exited(at(5), &name("a"), PID, crash("killed"));
    assert_eq!(roster.tick(at(5)), [Effect::Start(name("a"))]);
}

#[test]
fn restart_starts_a_dead_node_at_once() {
    let mut roster = running(RestartPolicy::Never);
    roster.exited(at(5), &name("a"), PID, crash("exited with code 5"));
    assert_eq!(
        roster.act(at(6), &order(Deed::Restart)),
        Ok(vec![Effect::Start(name("a"))])
    );
    assert_eq!(roster.tick(at(6)), []);
}

#[test]
fn a_child_that_ends_by_itself_is_started_again_only_by_policy_with_a_doubling_pause() {
    let mut never = running(RestartPolicy::Never);
    never.exited(at(1), &name("a"), PID, crash("exited with code 1"));
    assert_eq!(phase(&never), Phase::Dead { restart: None });

    let mut backoff = running(RestartPolicy::Backoff);
    let mut now = 1;
    for pause in [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
        backoff.exited(at(now), &name("a"), PID, crash("exited with code 1"));
        assert_eq!(
            phase(&backoff),
            Phase::Dead {
                restart: Some(at(now + pause))
            }
        );
        now += pause;
        assert_eq!(backoff.tick(at(now)), [Effect::Start(name("a"))]);
        backoff.started(at(now), &name("a"), PID);
    }
    backoff.exited(at(now + 10_000), &name("a"), PID, crash("exited with code 1"));
    assert_eq!(
        phase(&backoff),
        Phase::Dead {
            restart: Some(at(now + 10_200))
        }
    );
}

#[test]
fn orders_that_make_no_sense_are_refused_with_the_reason() {
    let mut roster = running(RestartPolicy::Never);
    let known = vec!["a".to_owned(), "b".to_owned()];
    let unknown = Order {
        node: "z".into(),
        ..order(Deed::Pause)
    };
    assert_eq!(
        roster.act(at(0), &unknown),
        Err(Refused::UnknownNode {
            node: "z".into(),
            known
        })
    );
    let other = Order {
        expect: Some(OsPid(7)),
        ..order(Deed::Restart)
    };
    let refused = Refused::OtherPid {
        node: name("a"),
        expected: 7,
        actual: 100,
    };
    assert_eq!(roster.act(at(0), &other), Err(refused));
    let long = Order {
        ttl: Span::from_ms(3_600_001),
        ..order(Deed::Pause)
    };
    assert_eq!(
        roster.act(at(0), &long),
        Err(Refused::TtlTooLong { asked_s: 3600 })
    );
    roster.exited(at(0), &name("a"), PID, crash("exited with code 5"));
    for deed in [Deed::Kill { stay_down: false }, Deed::Pause, Deed::Resume] {
        let refused = Refused::NotRunning {
            node: name("a"),
            last_exit: "exited with code 5".into(),
        };
        assert_eq!(roster.act(at(1), &order(deed)), Err(refused));
    }
    // Whoever saw it run may start it again: there is no other process that could be hit.
    let seen = Order {
        expect: Some(OsPid(100)),
        ..order(Deed::Restart)
    };
    assert_eq!(roster.act(at(1), &seen), Ok(vec![Effect::Start(name("a"))]));
}

#[test]
fn a_ttl_of_zero_means_the_default() {
    let mut roster = running(RestartPolicy::Never);
    let order = Order {
        ttl: Span::ZERO,
        ..order(Deed::Pause)
    };
    assert_eq!(
        roster.act(at(0), &order),
        Ok(vec![Effect::Pause(name("a"), TTL_DEFAULT)])
    );
}

#[test]
fn halt_thaws_the_paused_starts_the_dead_and_lets_the_dying_return() {
    let names = [name("a"), name("b"), name("c"), name("d")];
    let mut roster = Roster::new(at(0), &names, RestartPolicy::Never);
    roster.tick(at(0));
    for (name, pid) in names.iter().zip(1..) {
        roster.started(at(0), name, OsPid(pid));
    }
    let on = |node: &str, deed| Order {
        node: node.into(),
        ..order(deed)
    };
    roster.act(at(0), &on("a", Deed::Pause)).unwrap();
    roster
        .act(at(0), &on("b", Deed::Kill { stay_down: true }))
        .unwrap();
    roster.exited(at(0), &name("c"), OsPid(3), crash("killed"));
    let (effects, undone) = roster.halt(at(1));
    assert_eq!(effects, [Effect::Thaw(name("a")), Effect::Start(name("c"))]);
    assert_eq!(undone, [name("a"), name("b"), name("c")]);
    roster.exited(at(2), &name("b"), OsPid(2), crash("killed"));
    assert_eq!(roster.tick(at(2)), [Effect::Start(name("b"))]);
}

#[test]
fn the_end_asks_first_and_forces_what_is_left() {
    let mut roster = running(RestartPolicy::Backoff);
    roster.act(at(0), &order(Deed::Pause)).unwrap();
    let effects = roster.end(at(10));
    assert_eq!(
        effects,
        [
            Effect::Term(name("a")),
            Effect::Thaw(name("a")),
            Effect::Term(name("b"))
        ]
    );
    assert_eq!(roster.act(at(11), &order(Deed::Restart)), Err(Refused::Ending));
    roster.exited(at(12), &name("a"), PID, crash("exited with code 0"));
    assert_eq!(
        (roster.ended(), roster.next_timeout()),
        (false, Some(at(10) + END_GRACE))
    );
    assert_eq!(roster.tick(at(10) + END_GRACE), [Effect::Kill(name("b"))]);
    roster.exited(at(4000), &name("b"), OsPid(101), crash("killed"));
    assert_eq!((roster.ended(), roster.next_timeout()), (true, None));
}

#[test]
fn the_end_of_an_earlier_process_is_not_the_end_of_the_node() {
    let mut roster = running(RestartPolicy::Never);
    roster.exited(at(1), &name("a"), OsPid(99), crash("killed"));
    assert_eq!(phase(&roster), Phase::Running { pid: PID });
}

fn crash(how: &str) -> Exit {
    Exit {
        how: how.into(),
        in_order: false,
    }
}

#[test]
fn a_child_that_left_in_order_is_not_started_again() {
    let mut backoff = running(RestartPolicy::Backoff);
    let exit = Exit {
        how: "left in order".into(),
        in_order: true,
    };
    backoff.exited(at(1), &name("a"), PID, exit);
    assert_eq!(phase(&backoff), Phase::Dead { restart: None });
    assert_eq!(
        backoff.child("a").map(|c| c.last_exit.as_str()),
        Some("left in order")
    );
}
