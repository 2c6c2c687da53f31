#!/usr/bin/env python3
"""A client in Python: serves, requests, publishes and subscribes through the gRPC session of any node.

    pip install grpcio grpcio-tools
    python3 examples/python/client.py 127.0.0.1:7401 request greet hello
    python3 examples/python/client.py 127.0.0.1:7401 publish news weather.north rain --confirm received
    python3 examples/python/client.py 127.0.0.1:7401 subscribe news 'weather.#' 'sport.*'
    python3 examples/python/client.py 127.0.0.1:7401 serve greet --publish news greeted

`serve` answers in upper case, and may publish each request that it answers: one process, two patterns. A subscriber or
handler that loses its node, or is sent away, goes on at the next address. Exit codes as those of `squall`: 0 answered,
1 failed, 3 no responders, 4 timeout, 5 unavailable, 6 declined or refused, 7 overloaded, 8 interrupted.
"""
import argparse
import itertools
import pathlib
import queue
import sys
import time

import grpc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
sys.path.insert(0, str(PROTO))
messages, services = grpc.protos_and_services("squall/v1/session.proto")

# Actions that wait to be sent, at most: a node that takes none is given up.
OUTGOING_MAX = 1024
# Events a subscriber takes before it says that it has; a slow one is held up at its node, and holds up nobody else.
CREDIT = 64
CONFIRMS = {
    "accepted": messages.CONFIRM_ACCEPTED,
    "none": messages.CONFIRM_NONE,
    "received": messages.CONFIRM_RECEIVED,
}
EXIT_CODES = {
    messages.OUTCOME_KIND_REPLY: 0,
    messages.OUTCOME_KIND_TIMEOUT: 4,
    messages.OUTCOME_KIND_NO_RESPONDERS: 3,
    messages.OUTCOME_KIND_DECLINED: 6,
    messages.OUTCOME_KIND_REJECTED: 7,
    messages.OUTCOME_KIND_UNAVAILABLE: 5,
    messages.OUTCOME_KIND_INTERRUPTED: 8,
    messages.OUTCOME_KIND_DEGRADED: 5,
    messages.OUTCOME_KIND_FAILED: 8,
    messages.OUTCOME_KIND_NO_MIDDLEWARE: 3,
}


class Session:
    """One session with one node, to its end."""

    def __init__(self, name):
        self._outgoing = queue.Queue(maxsize=OUTGOING_MAX)
        self.act(open=messages.OpenSession(name=name))

    def act(self, **action):
        """Sends an action. Raises `queue.Full` when the node takes none any more."""
        batch = messages.ClientBatch(actions=[messages.ClientAction(**action)])
        self._outgoing.put(batch, timeout=10)

    def events(self, address):
        """Everything the node says, in order. Ends with the session."""
        with grpc.insecure_channel(address) as channel:
            try:
                for batch in services.SessionStub(channel).Open(iter(self._outgoing.get, None)):
                    yield from batch.events
            finally:
                self._outgoing.put(None)


class Elsewhere(Exception):
    """The node is gone, or sends its clients away: go on at the next address."""


class Over(Exception):
    """It is over, with that exit code."""

    def __init__(self, code, words=""):
        super().__init__(words)
        self.code = code


def what(event):
    """The kind of an event, and the event itself. A node that sends its clients away is left."""
    kind = event.WhichOneof("event")
    if kind == "go_elsewhere":
        raise Elsewhere(messages.SentAway.Name(event.go_elsewhere.why))
    return kind, getattr(event, kind)


def outcome_words(outcome):
    kind = messages.OutcomeKind.Name(outcome.kind).removeprefix("OUTCOME_KIND_").lower().replace("_", " ")
    # Most reasons begin with the kind.
    return outcome.reason if outcome.reason.startswith(kind) else f"{kind}: {outcome.reason}"


def request(address, args):
    """One request: all its replies, under the strategy `default` there may be several."""
    session = Session("python request")
    call = messages.RequestCall(
        id=1, exchange=args.exchange, payload=args.payload.encode(), key=args.key, timeout_ms=args.timeout_ms
    )
    session.act(request=call)
    code = None
    for kind, outcome in map(what, session.events(address)):
        if kind == "refused":
            raise Over(6, f"refused: {outcome.reason}")
        if kind != "outcome":
            continue
        if outcome.kind == messages.OUTCOME_KIND_REPLY:
            print(outcome.payload.decode(errors="replace"), flush=True)
        else:
            print(outcome_words(outcome), file=sys.stderr)
        # One reply is an answer, whatever became of the other copies.
        code = min(EXIT_CODES.get(outcome.kind, 1), 99 if code is None else code)
        if not outcome.more:
            raise Over(code)
    raise Elsewhere("the session ended")


def publish(address, args):
    """One publish, and what its confirm says."""
    session = Session("python publish")
    session.act(
        publish=messages.Publish(
            id=1,
            exchange=args.exchange,
            key=args.key,
            payload=args.payload.encode(),
            confirm=CONFIRMS[args.confirm],
            message_id=args.id,
            publisher=args.publisher,
            timeout_ms=args.timeout_ms,
        )
    )
    nodes = 0
    for kind, outcome in map(what, session.events(address)):
        if kind == "refused":
            raise Over(6, f"refused: {outcome.reason}")
        if kind != "outcome":
            continue
        if outcome.kind != messages.OUTCOME_KIND_REPLY:
            raise Over(EXIT_CODES.get(outcome.kind, 1), outcome_words(outcome))
        nodes += 1 if outcome.reply_count else 0
        if not outcome.more:
            said = f"received by {nodes} nodes" if args.confirm == "received" else args.confirm
            print(said, flush=True)
            raise Over(0)
    raise Elsewhere("the session ended")


def subscribe(address, args):
    """Prints each event as key, tab, payload; after COUNT of them it ends."""
    session = Session("python subscribe")
    session.act(
        subscribe=messages.Subscribe(
            subscriber=1, exchange=args.exchange, patterns=args.patterns, connection_tag="python", credit=CREDIT
        )
    )
    taken = 0
    for kind, event in map(what, session.events(address)):
        if kind == "subscribed":
            print(f"subscribed as {event.pid}", file=sys.stderr, flush=True)
        elif kind == "subscriber_ended":
            if event.why == messages.SUBSCRIBER_END_REFUSED:
                raise Over(6, f"refused: {event.reason}")
            raise Over(5, f"unavailable: {event.reason}")
        elif kind == "published":
            print(f"{event.key}\t{event.payload.decode(errors='replace')}", flush=True)
            taken += 1
            if taken == CREDIT // 2:
                session.act(took=messages.Took(subscriber=1, events=taken))
                taken = 0
            args.seen += 1
            if args.seen == args.count:
                raise Over(0)
    raise Elsewhere("the session ended")


def serve(address, args):
    """Answers every request in upper case, and publishes it when it was told where."""
    session = Session("python serve")
    session.act(attach=messages.Attach(handler=1, exchange=args.exchange))
    published = itertools.count(1)
    for kind, event in map(what, session.events(address)):
        if kind == "attached":
            print(f"attached as {event.pid}", file=sys.stderr, flush=True)
        elif kind == "refused":
            raise Over(5 if event.unknown_exchange else 6, f"refused: {event.reason}")
        elif kind == "delivery":
            if args.publish:
                exchange, key = args.publish
                session.act(
                    publish=messages.Publish(
                        id=next(published), exchange=exchange, key=key, payload=event.payload, confirm=CONFIRMS["none"]
                    )
                )
            session.act(reply=messages.Reply(delivery=event.delivery, payload=event.payload.upper()))
        elif kind == "detached":
            # For good: the exchange is gone. Who is sent away, or loses the node, hears something else.
            raise Over(5, f"detached: {event.reason}")
        elif kind == "outcome" and event.kind != messages.OUTCOME_KIND_REPLY:
            print(f"a publish failed: {outcome_words(event)}", file=sys.stderr, flush=True)
    raise Elsewhere("the session ended")


def arguments():
    parser = argparse.ArgumentParser(description="A client of Squall in Python.")
    parser.add_argument("addresses", help="gRPC addresses of some nodes, host:port, separated by commas")
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("request", help="send a request and print the reply")
    one.add_argument("exchange")
    one.add_argument("payload")
    one.add_argument("--key", default="", help="under `sticky` all requests of one key go to one handler")
    one.add_argument("--timeout-ms", type=int, default=5000)
    one.set_defaults(run=request, stays=False)
    one = actions.add_parser("publish", help="publish, and print what was confirmed")
    one.add_argument("exchange")
    one.add_argument("key")
    one.add_argument("payload")
    one.add_argument("--confirm", choices=CONFIRMS, default="accepted")
    one.add_argument("--id", default="", help="a second publish with it is taken for the first")
    one.add_argument("--publisher", default="", help="whose ids these are, across sessions")
    one.add_argument("--timeout-ms", type=int, default=5000)
    one.set_defaults(run=publish, stays=False)
    one = actions.add_parser("subscribe", help="print what is published")
    one.add_argument("exchange")
    one.add_argument("patterns", nargs="+")
    one.add_argument("--count", type=int, default=0, help="end after so many events")
    one.set_defaults(run=subscribe, stays=True)
    one = actions.add_parser("serve", help="answer requests in upper case")
    one.add_argument("exchange")
    one.add_argument("--publish", nargs=2, metavar=("EXCHANGE", "KEY"), help="publish each request under that key")
    one.set_defaults(run=serve, stays=True)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    args.seen = 0
    addresses = args.addresses.split(",")
    for turn in itertools.count():
        address = addresses[turn % len(addresses)]
        try:
            args.run(address, args)
        except Over as over:
            if str(over):
                print(over, file=sys.stderr)
            return over.code
        except (Elsewhere, grpc.RpcError, queue.Full) as error:
            why = error.code().name if isinstance(error, grpc.RpcError) else error
            print(f"{address}: {why}", file=sys.stderr, flush=True)
            # What was sent once may have been done: it is not sent again.
            if not args.stays:
                return 5 if isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.UNAVAILABLE else 8
        except KeyboardInterrupt:
            return 0
        if (turn + 1) % len(addresses) == 0:
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
