use super::*;

fn figures(incarnation: u64, begun: u64, ended: u64, open: u64) -> Figures {
    Figures {
        incarnation,
        owned: None,
        passed: PassedFigures::default(),
        mailboxes: MailboxFigures::default(),
        books: Books {
            begun,
            ended,
            open,
            replies: ended,
            accepted: ended,
            ..Books::default()
        },
    }
}

fn answers(list: &[(&str, Figures)]) -> Answers {
    list.iter()
        .map(|(name, f)| ((*name).to_owned(), Ok(*f)))
        .collect()
}

#[test]
fn a_window_in_which_every_request_ended_once_or_is_open_is_clean() {
    let before = answers(&[("a", figures(1, 100, 98, 2)), ("b", figures(1, 0, 0, 0))]);
    let after = answers(&[("a", figures(1, 150, 147, 3)), ("b", figures(1, 20, 20, 0))]);
    let certificate = Certificate::between(&before, &after);
    assert!(certificate.is_clean() && certificate.balances());
    assert_eq!(certificate.books.begun, 70);
    let text = certificate.to_string();
    assert!(
        text.contains("lost 0 = 2 open before + 70 begun - 69 ended - 3 still open"),
        "{text}"
    );
    assert!(text.contains("counted on a, b"), "{text}");
}

#[test]
fn what_is_neither_ended_nor_open_is_lost() {
    let certificate = Certificate::between(
        &answers(&[("a", figures(1, 100, 98, 2))]),
        &answers(&[("a", figures(1, 150, 146, 3))]),
    );
    assert_eq!((certificate.lost(), certificate.is_clean()), (1, false));
    assert!(!certificate.balances());
}

#[test]
fn a_second_answer_is_a_doubled_delivery_and_an_uncertain_outcome_is_not_clean() {
    let before = answers(&[("a", figures(1, 0, 0, 0))]);
    let with = |change: &dyn Fn(&mut Books)| {
        let mut later = figures(1, 5, 5, 0);
        change(&mut later.books);
        Certificate::between(&before, &answers(&[("a", later)]))
    };
    let doubled = with(&|b| b.second = 2);
    assert_eq!((doubled.doubled(), doubled.is_clean()), (2, false));
    let uncertain = with(&|b| b.timeouts = 1);
    assert_eq!((uncertain.lost(), uncertain.is_clean()), (0, false));
    assert!(
        uncertain
            .to_string()
            .contains("not certain: 1 timed out or interrupted")
    );
    assert!(with(&|b| b.late = 3).is_clean(), "late answers double nothing");
}

#[test]
fn nodes_that_came_went_restarted_or_are_silent_are_named() {
    let node = figures(1, 0, 0, 0);
    let before = answers(&[("a", node), ("b", node), ("c", node)]);
    let mut after = answers(&[("a", node), ("b", figures(2, 0, 0, 0)), ("e", node)]);
    after.insert("c".into(), Err(OperatorError::Unavailable("no".into())));
    let certificate = Certificate::between(&before, &after);
    assert_eq!(certificate.nodes, ["a"]);
    assert_eq!(
        certificate.doubts,
        [
            Doubt::Restarted("b".into()),
            Doubt::Silent {
                node: "c".into(),
                why: "no".into()
            },
            Doubt::CameOrWent("e".into())
        ]
    );
    assert!(!certificate.is_clean());
}

#[test]
fn missing_counts_are_no_proof_of_innocence_and_no_accusation() {
    let before = answers(&[("a", figures(1, 0, 0, 0))]);
    let mut before = before;
    before.insert(
        "c".into(),
        Err(OperatorError::Unknown("no answer within 250ms".into())),
    );
    let silent = |a: Figures| {
        let mut after = answers(&[("a", a)]);
        after.insert(
            "c".into(),
            Err(OperatorError::Unavailable("it did not answer before".into())),
        );
        Certificate::between(&before, &after)
    };
    let certificate = silent(figures(1, 5, 5, 0));
    assert_eq!(
        (certificate.verdict(), certificate.is_clean()),
        (Verdict::NotCertain, false)
    );
    assert_eq!(
        certificate.conclusion(),
        "not certain: counts of c are missing; lost 0, doubled 0 in the others"
    );
    assert!(
        certificate
            .to_string()
            .contains("not certain: counts of 'c' are missing: no answer within 250ms"),
        "{certificate}"
    );
    let accused = silent(figures(1, 5, 4, 0));
    assert_eq!(accused.conclusion(), "lost 1, doubled 0: not clean");
}
