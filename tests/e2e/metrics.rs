//! Metrics of real nodes, as Prometheus reads them: over plain HTTP on any port of a node.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::rig::Cluster;

/// The page of a node, as text.
fn scraped(addr: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

/// The value of a series, as it is written.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[test]
fn every_port_has_a_page_with_what_the_node_measures() {
    let cluster = Cluster::start(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "round-robin",
        "--failover",
        "b",
    ]);
    let (_echo, _lines) = cluster.echo("orders");
    for _ in 0..3 {
        cluster.succeeds(&mut cluster.client_of(&[0], &["request", "orders", "hello"]));
    }
    for at in [cluster.mesh(0), cluster.grpc(0)] {
        let page = scraped(&at);
        let of = |series: &str| value(&page, series).unwrap_or_else(|| panic!("{series}\n{page}"));
        assert_eq!(of("squall_requests_total{exchange=\"orders\"}"), 3.0);
        assert_eq!(
            of("squall_request_outcomes_total{exchange=\"orders\",outcome=\"replied\"}"),
            3.0
        );
        assert_eq!(
            of("squall_request_duration_seconds_count{exchange=\"orders\"}"),
            3.0
        );
        assert_eq!(of("squall_exchange_owned{exchange=\"orders\"}"), 0.0);
        assert_eq!(of("squall_members{state=\"up\"}"), 3.0);
        assert_eq!(of("squall_quorum"), 1.0);
        assert_eq!(of("squall_link_up{peer=\"b\"}"), 1.0);
        assert!(of("process_memory_usage_bytes") > 1e6);
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
    let owner = scraped(&cluster.grpc(1));
    assert_eq!(
        value(&owner, "squall_exchange_owned{exchange=\"orders\"}"),
        Some(1.0)
    );
    assert_eq!(
        value(&owner, "squall_exchange_handlers{exchange=\"orders\"}"),
        Some(1.0)
    );
}
