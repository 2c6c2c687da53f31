//! Tests of scripts: what they say, and what hostile ones cannot do.

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::id::{Boot, NodeId, Pid};

use super::*;
use crate::functions::Candidate;

fn pid(n: u32) -> Pid {
    Pid::new(NodeId(1), Boot(1), n)
}

/// What a question is made of.
type Parts = (Bytes, Bytes, Bytes, Bytes, Arc<Vec<Candidate>>);

fn parts(key: &str, payload: &[u8]) -> Parts {
    let handlers = (1..=3).map(|n| Candidate {
        pid: pid(n),
        text: format!("<a.{n}>"),
        service_tag: if n == 2 { "eu".into() } else { String::new() },
    });
    (
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::from_static(b"gold"),
        Bytes::from_static(b"r"),
        Bytes::copy_from_slice(payload),
        Arc::new(handlers.collect()),
    )
}

fn any() -> Parts {
    parts("customer-7", b"hello")
}

fn question_of(parts: &Parts) -> Question<'_> {
    let (key, service_tag, request_tag, payload, handlers) = parts;
    Question {
        key,
        service_tag,
        request_tag,
        payload,
        handlers,
    }
}

fn run_with(source: &str, key: &str, payload: &[u8]) -> Result<Routed, Failed> {
    let script = Script::compile(source).expect("a good script");
    script.route(&question_of(&parts(key, payload)))
}

fn run(source: &str) -> Result<Routed, Failed> {
    run_with(source, "customer-7", b"hello")
}

fn fails(source: &str) -> String {
    match run(source) {
        Err(failed) => failed.0,
        Ok(routed) => panic!("{source} must fail: {routed:?}"),
    }
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
        run("let p = payload; p = p.part(0, 5) + \"!\"; pick(0).rewrite(p)"),
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

/// Programs that try for more than their share: of operations, of memory, of time in one operation.
const GREEDY: [&str; 16] = [
    "loop { }",
    "let n = 0; while true { n += 1; }",
    "fn f(x) { f(x + 1) } f(0)",
    "let s = \"x\"; loop { s += s; }",
    "let a = [0]; loop { a += a; }",
    "let a = [0]; loop { a = a + a; }",
    "let a = [0]; loop { a = [a, a]; }",
    "let s = \"x\"; loop { s = `${s}${s}`; }",
    "let p = payload; loop { p = p + payload; }",
    "let p = payload; loop { p = p + \"x\"; }",
    "let n = 0; for i in 0..1000000000 { n += i; }",
    "let n = 0; for i in -9223372036854775808..=9223372036854775807 { n = i; }",
    "let s = \"\"; for i in 0..2000 { s += ' '; } loop { s.to_upper(); }",
    "let s = \"\"; for i in 0..500 { s += \"a,\"; } s.split(\",\")",
    "while true { try { loop { } } catch { } }",
    "fn g() { throw `${[key, key, key]}` } while true { try { g(); } catch (e) { } }",
];

#[test]
fn hostile_scripts_end_by_operations_or_size() {
    for source in GREEDY {
        let why = fails(source);
        assert!(why.contains("script failed"), "{source}: {why}");
    }
    let deep = format!("{}1{}", "(".repeat(500), ")".repeat(500));
    assert!(matches!(check(&deep), Err(ScriptError::Broken { .. })));
}

/// One operation copies a whole list or map. So each is small, with all that is in it, whichever way it was made.
#[test]
fn what_one_operation_copies_is_small() {
    let wide = format!("let a = [{}]; pick(0)", "0,".repeat(65));
    assert!(check(&wide).is_err() || fails(&wide).contains("array"));
    let entries: String = (0..33).map(|n| format!("k{n}: 0,")).collect();
    let many = format!("let m = #{{{entries}}}; pick(0)");
    assert!(check(&many).is_err() || fails(&many).contains("map"));
    for source in [
        "let a = []; for i in 0..65 { a += [i]; } pick(0)",
        "let a = []; for i in 0..65 { a += i; } pick(0)",
        "let a = []; for i in 0..64 { a += [i]; } a += [[], []]; pick(0)",
        "let a = []; for i in 0..65 { a = a + [i]; } pick(0)",
        "let a = []; for i in 0..5 { a += [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]; } pick(0)",
        "let a = [0]; for i in 0..65 { a = [a]; } pick(0)",
        "let a = [0]; for i in 0..65 { a = #{ a: a }; } pick(0)",
        "let s = \"0123456789abcdef\"; for i in 0..8 { s += s; } pick(0)",
        "let s = \"0123456789abcdef\"; let a = []; for i in 0..60 { a += [s + s + s]; } pick(0)",
    ] {
        let why = fails(source);
        assert!(
            why.contains("too large") || why.contains("exceeds"),
            "{source}: {why}"
        );
    }
}

#[test]
fn a_part_of_a_value_is_never_assigned_to() {
    for source in [
        "let a = [0]; let b = a; a[0] = b;",
        "let a = [0]; (a[0]) = 1;",
        "let a = [[0]]; a[0][0] += [1];",
        "let m = #{}; m.x = 1;",
        "let m = #{}; m[\"x\"] = m;",
        "fn put(v) { this = v; } let a = [0]; a[0].put(a);",
        "fn put(v) { this[0] = v; } let a = [0]; a.put(a);",
        "fn f(a) { for i in 0..2 { switch i { 0 => a[0] = 1, _ => 3 } } } f([0])",
        "let a = [0]; let b = { a[0] = a; 1 } + 1;",
        "let a = [0]; pick({ a[0] = a; 1 })",
        "let a = [0]; let x = [{ a[0] = a; 1 }]; let y = #{ k: { a[0] = a; 1 } };",
        "let a = [0]; let x = `${{ a[0] = a; 1 }}`;",
        "let a = [0]; key.len({ a[0] = a; 1 })",
        "let a = [0]; if 1 == { a[0] = a; 1 } { }",
        "let a = [0]; try { a[0] = a; } catch { }",
        "let a = [0]; return { a[0] = a; 1 };",
        "let a = [0]; a[{ a[0] = a; 0 }]",
        "let a = [0]; do { a[0] = a; } while false;",
    ] {
        assert!(
            matches!(check(source), Err(ScriptError::Broken { ref what, .. }) if what == PART_ASSIGNED),
            "{source}: {:?}",
            check(source)
        );
    }
}

/// All that packages of the language offer and that scripts must not have: what waits, reads a clock, prints, ends the
/// run, reads text as a program or as data, changes a list in place, or makes something of a size that is only known then.
const FORBIDDEN: [&str; 75] = [
    "sleep",
    "exit",
    "parse_json",
    "set_tag",
    "tag",
    "take",
    "get_fn_metadata_list",
    "timestamp",
    "elapsed",
    "now",
    "print",
    "debug",
    "to_debug",
    "eval",
    "call",
    "curry",
    "Fn",
    "name",
    "is_anonymous",
    "rand",
    "open",
    "exec",
    "spawn",
    "import",
    "export",
    "blob",
    "to_blob",
    "to_array",
    "to_json",
    "chars",
    "push",
    "append",
    "insert",
    "pad",
    "pop",
    "shift",
    "remove",
    "reverse",
    "truncate",
    "chop",
    "drain",
    "retain",
    "splice",
    "extract",
    "crop",
    "clear",
    "fill_with",
    "set",
    "get",
    "mixin",
    "values",
    "range",
    "steps",
    "bits",
    "get_bits",
    "set_bits",
    "sort",
    "order",
    "map",
    "filter",
    "reduce",
    "reduce_rev",
    "for_each",
    "find",
    "find_map",
    "index_of_filter",
    "some",
    "all",
    "dedup",
    "zip",
    "order_by",
    "sort_by",
    "make_upper",
    "make_lower",
    "as_blob",
];

#[test]
fn what_waits_prints_ends_or_grows_is_not_there_to_be_called() {
    let values = [
        "1", "\"x\"", "'x'", "[1]", "#{a: 1}", "payload", "handlers", "true", "()", "pick(0)", "0..3",
    ];
    for name in FORBIDDEN {
        let mut calls = vec![format!("{name}()")];
        for value in values {
            calls.push(format!("{name}({value})"));
            calls.push(format!("let v = {value}; v.{name}()"));
            calls.push(format!("let v = {value}; v.{name}"));
            calls.push(format!("Fn(\"{name}\").call({value})"));
            for second in ["1", "\"x\"", "0..3"] {
                calls.push(format!("{name}({value}, {second})"));
                calls.push(format!("let v = {value}; v.{name}({second}, 1)"));
            }
        }
        for source in calls {
            let Ok(script) = Script::compile(&source) else {
                continue;
            };
            // A map has no such entry, which is `()`.
            let of_a_map = source.starts_with("let v = #{") && !source.ends_with(')');
            let why = format!("{:?}", script.route(&question_of(&any())));
            let absent = [
                "Function not found",
                "Unknown property",
                "Variable not found",
                "getter",
            ];
            assert!(
                of_a_map || absent.iter().any(|word| why.contains(word)),
                "{source}: {why}"
            );
        }
    }
}

#[test]
fn nothing_outside_is_in_reach() {
    for source in [
        "import \"std\" as s;",
        "let f = |x| x + 1; f.call(1)",
        "fn f() { 1 } let g = f; g.call()",
        "let x = 1; x.tag = 5;",
    ] {
        let refused = check(source).is_err() || run(source).is_err();
        assert!(refused, "{source}");
    }
}

#[test]
fn the_words_of_the_language_do_what_the_documents_say() {
    for (source, says) in [
        ("min(3, 2) + max(3, 4) + abs(-5)", 11),
        ("parse_int(\" 42 \") + 'a'.to_int()", 139),
        ("\"grün\".len + \"grün\".len() + \"grün\".bytes()", 13),
        ("\"a.b.c\".split(\".\").len", 3),
        ("\"abc\".index_of(\"c\") + \"abc\".index_of(\"x\")", 1),
        (
            "parse_int(\"x123\".sub_string(1)) + parse_int(\"x123\".sub_string(-2, 1))",
            125,
        ),
        ("[1, 2].len + #{a: 1}.len() + #{a: 1, b: 2}.keys().len()", 5),
        ("let n = 0; for x in [1, 2, 3] + [4] { n += x; } n", 10),
        (
            "let n = 0; for i in 0..3 { n += i; } for i in 0..=3 { n += i; } n",
            9,
        ),
        ("#{ \"customer-7\": 5 }[key]", 5),
        ("payload[1] + payload.len + payload.part(3, 99).len()", 108),
        ("(payload.part(0, 1) + \"x\" + payload.part(4, 1))[2]", 111),
        ("const SIZES = [1, 2, 3]; SIZES[handlers.len - 1]", 3),
    ] {
        assert_eq!(run(source), Ok(Routed::signature(says)), "{source}");
    }
    for source in [
        "key.starts_with(\"cust\") && key.ends_with(\"7\") && key.contains(\"-\")",
        "\"er-\" in key && 'c' in key && \"a\" in #{a: 1}",
        "key in [\"x\", \"customer-7\"] && 2 in [1, 2] && !(2 in [[2], \"2\"]) && 2 in 0..3",
        "\" a \".trim() == \"a\" && \"ab\".to_upper() == \"AB\" && \"AB\".to_lower() == \"ab\"",
        "\"a\" + 1 == \"a1\" && `${1}${true}${'c'}${key}` == \"1truec\" + key && 1.to_string() == \"1\"",
        "payload.starts_with(\"hel\") && !payload.starts_with(\"hello!\") && payload.as_string() == \"hello\"",
        "\"\".is_empty() && [].is_empty() && #{}.is_empty() && [1].contains(1) && #{a: 1}.contains(\"a\")",
        "-1 < 0 && !false && 7 % 4 == 3 && 2 ** 3 == 8 && 6 / 2 == 3 && (1 ^ 3) == 2",
    ] {
        let asked = format!("if {source} {{ pick(0) }} else {{ decline(\"no\") }}");
        assert_eq!(run(&asked), Ok(Routed::pick(pid(1))), "{source}");
    }
}

#[test]
fn work_inside_of_a_function_counts_as_operations() {
    let long = "let s = \"\"; for i in 0..64 { s += \"0123456789abcdef0123456789abcde \"; } let n = 0; ";
    let cheap = format!("{long} for i in 0..400 {{ n += i; }} pick(0)");
    assert_eq!(run(&cheap), Ok(Routed::pick(pid(1))));
    for each in [
        "s.to_upper()",
        "s.contains(\"x\")",
        "s.split(\"x\")",
        "sign(s)",
        "s.len()",
    ] {
        let why = fails(&format!("{long} for i in 0..400 {{ {each}; }} pick(0)"));
        assert!(why.contains("10000 operations"), "{each}: {why}");
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
