//! Bindings by an operator's hand, with nodes that hear late, answer late, lose their owner or see it move (A23).

#[path = "operating_test/model.rs"]
mod model;
#[path = "operating_test/scene.rs"]
mod scene;

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::super::{ExchangeEffect, ExchangeInput, NotBindable, Signature, Unsure, Wish, WishAnswer};
use crate::id::{Epoch, NodeId};
use crate::limits::{BINDING_CHANGES_MAX, BINDINGS_MAX};
use crate::reason::NoReply;
use crate::registry::Strategy;
use crate::time::Instant;
use scene::{Scene, answers, bind, delivered, owner, pid, refused, signature};

#[test]
fn a_binding_is_answered_when_the_handlers_node_keeps_it_and_outlives_the_owner() {
    let mut scene = Scene::new(3);
    let out = scene.wish(signature(7), bind(pid(2), false));
    assert_eq!(answers(&out), [], "its node has yet to keep it");
    assert_eq!(
        answers(&scene.calm()),
        [WishAnswer::Bound {
            changed: true,
            from: None
        }]
    );
    assert_eq!(scene.remember(signature(7)), [pid(2)]);
    scene.crash(2);
    assert_eq!(delivered(&scene.ask(signature(7))), Some(pid(2)));
    scene.wish(signature(7), bind(pid(2), false));
    assert_eq!(
        answers(&scene.calm()),
        [WishAnswer::Bound {
            changed: false,
            from: None
        }]
    );
}

#[test]
fn what_another_one_has_is_taken_from_it_only_when_that_is_said() {
    let mut scene = Scene::new(2);
    scene.wish(signature(7), bind(pid(1), false));
    scene.calm();
    assert_eq!(
        answers(&scene.wish(signature(7), bind(pid(2), false))),
        refused(NotBindable::BoundTo(pid(1)))
    );
    scene.wish(signature(7), bind(pid(2), true));
    assert_eq!(delivered(&scene.ask(signature(7))), Some(pid(1)), "not kept yet");
    scene.hear(pid(2));
    scene.note();
    let held = scene.ask(signature(7));
    assert!(
        matches!(
            held.as_slice(),
            [ExchangeEffect::Refuse {
                reason: NoReply::Unreachable,
                ..
            }]
        ),
        "it goes over: {held:?}"
    );
    assert_eq!(
        answers(&scene.calm()),
        [WishAnswer::Bound {
            changed: true,
            from: Some(pid(1))
        }]
    );
    assert_eq!(
        scene.remember(signature(7)),
        [pid(2)],
        "a delivery that was under way is forgotten too"
    );
    scene.crash(0);
    assert_eq!(delivered(&scene.ask(signature(7))), Some(pid(2)));
}

#[test]
fn what_is_taken_back_is_new_again_also_for_the_next_owner() {
    let mut scene = Scene::new(2);
    scene.wish(signature(7), bind(pid(2), false));
    scene.calm();
    scene.ask(signature(7));
    // A handler that sent its attachment again meanwhile does not bring it back.
    let stale = scene.attach_input(pid(2));
    scene.wish(signature(7), Wish::Unbind);
    assert_eq!(answers(&scene.calm()), [WishAnswer::Unbound { from: pid(2) }]);
    scene.step(&stale);
    assert_eq!(
        (scene.exchange.bound(signature(7)), scene.exchange.bindings()),
        (None, 0)
    );
    assert_eq!(
        answers(&scene.wish(signature(7), Wish::Unbind)),
        [WishAnswer::NotBound]
    );
    scene.crash(1);
    assert_eq!(scene.exchange.bindings(), 0);
    assert!(delivered(&scene.ask(signature(7))).is_some());
}

#[test]
fn a_node_that_does_not_answer_leaves_the_wish_in_doubt_and_is_told_until_it_does() {
    let mut scene = Scene::new(2);
    scene.wish(signature(7), bind(pid(1), false));
    scene.calm();
    scene.wish(signature(7), bind(pid(2), true));
    assert_eq!(
        answers(&scene.wait()),
        [WishAnswer::Unknown(Unsure::Silent(pid(2)))]
    );
    assert_eq!(delivered(&scene.ask(signature(7))), Some(pid(1)));
    assert_eq!(
        answers(&scene.wish(signature(7), Wish::Unbind)),
        refused(NotBindable::InDoubt(pid(2)))
    );
    scene.calm();
    assert_eq!(
        scene.remember(signature(7)),
        [pid(1)],
        "the other one has forgotten it"
    );
    scene.wish(signature(7), Wish::Unbind);
    assert_eq!(
        answers(&scene.wait()),
        [WishAnswer::Unknown(Unsure::Silent(pid(1)))]
    );
    scene.wish(signature(7), Wish::Unbind);
    assert_eq!(answers(&scene.calm()), [WishAnswer::Unbound { from: pid(1) }]);
    assert_eq!(scene.exchange.next_timeout(), None, "nothing is left to be said");
}

#[test]
fn a_request_that_binds_it_anew_says_more_than_what_was_to_be_forgotten() {
    let mut scene = Scene::new(2);
    scene.wish(signature(7), bind(pid(1), false));
    scene.calm();
    scene.wish(signature(7), bind(pid(2), true));
    scene.wait();
    scene.detach(pid(1));
    assert_eq!(delivered(&scene.ask(signature(7))), Some(pid(2)));
    scene.wait();
    scene.calm();
    assert_eq!(scene.remember(signature(7)), [pid(2)]);
}

#[test]
fn a_handler_that_goes_while_its_binding_changes_ends_the_change() {
    let mut scene = Scene::new(3);
    scene.wish(signature(1), bind(pid(1), false));
    scene.calm();
    scene.wish(signature(1), bind(pid(2), true));
    scene.wish(signature(2), bind(pid(2), false));
    let ended = answers(&scene.detach(pid(2)));
    assert_eq!(
        ended,
        [
            WishAnswer::Refused(NotBindable::NotAttached),
            WishAnswer::Refused(NotBindable::NotAttached)
        ]
    );
    assert_eq!(scene.exchange.bound(signature(1)), Some(pid(1)));
    scene.wish(signature(1), bind(pid(3), true));
    scene.detach(pid(1));
    assert_eq!(
        answers(&scene.calm()),
        [WishAnswer::Bound {
            changed: true,
            from: None
        }],
        "nobody is left to forget it"
    );
    assert_eq!(scene.exchange.bound(signature(1)), Some(pid(3)));
    scene.wish(signature(1), Wish::Unbind);
    let lost = scene.step(&ExchangeInput::NodeLost { node: NodeId(3) });
    assert_eq!(answers(&lost), [WishAnswer::Unbound { from: pid(3) }]);
}

#[test]
fn a_move_leaves_a_change_in_doubt_and_the_next_owner_settles_it() {
    let mut scene = Scene::new(2);
    scene.wish(signature(7), bind(pid(1), false));
    scene.calm();
    scene.wish(signature(7), bind(pid(2), true));
    scene.hear(pid(2));
    let left = scene.travel();
    assert_eq!(answers(&left), [WishAnswer::Unknown(Unsure::Moved)]);
    scene.calm();
    assert_eq!(scene.remember(signature(7)), [pid(1)]);
    scene.crash(1);
    assert_eq!(delivered(&scene.ask(signature(7))), Some(pid(1)));
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let mut scene = Scene::new(1);
    scene.attach(pid(2), "eu");
    let of_group = |tag: &'static str| Wish::Bind {
        handler: pid(2),
        service_tag: Bytes::from_static(tag.as_bytes()),
        rebind: false,
    };
    assert_eq!(
        answers(&scene.wish(signature(1), of_group("us"))),
        refused(NotBindable::OtherGroup)
    );
    assert_eq!(
        answers(&scene.wish(signature(1), bind(pid(9), false))),
        refused(NotBindable::NotAttached)
    );
    assert_eq!(answers(&scene.wish(signature(1), of_group("eu"))), []);
    assert_eq!(
        answers(&scene.wish(signature(1), Wish::Unbind)),
        refused(NotBindable::Changing)
    );
    for n in 2..=BINDING_CHANGES_MAX as u64 {
        assert_eq!(answers(&scene.wish(signature(n), bind(pid(1), false))), []);
    }
    assert_eq!(
        answers(&scene.wish(signature(1000), bind(pid(1), false))),
        refused(NotBindable::TooMany)
    );
    let unleased = ExchangeInput::Wish {
        asked: 7,
        signature: signature(2000),
        wish: Wish::Unbind,
        lease_until: Instant(0),
    };
    assert_eq!(answers(&scene.step(&unleased)), refused(NotBindable::NoQuorum));
    scene.exchange = owner(scene.now, Strategy::Sticky, Epoch(2), vec![NodeId(1)]);
    assert_eq!(
        answers(&scene.wish(signature(1), Wish::Unbind)),
        refused(NotBindable::Settling)
    );
    scene.exchange = owner(scene.now, Strategy::RoundRobin, Epoch(3), Vec::new());
    assert_eq!(
        answers(&scene.wish(signature(1), Wish::Unbind)),
        refused(NotBindable::NotSticky)
    );
}

#[test]
fn at_the_bound_a_new_binding_is_refused_and_an_old_one_moves() {
    let mut scene = Scene::new(2);
    let all = (1..=BINDINGS_MAX as u64).map(Signature::new).collect();
    scene.handlers.get_mut(&pid(1)).expect("attached").bound = all;
    scene.crash(0);
    let one_more = Signature::new(BINDINGS_MAX as u64 + 1);
    assert_eq!(
        answers(&scene.wish(one_more, bind(pid(1), false))),
        refused(NotBindable::Full)
    );
    scene.wish(Signature::new(5), bind(pid(2), true));
    assert_eq!(
        answers(&scene.calm()),
        [WishAnswer::Bound {
            changed: true,
            from: Some(pid(1))
        }]
    );
}
