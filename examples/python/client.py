#!/usr/bin/env python3
"""A client in Python: serves, requests, publishes, subscribes, submits tasks and works on them, through the gRPC session
of any node.

    pip install grpcio grpcio-tools
    python3 examples/python/client.py 127.0.0.1:7401 request greet hello
    python3 examples/python/client.py 127.0.0.1:7401 publish news weather.north rain --confirm received
    python3 examples/python/client.py 127.0.0.1:7401 subscribe news 'weather.#' 'sport.*'
    python3 examples/python/client.py 127.0.0.1:7401 serve greet --publish news greeted
    python3 examples/python/client.py 127.0.0.1:7401 submit mails 'welcome 7' --key 7 --priority 3
    python3 examples/python/client.py 127.0.0.1:7401 work mails --command send-mail --quiet

`serve` answers in upper case, and may publish each request that it answers: one process, two patterns. A subscriber or
handler that loses its node, or is sent away, goes on at the next address, and a submit too: its id makes it the same
task. `work` runs the command for each task, which finds the payload at its standard input: exit code 0 completes the
task, another one gives it back. The lease is extended as long as it runs; when it ends all the same, as after a failure
of this worker's node, the command is killed. Exit codes as those of `squall`: 0 answered, 1 failed, 3 no responders,
4 timeout, 5 unavailable, 6 declined or refused, 7 overloaded, 8 interrupted.
"""
import argparse
import itertools
import queue
import sys
import time
import uuid

import grpc

from session import EXIT_CODES, Elsewhere, Over, Session, messages, outcome_words, what
from tasks import RETRIES, submit, work

# Events a subscriber takes before it says that it has; a slow one is held up at its node, and holds up nobody else.
CREDIT = 64
CONFIRMS = {
    "accepted": messages.CONFIRM_ACCEPTED,
    "none": messages.CONFIRM_NONE,
    "received": messages.CONFIRM_RECEIVED,
}


def request(address, args):
    """One request: all its replies, under the strategy `default` there may be several."""
    session = Session("python request")
    call = messages.RequestCall(
        id=1, exchange=args.exchange, payload=args.payload.encode(), key=args.key, timeout_ms=args.timeout_ms
    )
    session.act(request=call)
    code = None
    for kind, outcome in map(what, session.events(address)):
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
        if kind != "outcome":
            continue
        if outcome.kind != messages.OUTCOME_KIND_REPLY:
            raise Over(EXIT_CODES.get(outcome.kind, 1), outcome_words(outcome))
        nodes += 1 if outcome.reply_count else 0
        if not outcome.more:
            said = args.confirm
            if said == "received":
                said = f"received by {nodes} node" + ("" if nodes == 1 else "s")
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
    one = actions.add_parser("submit", help="submit a task, and print in how many places it is kept")
    one.add_argument("exchange")
    one.add_argument("payload")
    one.add_argument("--key", default="", help="where the exchange is ordered, tasks of one key go one after the other")
    one.add_argument("--priority", type=int, default=0, help="0 to 9, the higher first")
    one.add_argument("--id", default=str(uuid.uuid4()), help="a second submit with it is the same task")
    one.add_argument("--delay-ms", type=int, default=0, help="it is not given out before")
    one.add_argument("--deadline-ms", type=int, default=0, help="it is a dead letter after")
    one.add_argument("--attempts", type=int, default=0, help="how often it is tried at most")
    one.add_argument("--timeout-ms", type=int, default=5000)
    one.set_defaults(run=submit, stays=True)
    one = actions.add_parser("work", help="carry out tasks")
    one.add_argument("exchange")
    one.add_argument("--credit", type=int, default=1, help="tasks in hand at once")
    one.add_argument("--service-tag", default="", help="group of workers")
    one.add_argument("--count", type=int, default=0, help="end after so many completed tasks")
    one.add_argument("--retry", choices=RETRIES, default="backoff", help="when one that failed is tried again")
    one.add_argument("--command", nargs=argparse.REMAINDER, help="what carries out a task; without it, all are done")
    one.set_defaults(run=work, stays=True)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    args.seen = 0
    until = time.monotonic() + args.timeout_ms / 1000 if args.run is submit else float("inf")
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
            # What was sent once may have been done: it is not sent again, unless it has an id.
            if not args.stays or time.monotonic() > until:
                return 5 if isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.UNAVAILABLE else 8
        except KeyboardInterrupt:
            return 0
        if (turn + 1) % len(addresses) == 0:
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
