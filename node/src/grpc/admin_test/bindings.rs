//! Sticky bindings through the admin service.

use super::*;

/// A23.
#[tokio::test]
async fn bindings_come_in_bounded_pages_and_a_refusal_says_who_has_them() {
    let (service, _) = service();
    let ask = |exchange: &str, limit, after: &str| {
        Request::new(v1::ListBindingsRequest {
            exchange: exchange.into(),
            limit,
            after: after.into(),
            ..Default::default()
        })
    };
    let page = service.list_bindings(ask("sticky", 0, "")).await.expect("a page");
    let page = page.get_ref();
    assert_eq!((page.bindings.len(), page.more, page.total), (100, true, 2000));
    assert_eq!(page.bindings[0].signature, "000000000000feed");
    assert_eq!(page.bindings[0].service_tag, "eu");
    assert!(page.incomplete);
    for (name, limit, after, code, words) in [
        (
            "sticky",
            1001,
            "",
            Code::InvalidArgument,
            "limit: a page has at most 1000",
        ),
        (
            "sticky",
            1,
            "xyz",
            Code::InvalidArgument,
            "after: a signature has 16",
        ),
        (
            "sticky",
            1,
            "0000000000000000",
            Code::InvalidArgument,
            "after: a signature",
        ),
        ("a b", 1, "", Code::InvalidArgument, "name: "),
        ("users", 1, "", Code::NotFound, "there is no exchange 'users'"),
        (
            "orders",
            1,
            "",
            Code::FailedPrecondition,
            "the exchange 'orders' binds no keys",
        ),
        (
            "far",
            1,
            "",
            Code::FailedPrecondition,
            "the bindings of 'far' are at its owner, b",
        ),
        (
            "nowhere",
            1,
            "",
            Code::Unavailable,
            "not carried out: 'nowhere' has no owner now",
        ),
    ] {
        let error = service
            .list_bindings(ask(name, limit, after))
            .await
            .expect_err(words);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with(words), "{error}");
    }
}

/// A23.
#[tokio::test]
async fn a_change_of_a_binding_is_refused_in_doubt_or_nothing_new_by_code() {
    let (service, _) = service();
    let key = |key: &str, signature: &str| {
        Some(v1::BindingKey {
            key: key.to_owned().into(),
            signature: signature.into(),
            ..Default::default()
        })
    };
    let bind = |exchange: &str, binding, handler: &str, rebind| {
        Request::new(v1::BindKeyRequest {
            exchange: exchange.into(),
            binding,
            handler: handler.into(),
            rebind,
        })
    };
    for (request, code, words) in [
        (
            bind("sticky", None, "<a.7>", false),
            Code::InvalidArgument,
            "binding: it has to be named",
        ),
        (
            bind("sticky", key("k", ""), "", false),
            Code::InvalidArgument,
            "handler: a handler is named",
        ),
        (
            bind("sticky", key("k", "000000000000feed"), "<a.7>", false),
            Code::InvalidArgument,
            "signature: it stands for itself",
        ),
        (
            bind("sticky", key("k", ""), "<x.1>", false),
            Code::FailedPrecondition,
            "no handler <x.1>",
        ),
        (
            bind("sticky", key("k", ""), "<a.7>", false),
            Code::FailedPrecondition,
            "signature 000000000000feed of 'sticky' is bound to",
        ),
        (
            bind("sticky", key("k", ""), "<a.7>", true),
            Code::Unknown,
            "it may or may not have been carried out: the node of handler",
        ),
        (
            bind("full", key("k", ""), "<a.7>", true),
            Code::ResourceExhausted,
            "'full' has 65536 bindings",
        ),
    ] {
        let error = service.bind_key(request).await.expect_err(words);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with(words), "{error}");
    }
    let unbind = v1::UnbindKeyRequest {
        exchange: "sticky".into(),
        binding: key("k", ""),
    };
    let unbound = service
        .unbind_key(Request::new(unbind))
        .await
        .expect("nothing to do");
    assert!(!unbound.get_ref().changed);
}
