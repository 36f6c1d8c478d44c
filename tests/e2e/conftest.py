import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import house as h  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out under the sanitizers")


@pytest.fixture(scope="session")
def house():
    it = h.House()
    yield it
    it.close()


@pytest.fixture(scope="session")
def issuer(house):
    return house.issuer


@pytest.fixture(scope="session")
def up(house):
    """The house with everything in it running."""
    house.open()
    return house


@pytest.fixture(scope="session")
def bastion(up):
    return up.bastion


@pytest.fixture(scope="session")
def job(up):
    return up.job


@pytest.fixture
def mark(bastion):
    """Where the ledger ended before the test."""
    return bastion.mark()
