"""libnss_postern.so.2 as it was built: it loads at once, and without the
marker it knows nobody and touches nothing."""
import ctypes
import os
import pathlib
import socket
import subprocess
import sys

import pytest

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", "build")).resolve()
MODULE = BUILD / "nss/.libs/libnss_postern.so.2"

pytestmark = pytest.mark.skipif(not MODULE.exists(), reason="not built")

LOOK_UP = """
import ctypes, os, sys
lib = ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW)
buf, pw, err = ctypes.create_string_buffer(512), (ctypes.c_char * 256)(), \
    ctypes.c_int()
print(lib._nss_postern_getpwnam_r(sys.argv[2].encode(), pw, buf, 512,
                                  ctypes.byref(err)), err.value)
import pwd
try:
    print(pwd.getpwnam(sys.argv[2]).pw_name)
except KeyError:
    print("unknown")
"""


def look_up(name, **env):
    p = subprocess.run([sys.executable, "-c", LOOK_UP, MODULE, name],
                       capture_output=True, text=True, check=True,
                       env={"PATH": os.environ["PATH"], **env})
    return p.stdout.split("\n")[:-1]


NOT_FOUND, ENOENT = 0, 2


def test_without_the_marker():
    for name in ("web-1", "postern", "root"):
        assert look_up(name)[0] == f"{NOT_FOUND} {ENOENT}"
    assert look_up("root")[1] == "root"
    assert look_up("web-1")[1] == "unknown"


@pytest.mark.parametrize("value", ["", "0", "2", "10", " 1", "true"])
def test_with_another_marker(value):
    assert look_up("web-1", POSTERN_SSHD=value) == [f"{NOT_FOUND} {ENOENT}",
                                                    "unknown"]


def test_soname_and_needs():
    out = subprocess.run(["readelf", "-d", MODULE], capture_output=True,
                         text=True, check=True).stdout
    assert "Library soname: [libnss_postern.so.2]" in out
    assert [s.split("[")[1].rstrip("]") for s in out.splitlines()
            if "(NEEDED)" in s] == ["libc.so.6"]


def test_loads_with_everything_resolved():
    ctypes.CDLL(str(MODULE), mode=os.RTLD_NOW)


@pytest.mark.parametrize("marker, on", [("1", 1), ("0", 0)])
def test_the_connection_does_not_wait(marker, on):
    """sshd's connection is its standard input: what it says second does not
    wait for an answer to what it said first.  Without the marker it is left as
    it is."""
    says = ("import ctypes, socket, sys\n"
            "ctypes.CDLL(sys.argv[1])\n"
            "s = socket.socket(fileno=0)\n"
            "print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))\n")
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.create_connection(server.getsockname()) as s:
        p = subprocess.run([sys.executable, "-c", says, MODULE], stdin=s,
                           capture_output=True, text=True, check=True,
                           env={"PATH": os.environ["PATH"],
                                "POSTERN_SSHD": marker})
    assert p.stdout == f"{on}\n"
