"""The parts that need no node: parsing, addresses, errors."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import unittest
from typing import Callable, Optional

import fatebound
from fatebound import Changed, CreationFailed, FateboundError, ForeignAnswer, InvalidAddress, Problem
from fatebound import aio, process_group
from fatebound._address import TcpAddress, UnixAddress, default_socket, find, find_timeout, find_token, parse
from fatebound._http import Request, ResponseParser
from fatebound._meeting import Meeting
from fatebound._read import decode, octets, written
from fatebound._sse import SseParser
from fatebound.model import GroupInfo, NodeInfo
from fatebound.process_group import Message, Proposal, Providers, State, Unknown, read_event


class Http(unittest.TestCase):
    def parsed(self, *parts: bytes) -> Optional[bytes]:
        parser = ResponseParser()
        for part in parts:
            parser.feed(part)
        return parser.take() if parser.complete else None

    def test_an_answer_is_read_wherever_it_is_cut(self) -> None:
        head = b"HTTP/1.1 200 OK\r\n"
        whole = [
            head + b"Content-Length: 5\r\n\r\nhello",
            head + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" + head + b"content-length: 5\r\n\r\nhello",
        ]
        for answer in whole:
            for cut in range(1, len(answer)):
                self.assertEqual(self.parsed(answer[:cut], answer[cut:]), b"hello", (answer, cut))
            for cut in range(len(answer)):
                self.assertIsNone(self.parsed(answer[:cut], b""), (answer, cut))

    def test_an_answer_without_a_length_ends_with_its_connection(self) -> None:
        self.assertEqual(self.parsed(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", b""), b"hello")
        self.assertEqual(self.parsed(b"HTTP/1.1 204 No Content\r\n\r\n"), b"")

    def test_what_is_no_http_is_foreign(self) -> None:
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        for answer in (
            b"SSH-2.0-x\r\n\r\n",
            b"x" * 70_000,
            chunked + b"-1\r\n",
            chunked + b"zz\r\n",
            chunked + b"1\r\nab\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\n",
        ):
            with self.assertRaises(ForeignAnswer, msg=answer[:80]):
                self.parsed(answer)

    def test_a_request_has_no_room_for_another_one(self) -> None:
        sent = Request("POST", "/v1/x", {"a": "é"}).encoded("localhost", "secret")
        self.assertIn(b"\r\nAuthorization: Bearer secret\r\n", sent)
        self.assertTrue(sent.endswith(b'\r\n\r\n{"a": "\\u00e9"}'))
        with self.assertRaises(ValueError):
            Request("GET", "/x", headers={"Last-Event-ID": "1\r\nX: y"}).encoded("localhost", None)


class Sse(unittest.TestCase):
    def test_events_are_found_wherever_the_stream_is_cut(self) -> None:
        text = b'id: a.1\nevent: failed\ndata: {"n": 1}\n\n:\n\ndata: {"n":\ndata: 2}\n\n'
        for cut in range(len(text)):
            parser, found = SseParser(), []
            for part in (text[:cut], text[cut:]):
                parser.feed(part)
                sent = parser.pop()
                while sent is not None:
                    found.append((sent.id, sent.data))
                    sent = parser.pop()
            self.assertEqual(found, [("a.1", {"n": 1}), (None, {"n": 2})], cut)

    def test_an_endless_event_is_given_up(self) -> None:
        parser = SseParser()
        with self.assertRaises(ForeignAnswer):
            for _ in range(100):
                parser.feed(b"x" * 100_000)
                parser.pop()

    def test_an_event_that_is_no_json_is_foreign(self) -> None:
        parser = SseParser()
        parser.feed(b"data: {\n\n")
        with self.assertRaises(ForeignAnswer):
            parser.pop()


class Addresses(unittest.TestCase):
    def test_they_are_the_program_s(self) -> None:
        self.assertEqual(parse("unix:/x/y"), UnixAddress("/x/y"))
        self.assertEqual(parse("http://[::1]:7102"), TcpAddress("::1", 7102))
        self.assertEqual(parse("localhost:7102"), TcpAddress("localhost", 7102))
        self.assertEqual(str(parse("http://localhost:7102/")), "http://localhost:7102")
        for text in ("unix:", "/x", "https://h:1", "http://h", "http://h:1/x", "http://h:99999", "http://u@h:1"):
            with self.assertRaises(InvalidAddress, msg=text):
                parse(text)

    def test_the_environment_says_where(self) -> None:
        self.assertEqual(find(None, {"FATEBOUND_API": "unix:/a"}), UnixAddress("/a"))
        self.assertEqual(find("unix:/b", {"FATEBOUND_API": "unix:/a"}), UnixAddress("/b"))
        self.assertEqual(default_socket({"XDG_RUNTIME_DIR": "/run/user/7"}, 7), "/run/user/7/fatebound.sock")
        self.assertEqual(default_socket({}, 0), "/run/fatebound.sock")
        self.assertEqual(default_socket({"HOME": "/h", "XDG_RUNTIME_DIR": "not/absolute"}, 7), "/h/.local/state/fatebound/api.sock")
        self.assertEqual(default_socket({"HOME": "/h", "XDG_STATE_HOME": "/s"}, 7), "/s/fatebound/api.sock")

    def test_time_limits(self) -> None:
        def limit(text: str) -> float:
            return find_timeout(None, {"FATEBOUND_API_TIMEOUT": text})

        self.assertEqual((limit("500ms"), limit("2m 30s"), limit("1.5s")), (0.5, 150.0, 1.5))
        self.assertEqual((find_timeout(None, {}), find_timeout(3, {})), (10.0, 3))
        for text in ("", "5", "x s", "3 parsecs", "0s"):
            with self.assertRaises(InvalidAddress, msg=text):
                limit(text)

    def test_tokens(self) -> None:
        self.assertIsNone(find_token(None, None, {}))
        self.assertEqual(find_token("secret", None, {}), "secret")
        for token in ("", "a b", "a\r\nX: y"):
            with self.assertRaises(InvalidAddress):
                find_token(token, None, {})
        with self.assertRaises(InvalidAddress):
            find_token(None, "/nowhere/at/all", {})


class Values(unittest.TestCase):
    def test_what_is_not_known_is_ignored_and_what_is_missing_said(self) -> None:
        group = decode(GroupInfo, {"group": "g", "state": "alive", "root": "r", "hops": [1, None], "later": 7})
        self.assertEqual((group.hops, group.role, group.application_state), ((1, None), None, b""))
        self.assertEqual(decode(GroupInfo, {"group": "g", "state": "s", "root": "r", "application_state_base64": "AP8="}).application_state, b"\x00\xff")
        wrongs: list[object] = [{}, {"group": "g", "state": 7, "root": "r"}, {"group": "g", "state": "s", "root": "r", "members": [1]}, [], None]
        for wrong in wrongs:
            with self.assertRaises(ForeignAnswer, msg=str(wrong)):
                decode(GroupInfo, wrong)
        with self.assertRaises(ForeignAnswer):
            decode(NodeInfo, {"peer": "p", "joined": 1})

    def test_octets(self) -> None:
        for value in (b"", b"text", "é".encode(), b"\x00\xff"):
            self.assertEqual(octets(json.loads(json.dumps(written(value))), ""), value)
        for wrong in (7, None, {"base64": "%"}, {}):
            with self.assertRaises(ForeignAnswer):
                octets(wrong, "")

    def test_problems_say_whether_anything_has_changed(self) -> None:
        def problem(kind: str, status: int) -> Problem:
            return Problem.of({"type": f"urn:fatebound:error:{kind}", "status": status, "detail": "d"})

        self.assertIs(problem("busy", 503).changed, Changed.NO)
        self.assertIs(problem("stopping", 503).changed, Changed.UNKNOWN)
        self.assertIs(problem("of-a-later-version", 500).changed, Changed.UNKNOWN)
        self.assertIs(type(problem("of-a-later-version", 400)), Problem)
        failed = problem("creation-failed", 409)
        assert isinstance(failed, CreationFailed)
        self.assertEqual((failed.refusals, str(failed)), ((), "d"))

    def test_events_of_process_groups(self) -> None:
        message = read_event({"event": "message", "from": "a", "body": {"base64": "AP8="}})
        self.assertEqual(message, Message("a", b"\x00\xff"))
        self.assertEqual(read_event({"event": "ping", "n": 7}), Unknown("ping", {"n": 7}))
        with self.assertRaises(ForeignAnswer):
            read_event({"event": "state", "version": "x", "value": ""})
        self.assertEqual(Proposal(state=b"\xff", expected=0).body(), {"state": {"base64": "/w=="}, "expected": 0})


class Barriers(unittest.TestCase):
    @staticmethod
    def listed(*names: str) -> Providers:
        return Providers("1", tuple(process_group.ProviderInfo(name, "peer", name.encode(), "present", b"waits for 2") for name in names))

    def test_the_oldest_lets_them_go_when_enough_are_there(self) -> None:
        first, second = Meeting("x", "a", 2), Meeting("x", "b", 2)
        for meeting in (first, second):
            meeting.follow(self.listed("a"))
            self.assertIsNone(meeting.turn())
            meeting.follow(self.listed("a", "b"))
        self.assertIsNone(second.turn())
        turn = first.turn()
        assert turn is not None and isinstance(turn.state, str)
        self.assertEqual((json.loads(turn.state), turn.expected), ({"released": ["a", "b"]}, 0))
        state = State(1, turn.state.encode())
        second.known(state)
        self.assertIsNone(second.here, "what the node knows before its events lets nobody go")
        second.follow(state)
        self.assertEqual(second.here, ("a@peer", "b@peer"))

    def test_who_waits_in_vain_knows_who_is_there(self) -> None:
        meeting = Meeting("x", "one", 2)
        founder = process_group.ProviderInfo("founder", "peer", b"founder", "present")
        meeting.follow(Providers("1", (founder, *self.listed("one").providers)))
        self.assertEqual(tuple(waiting.provider for waiting in meeting.waiting()), ("one",))
        self.assertEqual(meeting.missed(), "1 of 2 came to the barrier x: one@peer")

    def test_who_does_not_come_into_the_group_in_time_has_waited_in_vain(self) -> None:
        with tempfile.TemporaryDirectory() as home, socket.socket(socket.AF_UNIX) as silent:
            silent.bind(f"{home}/api.sock")
            silent.listen(16)
            node = fatebound.Node(f"unix:{home}/api.sock", timeout=0.05)
            other = aio.Node(f"unix:{home}/api.sock", timeout=0.05)

            async def lock() -> None:
                await other.lock("x", timeout=0.05)

            barriers: list[Callable[[], object]] = [
                lambda: node.barrier("x", 2, timeout=0.05),
                lambda: asyncio.run(other.barrier("x", 2, timeout=0.05)),
            ]
            for barrier in barriers:
                with self.assertRaises(fatebound.BarrierMissed) as missed:
                    barrier()
                self.assertEqual(missed.exception.here, ())
            locks: list[Callable[[], object]] = [lambda: node.lock("x", timeout=0.05), lambda: asyncio.run(lock())]
            for take in locks:
                with self.assertRaises(fatebound.WaitTimeout):
                    take()

    def test_the_state_of_something_else_is_no_barrier(self) -> None:
        for value in (b"primary=a", b"[]", b'{"released": 7}'):
            with self.assertRaises(FateboundError):
                Meeting("x", "a", 2).follow(State(1, value))
