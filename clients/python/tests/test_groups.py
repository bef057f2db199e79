"""Groups of real nodes, through the blocking client."""

from __future__ import annotations

import threading

import fatebound
from fatebound import Changed, Event, Failure, Node
from tests.nodes import LIMIT, Nodes, RunningNode, until


class Groups(Nodes):
    def setUp(self) -> None:
        self.a, self.b, self.c = (self.client(node) for node in self.nodes)

    def client(self, node: RunningNode) -> Node:
        client = Node(node.api)
        self.addCleanup(client.close)
        return client

    def test_a_node_tells_of_itself(self) -> None:
        info = self.a.wait_joined(LIMIT)
        self.assertEqual(info.profile, "local")
        self.assertTrue(info.listen[0].endswith(info.peer))
        self.assertIn(self.b.info().peer, until("neighbours", lambda: [peer.peer for peer in self.a.peers()]))

    def test_a_group_lives_and_is_signalled(self) -> None:
        group = self.a.create([self.nodes[1].address, self.c.info().peer], tag=None, state="números")
        self.assertEqual(len(group.members), 3)
        shown = self.b.group(group.id).show()
        self.assertEqual((shown.state, shown.role, shown.application_state), ("alive", "member", "números".encode()))
        self.assertIn(group.id, [listed.group for listed in self.b.groups().groups])
        checked = group.check()
        self.assertTrue(checked.alive and all(member.alive for member in checked.members))
        self.assertIsNone(group.failure())
        self.assertTrue(self.b.group(group.id).signal("enough"))
        failure = self.c.group(group.id).wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual((failure.kind, failure.text, failure.peer), ("signalled", "enough", self.b.info().peer))
        until("at the root, too", lambda: group.failure())
        self.assertFalse(group.signal("again"))

    def test_state_that_is_no_text_arrives(self) -> None:
        group = self.a.create([self.b.info().peer], state=b"\x00\xff")
        self.assertEqual(self.b.group(group.id).show().application_state, b"\x00\xff")
        group.close()

    def test_a_callback_fires_at_a_failure_and_at_once_after_it(self) -> None:
        group = self.a.create([self.b.info().peer])
        told: list[Failure] = []
        fired = threading.Event()

        def callback(failure: Failure) -> None:
            told.append(failure)
            fired.set()

        there = self.b.group(group.id)
        there.on_failure(callback)
        cancelled = there.on_failure(lambda failure: told.append(failure))
        cancelled.cancel()
        group.signal("x")
        self.assertTrue(fired.wait(LIMIT))
        fired.clear()
        there.on_failure(callback)
        self.assertTrue(fired.wait(LIMIT))
        self.assertEqual([failure.text for failure in told], ["x", "x"])
        until("no thread is left", lambda: not [t for t in threading.enumerate() if t.name == "fatebound-watch"])

    def test_closing_and_leaving_are_no_failures(self) -> None:
        group = self.a.create([self.b.info().peer], admit="open")
        self.assertEqual(self.c.group(group.id).join(LIMIT).role, "member")
        self.c.group(group.id).leave()
        self.assertIsNone(self.c.group(group.id).wait_failed(LIMIT))
        self.assertEqual(self.c.group(group.id).observe(LIMIT).role, "observer")
        group.close()
        self.assertIsNone(self.b.group(group.id).wait_failed(LIMIT))
        self.assertIsNone(self.c.group(group.id).wait_failed(LIMIT))
        with self.assertRaises(fatebound.GroupClosed) as refused:
            self.c.group(group.id).join(LIMIT)
        self.assertEqual(refused.exception.changed, Changed.NO)

    def test_whoever_asks_is_let_in_or_kept_out(self) -> None:
        group = self.a.create([self.b.info().peer])
        with self.a.admissions() as wishes:
            joined: list[object] = []

            def join() -> None:
                try:
                    joined.append(self.c.group(group.id).join(LIMIT))
                except fatebound.FateboundError as error:
                    joined.append(error)

            for refuse in (True, False):
                thread = threading.Thread(target=join)
                thread.start()
                wish = wishes.next(LIMIT)
                assert wish is not None
                self.assertEqual((wish.group, wish.peer, wish.observe), (group.id, self.c.info().peer, False))
                group.refuse(wish.peer, "not you") if refuse else group.admit(wish.peer)
                thread.join(LIMIT)
        self.assertIsInstance(joined[0], fatebound.NotAdmitted)
        self.assertIn("not you", str(joined[0]))
        self.assertIsInstance(joined[1], fatebound.Joined)
        group.close()

    def test_problems_are_typed(self) -> None:
        with self.assertRaises(fatebound.CreationFailed) as failed:
            self.a.create([self.b.info().peer], tag="nobody waits for this", timeout=LIMIT)
        problem = failed.exception
        self.assertEqual((problem.kind, problem.status, problem.changed), ("creation-failed", 409, Changed.NO))
        self.assertEqual([refusal.peer for refusal in problem.refusals], [self.b.info().peer])
        self.assertTrue(problem.group and problem.refusals[0].message)
        with self.assertRaises(fatebound.InvalidRequest):
            self.a.create(["nobody"])
        with self.assertRaises(fatebound.GroupNotKnown):
            self.a.group("zzzzzzzzzzzz").show()
        with self.assertRaises(TypeError):
            self.a.create("one text")
        with self.assertRaises(fatebound.InvalidRequest):
            self.a.group("with/slash and ümlaut\r\n").show()
        with self.assertRaises(fatebound.NameNotKnown):
            self.a.lookup("python-client-unknown")

    def test_the_directory(self) -> None:
        def published() -> bool:
            try:
                self.a.publish("python-client", "here")
            except fatebound.Problem:
                # Its keepers are not known yet.
                return False
            return True

        until("published", published)
        found = self.b.lookup("python-client")
        self.assertEqual((found.text, found.publisher), ("here", self.a.info().peer))

    def test_events_go_on_where_they_were(self) -> None:
        with self.a.events() as events:
            group = self.a.create([self.b.info().peer])
            created = self.event_of(events, group.id, "created")
            group.close()
            self.event_of(events, group.id, "closed")
        with self.a.events(after=created.id) as again:
            self.event_of(again, group.id, "closed")
        with self.assertRaises(fatebound.WaitTimeout), self.a.group(self.a.create([self.b.info().peer]).id).events() as quiet:
            while quiet.next(0.2):
                pass

    def test_a_lost_stretch_is_announced(self) -> None:
        with self.a.events(after="0000000000000000.7") as events:
            gap = events.next(LIMIT)
            assert gap is not None
            self.assertEqual((gap.event, gap.missed), ("gap", None))

    def test_a_stream_is_closed_while_another_thread_waits(self) -> None:
        events = self.a.group(self.a.create([self.b.info().peer]).id).events()
        seen: list[Event] = []
        thread = threading.Thread(target=lambda: seen.extend(events))
        thread.start()
        events.close()
        thread.join(LIMIT)
        self.assertFalse(thread.is_alive())

    def event_of(self, events: fatebound.EventStream, group: str, name: str) -> Event:
        while True:
            event = events.next(LIMIT)
            assert event is not None
            if (event.group, event.event) == (group, name):
                return event


class Kills(Nodes):
    """What happens when nodes are killed, stopped and started again."""

    def test_the_death_of_a_node_is_told_to_the_others(self) -> None:
        first, second = Node(self.nodes[0].api), Node(self.nodes[1].api)
        victim = self.another(self.nodes[0])
        dead = Node(victim.api).info().peer
        group = first.create([second.info().peer, victim.address])
        victim.kill()
        for node in (first, second):
            failure = node.group(group.id).wait_failed(LIMIT)
            assert failure is not None
            self.assertEqual((failure.kind, failure.peer), ("member_died", dead))
        with self.assertRaises(fatebound.NodeUnreachable) as gone:
            Node(victim.api).group(group.id).signal()
        self.assertEqual(gone.exception.changed, Changed.NO)

    def test_events_go_on_after_a_restart_with_a_gap(self) -> None:
        node = self.another(self.nodes[0])
        with Node(node.api) as client, client.events() as events:
            node.kill()
            node.start()
            while True:
                event = events.next(LIMIT)
                assert event is not None
                if event.event == "gap":
                    break
        with Node(node.api) as client, client.events(reconnect=0.0) as events:
            node.kill()
            with self.assertRaises(fatebound.NodeUnreachable):
                while events.next(LIMIT):
                    pass

    def test_a_node_that_hangs_is_given_up(self) -> None:
        import signal

        node = self.another(self.nodes[0])
        client = Node(node.api, timeout=0.3)
        node.signal(signal.SIGSTOP)
        with self.assertRaises(fatebound.CallTimeout) as silent:
            client.info()
        self.assertEqual(silent.exception.changed, Changed.NO)
        with self.assertRaises(fatebound.CallTimeout) as silent:
            client.group("abcdefghijkl").signal()
        self.assertEqual(silent.exception.changed, Changed.UNKNOWN)
        node.signal(signal.SIGCONT)
