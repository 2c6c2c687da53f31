//! Tests of how bindings are named and shown.

use super::*;

fn parsed<A: clap::Args>(line: &str) -> Result<A, String> {
    let command = A::augment_args(clap::Command::new("x"));
    let words = std::iter::once("x").chain(line.split(' '));
    let matches = command
        .try_get_matches_from(words)
        .map_err(|error| error.to_string())?;
    A::from_arg_matches(&matches).map_err(|error| error.to_string())
}

#[test]
fn a_key_is_said_with_its_group_and_a_signature_stands_for_itself() {
    let args: BindArgs = parsed("orders k <b.7> --service-tag eu --rebind").expect("a command");
    assert!(args.rebind);
    assert_eq!(
        args.meant.by(&args.key),
        Binding::Key {
            key: b"k".to_vec(),
            service_tag: "eu".into()
        }
    );
    let args: UnbindArgs = parsed("orders 00000000deadbeef --signature").expect("a command");
    assert_eq!(
        args.meant.by(&args.key),
        Binding::Signature("00000000deadbeef".into())
    );
    let error = parsed::<UnbindArgs>("orders k --signature --service-tag eu").expect_err("both");
    assert!(error.contains("cannot be used with"), "{error}");
    let error = parsed::<ListArgs>("orders --limit 1001").expect_err("too many");
    assert!(error.contains("1001"), "{error}");
}

#[test]
fn what_was_done_is_one_line_and_one_object() {
    let args: BindArgs = parsed("orders k b.7").expect("a command");
    let mut bound = BindKeyResponse {
        signature: "00000000deadbeef".into(),
        handler: "<b.7>".into(),
        node: "b".into(),
        changed: true,
        from: "<a.1>".into(),
    };
    let tail = "; signature 00000000deadbeef";
    let line = |bound: &BindKeyResponse| args.line(bound);
    assert_eq!(
        line(&bound),
        format!("key k of orders is bound to <b.7> at node b, taken from <a.1>{tail}")
    );
    assert_eq!(args.document(&bound)["from"], "<a.1>");
    assert_eq!(args.document(&bound)["key"], "k");
    (bound.changed, bound.from) = (false, String::new());
    assert_eq!(
        line(&bound),
        format!("key k of orders is bound to <b.7> at node b already{tail}")
    );
    assert_eq!(args.document(&bound)["from"], Value::Null);

    let args: UnbindArgs = parsed("orders k --service-tag eu").expect("a command");
    let mut unbound = UnbindKeyResponse {
        signature: "00000000deadbeef".into(),
        changed: true,
        from: "<b.7>".into(),
    };
    assert_eq!(
        args.line(&unbound),
        "key k of group eu of orders is taken from <b.7>; its next request is bound anew"
    );
    assert_eq!(args.document(&unbound)["service_tag"], "eu");
    unbound.changed = false;
    assert!(args.line(&unbound).ends_with("is not bound: nothing changed"));
}

#[test]
fn a_page_is_a_table_with_the_way_to_the_next_one() {
    let args: ListArgs = parsed("orders").expect("a command");
    let page = ListBindingsResponse {
        bindings: vec![BindingInfo {
            signature: "00000000deadbeef".into(),
            handler: "<b.7>".into(),
            node: "b".into(),
            service_tag: String::new(),
        }],
        more: true,
        total: 17,
        signature: String::new(),
        incomplete: true,
    };
    let expected = "SIGNATURE         HANDLER  NODE  SERVICE TAG\n\
                    00000000deadbeef  <b.7>    b     -\n\
                    orders: 17 bindings\n\
                    its owner has just started: there may be others that it does not know yet\n\
                    there are more: --after 00000000deadbeef shows the next ones\n";
    assert_eq!(args.text(&page), expected);
    let document = args.document(&page);
    assert_eq!(document["bindings"][0]["service_tag"], Value::Null);
    assert_eq!(
        (&document["more"], &document["total"]),
        (&json!(true), &json!(17))
    );

    let args: ListArgs = parsed("orders --key k").expect("a command");
    let none = ListBindingsResponse {
        signature: "00000000deadbeef".into(),
        ..ListBindingsResponse::default()
    };
    let expected = "key k is not bound; its signature is 00000000deadbeef\norders: 0 bindings\n";
    assert_eq!(args.text(&none), expected);
}
