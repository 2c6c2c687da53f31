//! Leases on paused time: every test moves the clock itself.

use tokio::time::advance;

use super::*;

const ONE: LeaderEpoch = LeaderEpoch(1);
const TWO: LeaderEpoch = LeaderEpoch(2);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn a_lease_runs_out_by_itself_and_its_guard_with_it() {
    let grants = Grants::default();
    let context = grants.context();
    grants.appointed(Some(ONE));
    assert_eq!(context.leadership(), None, "appointed is not granted");
    assert!(context.lead().is_err());
    assert_eq!(grants.granted(ONE, Instant::now() + ms(100)), Grant::Began);
    let guard = context.lead().unwrap();
    assert_eq!(guard.token().unwrap().get(), 1);
    advance(ms(99)).await;
    assert_eq!(context.leadership().unwrap().remaining(), ms(1));
    advance(ms(1)).await;
    assert_eq!(guard.token(), Err(LeaseOver { epoch: ONE }));
    assert_eq!(context.leadership(), None);
}

#[tokio::test(start_paused = true)]
async fn answers_out_of_order_neither_shorten_nor_revive() {
    let grants = Grants::default();
    let context = grants.context();
    let start = Instant::now();
    grants.appointed(Some(ONE));
    assert_eq!(grants.granted(ONE, start + ms(100)), Grant::Began);
    assert_eq!(
        grants.granted(ONE, start + ms(50)),
        Grant::Nothing,
        "an earlier answer"
    );
    assert_eq!(context.leadership().unwrap().remaining(), ms(100));
    advance(ms(200)).await;
    // As after a stop: answers that waited in the socket are about times that are over.
    grants.granted(ONE, start + ms(150));
    assert_eq!(context.leadership(), None);
}

#[tokio::test(start_paused = true)]
async fn another_leader_ends_what_is_held_at_once() {
    let grants = Grants::default();
    let context = grants.context();
    grants.appointed(Some(ONE));
    grants.granted(ONE, Instant::now() + ms(100));
    let guard = context.lead().unwrap();
    assert_eq!(grants.appointed(None), Some(ONE));
    assert_eq!(guard.token(), Err(LeaseOver { epoch: ONE }));
    let late = grants.granted(ONE, Instant::now() + ms(100));
    assert_eq!(late, Grant::Nothing, "it was told of another");
    assert_eq!(context.leadership(), None);
    grants.appointed(Some(TWO));
    assert_eq!(grants.granted(TWO, Instant::now() + ms(100)), Grant::Began);
    assert_eq!(context.lead().unwrap().token().unwrap().get(), 2);
    assert_eq!(
        guard.token(),
        Err(LeaseOver { epoch: ONE }),
        "an old guard stays void"
    );
}

#[tokio::test(start_paused = true)]
async fn begin_renewal_and_end_are_told() {
    let grants = Grants::default();
    let mut changes = grants.context().changes();
    grants.appointed(Some(ONE));
    grants.granted(ONE, Instant::now() + ms(100));
    let LeadershipChange::Leads(first) = changes.next().await else {
        panic!("it leads")
    };
    assert_eq!(grants.granted(ONE, Instant::now() + ms(150)), Grant::Renewed);
    assert!(matches!(changes.next().await, LeadershipChange::Leads(later) if later.until > first.until));
    let end = Instant::now() + ms(150);
    assert_eq!(changes.next().await, LeadershipChange::Over(ONE), "by time alone");
    assert!(Instant::now() >= end);
    grants.granted(ONE, Instant::now() + ms(100));
    assert!(matches!(changes.next().await, LeadershipChange::Leads(_)));
    drop(grants);
    assert_eq!(
        changes.next().await,
        LeadershipChange::Over(ONE),
        "nobody renews it"
    );
}

#[test]
fn asking_is_more_frequent_the_less_is_left() {
    assert_eq!(ask_again_in(ms(0), ms(40)), ms(40));
    assert_eq!(ask_again_in(ms(120), ms(40)), ms(40));
    assert_eq!(ask_again_in(ms(60), ms(40)), ms(30));
    assert_eq!(ask_again_in(ms(1), ms(40)), ms(5));
}
