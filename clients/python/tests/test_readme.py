"""The README's first example, as it stands there, with two nodes and two processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import fatebound
from tests.nodes import LIMIT, RunningNode
from tests.test_holds import Holding

README = Path(__file__).resolve().parents[1] / "README.md"


class FirstExample(Holding):
    COUNT = 3

    def start(self, node: RunningNode, program: str, *arguments: str) -> subprocess.Popen[str]:
        source = re.search(rf"```python\n(# {program}\n.*?)```", README.read_text("utf-8"), re.DOTALL)
        assert source is not None, program
        environment = {**os.environ, **node.environment, "PYTHONPATH": str(Path(fatebound.__file__).parents[1])}
        environment.pop("FATEBOUND_API", None)
        process = subprocess.Popen(
            [sys.executable, "-c", source[1], *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def end() -> None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()

        self.addCleanup(end)
        return process

    def both(self) -> list[subprocess.Popen[str]]:
        accepting = self.start(self.nodes[1], "accept.py")
        end = time.monotonic() + LIMIT
        while True:
            # Whether the other one waits already, only the attempt tells.
            self.assertIsNone(accepting.poll())
            self.assertLess(time.monotonic(), end)
            creating = self.start(self.nodes[0], "create.py", self.b.info().peer)
            assert creating.stdout is not None and accepting.stdout is not None
            if creating.stdout.readline() == "working\n":
                self.assertEqual(accepting.stdout.readline(), "working\n")
                return [creating, accepting]

    def test_both_come_to_their_end(self) -> None:
        processes = self.both()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            self.assertEqual(process.stdout.read(), "done\n")
            self.assertEqual(process.wait(LIMIT), 0)

    def test_either_is_killed(self) -> None:
        for victim in (0, 1):
            processes = self.both()
            processes[victim].kill()
            self.assertEqual(processes[1 - victim].wait(LIMIT), 3)
