"""Workers that add up their vectors, step by step: what a training job does with its gradients, with nothing but the standard library.

Worker 0 collects the vectors of all, and sends each the sum. As larger libraries do, a worker whose connection breaks tries again, because the other one
may come back, and gives up after half an hour. So when one worker dies, all others wait. Run it by `fatebound exec`, and they are stopped:

    fatebound exec --accept train -- python3 allreduce.py                                                     on all machines but one
    fatebound exec --create PEER... --tag train --state HOST:PORT --wait 1m -- python3 allreduce.py           on that one

It takes its place from FATEBOUND_RANK and FATEBOUND_SIZE, and from FATEBOUND_STATE a file that says where worker 0 listens: HOST:PORT, or unix:PATH.
STEPS (default 1000) says how many steps there are, PACE (default 0.01) how long each worker computes in each, in seconds.
"""

import os
import socket
import struct
import time

RANK = int(os.environ["FATEBOUND_RANK"])
SIZE = int(os.environ["FATEBOUND_SIZE"])
STEPS = int(os.environ.get("STEPS", "1000"))
PACE = float(os.environ.get("PACE", "0.01"))
LENGTH = 1024
VECTOR = struct.Struct(f"!{LENGTH}d")
HEAD = struct.Struct("!II")
GIVE_UP = 30 * 60

with open(os.environ["FATEBOUND_STATE"]) as file:
    WHERE = file.read().strip()


def opened():
    """A socket, and where worker 0 is."""
    if WHERE.startswith("unix:"):
        return socket.socket(socket.AF_UNIX), WHERE[len("unix:"):]
    host, port = WHERE.rsplit(":", 1)
    return socket.socket(socket.AF_INET), (host, int(port))


def read(stream, length):
    parts = b""
    while len(parts) < length:
        part = stream.recv(length - len(parts))
        if not part:
            raise ConnectionError("the other worker has gone")
        parts += part
    return parts


class Collector:
    """Worker 0."""

    def __init__(self):
        self.listener, place = opened()
        if isinstance(place, tuple):
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif os.path.exists(place):
            os.unlink(place)
        self.listener.bind(place)
        self.listener.listen(SIZE)
        self.listener.settimeout(GIVE_UP)

    def add_up(self, step, vector):
        waiting = {}
        total = list(vector)
        while len(waiting) < SIZE - 1:
            stream, _ = self.listener.accept()
            try:
                rank, of_step = HEAD.unpack(read(stream, HEAD.size))
                theirs = VECTOR.unpack(read(stream, VECTOR.size))
            except OSError:
                continue  # It tries again.
            if of_step == step and rank not in waiting:
                waiting[rank] = stream
                total = [a + b for a, b in zip(total, theirs)]
        for stream in waiting.values():
            try:
                stream.sendall(VECTOR.pack(*total))
            except OSError:
                pass  # It has gone: the next step waits for it.
            stream.close()
        return total


class Contributor:
    """Any other worker."""

    def add_up(self, step, vector):
        end = time.monotonic() + GIVE_UP
        while True:
            try:
                stream, place = opened()
                with stream:
                    stream.settimeout(GIVE_UP)
                    stream.connect(place)
                    stream.sendall(HEAD.pack(RANK, step) + VECTOR.pack(*vector))
                    return VECTOR.unpack(read(stream, VECTOR.size))
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


worker = Collector() if RANK == 0 else Contributor()
for step in range(STEPS):
    time.sleep(PACE)
    total = worker.add_up(step, [float(RANK + 1)] * LENGTH)
    assert total[0] == SIZE * (SIZE + 1) / 2
    if step % 10 == 0:
        print(f"worker {RANK}: step {step}", flush=True)
print(f"worker {RANK}: done", flush=True)
