#!/usr/bin/env python3
"""A handler in Python: attaches to an exchange through the gRPC session and answers every request in upper case.

    pip install grpcio grpcio-tools
    python3 examples/python/echo_handler.py 127.0.0.1:7401 greet

Ends after COUNT requests when a third argument is given, else with ctrl-c.
"""
import pathlib
import queue
import sys

import grpc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
sys.path.insert(0, str(PROTO))
messages, services = grpc.protos_and_services("squall/v1/session.proto")


def main() -> int:
    address, exchange = sys.argv[1], sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else None
    outgoing = queue.Queue(maxsize=1024)

    def act(**action):
        outgoing.put(messages.ClientBatch(actions=[messages.ClientAction(**action)]))

    act(open=messages.OpenSession(name="python echo"))
    act(attach=messages.Attach(handler=1, exchange=exchange))
    with grpc.insecure_channel(address) as channel:
        for batch in services.SessionStub(channel).Open(iter(outgoing.get, None)):
            for event in batch.events:
                kind = event.WhichOneof("event")
                if kind == "attached":
                    print(f"attached as {event.attached.pid}", flush=True)
                elif kind == "refused":
                    print(f"refused: {event.refused.reason}", file=sys.stderr)
                    return 1
                elif kind == "system" and event.system.WhichOneof("what") == "leader":
                    print(f"$leader {event.system.leader.leader or 'nobody'}", flush=True)
                elif kind == "delivery":
                    payload = event.delivery.payload.upper()
                    act(reply=messages.Reply(delivery=event.delivery.delivery, payload=payload))
                    if count is not None:
                        count -= 1
            if count == 0:
                outgoing.put(None)
                count = None
    return 0


if __name__ == "__main__":
    sys.exit(main())
