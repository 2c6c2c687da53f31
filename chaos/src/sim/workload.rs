//! What is asked of a simulated cluster: a deck of operations, one file each, drawn as the run goes.
//!
//! What does not live here: when they are drawn (`world`), and what comes of them.

mod attach;
mod declare;
mod delete;
mod detach;
mod drain;
mod kill_handler;
mod move_exchange;
mod publish;
mod remove;
mod request;
mod rush;
mod set_proxy;
mod submit;
pub(super) mod subscribe;
pub(super) mod talk;
mod unset_proxy;
mod unsubscribe;
mod voter_rule;
pub(super) mod work;

use squall_kernel::id::{ExchangeId, ExchangeName, NodeName};
use squall_kernel::keys::KeyPattern;
use squall_kernel::registry::{Command, Pattern, RoutingFunction, Strategy, Takeover};
use squall_kernel::time::{Instant, Span};

use super::fault::Seat;
use super::host::Host;
use super::plan::{self, ExchangePlan, Plan, SubscriberPlan};
use super::rng::Rng;
use super::world::World;

/// Between two looks whether everything that should be there is.
pub(super) const LOOK_EVERY: Span = Span::from_ms(50);
/// A declaration is not repeated before it had its time.
const DECLARE_AGAIN: Span = Span::from_ms(1_000);
/// Handlers that one run attaches at most.
const HANDLERS_MAX: usize = 48;

/// An operation: how often it is drawn from each kind of deck, and what it does.
struct Operation {
    even: u64,
    moves: u64,
    rushes: u64,
    act: fn(&mut World, &mut Rng),
}

impl Operation {
    const fn weight(&self, deck: plan::Deck) -> u64 {
        match deck {
            plan::Deck::Even => self.even,
            plan::Deck::Moves => self.moves,
            plan::Deck::Rushes => self.rushes,
        }
    }
}

const OPERATIONS: &[Operation] = &[
    attach::OPERATION,
    detach::OPERATION,
    kill_handler::OPERATION,
    declare::OPERATION,
    delete::OPERATION,
    move_exchange::OPERATION,
    drain::OPERATION,
    remove::OPERATION,
    rush::OPERATION,
    voter_rule::OPERATION,
];

/// Those about subscribers and proxies, drawn beside the others where there is an exchange for them.
const NEWS: &[Operation] = &[
    subscribe::OPERATION,
    unsubscribe::OPERATION,
    set_proxy::OPERATION,
    unset_proxy::OPERATION,
];

/// A handler that should be attached.
#[derive(Debug, Clone)]
struct Wanted {
    exchange: ExchangeName,
    seat: Seat,
    service_tag: String,
    /// Its serial at its node, once it is attached.
    serial: Option<u64>,
}

/// A subscriber that should be there.
#[derive(Debug, Clone)]
struct Subscribing {
    exchange: ExchangeName,
    seat: Seat,
    patterns: Vec<(String, KeyPattern)>,
    /// Its serial at its node, once it is there.
    serial: Option<u64>,
}

impl Subscribing {
    fn new(exchange: ExchangeName, plan: &SubscriberPlan) -> Self {
        Self {
            exchange,
            seat: plan.node,
            patterns: subscribe::tagged(&plan.patterns),
            serial: None,
        }
    }
}

/// What should be there, and the numbers for what comes.
#[derive(Debug)]
pub(super) struct Deck {
    rng: Rng,
    exchanges: Vec<(ExchangePlan, Option<Instant>)>,
    handlers: Vec<Wanted>,
    subscribers: Vec<Subscribing>,
    /// Numbers for what happens only where there are subscribers, so that nothing else is drawn otherwise for it.
    news: Rng,
    /// Numbers for what requesters take beside a reply.
    talks: Rng,
    /// Names given so far.
    named: usize,
}

impl Deck {
    pub(super) fn new(plan: &Plan) -> Self {
        let handlers = plan.handlers.iter().map(|handler| Wanted {
            exchange: plan.exchanges[usize::from(handler.exchange)].name.clone(),
            seat: handler.node,
            service_tag: handler.service_tag.clone(),
            serial: None,
        });
        let subscribers = plan.subscribers.iter().map(|subscriber| {
            let exchange = plan.exchanges[usize::from(subscriber.exchange)].name.clone();
            Subscribing::new(exchange, subscriber)
        });
        Self {
            rng: Rng::fork(plan.seed, "work"),
            news: Rng::fork(plan.seed, "news"),
            talks: Rng::fork(plan.seed, "talks"),
            subscribers: subscribers.collect(),
            exchanges: plan.exchanges.iter().map(|e| (e.clone(), None)).collect(),
            handlers: handlers.collect(),
            named: plan.exchanges.len(),
        }
    }

    /// The handlers of a node that has started must attach anew.
    pub(super) fn restarted(&mut self, seat: Seat) {
        for handler in self.handlers.iter_mut().filter(|h| h.seat == seat) {
            handler.serial = None;
        }
        for subscriber in self.subscribers.iter_mut().filter(|s| s.seat == seat) {
            subscriber.serial = None;
        }
    }
}

impl World {
    pub(super) fn request(&mut self) {
        let every = self.plan().work.request_every;
        if self.now() < self.plan().last_request_at() {
            self.with_deck(request::act);
            let next = self.deck().rng.span(Span(1), Span(2 * every.0));
            self.request_after(next);
        }
    }

    pub(super) fn operation(&mut self) {
        let every = self.plan().work.change_every;
        if self.now() < self.plan().last_request_at() {
            let kind = self.plan().work.deck;
            let mut rng = self.deck().rng.clone();
            let operation = drawn(OPERATIONS, kind, &mut rng);
            self.deck().rng = rng;
            self.with_deck(operation.act);
            self.news(kind);
            let next = self.deck().rng.span(Span(1), Span(2 * every.0));
            self.operation_after(next);
        }
    }

    fn news(&mut self, kind: plan::Deck) {
        let mut declared = self.deck().exchanges.iter();
        if declared.any(|(exchange, _)| exchange.pattern == Pattern::PublishSubscribe) {
            let mut rng = self.deck().news.clone();
            let operation = drawn(NEWS, kind, &mut rng);
            (operation.act)(self, &mut rng);
            self.deck().news = rng;
        }
    }

    /// Declares and attaches what should be there and is not.
    pub(super) fn look(&mut self) {
        self.with_deck(|world, rng| {
            world.declare_missing(rng);
            world.attach_missing();
            world.subscribe_missing();
        });
        self.look_after(LOOK_EVERY);
    }

    fn with_deck(&mut self, act: impl FnOnce(&mut Self, &mut Rng)) {
        let mut rng = self.deck().rng.clone();
        act(self, &mut rng);
        self.deck().rng = rng;
    }

    fn declare_missing(&mut self, rng: &mut Rng) {
        let now = self.now();
        if now >= self.plan().last_request_at() {
            return;
        }
        let Some(seat) = self.any_member(rng) else { return };
        for place in 0..self.deck().exchanges.len() {
            let (exchange, asked) = self.deck().exchanges[place].clone();
            let known = self
                .host(seat)
                .is_some_and(|h| h.registry().exchange(&exchange.name).is_some());
            if known || asked.is_some_and(|at| now < at + DECLARE_AGAIN) {
                continue;
            }
            self.deck().exchanges[place].1 = Some(now);
            let failover: Vec<NodeName> = exchange.failover.iter().map(|seat| self.name(*seat)).collect();
            let command = Command::Declare {
                name: exchange.name,
                pattern: exchange.pattern,
                strategy: exchange.strategy,
                function: function_of(exchange.strategy),
                settings: exchange.settings,
                failover,
                takeover: exchange.takeover,
            };
            self.tell_running(seat, |host, now| host.command(now, command));
        }
    }

    fn attach_missing(&mut self) {
        for place in 0..self.deck().handlers.len() {
            let wanted = self.deck().handlers[place].clone();
            let Some(host) = self.host(wanted.seat) else {
                continue;
            };
            let exchange = host.registry().exchange(&wanted.exchange).map(|e| e.id);
            let there = wanted
                .serial
                .is_some_and(|serial| host.attached().any(|(s, _)| s == serial));
            let Some(exchange) = exchange.filter(|_| !there) else {
                continue;
            };
            let mut serial = None;
            self.tell_running(wanted.seat, |host, now| {
                serial = Some(host.attach(now, exchange, &wanted.service_tag).serial);
            });
            self.deck().handlers[place].serial = serial;
        }
    }

    fn subscribe_missing(&mut self) {
        for place in 0..self.deck().subscribers.len() {
            let wanted = self.deck().subscribers[place].clone();
            let Some(host) = self.host(wanted.seat) else {
                continue;
            };
            let there = wanted
                .serial
                .is_some_and(|serial| host.subscribed().any(|s| s == serial));
            let exchange = host.registry().exchange(&wanted.exchange).map(|e| e.id);
            let Some(exchange) = exchange.filter(|_| !there) else {
                continue;
            };
            let mut serial = None;
            self.tell_running(wanted.seat, |host, now| {
                serial = host
                    .subscribe(now, exchange, &wanted.patterns)
                    .map(|pid| pid.serial);
            });
            self.deck().subscribers[place].serial = serial;
        }
    }

    /// True while there is time enough for a node that is taken down to be missed, come again, and be well.
    fn may_take_down(&mut self) -> bool {
        let plan = self.plan();
        self.now() < plan.healed_at() + Span(plan.liveness.0 / 2)
    }

    /// Any node that runs.
    fn any_running(&self, rng: &mut Rng) -> Option<Seat> {
        let running: Vec<Seat> = self.seats().filter(|seat| self.host(*seat).is_some()).collect();
        (!running.is_empty()).then(|| *rng.pick(&running))
    }

    /// Any node that runs and has a cluster.
    fn any_member(&self, rng: &mut Rng) -> Option<Seat> {
        let member = |host: &Host| host.registry().nodes.contains_key(&host.id());
        let members: Vec<Seat> = self
            .seats()
            .filter(|seat| self.host(*seat).is_some_and(member))
            .collect();
        (!members.is_empty()).then(|| *rng.pick(&members))
    }

    /// Any exchange that a node knows.
    fn any_exchange(&self, seat: Seat, rng: &mut Rng) -> Option<(ExchangeId, ExchangeName)> {
        let registry = self.host(seat)?.registry();
        let known: Vec<_> = registry
            .exchanges
            .values()
            .map(|e| (e.id, e.name.clone()))
            .collect();
        (!known.is_empty()).then(|| rng.pick(&known).clone())
    }
}

/// One of them, by their weights.
fn drawn(operations: &'static [Operation], kind: plan::Deck, rng: &mut Rng) -> &'static Operation {
    let all: u64 = operations.iter().map(|operation| operation.weight(kind)).sum();
    let mut drawn = rng.below(all);
    let found = operations.iter().find(|operation| {
        let weight = operation.weight(kind);
        let here = drawn < weight;
        drawn = drawn.saturating_sub(weight);
        here
    });
    found.expect("the number is below the sum of all weights")
}

impl World {
    /// Any exchange of that pattern that a node knows.
    fn any_of_pattern(&self, seat: Seat, pattern: Pattern, rng: &mut Rng) -> Option<ExchangeName> {
        let all = self.host(seat)?.registry().exchanges.values();
        let names: Vec<_> = all
            .filter(|e| e.pattern == pattern)
            .map(|e| e.name.clone())
            .collect();
        (!names.is_empty()).then(|| rng.pick(&names).clone())
    }
}

/// The scripts of simulated exchanges, run as they are live: the key is the signature, or picks the handler.
fn function_of(strategy: Strategy) -> Option<RoutingFunction> {
    match strategy {
        Strategy::StickyFun => Some(RoutingFunction::script(
            "if key == \"\" { decline(\"a key is needed\") } else { sign(key) }",
        )),
        Strategy::Fun => Some(RoutingFunction::script(
            "if key == \"\" { group(service_tag) } else { pick(key.len % handlers.len) }",
        )),
        _ => None,
    }
}

fn any_strategy(rng: &mut Rng) -> Strategy {
    *rng.pick(&Strategy::ALL)
}

fn any_takeover(rng: &mut Rng) -> Option<Takeover> {
    *rng.pick(&[
        None,
        Some(Takeover::Auto),
        Some(Takeover::Manual),
        Some(Takeover::Never),
    ])
}
