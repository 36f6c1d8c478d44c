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
