"""Real nodes for tests: each with a home of its own, killed when its test ends."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Callable, Optional, TypeVar

T = TypeVar("T")

LIMIT = 60.0
"""Nothing that a test waits for takes longer, however loaded the machine is."""

REQUIRED = os.environ.get("FATEBOUND_TESTS_REQUIRE_ALL") == "1"


def missing(what: str) -> None:
    """Skips a test for which something is missing; where nothing may be missing, it fails."""
    if REQUIRED:
        raise AssertionError(what)
    raise unittest.SkipTest(what)


def program() -> str:
    """The node's program: ``FATEBOUND_BIN``, or where Cargo puts it."""
    place = os.environ.get("FATEBOUND_BIN")
    if place:
        return place
    target = Path(__file__).resolve().parents[3] / "target"
    for profile in ("debug", "release"):
        found = target / profile / "fatebound"
        if found.exists():
            return str(found)
    missing(f"no program: build it (cargo build -p fatebound-cli) or name it in FATEBOUND_BIN (looked in {target})")
    raise AssertionError


def until(what: str, condition: Callable[[], Optional[T]]) -> T:
    """Waits until this is there."""
    end = time.monotonic() + LIMIT
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {LIMIT:g} s: {what}")
        time.sleep(0.02)


class RunningNode:
    """A running node."""

    def __init__(self, bootstrap: Optional[str] = None, *more: str) -> None:
        self.home = tempfile.mkdtemp(prefix="fb")
        self._line = ["--bootstrap", bootstrap] if bootstrap else []
        self._line += more
        self.address = ""
        self.tcp = ""
        """Where it serves its API over TCP."""
        self.start()

    @property
    def api(self) -> str:
        return f"unix:{self.home}/fatebound.sock"

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": self.home, "XDG_RUNTIME_DIR": self.home, "PATH": os.environ.get("PATH", "")}

    def start(self) -> None:
        """Starts it and waits until it has joined."""
        line = [program(), "node", "--profile", "local", "--listen", "/ip4/127.0.0.1/tcp/0", *self._line]
        self.process = subprocess.Popen(
            line,
            # Unbuffered: a second line that came with the first must not hide from `select`.
            bufsize=0,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.address = self._line_out()[len("listening ") :]
            self.tcp = ""
            said = self._line_out()
            while said != "ready":
                if said.startswith("api http"):
                    self.tcp = said[len("api ") :]
                said = self._line_out()
        except BaseException:
            self.end()
            raise

    def run(self, *line: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the program against this node."""
        return subprocess.run(
            [program(), *line], env=self.environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kills it with SIGKILL."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def _line_out(self) -> str:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], LIMIT)[0]:
            raise AssertionError("the node says nothing")
        line = self.process.stdout.readline().decode().strip()
        assert line, "the node has ended"
        return line


class Nodes(unittest.TestCase):
    """Tests with nodes that live as long as their class."""

    COUNT = 3
    nodes: list[RunningNode]

    @classmethod
    def setUpClass(cls) -> None:
        cls.nodes = []
        for _ in range(cls.COUNT):
            cls.nodes.append(cls.another(cls.nodes[0] if cls.nodes else None))

    @classmethod
    def another(cls, first: Optional[RunningNode]) -> RunningNode:
        node = RunningNode(first.address if first else None)
        cls.addClassCleanup(node.end)
        return node
