"""The end-to-end tests in several houses at once (tests/e2e/parts.py): each
pytest takes a module that no other has taken, until there is none left.  Alone,
without POSTERN_PARTS, pytest is as ever."""
import json
import os
import pathlib
import secrets

import pytest

PARTS = os.environ.get("POSTERN_PARTS")
# Those that take longest begin first, so that no house waits long for another.
LONG = ("test_kits", "test_confinement", "test_limits", "test_restart",
        "test_refusals", "test_stock")
# Looks at what all tests of its house left behind: runs in each of them.
LAST = "test_zz_after"


def pytest_configure(config):
    if PARTS:
        config.pluginmanager.register(Part(pathlib.Path(PARTS)))


class Part:
    def __init__(self, folder):
        self.folder = folder
        # Not by a pid: each house counts them from 1.
        self.told = open(folder / f"told.{secrets.token_hex(8)}", "x",
                         buffering=1)

    def tell(self, **what):
        self.told.write(json.dumps(what) + "\n")

    def take(self, module):
        """Whether it is ours: there is one file of that name for all."""
        try:
            open(self.folder / f"{module}.taken", "x").close()
        except FileExistsError:
            return False
        return True

    def mine(self, items):
        modules = {}
        for item in items:
            modules.setdefault(item.path.stem, []).append(item)
        last = modules.pop(LAST, [])
        ran = False
        for name in sorted(modules, key=lambda n: n not in LONG):
            if self.take(name):
                ran = True
                yield from modules[name]
        if last and (ran or self.take(LAST)):
            yield from last

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        """pytest's own loop, but for who the next one is."""
        if session.testsfailed:
            raise session.Interrupted("errors during collection")
        self.tell(collected=[i.nodeid for i in session.items])
        mine = self.mine(session.items)
        item = next(mine, None)
        while item is not None:
            following = next(mine, None)
            item.config.hook.pytest_runtest_protocol(item=item,
                                                     nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
            item = following
        return True

    def pytest_runtest_logreport(self, report):
        self.tell(test=report.nodeid, when=report.when, was=report.outcome,
                  seconds=report.duration)
