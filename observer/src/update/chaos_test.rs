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
