//! Middleware declared at the command line: a program in front of a service that lets through, rewrites and declines.

use std::process::Output;

use crate::rig::Cluster;

/// Pass, rewrite or decline, by what the request says.
const CHECK: &str = r#"
said=$(cat)
case "$said" in
    secret*) echo "not for you" >&2; exit 1 ;;
    plain*) ;;
    *) printf 'checked for %s: %s' "$SQUALL_AHEAD_OF" "$said" ;;
esac
"#;

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A30: the service behind it is the same program as without it.
#[test]
fn middleware_from_the_command_line_rewrites_lets_through_and_declines() {
    let cluster = Cluster::start(2);
    cluster.ok(&["exchange", "declare", "check", "--strategy", "round-robin"]);
    let service = ["exchange", "declare", "service", "--strategy", "round-robin"];
    cluster.ok(&[&service[..], &["--middleware", "check"]].concat());
    let shown = cluster.ok(&["exchange", "show", "service", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["middleware"], serde_json::json!(["check"]));
    let (_service, _) = cluster.echo_through(&[1], "service");

    let nobody = told(&cluster.run(&["request", "service", "hello"]));
    assert_eq!(nobody.0, Some(3), "{nobody:?}");
    assert!(
        nobody.2.contains("the middleware 'check' has no handlers"),
        "{nobody:?}"
    );

    let (_check, _) =
        cluster.attached(cluster.client_of(&[0], &["reply", "check", "--cmd", "sh", "-c", CHECK]));
    let table = [
        ("hello", Some(0), "checked for service: hello", ""),
        ("plain talk", Some(0), "plain talk", ""),
        ("secret", Some(6), "", "not for you"),
    ];
    for (payload, code, printed, words) in table {
        let heard = told(&cluster.run(&["request", "service", payload]));
        assert_eq!(
            (heard.0, heard.1.as_str()),
            (code, printed),
            "{payload}: {heard:?}"
        );
        assert!(heard.2.contains(words), "{payload}: {heard:?}");
    }
}
