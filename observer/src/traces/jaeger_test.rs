//! What is asked of a Jaeger. That it answers is in `tests/traces.rs`.

use super::*;

#[test]
fn names_of_services_are_escaped_and_times_are_in_their_forms() {
    let v3 = newest(Api::V3, "a b&c=d/é", 0, 1000);
    assert_eq!(
        v3,
        "/api/v3/traces?query.service_name=a%20b%26c%3Dd%2F%C3%A9&query.start_time_min=1970-01-01T00%3A00%3A00.000Z\
         &query.start_time_max=1970-01-01T00%3A00%3A01.000Z&query.num_traces=100"
    );
    let older = newest(Api::Older, "squall", 5, 7);
    assert_eq!(older, "/api/traces?service=squall&start=5000&end=7000&limit=100");
}

#[test]
fn a_list_of_services_is_told_from_a_page() {
    assert_eq!(
        names(br#"{"services":["squall","jaeger-query"]}"#, "services"),
        Some(vec!["squall".to_owned()])
    );
    assert_eq!(names(br#"{"data":null,"total":0}"#, "data"), Some(Vec::new()));
    assert_eq!(names(b"{}", "services"), Some(Vec::new()));
    assert_eq!(names(b"<!doctype html>", "services"), None);
    assert_eq!(names(br#"{"services":7}"#, "services"), None);
}
