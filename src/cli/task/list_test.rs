//! Tests of how tasks are shown.

use super::*;

fn mails() -> ExchangeName {
    ExchangeName::new("mails").expect("a name")
}

fn in_hand() -> TaskInfo {
    TaskInfo {
        task: (1 << 32) + 7,
        name: "1.7".into(),
        state: TaskState::InHand as i32,
        key: "user.7".into(),
        attempts: 2,
        attempts_max: 5,
        worker: "<b.1:4>".into(),
        lease: "1.9".into(),
        left_ms: 1500,
        said: "no\troute\u{1b}[2J".into(),
        ..TaskInfo::default()
    }
}

#[test]
fn a_task_in_hand_tells_its_worker_and_what_is_left_of_its_lease() {
    let page = ListTasksResponse {
        tasks: vec![in_hand()],
        more: true,
        figures: Some(TaskFigures {
            in_hand: 1,
            waiting: 3,
            workers: 1,
            backup: "c".into(),
            doubled: true,
            ..TaskFigures::default()
        }),
    };
    let expected = "TASK  STATE    KEY     PRIORITY  ATTEMPTS  WORKER   LEASE  LEFT  SAID\n\
                    1.7   in hand  user.7  0         2/5       <b.1:4>  1.9    1.5s  no route\\u{1b}[2J\n\
                    mails: 3 waiting, 1 in hand, 0 dead; 1 worker; second copy at c\n\
                    there are more: --after 1.7 shows the next ones\n";
    assert_eq!(text(&mails(), false, &page), expected);
    let document = document(&mails(), &page);
    assert_eq!(document["tasks"][0]["left_ms"], 1500);
    assert_eq!(document["tasks"][0]["reason"], Value::Null);
    assert_eq!(document["figures"]["backup"], "c");
    assert_eq!(document["more"], true);
}

#[test]
fn a_dead_letter_tells_why() {
    let letter = TaskInfo {
        state: TaskState::Dead as i32,
        reason: "attempts used up".into(),
        said: "x".repeat(100),
        to_forward: true,
        ..in_hand()
    };
    let text = dead_letters(&[letter]);
    assert!(
        text.contains("2/5       not yet    attempts used up  xxx"),
        "{text}"
    );
    assert!(text.ends_with("xx…\n"), "{text}");
}

#[test]
fn an_empty_queue_is_one_line() {
    let empty = ListTasksResponse {
        figures: Some(TaskFigures::default()),
        ..ListTasksResponse::default()
    };
    let line = "mails: 0 waiting, 0 in hand, 0 dead; 0 workers; no second copy\n";
    assert_eq!(text(&mails(), true, &empty), line);
}

#[test]
fn a_tasks_number_is_written_with_a_dot() {
    assert_eq!("3.17".parse(), Ok(Number(TaskId((3 << 32) + 17))));
    for wrong in ["", "7", "1.", ".1", "1.x", "1.2.3", "-1.2", "4294967296.1"] {
        let error = wrong.parse::<Number>().expect_err(wrong);
        assert!(error.contains("is not a task"), "{error}");
    }
}
