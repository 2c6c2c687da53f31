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
        "exchange delete users",
        "--connect 127.0.0.1:1,[::1]:2 exchange list",
        "exchange list --connect localhost:7400 --base-port 8000 --cookie-file f --timeout 1s",
        "reply users --echo",
        "reply users --echo --service-tag eu --connection-tag c --count 5 --wait 1m",
        "reply users --cmd wc -c --lines",
        "request users hello",
        "request users - --count 100 --in-flight 10 --timeout 200ms --tag t --service-tag eu --json",
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
        "",
        "nonsense",
        "exchange",
        "exchange declare users",
        "exchange declare users --strategy random",
        "exchange declare a/b --strategy default",
        "exchange declare users --strategy default --failover a,,b",
        "reply users",
        "reply users --echo --cmd cat",
        "reply users --cmd",
        "reply users --echo --count 0",
        "request users",
        "request users x --count 0",
        "request users x --in-flight 0",
        "request users x --timeout 0s",
        "request users x --timeout 5",
        "--connect nowhere request users x",
        "--base-port 0 exchange list",
        "completions fishy",
    ];
    for line in lines {
        let error = parse(line).expect_err(line);
        assert_ne!(error.kind(), ErrorKind::DisplayVersion, "{line}");
    }
}

#[test]
fn everything_after_cmd_belongs_to_the_program() {
    let Command::Reply(args) = parse("reply users --count 2 --cmd sort --reverse -n")
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
