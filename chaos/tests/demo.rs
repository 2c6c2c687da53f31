//! The demo's ends: whatever happens to it, nothing of it is left. The demo itself is tested with the real program.
#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong ends it")]

use std::path::PathBuf;

use squall_chaos::demo::{self, DemoError, DemoOptions};
use squall_chaos::layout::free_base;

fn options(program: PathBuf, preferred: u16) -> DemoOptions {
    DemoOptions {
        base_port: free_base(3, preferred).unwrap(),
        ..DemoOptions::new(program)
    }
}

#[tokio::test]
async fn a_demo_that_is_stopped_before_it_is_ready_shows_nothing_and_leaves_nothing() {
    let options = options(env!("CARGO_BIN_EXE_squall-stand-in").into(), 24_000);
    let base = options.base_port;
    let shown = demo::run(options, std::future::ready(()), async |_| "shown")
        .await
        .unwrap();
    assert_eq!(shown, None);
    let places = squall_chaos::layout::places(3, base).unwrap();
    assert_eq!(squall_chaos::layout::check_free(&places), Ok(()));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let options = options("/nowhere/squall".into(), 24_200);
    let outcome = demo::run(options, std::future::pending(), async |_| ()).await;
    assert!(matches!(outcome, Err(DemoError::Start(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_node_that_dies_at_once_ends_the_demo_with_its_words() {
    let options = options("/bin/false".into(), 24_400);
    let outcome = demo::run(options, std::future::pending(), async |_| ()).await;
    assert!(
        matches!(&outcome, Err(DemoError::Died { how, .. }) if how == "exited with code 1"),
        "{outcome:?}"
    );
}
