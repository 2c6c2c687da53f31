"""A session with a node, as `client.py` uses it: actions out, events in, and the words for how things end."""
import pathlib
import queue
import sys

import grpc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
sys.path.insert(0, str(PROTO))
messages, services = grpc.protos_and_services("squall/v1/session.proto")

# Actions that wait to be sent, at most: a node that takes none is given up.
OUTGOING_MAX = 1024
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
