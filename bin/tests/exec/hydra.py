"""The worst that a command can do without meaning it: a child, a grandchild, a daemon that ignores SIGTERM, and a hydra, which forks, makes a session of its
own and ends every 2 ms. All of them have standard output open; the hydra writes a point in each of its lives. Whatever is left ends after two minutes."""

import os, signal, sys, time

END = time.time() + 120


def sleeper(deaf=False):
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(max(0, END - time.time()))
    os._exit(0)


if os.fork() == 0:
    if os.fork() == 0:
        sleeper()
    sleeper()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        sleeper(deaf=True)
    os._exit(0)
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while time.time() < END:
        os.write(1, b".")
        try:
            child = os.fork()
        except OSError:
            time.sleep(0.001)
            continue
        if child:
            os._exit(0)
        os.setsid()
        time.sleep(0.002)
    os._exit(0)
sleeper()
