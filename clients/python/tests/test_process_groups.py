"""Process groups of real nodes, through the blocking client."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from typing import Callable, Optional, TypeVar

import fatebound
from fatebound import Node, Proposal, Provider, Verdict
from fatebound.process_group import Message, Opened, Outcome, ProviderEvent, ProviderFailed, Providers, State
from tests.nodes import LIMIT, Nodes, RunningNode, program, until

E = TypeVar("E")


def following(provider: Provider, kind: type[E], fits: Callable[[E], bool] = lambda _: True) -> E:
    """The next event of this kind that fits."""
    while True:
        event: Optional[ProviderEvent] = provider.next(LIMIT)
        assert event is not None, provider.end
        if isinstance(event, kind) and fits(event):
            return event


def listed(*instances: str) -> Callable[[Providers], bool]:
    wanted = [instance.encode() for instance in instances]
    return lambda event: [provider.instance for provider in event.providers] == wanted


class ProcessGroups(Nodes):
    def setUp(self) -> None:
        self.a, self.b, self.c = (self.client(node) for node in self.nodes)

    def client(self, node: RunningNode) -> Node:
        client = Node(node.api)
        self.addCleanup(client.close)
        return client

    def join(self, node: Node, name: str, instance: str) -> Provider:
        return node.join_process_group(name, instance=instance, timeout=LIMIT)

    def test_providers_see_the_same_in_the_same_order(self) -> None:
        with self.join(self.a, "py", "one") as one, self.join(self.b, "py", "two") as two:
            following(one, Providers, listed("one", "two"))
            two.send(b"\x00\xff")
            one.send("second")
            bodies = [[following(provider, Message).body for _ in range(2)] for provider in (one, two)]
            self.assertEqual(bodies[0], bodies[1])
            self.assertEqual(set(bodies[0]), {b"\x00\xff", b"second"})
            info = self.a.process_group("py")
            self.assertEqual([provider.instance for provider in info.providers], [b"one", b"two"])
            self.assertIn("py is normal.", info.why())
            self.assertIn("py", [group.name for group in self.a.process_groups()])
            self.assertTrue(two.leave(timeout=LIMIT).approved)
            while two.next(LIMIT):
                pass
            assert two.end is not None
            self.assertEqual(two.end.why, "left")
            following(one, Providers, listed("one"))

    def test_the_state_value_is_compared_and_set(self) -> None:
        with self.join(self.a, "py-state", "one") as one:
            before = one.state().version
            self.assertTrue(one.set_state("x", expected=before).approved)
            state = following(one, State)
            self.assertEqual(state.value, b"x")
            with self.assertRaises(fatebound.VersionMismatch) as mismatch:
                one.set_state("y", expected=before)
            self.assertEqual((mismatch.exception.changed.value, mismatch.exception.refusal["kind"]), ("no", "stale"))
            self.assertTrue(self.a.set_state("py-state", b"\xff").approved)
            self.assertEqual(self.a.state("py-state").value, b"\xff")
        with self.assertRaises(fatebound.ProcessGroupNotKnown):
            self.a.process_group("py-nothing")

    def test_proposals_are_voted_upon(self) -> None:
        with self.join(self.a, "py-vote", "one") as one, self.join(self.b, "py-vote", "two") as two:
            following(one, Providers, listed("one", "two"))
            resolutions: list[fatebound.process_group.Resolution] = []
            for verdict in (Verdict.APPROVE, Verdict.REJECT):
                asking = threading.Thread(
                    target=lambda: resolutions.append(one.propose(Proposal(barrier="here", limit_ms=30_000), LIMIT))
                )
                asking.start()
                for provider in (one, two):
                    provider.vote(following(provider, Opened), verdict, message="said")
                asking.join(LIMIT)
                outcome = following(two, Outcome)
                self.assertEqual({vote.message for vote in outcome.votes}, {b"said"})
            self.assertEqual([resolution.outcome for resolution in resolutions], ["approved", "rejected"])

    def test_an_exception_is_a_provider_s_last_words(self) -> None:
        with self.join(self.a, "py-fail", "one") as one:
            with self.assertRaises(ValueError), self.join(self.b, "py-fail", "two"):
                following(one, Providers, listed("one", "two"))
                raise ValueError("x")
            self.assertEqual(following(one, ProviderFailed).text, b"ValueError: x")
            following(one, Providers, listed("one"))

    def test_a_barrier_with_the_program_s(self) -> None:
        met: list[tuple[str, ...]] = []
        there = threading.Thread(target=lambda: met.append(self.b.barrier("py-barrier", 3, instance="two", timeout=LIMIT)))
        there.start()
        line = [program(), "pg", "barrier", "py-barrier", "--count", "3", "--json"]
        cli = subprocess.Popen(line, env=self.nodes[2].environment, stdout=subprocess.PIPE)
        here = self.a.barrier("py-barrier", 3, instance="one", timeout=LIMIT)
        there.join(LIMIT)
        self.assertEqual(met, [here])
        self.assertEqual(len(here), 3)
        said, _ = cli.communicate(timeout=LIMIT)
        self.assertEqual(tuple(json.loads(said)["here"]), here)

    def test_who_waits_in_vain_at_a_barrier_is_told(self) -> None:
        with self.join(self.a, "py-alone", "founder"):
            with self.assertRaises(fatebound.BarrierMissed) as missed:
                self.a.barrier("py-alone", 2, instance="one", timeout=10.0)
        self.assertLessEqual(len(missed.exception.here), 1)

    def test_a_lock_is_passed_on(self) -> None:
        lock = self.a.lock("py-lock", instance="one", timeout=LIMIT)
        epochs: list[int] = []

        def second() -> None:
            with self.b.lock("py-lock", instance="two", timeout=LIMIT) as other:
                epochs.append(other.epoch)

        waiting = threading.Thread(target=second)
        waiting.start()
        until("the second one waits", lambda: len(self.a.process_group("py-lock").providers) == 2)
        self.assertEqual((epochs, lock.lost), ([], None))
        with self.assertRaises(fatebound.WaitTimeout):
            self.c.lock("py-lock", timeout=10.0)
        self.assertEqual(self.c._kept, set())
        with lock:
            pass
        waiting.join(LIMIT)
        self.assertGreater(epochs[0], lock.epoch)
        until("no thread is left", lambda: not [t for t in threading.enumerate() if t.name.startswith("fatebound")])

    def test_a_lock_is_lost_with_its_node(self) -> None:
        node = self.another(self.nodes[0])
        lock = Node(node.api).lock("py-lock-lost", timeout=LIMIT)
        told: list[str] = []
        lock.on_lost(told.append)
        node.signal(signal.SIGSTOP)
        self.addCleanup(node.signal, signal.SIGCONT)
        until("the loss is noticed", lambda: told)
        with self.assertRaises(fatebound.LockLost):
            lock.raise_if_lost()
        with self.assertRaises(fatebound.LockLost), lock:
            pass
