#!/usr/bin/python3
"""delay.py MS: a link that takes its time.  Reads packets from the TUN device
that is its standard input and writes them to the one that is its standard
output, each so many milliseconds after it came, and the same the other way.
No packet is lost, none overtakes another, and there is no bound of bandwidth.

Where the kernel has netem this is `tc qdisc add … netem delay`."""
import collections
import os
import select
import sys
import time

PACKET_MAX = 65536


def main():
    delay = float(sys.argv[1]) / 1000
    waiting = {0: collections.deque(), 1: collections.deque()}
    for fd in waiting:
        os.set_blocking(fd, False)
    print("ready", file=sys.stderr, flush=True)
    while True:
        due = [q[0][0] for q in waiting.values() if q]
        wait = max(0, min(due) - time.monotonic()) if due else None
        for fd in select.select(list(waiting), [], [], wait)[0]:
            packet = os.read(fd, PACKET_MAX)
            waiting[1 - fd].append((time.monotonic() + delay, packet))
        now = time.monotonic()
        for fd, q in waiting.items():
            while q and q[0][0] <= now:
                os.write(fd, q.popleft()[1])


if __name__ == "__main__":
    main()
