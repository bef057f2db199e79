"""Over TCP, with a token."""

from __future__ import annotations

import os
import socket
import tempfile
import unittest
from pathlib import Path
from typing import Optional

import fatebound
from fatebound import Node, aio
from tests.nodes import LIMIT, Nodes, RunningNode

TOKEN = "a-secret-of-20-letters"


class Tcp(Nodes, unittest.IsolatedAsyncioTestCase):
    COUNT = 1

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        place = tempfile.TemporaryDirectory()
        cls.addClassCleanup(place.cleanup)
        token = Path(place.name, "token")
        token.touch(0o600)
        token.write_text(f"{TOKEN}\n")
        cls.token = str(token)
        both = ("--api", f"unix:{place.name}/api", "--api", "127.0.0.1:0", "--api-token-file", cls.token)
        node = RunningNode(cls.nodes[0].address, *both)
        cls.addClassCleanup(node.end)
        cls.socket, cls.api = f"unix:{place.name}/api", node.tcp

    token: str
    socket: str
    api: str

    async def peer(self, token: Optional[str]) -> set[str]:
        """What both clients see."""
        with Node(self.api, token=token) as node:
            return {node.info().peer, (await aio.Node(self.api, token=token).info()).peer}

    async def test_a_token_opens(self) -> None:
        me = Node(self.socket).info().peer
        self.assertEqual(await self.peer(TOKEN), {me})
        for token in (None, "another-secret-of-20"):
            with self.assertRaises(fatebound.Unauthorized) as refused:
                await self.peer(token)
            self.assertEqual(refused.exception.changed, fatebound.Changed.NO)
            with self.assertRaises(fatebound.Unauthorized):
                await aio.Node(self.api, token=token).info()

    def test_a_token_comes_from_a_file(self) -> None:
        self.assertEqual(Node(self.api, token_file=self.token).info().profile, "local")
        before = dict(os.environ)
        try:
            os.environ.update(FATEBOUND_API=self.api, FATEBOUND_API_TOKEN_FILE=self.token)
            self.assertEqual(Node().info().profile, "local")
        finally:
            os.environ.clear()
            os.environ.update(before)

    def test_it_may_be_called_localhost(self) -> None:
        port = self.api.rpartition(":")[2]
        self.assertEqual(Node(f"localhost:{port}", token=TOKEN).info().profile, "local")

    async def test_streams_go_over_it_too(self) -> None:
        node = Node(self.api, token=TOKEN)
        group = node.create([self.nodes[0].address])
        with group.events() as events:
            async with aio.Node(self.api, token=TOKEN).group(group.id).events() as later:
                group.signal("over TCP")
                for event in (events.next(LIMIT), await later.next(LIMIT)):
                    assert event is not None
                    self.assertEqual(event.event, "failed")

    async def test_holds_go_over_it_too(self) -> None:
        peer = Node(self.nodes[0].api).info().peer
        with self.assertRaisesRegex(ValueError, "x"):
            with Node(self.api, token=TOKEN).create_and_hold([peer]) as hold:
                raise ValueError("x")
        self.assertIsNotNone(hold.failure)
        async with aio.Node(self.api, token=TOKEN).create_and_hold([peer]) as later:
            Node(self.nodes[0].api).group(later.group).leave()
        self.assertIsNone(later.failure)

    async def test_nobody_there_is_unreachable(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            api = f"http://127.0.0.1:{taken.getsockname()[1]}"
            with self.assertRaises(fatebound.NodeUnreachable):
                Node(api, token=TOKEN).info()
            with self.assertRaises(fatebound.NodeUnreachable):
                await aio.Node(api, token=TOKEN).info()
