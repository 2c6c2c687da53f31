//! Tests of scripts: what they say, and what hostile ones cannot do.

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::id::{Boot, NodeId, Pid};

use super::*;
use crate::functions::Candidate;

fn pid(n: u32) -> Pid {
    Pid::new(NodeId(1), Boot(1), n)
}

fn run_with(source: &str, key: &str, payload: &[u8]) -> Result<Routed, Failed> {
    let handlers = (1..=3).map(|n| Candidate {
        pid: pid(n),
        text: format!("<a.{n}>"),
        service_tag: if n == 2 { "eu".into() } else { String::new() },
    });
    Script::compile(source).expect("a good script").route(&Question {
        key: &Bytes::copy_from_slice(key.as_bytes()),
        service_tag: &Bytes::from_static(b"gold"),
        request_tag: &Bytes::from_static(b"r"),
        payload: &Bytes::copy_from_slice(payload),
        handlers: &Arc::new(handlers.collect()),
    })
}

fn run(source: &str) -> Result<Routed, Failed> {
    run_with(source, "customer-7", b"hello")
}

fn fails(source: &str) -> String {
    run(source).expect_err("it must fail").0
}

#[test]
fn a_script_picks_groups_redirects_declines_and_signs() {
    assert_eq!(run("pick(1)"), Ok(Routed::pick(pid(2))));
    assert_eq!(run("group(\"eu\")"), Ok(Routed::group("eu")));
    assert_eq!(
        run("return decline(\"no: \" + key);"),
        Ok(Routed::decline("no: customer-7"))
    );
    let elsewhere = Choice::Redirect("other".parse().unwrap());
    assert_eq!(run("redirect(\"other\")"), Ok(Routed::to(elsewhere)));
    assert_eq!(run("payload_len"), Ok(Routed::signature(5)));
    let of_key = Routed::to(Choice::Signature(Signature::of_key(b"customer-7")));
    assert_eq!(run("key"), Ok(of_key.clone()));
    assert_eq!(run("sign(key)"), Ok(of_key));
}

#[test]
fn a_rewrite_goes_with_another_verdict_or_to_anybody_in_turn() {
    let changed = Bytes::from_static(b"hello!");
    assert_eq!(
        run("rewrite(payload.as_string() + \"!\").pick(0)"),
        Ok(Routed::pick(pid(1)).rewrite(changed.clone()))
    );
    assert_eq!(
        run("let p = payload; p.push(33); pick(0).rewrite(p)"),
        Ok(Routed::pick(pid(1)).rewrite(changed.clone()))
    );
    assert_eq!(run("rewrite(\"hello!\")"), Ok(Routed::group("").rewrite(changed)));
}

#[test]
fn a_script_sees_the_question_and_the_handlers() {
    let source = r#"
        fn eu(handlers) { for h in handlers { if h.service_tag == "eu" { return h; } } }
        let h = eu(handlers);
        if service_tag != "gold" || request_tag != "r" || handlers.len() != 3 { return decline("blind"); }
        if handlers[0].pid != "<a.1>" { return decline(handlers[0].pid); }
        pick(h.place)
    "#;
    assert_eq!(run(source), Ok(Routed::pick(pid(2))));
}

#[test]
fn a_large_payload_is_known_by_its_length_only() {
    let large = vec![0; PAYLOAD_SEEN_MAX + 1];
    let source = "if payload == () { group(\"\" + payload_len) } else { pick(0) }";
    assert_eq!(
        run_with(source, "", &large),
        Ok(Routed::group(&(PAYLOAD_SEEN_MAX + 1).to_string()))
    );
    assert_eq!(run(source), Ok(Routed::pick(pid(1))));
}

#[test]
fn a_broken_script_is_refused_with_line_and_column() {
    let Err(ScriptError::Broken { line, column, .. }) = check("let x = 1;\nlet y = ;\n") else {
        panic!("it is broken")
    };
    assert_eq!((line, column), (2, 9));
    assert_eq!(
        check(&" ".repeat(SCRIPT_BYTES_MAX + 1)),
        Err(ScriptError::TooLong {
            len: SCRIPT_BYTES_MAX + 1
        })
    );
}

#[test]
fn what_says_nothing_fails_with_words() {
    assert!(fails("()").contains("says nothing"));
    assert!(fails("true").contains("says nothing"));
    assert!(fails("pick(3)").contains("there are 3"));
    assert!(fails("pick(-1)").contains("there are 3"));
    assert!(fails("redirect(\"a/b\")").contains("redirected"));
    assert!(fails("handlers[7]").contains("script failed"));
    assert!(fails("no_such(1)").contains("no_such"));
    assert!(fails("1 / 0").contains("script failed"));
}

#[test]
fn hostile_scripts_end_soon() {
    for source in [
        "loop { }",
        "let n = 0; while true { n += 1; }",
        "fn f(x) { f(x + 1) } f(0)",
        "let s = \"x\"; loop { s += s; }",
        "let a = [0]; loop { a += a; }",
        "let b = blob(65536); loop { b += b; }",
        "let m = #{}; let i = 0; loop { m[\"k\" + i] = i; i += 1; }",
        "let s = \"x\"; s.pad(1000000000, 'y'); s",
        "let b = blob(1000000000); pick(0)",
        "let n = 0; for i in 0..1000000000 { n += i; }",
    ] {
        let why = fails(source);
        assert!(why.contains("script failed"), "{source}: {why}");
    }
    let deep = format!("{}1{}", "(".repeat(500), ")".repeat(500));
    assert!(matches!(check(&deep), Err(ScriptError::Broken { .. })));
}

#[test]
fn nothing_outside_is_in_reach() {
    for source in [
        "eval(\"1\")",
        "import \"std\" as s;",
        "timestamp()",
        "open(\"/etc/passwd\")",
        "rand()",
    ] {
        let refused = check(source).is_err() || run(source).is_err();
        assert!(refused, "{source}");
    }
}

#[test]
fn nothing_stays_from_one_run_to_the_next() {
    let script = "let n = 0; n += 1; n";
    assert_eq!(run(script), Ok(Routed::signature(1)));
    assert_eq!(run(script), Ok(Routed::signature(1)));
    assert!(
        check("key = \"other\"; key").is_err() || run("key = \"other\"; key").is_err(),
        "constants are constant"
    );
}
