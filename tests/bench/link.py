"""A link between job and bastion that is as far as an office from a cloud: all
that the job sends to the bastion's address goes over it, and back."""
import fcntl
import os
import pathlib
import struct
import subprocess
import sys

import house as h

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
BASTION, JOB = h.NET["bastion"][0], "10.92.0.4"


def tun(netns, name):
    with h.in_netns(netns):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack(
            "16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    h.run("ip", "-n", netns, "link", "set", name, "up")
    return fd


class Far:
    """As a context: so many milliseconds each way."""

    def __init__(self, ms):
        self.ms = ms

    def __enter__(self):
        near, far = tun("job", "far0"), tun("bastion", "far1")
        for netns, name in (("job", "far0"), ("bastion", "far1")):
            h.run("ip", "-n", netns, "link", "set", name, "mtu", "1500",
                  "txqueuelen", "10000")
        h.run("ip", "-n", "job", "addr", "add", f"{JOB}/32", "dev", "far0")
        h.run("ip", "-n", "job", "route", "add", f"{BASTION}/32", "dev",
              "far0", "src", JOB)
        h.run("ip", "-n", "bastion", "route", "add", f"{JOB}/32", "dev",
              "far1")
        self.relay = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("delay.py"),
             str(self.ms)], stdin=near, stdout=far, stderr=subprocess.PIPE)
        os.close(near)
        os.close(far)
        assert self.relay.stderr.readline() == b"ready\n"
        return self

    def __exit__(self, *why):
        # The devices go with their descriptors, and the routes with them.
        self.relay.kill()
        self.relay.wait()
        self.relay.stderr.close()
