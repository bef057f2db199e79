"""The asyncio client, with real nodes."""

from __future__ import annotations

import asyncio
import signal
import sys
import unittest
from typing import Optional
from unittest import mock

import fatebound
from fatebound import Failure, GroupFailed, aio
from fatebound._ends import given_up
from fatebound.process_group import Message, Providers
from tests.nodes import LIMIT
from tests.test_holds import GONE, Holding


class Aio(Holding, unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.x, self.y = aio.Node(self.nodes[0].api), aio.Node(self.nodes[1].api)
        self.peer = (await self.y.info()).peer

    async def asyncTearDown(self) -> None:
        await self.x.close()
        await self.y.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if left:
            await asyncio.wait(left, timeout=LIMIT)
        self.assertEqual([task for task in left if not task.done()], [])

    async def test_a_group_lives_and_is_signalled(self) -> None:
        group = await self.x.create([self.peer], state="s")
        there = self.y.group(group.id)
        self.assertEqual((await there.show()).application_state, b"s")
        self.assertTrue((await group.check()).alive)
        told: list[Failure] = []
        fired = asyncio.Event()

        async def callback(failure: Failure) -> None:
            told.append(failure)
            fired.set()

        there.on_failure(callback)
        self.assertTrue(await group.signal("enough"))
        failure = await there.wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.text, "enough")
        await asyncio.wait_for(fired.wait(), LIMIT)
        self.assertEqual(told[0].text, "enough")
        with self.assertRaises(fatebound.CreationFailed):
            await self.x.create([self.peer], tag="nobody waits for this")

    async def test_events_come_in_order_and_a_wait_can_be_cancelled(self) -> None:
        async with self.x.events() as events:
            with self.assertRaises(asyncio.TimeoutError):
                while True:
                    await asyncio.wait_for(events.next(), 0.2)
            group = await self.x.create([self.peer])
            await group.close()
            seen = []
            async for event in events:
                if event.group == group.id:
                    seen.append(event)
                    if event.is_end:
                        break
        self.assertEqual([event.event for event in seen if event.event in ("created", "closed")], ["created", "closed"])
        async for event in self.x.group(group.id).events():
            self.assertEqual(event.event, "closed")
        with self.assertRaises(fatebound.WaitTimeout):
            await (await self.x.create([self.peer])).wait_failed(0.1)

    async def test_a_stream_is_closed_while_a_task_waits(self) -> None:
        group = await self.x.create([self.peer])
        async with group.events() as events:
            waiting = asyncio.ensure_future(events.next())
            await asyncio.sleep(0)
            events.close()
            self.assertIsNone(await asyncio.wait_for(waiting, LIMIT))
        await group.close()

    async def test_a_block_is_cancelled_when_its_group_fails(self) -> None:
        with self.assertRaises(GroupFailed) as failed:
            async with self.x.create_and_hold([self.peer]) as hold:
                await self.y.group(hold.group).signal("stop")
                await asyncio.sleep(LIMIT)
        self.assertEqual(failed.exception.failure.text, "stop")
        # The cancellation was for the block alone.
        task = asyncio.current_task()
        if sys.version_info >= (3, 11):
            assert task is not None
            self.assertEqual(task.cancelling(), 0)
        await asyncio.sleep(0)

    async def test_a_block_that_ends_as_its_group_fails_is_not_cancelled_later(self) -> None:
        hold = await self.x.create_and_hold([self.peer])
        with self.assertRaises(GroupFailed):
            async with hold:
                # As if the news came with the block's last step.
                hold._ended.set(given_up(hold.group))
        await asyncio.sleep(0)
        await self.x.group(hold.group).signal("done")

    async def test_a_cancellation_from_outside_stays_one(self) -> None:
        held: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            async with self.x.create_and_hold([self.peer]) as hold:
                held.set_result(hold.group)
                await asyncio.sleep(LIMIT)

        task = asyncio.ensure_future(work())
        group = await held
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        failure = await self.y.group(group).wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.text, "CancelledError")

    async def test_a_block_whose_leave_is_cancelled_holds_no_more(self) -> None:
        left: asyncio.Future[aio.Hold] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            async with self.x.create_and_hold([self.peer], tag="aio-cancelled") as hold:
                left.set_result(hold)

        async with self.y.invitations("aio-cancelled") as invitations:
            task = asyncio.ensure_future(work())
            invited = await invitations.next(LIMIT)
            assert invited is not None
            # The root waits for the invited one, which does not leave.
            root = await left
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            failure = await invited.wait_failed(LIMIT)
            assert failure is not None
            self.assertEqual(failure.text, GONE)
        await root.wait_failed(LIMIT)
        self.assertFalse(root.alive)

    async def test_a_block_whose_signal_is_cancelled_holds_no_more(self) -> None:
        with self.assertRaises(asyncio.CancelledError):
            with mock.patch.object(aio.Hold, "signal", side_effect=asyncio.CancelledError):
                async with self.x.create_and_hold([self.peer]) as hold:
                    raise ValueError("bad luck")
        failure = await self.y.group(hold.group).wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.text, GONE)

    async def test_an_exception_fails_the_group(self) -> None:
        with self.assertRaises(ValueError):
            async with self.x.create_and_hold([self.peer]) as hold:
                raise ValueError("bad luck")
        failure = await self.y.group(hold.group).wait_failed(LIMIT)
        assert failure is not None
        self.assertEqual(failure.text, "ValueError: bad luck")

    async def test_invitations_are_held_and_left(self) -> None:
        async with self.y.invitations("aio") as invitations:
            root = await self.x.create_and_hold([self.peer], tag="aio", state=b"\xff")
            invited = await invitations.next(LIMIT)
            assert invited is not None
            async with invited:
                self.assertEqual((invited.state, invited.group), (b"\xff", root.group))
            await root.leave(LIMIT)
            with self.assertRaises(fatebound.WaitTimeout):
                await invitations.next(0.05)
        with self.assertRaises(fatebound.WaitTimeout):
            await self.y.accept("aio-never", timeout=0.05)

    async def test_an_accepted_one_ends_with_its_block(self) -> None:
        accepting = asyncio.ensure_future(self.accept())
        root: Optional[aio.Hold] = None
        while root is None:
            try:
                root = await self.x.create_and_hold([self.peer], tag="aio-one")
            except fatebound.CreationFailed:
                # Nobody waits for it yet.
                self.assertFalse(accepting.done())
                await asyncio.sleep(0.02)
        await asyncio.wait_for(accepting, LIMIT)
        await root.leave(LIMIT)

    async def accept(self) -> None:
        async with self.y.accept("aio-one", timeout=LIMIT) as hold:
            self.assertTrue(hold.alive)

    async def test_several_holds_and_a_renewal(self) -> None:
        group = await self.x.create([self.peer])
        async with self.y.group(group.id).hold(ttl=60.0) as hold:
            await hold.renew()
        self.assertEqual((await group.show()).state, "alive")
        await group.close()

    async def test_a_lost_node_fails_what_it_held(self) -> None:
        node = self.another(self.nodes[0])
        group = await self.x.create([node.address])
        client, impatient = aio.Node(node.api), aio.Node(node.api, timeout=1.0)
        with self.assertRaises(GroupFailed) as failed:
            async with client.group(group.id).hold():
                node.signal(signal.SIGSTOP)
                await asyncio.sleep(LIMIT)
        self.assertEqual(failed.exception.failure.kind, "node_lost")
        with self.assertRaises(fatebound.CallTimeout):
            await impatient.info()
        node.signal(signal.SIGCONT)
        node.kill()
        with self.assertRaises(fatebound.NodeUnreachable):
            await client.info()

    async def test_a_closed_client_gives_its_holds_up(self) -> None:
        async with aio.Node(self.nodes[0].api) as client:
            hold = await client.create_and_hold([self.peer])
        assert hold.failure is not None
        self.assertEqual(hold.failure.kind, "given_up")

    async def test_process_groups(self) -> None:
        async with self.x.join_process_group("aio", instance="one", timeout=LIMIT) as one:
            async with self.y.join_process_group("aio", instance="two", timeout=LIMIT) as two:
                await two.send("hello")
                async for event in one:
                    if isinstance(event, Message):
                        self.assertEqual(event.body, b"hello")
                        break
                self.assertTrue((await one.set_state(b"x")).approved)
                self.assertEqual((await self.x.state("aio")).value, b"x")
            async for event in one:
                if isinstance(event, Providers) and event.left:
                    break
        here = await asyncio.gather(
            self.x.barrier("aio-barrier", 2, timeout=LIMIT), self.y.barrier("aio-barrier", 2, timeout=LIMIT)
        )
        self.assertEqual(here[0], here[1])
        async with self.x.lock("aio-lock", timeout=LIMIT) as lock:
            self.assertIsNone(lock.lost)
            with self.assertRaises(fatebound.WaitTimeout):
                async with self.y.lock("aio-lock", timeout=10.0):
                    pass
        async with self.y.lock("aio-lock", timeout=LIMIT) as next:
            self.assertGreater(next.epoch, lock.epoch)
