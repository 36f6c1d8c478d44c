import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import stage as s  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def place():
    """Runs in namespaces of its own, where the network is still down."""
    if os.environ.get("POSTERN_INSIDE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    s.build()


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return s.CA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory, ca):
    it = s.Sshd(tmp_path_factory.mktemp("sshd"), ca)
    yield it
    it.stop()


@pytest.fixture
def hop(tmp_path, ca, sshd):
    """Starts hops against the target; ends what a test leaves behind."""
    it = s.Hops(tmp_path, ca, sshd)
    yield it
    it.stop()
