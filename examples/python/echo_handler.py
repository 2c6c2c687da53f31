#!/usr/bin/env python3
"""A handler in Python: attaches to an exchange through the gRPC session and answers every request in upper case.

    pip install grpcio grpcio-tools
    python3 examples/python/echo_handler.py 127.0.0.1:7401,127.0.0.1:7411 greet

While it leads (strategy `consensus`) it keeps its own leadership by asking, and shows the token to write with. When its
node sends it away it goes to the next address. Ends after COUNT requests when a third argument is given, else with
ctrl-c.
"""
import pathlib
import queue
import sys
import threading
import time

import grpc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
sys.path.insert(0, str(PROTO))
messages, services = grpc.protos_and_services("squall/v1/session.proto")

HANDLER = 1


def clock_us() -> int:
    return time.monotonic_ns() // 1000


class Leadership:
    """What this handler may count on. It runs out by itself, whatever the network does."""

    def __init__(self, ask):
        self._ask = ask
        self._changed = threading.Condition()
        self._leads = 0
        self._until_us = 0
        self._every_us = 40_000
        self._closed = False
        threading.Thread(target=self._keep, daemon=True).start()

    def token(self):
        """The number to write with, or None when this handler does not lead at this moment."""
        with self._changed:
            return self._leads if self._leads and clock_us() < self._until_us else None

    def named(self, leader_epoch):
        """`$leader` named this handler under that epoch, or another one (0)."""
        with self._changed:
            if leader_epoch != self._leads:
                self._until_us = 0
            self._leads = leader_epoch
            self._changed.notify()

    def granted(self, lease):
        """Counted from the question, by this process's own clock: a late answer lengthens nothing."""
        with self._changed:
            if lease.leader_epoch == self._leads and lease.asked_at_us <= clock_us():
                self._until_us = max(self._until_us, lease.asked_at_us + lease.remaining_us)
                self._every_us = max(lease.ask_again_us, 1000)

    def close(self):
        with self._changed:
            self._closed = True
            self._leads = 0
            self._changed.notify()

    def _keep(self):
        with self._changed:
            while not self._closed:
                if not self._leads:
                    self._changed.wait()
                    continue
                self._ask(messages.LeadershipAsk(handler=HANDLER, asked_at_us=clock_us()))
                left = self._until_us - clock_us()
                pause = min(max(left // 2, self._every_us // 8), self._every_us) if left > 0 else self._every_us
                self._changed.wait(pause / 1_000_000)


class Session:
    """One session with one node, to its end."""

    def __init__(self, exchange, count):
        self.exchange, self.count = exchange, count
        self.outgoing = queue.Queue(maxsize=1024)
        self.leadership = Leadership(self.ask)
        self.shown = None

    def act(self, **action):
        self.outgoing.put(messages.ClientBatch(actions=[messages.ClientAction(**action)]))

    def ask(self, ask):
        """A question that finds no room is asked again."""
        try:
            self.outgoing.put_nowait(messages.ClientBatch(actions=[messages.ClientAction(leadership_ask=ask)]))
        except queue.Full:
            pass

    def run(self, address) -> str:
        """Why it ended: `done`, `refused`, `detached` or `elsewhere`."""
        self.act(open=messages.OpenSession(name="python echo"))
        self.act(attach=messages.Attach(handler=HANDLER, exchange=self.exchange))
        try:
            with grpc.insecure_channel(address) as channel:
                for batch in services.SessionStub(channel).Open(iter(self.outgoing.get, None)):
                    for event in batch.events:
                        why = self.event(event)
                        if why:
                            return why
        except grpc.RpcError as error:
            print(f"{address}: {error.code().name}", file=sys.stderr)
            return "elsewhere"
        finally:
            self.leadership.close()
            self.outgoing.put(None)
        return "done" if self.count == 0 else "elsewhere"

    def event(self, event):
        kind = event.WhichOneof("event")
        if kind == "attached":
            print(f"attached as {event.attached.pid}", flush=True)
        elif kind == "refused":
            print(f"refused: {event.refused.reason}", file=sys.stderr)
            return "refused"
        elif kind == "system" and event.system.WhichOneof("what") == "leader":
            leader = event.system.leader
            self.leadership.named(leader.leader_epoch if leader.you else 0)
            print(f"$leader {leader.leader or 'nobody'}", flush=True)
        elif kind == "leadership":
            self.leadership.granted(event.leadership)
            token = self.leadership.token()
            if token and token != self.shown:
                self.shown = token
                print(f"leads, writes with token {token}", flush=True)
        elif kind == "go_elsewhere":
            why = messages.SentAway.Name(event.go_elsewhere.why)
            print(f"sent away: {why}", flush=True)
            return "elsewhere"
        elif kind == "detached":
            print(f"detached: {event.detached.reason}", file=sys.stderr)
            return "detached"
        elif kind == "delivery":
            self.answer(event.delivery)
        return None

    def answer(self, delivery):
        self.act(reply=messages.Reply(delivery=delivery.delivery, payload=delivery.payload.upper()))
        if self.count is not None:
            self.count -= 1
            if self.count == 0:
                self.outgoing.put(None)


def main() -> int:
    addresses, exchange = sys.argv[1].split(","), sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else None
    turn = 0
    while True:
        session = Session(exchange, count)
        why = session.run(addresses[turn % len(addresses)])
        count = session.count
        if why != "elsewhere":
            return 0 if why == "done" else 1
        turn += 1
        if turn % len(addresses) == 0:
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
