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
    try:
        house.open()
    except Exception as e:
        # Said once, not by each test that needs it.
        pytest.exit(f"the house does not come up: {e}\n"
                    f"{house.said()}", returncode=1)
    return house


@pytest.fixture(scope="session")
def bastion(up):
    return up.bastion


@pytest.fixture(scope="session")
def job(up):
    return up.job


@pytest.fixture(scope="module")
def rules(bastion, request):
    """The RULES of the tests' own file are in force while these run."""
    with bastion.more_rules(request.module.RULES):
        yield


@pytest.fixture
def mark(bastion):
    """Where the ledger ended before the test."""
    return bastion.mark()


@pytest.fixture
def cuts(bastion):
    """The test takes hops or shells away: what it began may end without last
    words, and test_zz_after wants that of nothing else."""
    before = bastion.begun()
    yield
    bastion.told()
    bastion.cut |= bastion.begun() - before


@pytest.fixture
def fresh(up):
    """The job has an address that no bad token came from."""
    with h.owing_nothing() as addr:
        yield addr


LOGS = (h.WORK / "posternd.log", h.WORK / "postern-sshd.log",
        h.WORK / "targets/web-1/log", h.STATE / "ledger/ledger.jsonl")


def sizes():
    return {f: f.stat().st_size if f.exists() else 0 for f in LOGS}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    item.logs = sizes()
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the servers said meanwhile explains a failure."""
    report = (yield).get_result()
    if report.failed:
        for f, n in getattr(item, "logs", {}).items():
            if f.exists() and f.stat().st_size > n:
                text = f.read_bytes()[n:][-6000:].decode(errors="replace")
                report.sections.append((f.name, text))
