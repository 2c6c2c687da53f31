//! What can be said on the command line, and what cannot.

use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("squall").chain(line.split_whitespace()))
}

#[test]
fn the_arguments_are_consistent_and_all_documented() {
    let mut command = Cli::command();
    command.build();
    command.clone().debug_assert();
    let mut open = vec![command];
    while let Some(command) = open.pop() {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name} says nothing about itself");
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{name} {} has no help", arg.get_id());
        }
        open.extend(
            command
                .get_subcommands()
                .filter(|c| c.get_name() != "help")
                .cloned(),
        );
    }
}

#[test]
fn what_can_be_said() {
    let lines = [
        "exchange declare users --strategy round-robin",
        "exchange declare users --strategy consensus --failover a,b",
        "exchange list --json",
        "exchange declare news --pattern publish-subscribe",
        "exchange declare news --pattern publish-subscribe --mailbox 10 --when-full drop-oldest --ttl 1s --dedup 1m",
        "exchange declare in --pattern inverted-publish-subscribe --strategy round-robin",
        "publish news weather.north rain",
        "publish news weather.north",
        "publish news weather.north - --confirm received --ttl 5s --priority 9 --id 7 --timeout 1s",
        "subscribe news weather.# sport.*",
        "subscribe news weather.north --count 3 --json --wait 1s",
        "exchange delete users",
        "exchange declare users --strategy default --failover a --takeover manual",
        "exchange show users --json",
        "exchange move users b --json --timeout 10s",
        "exchange move users",
        "node list --json",
        "--connect 127.0.0.1:1 node list",
        "node list --connect 127.0.0.1:1 --cookie-file f",
        "node drain b --yes --wait 1m",
        "node drain b --stay",
        "node remove b",
        "node promote b",
        "node demote b",
        "node rule --replace-after 10m",
        "node rule --replace-after never",
        "--connect 127.0.0.1:1,[::1]:2 exchange list",
        "exchange list --connect localhost:7400 --base-port 8000 --cookie-file f --timeout 1s",
        "reply users --echo",
        "reply users --echo --service-tag eu --connection-tag c --count 5 --wait 1m",
        "reply users --cmd wc -c --lines",
        "reply users --echo --restart transient --restarts 3 --restarts-within 10s --times 5",
        "request users hello",
        "request users - --count 100 --in-flight 10 --timeout 200ms --tag t --service-tag eu --json",
        "demo -n 5 --otlp http://127.0.0.1:4317 --profile slow",
        "up -n 3 --chaos --restart --data-dir d -- --data-workers 1",
        "observe --chaos --color never --view mesh",
        "observe --once --view leaders --json --filter a",
        "observe --watch --text",
        "observe --otlp-listen --otlp-forward http://127.0.0.1:4319 --jaeger http://127.0.0.1:16686",
        "observe --once --view traces --otlp-listen 127.0.0.1:5317 --json",
        "observe --svg f --size 80x24 --view timeline",
        "chaos kill a --stay-down",
        "chaos pause a --ttl 5s",
        "chaos delay a b 200ms --jitter 50ms --ttl 30s",
        "chaos loss a b 5% --ttl 30s",
        "chaos loss a b 0.5%",
        "chaos cut a b",
        "chaos cut owner(orders) rest --both --dry-run",
        "chaos stop a --stay-down --confirm a",
        "chaos wipe a --ttl 5s",
        "chaos fire",
        "chaos run",
        "chaos run kill-owner --untimed --report d --profile slow",
        "chaos run f.toml --json",
        "chaos run bridge --show",
        "chaos sim --scenario bridge --seed 3 --seeds 5 --tier both --json",
        "chaos game --seed 7 --for 20m -n 5 --rate 1000 --report d",
        "chaos fire cut halves --ttl 5s",
        "chaos list --json",
        "chaos halt",
        "chaos halt --no-lock",
        "chaos unlock --reason done",
        "journal replay f",
        "node recover --from-survivor --data d",
        "node recover --from-survivor --data d --confirm a",
        "node --name a --listen 127.0.0.1:7400 --grpc 127.0.0.1:7401 --data-dir d --cookie-file f --supervisor s \
         --profile lan --join 127.0.0.1:7410,127.0.0.1:7420 --expect 3 --otlp http://h:1 --chaos --end-with-stdin",
        "node --name b --data-dir d --bootstrap --journal j --insecure",
        "node --name b --data-dir d --trace-ratio 0.5",
        "guard",
        "load-client --connect a:1 --handlers users=2 --handlers orders=1 --requests users=200",
        "bench req-resp",
        "bench req-resp --seconds 0.5 --json --where local --where clients --in-flight 1",
        "bench req-resp --where local --otlp http://h:1 --trace-ratio 0.5",
        "bench req-resp --where grpc --rate 2000/s --rate 500 --watched",
        "bench peers",
        "bench peers --peers erlang,nats_three,chain --rounds 3 --seconds 0.5 --in-flight 100 --json",
        "bench-role relay --to 127.0.0.1:1",
        "bench-role keep -- server -x",
        "bench tracing --rounds 3 --seconds 1 --where clients --in-flight 10 --json",
        "bench failover --kills 4 --rate 2000 --json --profile slow",
        "bench fanout --subscribers 100 --nodes 2 --publishers 4 --wildcards --patterns 8 --seconds 1 --json",
        "bench memory --kinds handler,session --count 1000 --sessions 10 --exchanges 10 --json",
        "bench-clients --connect a:1 --cookie-file f --count 10",
        "bench tasks --where backup --in-flight 10 --seconds 1 --json",
        "bench growth --dimensions nodes,payload --most 1000 --seconds 1 --svg f.svg --json",
        "bench screen --processes 1000 --size 80x24 --frames 300 --json",
        "bench-node --name c --listen 127.0.0.1:1 --grpc 127.0.0.1:2 --data-dir d --cookie-file f --join a:1,b:2 --expect 3",
        "completions bash",
        "man exchange declare",
    ];
    for line in lines {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn what_cannot_be_said() {
    let lines = [
        "nonsense",
        "observe --once --watch",
        "observe --once --json --text",
        "observe --json",
        "observe --view nowhere",
        "observe --otlp-listen nowhere",
        "observe --otlp-forward http://127.0.0.1:4319",
        "observe --insecure",
        "observe --svg f --size 80",
        "chaos",
        "chaos kill",
        "chaos unlock",
        "chaos fire cut",
        "chaos delay a b",
        "chaos loss a b",
        "chaos loss a b 0%",
        "chaos loss a b 120%",
        "chaos loss a b abc",
        "node --name a",
        "node",
        "node recover --data d",
        "node recover --from-survivor",
        "node --name a recover --from-survivor --data d",
        "node --name a --data-dir d --bootstrap --expect 3",
        "node --name a/b --data-dir d",
        "journal replay",
        "up -n many",
        "exchange",
        "exchange declare users",
        "exchange declare users --strategy random",
        "exchange declare a/b --strategy default",
        "exchange declare users --strategy default --failover a,,b",
        "reply users",
        "reply users --echo --cmd cat",
        "reply users --cmd",
        "reply users --echo --count 0",
        "reply users --echo --times 0",
        "reply users --echo --restarts 1001",
        "reply users --echo --restart sometimes",
        "request users",
        "request users x --count 0",
        "request users x --in-flight 0",
        "request users x --timeout 0s",
        "request users x --timeout 5",
        "--connect nowhere request users x",
        "--base-port 0 exchange list",
        "bench",
        "bench req-resp --seconds 0",
        "bench req-resp --trace-ratio 0.5",
        "bench tracing --rounds 0",
        "bench req-resp --where nowhere",
        "bench req-resp --in-flight 0",
        "bench req-resp --rate 0/s",
        "bench req-resp --rate 5/s --in-flight 1",
        "bench peers --peers nobody",
        "bench-role watch",
        "bench failover --kills 0",
        "bench failover --rate 0",
        "bench fanout --patterns 8",
        "bench memory --kinds mailbox",
        "bench memory --sessions 1001",
        "bench-clients --connect a:1",
        "bench screen --size 80",
        "bench screen --frames 299",
        "bench-node --name c",
        "completions fishy",
    ];
    for line in lines {
        let error = parse(line).expect_err(line);
        assert_ne!(error.kind(), ErrorKind::DisplayVersion, "{line}");
    }
}

#[test]
fn everything_after_cmd_belongs_to_the_program() {
    let Some(Command::Reply(args)) = parse("reply users --count 2 --cmd sort --reverse -n")
        .unwrap()
        .command
    else {
        panic!("not a reply")
    };
    assert!(
        format!("{args:?}").contains(r#"cmd: ["sort", "--reverse", "-n"]"#),
        "{args:?}"
    );
}

/// The command at that place, with everything that it inherits.
fn command(path: &str) -> clap::Command {
    let mut whole = Cli::command();
    whole.build();
    path.split(' ').fold(whole, |command, word| {
        command
            .find_subcommand(word)
            .expect("there is such a command")
            .clone()
    })
}

/// A word of each value in a usage line, so that it can be said.
fn said(usage: &str) -> String {
    let words = [
        ("Usage: ", ""),
        ("squall ", ""),
        ("[OPTIONS]", "--connect 127.0.0.1:1"),
        ("<EXCHANGE>", "users"),
        ("<PAYLOAD>", "hello"),
        ("<PROGRAM>", "sort"),
        ("[ARGS]...", "--reverse -n"),
        ("<--echo|--pass|--redirect <NAME>|--decline <REASON>>", "--echo"),
    ];
    words.iter().fold(usage.trim().to_owned(), |line, (shown, said)| {
        line.replace(shown, said)
    })
}

#[test]
fn what_a_usage_line_shows_can_be_said_and_a_program_comes_last() {
    for (path, flag, forms) in [
        ("task work", "--command", 1),
        ("reply", "--cmd", 2),
        ("request", "--answer", 2),
    ] {
        let mut command = command(path);
        let usage = command.render_usage().to_string();
        let lines: Vec<&str> = usage.lines().collect();
        assert_eq!(lines.len(), forms, "{usage}");
        for line in &lines {
            let line = said(line);
            assert!(parse(&line).is_ok(), "{line}: {}", parse(&line).unwrap_err());
        }
        let last = lines.last().expect("a usage");
        assert!(last.ends_with(&format!("{flag} <PROGRAM> [ARGS]...")), "{last}");
        let help = command.render_long_help().to_string();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("must come last: all that follow are"), "{words}");
        assert!(!help.contains("PROGRAM>... <EXCHANGE>"), "{help}");
    }
}

#[test]
fn the_help_of_declare_files_every_option_and_says_what_times_are_per_pattern() {
    let mut command = command("exchange declare");
    let under = |heading: Option<&str>| -> Vec<&str> {
        let args = command.get_arguments();
        let args = args.filter(|arg| arg.get_help_heading() == heading && !arg.is_global_set());
        args.filter_map(clap::Arg::get_long).collect()
    };
    let tasks = ["lease", "attempts", "ordered", "dead-letter", "scheduler"];
    assert_eq!(under(Some("With --pattern task")), tasks);
    for general in ["takeover", "ttl", "dedup", "mailbox", "failover", "controller"] {
        assert!(under(None).contains(&general), "{general}: {:?}", under(None));
    }
    let help = command.render_long_help().to_string();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        "the deadline of a task that names none",
        "publishes not at all, tasks 300s",
        "with `task` how many tasks may be open",
    ] {
        assert!(words.contains(told), "{words}");
    }
    let place = |option: &str| help.find(option).expect("it is in the help");
    assert!(
        place("--timeout <") > place("--controller <"),
        "what all commands of exchanges have comes behind what this one has"
    );
}

#[test]
fn a_program_in_one_word_is_split_at_blanks_and_the_help_says_so() {
    let help = command("task work").render_long_help().to_string();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("split at its blanks, and there is no quoting in it"),
        "{words}"
    );
}

#[test]
fn the_default_addresses_are_those_of_a_local_cluster() {
    let connect = parse("--base-port 8000 exchange list").unwrap().connect;
    assert_eq!(
        connect.addrs().unwrap(),
        ["127.0.0.1:8000", "127.0.0.1:8010", "127.0.0.1:8020"]
    );
    assert_eq!(
        connect.grpc_addrs().unwrap(),
        ["127.0.0.1:8001", "127.0.0.1:8011", "127.0.0.1:8021"]
    );
    let named = parse("exchange list --connect a:1,b:2").unwrap().connect;
    assert_eq!(named.addrs().unwrap(), ["a:1", "b:2"]);
    let beyond = parse("--base-port 65530 exchange list").unwrap().connect;
    assert_eq!(exit::code(&beyond.addrs().unwrap_err()), Exit::Usage);
}

#[test]
fn a_base_port_that_is_said_wins_over_addresses_of_the_environment() {
    use clap::parser::ValueSource::{CommandLine, DefaultValue, EnvVariable};
    let addrs = |line: &str, connect, base_port| {
        let mut args = parse(line).unwrap().connect;
        args.prefer_said(|arg| match arg {
            "connect" => Some(connect),
            "base_port" => Some(base_port),
            other => panic!("{other} has no say"),
        });
        args.addrs().unwrap().remove(0)
    };
    // The parser takes the environment's addresses for as good as said ones; only their source tells.
    let both = "exchange list --connect a:1 --base-port 8000";
    assert_eq!(addrs(both, EnvVariable, CommandLine), "127.0.0.1:8000");
    assert_eq!(addrs(both, CommandLine, CommandLine), "a:1");
    assert_eq!(
        addrs("exchange list --connect a:1", EnvVariable, DefaultValue),
        "a:1"
    );
}

#[test]
fn where_the_arguments_come_from_is_seen_behind_a_command_too() {
    use clap::parser::ValueSource::CommandLine;
    for line in [
        "squall --base-port 8000 node list",
        "squall node list --base-port 8000",
    ] {
        let matches = Cli::command().try_get_matches_from(line.split(' ')).unwrap();
        assert_eq!(matches.value_source("base_port"), Some(CommandLine), "{line}");
    }
}

#[test]
fn no_command_at_all_is_the_demo() {
    assert_eq!(parse("").unwrap().command, None);
    assert_eq!(
        parse("demo").unwrap().command,
        Some(Command::Demo(demo::DemoArgs::default()))
    );
}
