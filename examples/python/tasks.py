"""Tasks, for `client.py`: submitting them, and a worker that runs a command for each."""
import os
import subprocess
import sys
import threading

from session import EXIT_CODES, Elsewhere, Over, Session, messages, outcome_words, what

RETRIES = {
    "backoff": messages.RETRY_BACKOFF,
    "at-once": messages.RETRY_AT_ONCE,
    "never": messages.RETRY_NEVER,
}
COPIES = {messages.COPIES_SINGLE: "single copy", messages.COPIES_TWO: "two copies"}
# A task stays in the worker's hand after these.
NOT_YET = (messages.TASK_RESULT_EXTENDED, messages.TASK_RESULT_REFUSED)
# Seconds before a word about a task is said again that its owner did not take.
SAY_AGAIN = 0.25


def number(of):
    """A task's or a lease's number as people read it."""
    return f"{of >> 32}.{of & 0xFFFFFFFF}"


def submit(address, args):
    """One task, until it is kept. Submitted again under the same id it is the same task, so it may be."""
    session = Session("python submit")
    session.act(
        submit_task=messages.SubmitTask(
            id=1,
            exchange=args.exchange,
            payload=args.payload.encode(),
            key=args.key,
            priority=args.priority,
            message_id=args.id,
            delay_ms=args.delay_ms,
            deadline_ms=args.deadline_ms,
            attempts=args.attempts,
            timeout_ms=args.timeout_ms,
        )
    )
    for kind, outcome in map(what, session.events(address)):
        if kind != "outcome":
            continue
        if outcome.kind == messages.OUTCOME_KIND_INTERRUPTED:
            raise Elsewhere("interrupted")
        if outcome.kind != messages.OUTCOME_KIND_REPLY:
            raise Over(EXIT_CODES.get(outcome.kind, 1), outcome_words(outcome))
        kept = outcome.submitted
        again = ", submitted before" if kept.duplicate else ""
        print(f"task {number(kept.task)}: {COPIES[kept.copies]}{again}", flush=True)
        raise Over(0)
    raise Elsewhere("the session ended")


class InHand:
    """A task in this worker's hand, and the program that carries it out."""

    def __init__(self, session, task, args):
        self.task, self._session, self._args = task, session, args
        self._word = self._program = None
        self._over = False
        self._lock = threading.Lock()
        threading.Thread(target=self._carry_out, daemon=True).start()

    def say(self, **word):
        self._word = messages.SettleTask(worker=1, task=self.task.task, lease=self.task.lease, **word)
        self._session.act(settle_task=self._word)

    def say_again(self):
        threading.Timer(SAY_AGAIN, self._session.act, kwargs={"settle_task": self._word}).start()

    def stop(self):
        """It is not in this hand any more."""
        with self._lock:
            self._over = True
            if self._program:
                self._program.kill()

    def _carry_out(self):
        try:
            failed = self._run() if self._args.command else ""
        except OSError as error:
            failed = str(error)
        if self._over:
            return
        if failed:
            self.say(give_back=messages.GiveBack(reason=failed, retry=RETRIES[self._args.retry]))
        else:
            self.say(complete=messages.Complete())

    def _run(self):
        """Runs the command; gives what it failed at."""
        about = {
            "SQUALL_EXCHANGE": self.task.exchange,
            "SQUALL_TASK": number(self.task.task),
            "SQUALL_LEASE": number(self.task.lease),
            "SQUALL_ATTEMPT": str(self.task.attempt),
            "SQUALL_KEY": self.task.key,
        }
        with self._lock:
            if self._over:
                return "the lease has ended"
            self._program = subprocess.Popen(self._args.command, stdin=subprocess.PIPE, env=os.environ | about)
        given = self.task.payload
        while True:
            try:
                # Long before the lease ends it is extended.
                self._program.communicate(given, timeout=self.task.lease_ms / 3000)
                code = self._program.returncode
                return f"exit code {code}" if code else ""
            except subprocess.TimeoutExpired:
                given = None
                self.say(extend=messages.Extend(by_ms=self.task.lease_ms))


def work(address, args):
    """Carries out tasks. Prints each one that it has completed as attempt, tab, payload; after COUNT of them it ends."""
    session = Session("python work")
    session.act(
        attach_worker=messages.AttachWorker(
            worker=1, exchange=args.exchange, service_tag=args.service_tag, credit=args.credit
        )
    )
    hand = {}
    try:
        for kind, event in map(what, session.events(address)):
            if kind == "attached":
                print(f"works as {event.pid}", file=sys.stderr, flush=True)
            elif kind == "refused":
                raise Over(5 if event.unknown_exchange else 6, f"refused: {event.reason}")
            elif kind == "detached":
                raise Over(5, f"detached: {event.reason}")
            elif kind == "task":
                hand[event.lease] = InHand(session, event, args)
            elif kind in ("task_settled", "task_ended") and event.lease in hand:
                if kind == "task_settled" and event.result == messages.TASK_RESULT_REFUSED:
                    hand[event.lease].say_again()
                if kind == "task_settled" and event.result in NOT_YET:
                    continue
                done = hand.pop(event.lease)
                done.stop()
                if kind == "task_ended" or event.result != messages.TASK_RESULT_COMPLETED:
                    print(f"task {number(event.task)}: {event.reason}", file=sys.stderr, flush=True)
                    continue
                print(f"{done.task.attempt}\t{done.task.payload.decode(errors='replace')}", flush=True)
                args.seen += 1
                if args.seen == args.count:
                    raise Over(0)
    finally:
        # Others have them from now on.
        for task in hand.values():
            task.stop()
    raise Elsewhere("the session ended")
