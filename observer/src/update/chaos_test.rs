//! Breaking things from the screen: what is asked first, and when it is left alone.

use super::*;

fn stage(m: &Model) -> Option<&Stage> {
    match &m.overlay {
        Overlay::Chaos(dialog) => Some(&dialog.stage),
        _ => None,
    }
}

#[test]
fn without_a_console_nothing_can_be_broken() {
    let mut m = model(false);
    assert!(keys(&mut m, "x").is_empty());
    assert!(matches!(&m.overlay, Overlay::Notice { text, .. } if text.contains("--chaos")));
    keys(&mut m, "\u{1b}");
    assert!(keys(&mut m, "H").is_empty());
}

#[test]
fn a_kill_wants_the_name_typed() {
    let mut m = model(true);
    keys(&mut m, "jx\n");
    assert_eq!(stage(&m), Some(&Stage::Typing(String::new())));
    assert!(keys(&mut m, "a\n").is_empty(), "the wrong name fires nothing");
    press(&mut m, KeyCode::Backspace);
    let cmds = keys(&mut m, "b\n");
    assert!(
        matches!(&cmds[..], [Cmd::Fire(Order { fault, target, expect_os_pid: Some(12), .. }, _)] if fault == "kill" && target == "b")
    );
    update(&mut m, Message::Fired(Ok("killed b".to_owned())));
    assert_eq!(stage(&m), Some(&Stage::Done(Ok("killed b".to_owned()))));
    keys(&mut m, "\u{1b}");
    assert_eq!(m.overlay, Overlay::None);
}

#[test]
fn other_orders_want_a_second_enter() {
    let mut m = model(true);
    keys(&mut m, "jx");
    press(&mut m, KeyCode::Right);
    assert!(keys(&mut m, "\n").is_empty());
    assert_eq!(stage(&m), Some(&Stage::Confirm));
    assert!(matches!(
        &keys(&mut m, "\n")[..],
        [Cmd::Fire(Order { fault, .. }, _)] if fault == "pause"
    ));
}

#[test]
fn a_target_that_changed_meanwhile_is_left_alone() {
    let mut m = model(true);
    keys(&mut m, "jx\nb");
    update(&mut m, fed("b", 99));
    assert!(keys(&mut m, "\n").is_empty());
    assert!(matches!(stage(&m), Some(Stage::Done(Err(why))) if why.contains("process 12 is 99")));
}

#[test]
fn a_link_is_broken_from_the_mesh() {
    let mut m = model(true);
    keys(&mut m, "2x");
    for _ in 0..2 {
        press(&mut m, KeyCode::Down);
    }
    press(&mut m, KeyCode::Right);
    let cmds = keys(&mut m, "\n\n");
    let Some(Cmd::Fire(order, _)) = cmds.last() else {
        panic!("{cmds:?}")
    };
    assert_eq!(
        (order.fault.as_str(), order.target.as_str(), order.ttl.as_secs()),
        ("delay 200000us ±50000us", "a -> b", 30)
    );
}

#[test]
fn a_link_loses_what_the_dialog_says() {
    let mut m = model(true);
    keys(&mut m, "2x");
    // From delay to loss, and from 5% to 10%.
    press(&mut m, KeyCode::Right);
    press(&mut m, KeyCode::Down);
    press(&mut m, KeyCode::Right);
    let cmds = keys(&mut m, "\n\n");
    let Some(Cmd::Fire(order, _)) = cmds.last() else {
        panic!("{cmds:?}")
    };
    assert_eq!(
        (order.fault.as_str(), order.target.as_str()),
        ("loss 10%", "a -> b")
    );
}

#[test]
fn the_answer_of_a_closed_dialog_is_still_shown() {
    let mut m = model(true);
    update(
        &mut m,
        Message::Fired(Err(ConsoleError::Refused("no\u{1b}pe".to_owned()))),
    );
    assert!(matches!(&m.overlay, Overlay::Notice { text, bad: true, .. } if text == "no␛pe"));
}

const RATE: Known = Known {
    form: "rate SIZE/s",
    example: "rate 64kB/s",
    on_links: true,
    does: "so many bytes a second",
};

fn fired(cmds: &[Cmd]) -> (&str, &str) {
    match cmds.last() {
        Some(Cmd::Fire(order, _)) => (&order.fault, &order.target),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whatever_the_console_knows_is_offered_and_can_be_written_in_ones_own_words() {
    let mut m = model(true);
    m.faults = vec![
        RATE,
        Known {
            example: "cut",
            ..RATE
        },
        Known {
            example: "burn 2 threads",
            on_links: false,
            ..RATE
        },
    ];
    keys(&mut m, "2x");
    // Behind delay, loss and cut, which have forms of their own.
    (0..9).for_each(|_| drop(press(&mut m, KeyCode::Right)));
    assert_eq!(fired(&keys(&mut m, "\n\n")), ("rate 64kB/s", "a -> b"));
    update(&mut m, Message::Fired(Ok("done".to_owned())));
    keys(&mut m, "\u{1b}x");
    (0..3).for_each(|_| drop(press(&mut m, KeyCode::Right)));
    keys(&mut m, "e");
    assert_eq!(stage(&m), Some(&Stage::Writing("rate 64kB/s".to_owned())));
    press(&mut m, KeyCode::Backspace);
    press(&mut m, KeyCode::Backspace);
    keys(&mut m, "/s qh\n");
    assert_eq!(
        fired(&keys(&mut m, "\n\n")),
        ("rate 64kB/s qh", "a -> b"),
        "the console says what is wrong with it"
    );
}

#[test]
fn painted_links_are_aimed_at_together() {
    let mut m = model(true);
    assert!(
        keys(&mut m, "m").is_empty() && m.painted.is_empty(),
        "the Overview has no links"
    );
    update(&mut m, fed("c", 13));
    keys(&mut m, "2mlm");
    assert_eq!(m.painted.len(), 2);
    keys(&mut m, "x");
    assert_eq!(fired(&keys(&mut m, "\n\n")).1, "a -> b; a -> c");
    update(&mut m, Message::Fired(Ok("done".to_owned())));
    keys(&mut m, "\u{1b}m");
    assert_eq!(m.painted.len(), 1, "a second time takes the paint away");
}

#[test]
fn roles_and_shapes_are_offered_and_no_single_process_is_meant_by_them() {
    let mut m = model(true);
    keys(&mut m, "2x");
    // Delay, time, whom.
    (0..3).for_each(|_| drop(press(&mut m, KeyCode::Down)));
    (0..2).for_each(|_| drop(press(&mut m, KeyCode::Right)));
    assert_eq!(fired(&keys(&mut m, "\n\n")).1, "a -> rest");
    update(&mut m, Message::Fired(Ok("done".to_owned())));
    keys(&mut m, "\u{1b}1x");
    press(&mut m, KeyCode::Right);
    (0..2).for_each(|_| drop(press(&mut m, KeyCode::Down)));
    (0..9).for_each(|_| drop(press(&mut m, KeyCode::Right)));
    let cmds = keys(&mut m, "\n\n");
    assert_eq!(fired(&cmds), ("pause", "all"));
    assert!(matches!(cmds.last(), Some(Cmd::Fire(order, _)) if order.expect_os_pid.is_none()));
}

#[test]
fn how_much_of_a_fault_there_is_can_be_changed_while_it_acts() {
    let mut m = model(true);
    keys(&mut m, "2x");
    assert_eq!(fired(&keys(&mut m, "\n\n")).0, "delay 200000us ±50000us");
    update(&mut m, Message::Fired(Ok("delay a -> b".to_owned())));
    assert_eq!(
        fired(&press(&mut m, KeyCode::Right)).0,
        "delay 500000us ±125000us"
    );
    assert_eq!(stage(&m), Some(&Stage::Running));
    update(&mut m, Message::Fired(Ok("delay a -> b".to_owned())));
    assert_eq!(fired(&press(&mut m, KeyCode::Left)).0, "delay 200000us ±50000us");
    update(
        &mut m,
        Message::Fired(Err(ConsoleError::Refused("no".to_owned()))),
    );
    assert!(
        press(&mut m, KeyCode::Right).is_empty(),
        "what was refused does not act"
    );
}
