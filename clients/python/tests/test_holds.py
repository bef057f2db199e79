"""Holds and invitations at real nodes: what happens to a group when the processes that hold it end, however they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from unittest import mock

import fatebound
from fatebound import Failure, GroupFailed, Hold, Node
from tests.nodes import LIMIT, Nodes, RunningNode, until

GONE = "a process that held the group has gone"


class Worker:
    """A process of its own that runs this program; what it prints is read line by line."""

    def __init__(self, node: RunningNode, program: str) -> None:
        source = str(Path(fatebound.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": source, "FATEBOUND_API": node.api}
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)], env=environment, stdout=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Holding(Nodes):
    """Nodes that know of holds."""

    def setUp(self) -> None:
        self.a, self.b, self.c = (self.client(node) for node in self.nodes)

    def client(self, node: RunningNode) -> Node:
        client = Node(node.api)
        self.addCleanup(client.close)
        return client

    def worker(self, node: int, program: str) -> Worker:
        worker = Worker(self.nodes[node], program)
        self.addCleanup(worker.end)
        return worker

    def no_threads(self) -> None:
        until("no thread is left", lambda: not [t for t in threading.enumerate() if t.name.startswith("fatebound")])


class Holds(Holding):
    def test_a_block_that_ends_well_fails_nobody(self) -> None:
        group = self.a.create([self.b.info().peer], admit="open")
        with self.c.group(group.id).hold(timeout=LIMIT) as hold:
            self.assertEqual((hold.group, hold.peer, hold.alive), (group.id, self.c.info().peer, True))
            self.assertEqual(self.c.group(group.id).show().role, "member")
        self.assertFalse(hold.alive)
        self.assertIsNone(hold.wait_failed(LIMIT))
        self.assertEqual(group.show().state, "alive")
        until("left", lambda: self.c.info().peer not in group.show().members)
        group.close()
        self.no_threads()

    def test_an_exception_fails_the_group_with_its_words(self) -> None:
        with self.assertRaisesRegex(ValueError, "bad luck"):
            with self.a.create_and_hold([self.b.info().peer]) as hold:
                raise ValueError("bad luck")
        failure = self.b.group(hold.group).wait_failed(LIMIT)
        assert failure is not None and hold.failure is not None
        self.assertEqual((failure.kind, failure.text), ("signalled", "ValueError: bad luck"))
        self.assertEqual(hold.failure.text, failure.text)
        self.no_threads()

    def test_a_block_whose_end_is_interrupted_holds_no_more(self) -> None:
        for way, ends in (("leave", None), ("signal", ValueError("bad luck"))):
            with self.assertRaises(KeyboardInterrupt), mock.patch.object(Hold, way, side_effect=KeyboardInterrupt):
                with self.a.create_and_hold([self.b.info().peer]) as hold:
                    if ends is not None:
                        raise ends
            failure = self.b.group(hold.group).wait_failed(LIMIT)
            assert failure is not None
            self.assertEqual(failure.text, GONE)
            self.assertFalse(hold.alive)
        self.no_threads()

    def test_an_exit_of_zero_is_a_good_end(self) -> None:
        group = self.a.create([self.b.info().peer])
        with self.assertRaises(SystemExit), self.b.group(group.id).hold():
            sys.exit(0)
        self.assertEqual(group.show().state, "alive")
        with self.assertRaises(SystemExit), self.a.group(group.id).hold():
            sys.exit(3)
        self.assertIsNotNone(group.wait_failed(LIMIT))

    def test_a_holder_is_told_of_the_failure_by_every_way(self) -> None:
        hold = self.a.create_and_hold([self.b.info().peer])
        told: list[Failure] = []
        fired = threading.Event()

        def callback(failure: Failure) -> None:
            told.append(failure)
            fired.set()

        hold.on_failure(callback)
        self.b.group(hold.group).signal("no more")
        failure = hold.wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual((failure.text, failure.peer), ("no more", self.b.info().peer))
        self.assertTrue(fired.wait(LIMIT))
        hold.on_failure(told.append)
        self.assertEqual([failure.text for failure in told], ["no more", "no more"])
        for ends in (hold.raise_if_failed, hold.leave, hold.renew):
            with self.assertRaises(GroupFailed) as failed:
                ends()
            self.assertEqual(failed.exception.failure.text, "no more")
        with self.assertRaises(GroupFailed), hold:
            pass
        with self.assertRaisesRegex(ValueError, "own"), hold:
            raise ValueError("own")
        self.no_threads()

    def test_several_holds_of_one_node_are_one_member(self) -> None:
        group = self.a.create([self.b.info().peer])
        first, second = self.b.group(group.id).hold(), self.b.group(group.id).hold()
        self.assertNotEqual(first.id, second.id)
        first.leave(LIMIT)
        self.assertEqual(self.b.group(group.id).show().state, "alive")
        second.signal("the second one")
        failure = group.wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.text, "the second one")

    def test_the_root_waits_for_the_others(self) -> None:
        with self.b.invitations("together", count=1) as invitations:
            impatient = Node(self.nodes[0].api, timeout=2.0)
            root = impatient.create_and_hold([self.b.info().peer], tag="together")
            member = invitations.next(LIMIT)
            assert member is not None
            with self.assertRaises(fatebound.CallTimeout):
                root.leave(0.1)
            leaving = threading.Thread(target=root.leave)
            leaving.start()
            member.leave(LIMIT)
            leaving.join(LIMIT)
            self.assertFalse(leaving.is_alive())
        self.assertIsNone(root.wait_failed(LIMIT))

    def test_the_root_hears_of_a_failure_while_it_waits(self) -> None:
        root = self.a.create_and_hold([self.b.info().peer])
        ends: list[BaseException] = []

        def leave() -> None:
            try:
                root.leave(LIMIT)
            except fatebound.FateboundError as error:
                ends.append(error)

        leaving = threading.Thread(target=leave)
        leaving.start()
        self.b.group(root.group).signal("in between")
        leaving.join(LIMIT)
        self.assertEqual([type(end) for end in ends], [GroupFailed])

    def test_a_hold_that_is_not_renewed_fails_its_group(self) -> None:
        hold = self.a.create_and_hold([self.b.info().peer], ttl=30.0)
        hold.renew()
        hold.signal("enough")
        late = self.a.create_and_hold([self.b.info().peer], ttl=0.1)
        failure = self.b.group(late.group).wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.text, "a process that held the group has not renewed its hold in time")
        with self.assertRaises(fatebound.InvalidRequest):
            self.a.create_and_hold([self.b.info().peer], ttl=1e6)

    def test_a_creation_that_fails_holds_nothing(self) -> None:
        with self.assertRaises(fatebound.CreationFailed):
            self.a.create_and_hold([self.b.info().peer], tag="nobody waits for this")
        self.no_threads()

    def test_a_closed_client_gives_its_holds_up(self) -> None:
        with Node(self.nodes[0].api) as client:
            hold = client.create_and_hold([self.b.info().peer])
        assert hold.failure is not None
        self.assertEqual(hold.failure.kind, "given_up")
        failure = self.b.group(hold.group).wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.text, GONE)
        self.no_threads()


class InvitationsOfHolds(Holding):
    def test_invitations_come_held_with_their_state(self) -> None:
        with self.b.invitations("work") as invitations:
            first = self.a.create_and_hold([self.b.info().peer], tag="work", state=b"\x00one")
            second = self.c.create_and_hold([self.b.info().peer], tag="work", state="two")
            got = [invitations.next(LIMIT), invitations.next(LIMIT)]
            self.assertEqual({hold.state for hold in got if hold}, {b"\x00one", b"two"})
            for hold in got:
                assert hold is not None
                self.assertEqual((hold.tag, len(hold.members)), ("work", 2))
                hold.leave(LIMIT)
            with self.assertRaises(fatebound.WaitTimeout):
                invitations.next(0.05)
        for root in (first, second):
            root.leave(LIMIT)
        self.no_threads()

    def test_a_callback_may_leave_another_one_and_does_not_end_its_thread(self) -> None:
        with self.b.invitations("callbacks") as invitations:
            holds: list[Hold] = []
            roots: list[Hold] = []
            for _ in range(2):
                roots.append(self.a.create_and_hold([self.b.info().peer], tag="callbacks"))
                hold = invitations.next(LIMIT)
                assert hold is not None
                holds.append(hold)

            def callback(_: Failure) -> None:
                holds[1].leave(LIMIT)
                raise SystemExit

            holds[0].on_failure(callback)
            with self.assertLogs("fatebound", "ERROR"):
                roots[0].signal("enough")
                self.assertIsNone(holds[1].wait_failed(LIMIT), "it was left, not given up")
                roots[1].leave(LIMIT)
                third = self.a.create_and_hold([self.b.info().peer], tag="callbacks")
                hold = invitations.next(LIMIT)
            assert hold is not None
            hold.leave(LIMIT)
            third.leave(LIMIT)
        self.no_threads()

    def test_one_is_accepted_and_left(self) -> None:
        roots: list[Hold] = []

        def create() -> None:
            def created() -> bool:
                try:
                    roots.append(self.a.create_and_hold([self.b.info().peer], tag="one"))
                except fatebound.CreationFailed:
                    # Nobody waits for it yet.
                    return False
                return True

            until("created", created)

        creating = threading.Thread(target=create)
        creating.start()
        with self.b.accept("one", timeout=LIMIT) as hold:
            self.assertEqual(hold.tag, "one")
        creating.join(LIMIT)
        roots[0].leave(LIMIT)
        self.no_threads()

    def test_who_waits_in_vain_is_told(self) -> None:
        with self.assertRaises(fatebound.WaitTimeout):
            self.b.accept("never", timeout=0.05)
        self.no_threads()


class Deaths(Holding):
    """Processes and nodes that are killed."""

    HOLDER = """
        import sys, fatebound
        hold = fatebound.Node().accept("killed", timeout=60)
        print(hold.group, flush=True)
        sys.stdin.read()
    """

    def held(self, worker: Worker) -> Hold:
        """A group of the first node that this worker of the second one holds."""

        def created() -> object:
            try:
                return self.a.create_and_hold([self.b.info().peer], tag="killed")
            except fatebound.CreationFailed:
                return None

        hold = until("the worker waits for its invitation", created)
        assert isinstance(hold, Hold)
        self.assertEqual(worker.line(), hold.group)
        return hold

    def test_kill_9_of_a_holder_fails_its_group(self) -> None:
        worker = self.worker(1, "import time\n" + textwrap.dedent(self.HOLDER).replace("sys.stdin.read()", "time.sleep(600)"))
        hold = self.held(worker)
        worker.kill()
        failure = hold.wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual((failure.kind, failure.text, failure.peer), ("signalled", GONE, self.b.info().peer))

    def test_a_forked_child_does_not_keep_its_parent_s_hold(self) -> None:
        program = """
            import os, time, fatebound
            node = fatebound.Node()
            hold = node.accept("killed", timeout=60)
            child = os.fork()
            if child == 0:
                for use in (node.info, hold.leave, hold.raise_if_failed, lambda: hold.__enter__()):
                    try:
                        use()
                    except fatebound.ForkedError as error:
                        pass
                    else:
                        os._exit(9)
                try:
                    with fatebound.Node() as own:
                        print(own.info().peer == hold.peer, flush=True)
                finally:
                    hold.__exit__(ValueError, ValueError("of the child"), None)
                    node.close()
                time.sleep(600)
            print(hold.group, flush=True)
            print(child, flush=True)
            time.sleep(600)
        """
        worker = self.worker(1, program)

        def created() -> object:
            try:
                return self.a.create_and_hold([self.b.info().peer], tag="killed")
            except fatebound.CreationFailed:
                return None

        hold = until("the worker waits for its invitation", created)
        assert isinstance(hold, Hold)
        said = {worker.line() for _ in range(3)}
        child = next(int(word) for word in said if word.isdigit())
        self.addCleanup(os.kill, child, signal.SIGKILL)
        self.assertEqual(said, {hold.group, str(child), "True"})
        # What the child did and does is nothing to the group.
        self.assertTrue(self.b.group(hold.group).check().alive)
        self.assertIsNone(hold.failure)
        worker.kill()
        os.kill(child, 0)
        failure = hold.wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.text, GONE)

    def test_a_process_whose_node_dies_is_told_at_once(self) -> None:
        node = self.another(self.nodes[0])
        group = self.a.create([node.address])
        hold = Node(node.api).group(group.id).hold()
        fired = threading.Event()
        hold.on_failure(lambda failure: fired.set())
        node.kill()
        self.assertTrue(fired.wait(LIMIT))
        assert hold.failure is not None
        self.assertEqual(hold.failure.kind, "node_lost")
        with self.assertRaises(GroupFailed):
            hold.leave()
        self.no_threads()

    def test_a_process_whose_node_hangs_is_told_and_does_not_hang_with_it(self) -> None:
        node = self.another(self.nodes[0])
        group = self.a.create([node.address])
        hold = Node(node.api).group(group.id).hold()
        node.signal(signal.SIGSTOP)
        self.addCleanup(node.signal, signal.SIGCONT)
        failure = hold.wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.kind, "node_lost")
        self.no_threads()

    def test_a_leave_ends_with_the_node(self) -> None:
        node = self.another(self.nodes[0])
        root = Node(node.api).create_and_hold([self.a.info().peer])
        ends: list[BaseException] = []

        def leave() -> None:
            try:
                root.leave()
            except fatebound.FateboundError as error:
                ends.append(error)

        leaving = threading.Thread(target=leave)
        leaving.start()
        node.signal(signal.SIGSTOP)
        leaving.join(LIMIT)
        node.signal(signal.SIGCONT)
        self.assertFalse(leaving.is_alive())
        self.assertTrue(ends and isinstance(ends[0], (GroupFailed, fatebound.NodeUnreachable)), ends)
