"""The clocks of one process, by tests/broker/clock.c."""
import os
import pathlib
import struct

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", "build")).resolve()
LIB = BUILD / "tests/broker/.libs/clock.so"


class Clock:
    """What is started with `env` has a wall clock that is set ahead, and
    every clock of it goes on, as clock(ahead, passed) says, in seconds."""

    def __init__(self, page, lib=LIB):
        self.page = pathlib.Path(page)
        self.page.write_bytes(bytes(16))
        self.env = {"LD_PRELOAD": str(lib), "CLOCK_PAGE": str(page),
                    "ASAN_OPTIONS":
                    "detect_leaks=0:verify_asan_link_order=0"}

    def __call__(self, ahead, passed=0):
        with open(self.page, "r+b") as f:
            f.write(struct.pack("=qq", ahead, passed))
