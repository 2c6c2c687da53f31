#[path = "admin_test/bindings.rs"]
mod bindings;

use squall_kernel::membership::{MemberRefused, MemberResult};
use tonic::Code;

use super::super::fake::{FakeMeta, FakeNode};
use super::*;

fn service() -> (AdminService<FakeMeta, FakeNode>, Arc<FakeMeta>) {
    let meta = FakeMeta::new();
    (
        AdminService::new(Arc::clone(&meta), meta.registry.subscribe(), FakeNode::new()),
        meta,
    )
}

fn declaration(name: &str, strategy: &str) -> v1::DeclareExchangeRequest {
    v1::DeclareExchangeRequest {
        name: name.into(),
        strategy: strategy.into(),
        ..Default::default()
    }
}

async fn declare(
    service: &AdminService<FakeMeta, FakeNode>,
    request: v1::DeclareExchangeRequest,
) -> Result<v1::DeclareExchangeResponse, Status> {
    service
        .declare_exchange(Request::new(request))
        .await
        .map(Response::into_inner)
}

#[tokio::test]
async fn declaring_twice_changes_nothing_and_declaring_otherwise_is_refused() {
    let (service, _) = service();
    let first = declare(&service, declaration("orders", "consensus"))
        .await
        .expect("declared");
    assert!(first.created);
    let exchange = first.exchange.expect("an exchange");
    assert_eq!(
        (exchange.name.as_str(), exchange.pattern.as_str()),
        ("orders", "request-response")
    );
    assert!(
        !declare(&service, declaration("orders", "consensus"))
            .await
            .expect("the same")
            .created
    );
    let error = declare(&service, declaration("orders", "round-robin"))
        .await
        .expect_err("differs");
    assert_eq!(error.code(), Code::AlreadyExists);
    assert_eq!(
        error.message(),
        "exchange 'orders' is declared already with strategy 'consensus', not 'round-robin'"
    );
}

/// A4, A5, A30, B9: whatever the command line can declare, a client of any language can.
#[tokio::test]
async fn an_exchange_is_declared_with_all_its_settings_and_tells_them() {
    let (service, _) = service();
    let settings = v1::ExchangeSettings {
        mailbox: 9,
        when_full: "block".into(),
        middleware: vec!["log".into(), "auth".into()],
        ..Default::default()
    };
    let with = |settings: v1::ExchangeSettings, pattern: &str, name: &str| v1::DeclareExchangeRequest {
        pattern: pattern.into(),
        settings: Some(settings),
        ..declaration(name, if pattern == "task" { "" } else { "round-robin" })
    };
    let declared = declare(&service, with(settings.clone(), "request-response", "orders")).await;
    let exchange = declared.expect("declared").exchange.expect("an exchange");
    assert_eq!(exchange.settings, Some(settings));
    let tasks = v1::ExchangeSettings {
        when_full: "reject".into(),
        ttl_ms: 60_000,
        dedup_ms: 5_000,
        lease_ms: 30_000,
        attempts: 4,
        ordered: true,
        dead_letter: "complaints".into(),
        scheduler: "chooser".into(),
        ..Default::default()
    };
    let declared = declare(&service, with(tasks.clone(), "task", "mails")).await;
    let exchange = declared.expect("declared").exchange.expect("an exchange");
    assert_eq!(exchange.settings, Some(tasks.clone()));
    let error = declare(&service, with(tasks, "request-response", "calls"))
        .await
        .expect_err("tasks have them");
    assert!(
        error.message().contains("are for tasks only"),
        "{}",
        error.message()
    );
    let odd = v1::ExchangeSettings {
        when_full: "grow".into(),
        ..Default::default()
    };
    let error = declare(&service, with(odd, "request-response", "calls"))
        .await
        .expect_err("no such policy");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("drop-oldest"), "{}", error.message());
}

#[tokio::test]
async fn exchanges_are_listed_by_name_and_deleted_once() {
    let (service, _) = service();
    for name in ["users", "orders"] {
        declare(&service, declaration(name, "default"))
            .await
            .expect("declared");
    }
    let list = service
        .list_exchanges(Request::new(v1::ListExchangesRequest {}))
        .await
        .expect("a list");
    let list = list.into_inner();
    assert_eq!(
        list.exchanges.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(),
        ["orders", "users"]
    );
    assert_eq!(list.revision, 3);
    let delete = || v1::DeleteExchangeRequest { name: "users".into() };
    let gone = service
        .delete_exchange(Request::new(delete()))
        .await
        .expect("deleted")
        .into_inner();
    assert_eq!(gone.revision, 4);
    let error = service
        .delete_exchange(Request::new(delete()))
        .await
        .expect_err("gone");
    assert_eq!(
        (error.code(), error.message()),
        (Code::NotFound, "there is no exchange 'users'")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_declaration_is_named() {
    let (service, _) = service();
    let failover = |names: &[&str]| v1::DeclareExchangeRequest {
        failover: names.iter().map(|n| (*n).into()).collect(),
        ..declaration("x", "default")
    };
    let pattern = v1::DeclareExchangeRequest {
        pattern: "shout".into(),
        ..declaration("x", "default")
    };
    let news = v1::DeclareExchangeRequest {
        pattern: "publish-subscribe".into(),
        ..declaration("x", "default")
    };
    let table = [
        (
            news,
            "strategy: 'default' has no meaning with the pattern publish-subscribe: leave it out",
        ),
        (
            declaration("", "default"),
            "name: the exchange name needs at least one character",
        ),
        (
            declaration("a/b", "default"),
            "name: the exchange name has letters, digits, '.', '_' and '-' only",
        ),
        (
            declaration("x", "lottery\u{1b}"),
            "strategy: 'lottery\\u{1b}' is none; there are default, round",
        ),
        (declaration("x", ""), "strategy: '' is none"),
        (pattern, "pattern: 'shout' is none; there are request-response"),
        (
            failover(&["a", "b", "a"]),
            "failover: node 'a' stands in it twice",
        ),
        (failover(&["a b"]), "failover: the node name has letters"),
        (failover(&["a"; 65]), "failover: 65 names, at most 64 are allowed"),
    ];
    for (request, expected) in table {
        let error = declare(&service, request).await.expect_err(expected);
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn where_no_strategy_picks_handlers_none_is_taken_and_none_is_told() {
    let (service, _) = service();
    let mails = v1::DeclareExchangeRequest {
        pattern: "task".into(),
        ..declaration("mails", "")
    };
    for created in [true, false] {
        let declared = declare(&service, mails.clone()).await.expect("declared");
        assert_eq!(declared.created, created);
        let mails = declared.exchange.expect("an exchange");
        assert_eq!((mails.pattern.as_str(), mails.strategy.as_str()), ("task", ""));
    }
}

#[tokio::test]
async fn without_a_leader_a_change_is_unavailable_and_says_that_nothing_was_done() {
    let (service, meta) = service();
    let failed = ProposeResult::Failed {
        reason: "no quorum".into(),
    };
    *meta.answers.lock().expect("not poisoned") = vec![failed, ProposeResult::NotLeader { leader: None }];
    for words in [
        "not carried out: the cluster has no meta leader now",
        "not carried out: no quorum",
    ] {
        let error = declare(&service, declaration("users", "default"))
            .await
            .expect_err("no leader");
        assert_eq!((error.code(), error.message()), (Code::Unavailable, words));
    }
}

#[tokio::test]
async fn without_a_quorum_every_change_is_unavailable_and_says_what_to_do() {
    let (service, meta) = service();
    *meta.answers.lock().expect("not poisoned") = vec![ProposeResult::NoQuorum];
    let declared = declare(&service, declaration("users", "default"))
        .await
        .expect_err("no quorum");
    meta.members.lock().expect("not poisoned").0 = Some(MemberResult::NoQuorum);
    let request = v1::PromoteNodeRequest { node: "a".into() };
    let promoted = service
        .promote_node(Request::new(request))
        .await
        .expect_err("no quorum");
    for error in [declared, promoted] {
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().starts_with("unavailable: no quorum: "), "{error}");
        assert!(error.message().contains("docs/recovery.md"), "{error}");
    }
}

#[tokio::test]
async fn an_uncertain_change_says_so() {
    let (service, meta) = service();
    *meta.answers.lock().expect("not poisoned") = vec![ProposeResult::Unknown {
        reason: "cut off".into(),
    }];
    let error = declare(&service, declaration("orders", "default"))
        .await
        .expect_err("unknown");
    assert_eq!(error.code(), Code::Unknown);
    assert_eq!(
        error.message(),
        "it may or may not have been carried out: cut off"
    );
    assert_eq!(meta.registry.borrow().exchanges.len(), 0);
}

/// Never answers.
struct Silent;

impl Proposer for Silent {
    fn propose(&self, _: Command) -> BoxFuture<'_, ProposeResult> {
        Box::pin(std::future::pending())
    }
}

impl Membership for Silent {
    fn change(&self, _: MemberChange) -> BoxFuture<'_, MemberResult> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_a_deadline_exceeded() {
    let registry = FakeMeta::new().registry.subscribe();
    let service = AdminService::new(Arc::new(Silent), registry, FakeNode::new());
    let error = service
        .declare_exchange(Request::new(declaration("x", "default")))
        .await
        .expect_err("late");
    assert_eq!(error.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn nodes_are_listed_by_name() {
    let (service, _) = service();
    let nodes = service
        .list_nodes(Request::new(v1::ListNodesRequest {}))
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(
        nodes.members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(nodes.answered_by, "a");
}

fn voter(name: &str, critical: bool) -> v1::Member {
    v1::Member {
        role: v1::MetaRole::Voter as i32,
        quorum_critical: critical,
        ..super::super::fake::member(name)
    }
}

async fn drain(members: Vec<v1::Member>, request: v1::DrainNodeRequest) -> Status {
    let (meta, node) = (FakeMeta::new(), FakeNode::new());
    *node.members.lock().expect("not poisoned") = members;
    let service = AdminService::new(Arc::clone(&meta), meta.registry.subscribe(), node);
    service
        .drain_node(Request::new(request))
        .await
        .expect_err("refused")
}

#[tokio::test]
async fn the_last_voter_stays_and_a_quorum_critical_one_is_asked_about() {
    let request = |anyway, stay| v1::DrainNodeRequest {
        node: "a".into(),
        stay,
        anyway,
    };
    let alone = vec![voter("a", true), super::super::fake::member("b")];
    let error = drain(alone.clone(), request(true, false)).await;
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("is the last voter: promote"), "{error}");
    let error = drain(vec![voter("a", true), voter("b", true)], request(false, false)).await;
    assert!(error.message().contains("quorum-critical"), "{error}");
    // With leave given, or for a node that stays, it is the registry that decides: it knows no such node here.
    for (members, request) in [
        (vec![voter("a", true), voter("b", true)], request(true, false)),
        (alone, request(false, true)),
    ] {
        let error = drain(members, request).await;
        assert_eq!(error.code(), Code::NotFound, "{error}");
    }
}

#[tokio::test]
async fn changes_of_the_voters_give_who_votes_or_why_not() {
    let (service, meta) = service();
    let name = |n: &str| NodeName::new(n).expect("a name");
    let done = MemberResult::Done {
        voters: vec![name("c"), name("b")],
    };
    meta.members.lock().expect("not poisoned").0 = Some(done);
    let request = v1::PromoteNodeRequest { node: "c".into() };
    let changed = service
        .promote_node(Request::new(request))
        .await
        .expect("promoted")
        .into_inner();
    assert_eq!(
        (changed.changed, changed.voters),
        (true, vec!["b".into(), "c".into()])
    );
    let refused = MemberResult::Refused(MemberRefused::Up(name("c")));
    meta.members.lock().expect("not poisoned").0 = Some(refused);
    let request = v1::RemoveNodeRequest { node: "c".into() };
    let error = service.remove_node(Request::new(request)).await.expect_err("up");
    assert_eq!(
        (error.code(), error.message()),
        (
            Code::FailedPrecondition,
            "node 'c' is up; drain it first: `squall node drain c`"
        )
    );
    assert_eq!(
        meta.members.lock().expect("not poisoned").1,
        [MemberChange::Promote(name("c")), MemberChange::Remove(name("c"))]
    );
}

#[tokio::test]
async fn a_move_that_cannot_begin_says_why() {
    let (service, _) = service();
    declare(&service, declaration("orders", "default"))
        .await
        .expect("declared");
    let ask = |name: &str, node: &str| {
        Request::new(v1::MoveExchangeRequest {
            name: name.into(),
            node: node.into(),
        })
    };
    for (name, node, code, words) in [
        ("nothing", "b", Code::NotFound, "there is no exchange 'nothing'"),
        (
            "orders",
            "a b",
            Code::InvalidArgument,
            "node: the node name has letters",
        ),
        (
            "orders",
            "b",
            Code::FailedPrecondition,
            "'orders' has no owner now",
        ),
    ] {
        let error = service.move_exchange(ask(name, node)).await.expect_err(words);
        assert_eq!(error.code(), code);
        assert!(error.message().starts_with(words), "{error}");
    }
}

#[tokio::test]
async fn figures_are_those_of_the_answering_node() {
    let (service, _) = service();
    let ask = |name: &str| Request::new(v1::ExchangeFiguresRequest { name: name.into() });
    let figures = service.exchange_figures(ask("orders")).await.expect("figures");
    assert_eq!(
        (figures.get_ref().node.as_str(), figures.get_ref().requests),
        ("a", 7)
    );
    let error = service.exchange_figures(ask("users")).await.expect_err("none");
    assert_eq!(error.code(), Code::NotFound);
}

#[tokio::test]
async fn tasks_come_in_bounded_pages_and_a_refusal_says_who_has_them() {
    let (service, _) = service();
    let ask = |exchange: &str, limit| {
        Request::new(v1::ListTasksRequest {
            exchange: exchange.into(),
            limit,
            ..Default::default()
        })
    };
    let page = service.list_tasks(ask("mails", 0)).await.expect("a page");
    assert_eq!((page.get_ref().tasks.len(), page.get_ref().more), (100, false));
    let page = service.list_tasks(ask("mails", 1000)).await.expect("a page");
    assert_eq!(page.get_ref().tasks.len(), 1000);
    for (name, limit, code, words) in [
        (
            "mails",
            1001,
            Code::InvalidArgument,
            "limit: a page has at most 1000 tasks",
        ),
        ("a b", 1, Code::InvalidArgument, "name: "),
        ("users", 1, Code::NotFound, "there is no exchange 'users'"),
        (
            "orders",
            1,
            Code::FailedPrecondition,
            "the exchange 'orders' has no tasks",
        ),
        (
            "far",
            1,
            Code::FailedPrecondition,
            "the tasks of 'far' are at its owner, b",
        ),
        (
            "nowhere",
            1,
            Code::Unavailable,
            "not carried out: 'nowhere' has no owner now",
        ),
    ] {
        let error = service.list_tasks(ask(name, limit)).await.expect_err(words);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with(words), "{error}");
    }
}
