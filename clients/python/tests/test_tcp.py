"""Over TCP with a token: a front that asks for the token passes what it lets through on to a real node's socket."""

from __future__ import annotations

import os
import socket
import socketserver
import tempfile
import threading
import unittest
from typing import Optional

import fatebound
from fatebound import Node, aio
from tests.nodes import LIMIT, Nodes

TOKEN = "a-secret"
REFUSED = b'{"type":"urn:fatebound:error:unauthorized","title":"t","status":401,"detail":"a token is wanted"}'


class Front(socketserver.ThreadingTCPServer):
    daemon_threads = True
    path: str

    def __init__(self, path: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.path = path


class Passing(socketserver.BaseRequestHandler):
    server: Front

    def handle(self) -> None:
        client: socket.socket = self.request
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(4096)
            if not more:
                return
            head += more
        host = f"\r\nHost: 127.0.0.1:{self.server.server_address[1]}\r\n".encode()
        if f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode() not in head or host not in head:
            answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: %d\r\n\r\n" % len(REFUSED)
            client.sendall(answer + REFUSED)
            return
        with socket.socket(socket.AF_UNIX) as node:
            node.connect(self.server.path)
            node.sendall(head)
            back = threading.Thread(target=pass_on, args=(node, client), daemon=True)
            back.start()
            pass_on(client, node)
            back.join(LIMIT)


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Tcp(Nodes, unittest.IsolatedAsyncioTestCase):
    COUNT = 2

    def setUp(self) -> None:
        front = Front(f"{self.nodes[0].home}/fatebound.sock")
        self.addCleanup(front.server_close)
        self.addCleanup(front.shutdown)
        threading.Thread(target=front.serve_forever, args=(0.05,), daemon=True).start()
        self.api = f"http://127.0.0.1:{front.server_address[1]}"

    async def peer(self, token: Optional[str]) -> set[str]:
        """What both clients see."""
        with Node(self.api, token=token) as node:
            return {node.info().peer, (await aio.Node(self.api, token=token).info()).peer}

    async def test_a_token_opens(self) -> None:
        me = Node(self.nodes[0].api).info().peer
        self.assertEqual(await self.peer(TOKEN), {me})
        for token in (None, "another"):
            with self.assertRaises(fatebound.Unauthorized) as refused:
                await self.peer(token)
            self.assertEqual(refused.exception.changed, fatebound.Changed.NO)
            with self.assertRaises(fatebound.Unauthorized):
                await aio.Node(self.api, token=token).info()

    def test_a_token_comes_from_a_file(self) -> None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(f"{TOKEN}\n")
            file.flush()
            self.assertEqual(Node(self.api, token_file=file.name).info().profile, "local")
            before = dict(os.environ)
            try:
                os.environ.update(FATEBOUND_API=self.api, FATEBOUND_API_TOKEN_FILE=file.name)
                self.assertEqual(Node().info().profile, "local")
            finally:
                os.environ.clear()
                os.environ.update(before)

    async def test_streams_go_over_it_too(self) -> None:
        node = Node(self.api, token=TOKEN)
        group = node.create([self.nodes[1].address])
        with group.events() as events:
            async with aio.Node(self.api, token=TOKEN).group(group.id).events() as later:
                group.signal("over TCP")
                for event in (events.next(LIMIT), await later.next(LIMIT)):
                    assert event is not None
                    self.assertEqual(event.event, "failed")

    async def test_nobody_there_is_unreachable(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            api = f"http://127.0.0.1:{taken.getsockname()[1]}"
            with self.assertRaises(fatebound.NodeUnreachable):
                Node(api, token=TOKEN).info()
            with self.assertRaises(fatebound.NodeUnreachable):
                await aio.Node(api, token=TOKEN).info()
