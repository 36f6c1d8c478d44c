"""What bad tokens cost, and whom: postern-oidc as a process, the tests in the
PAM module's place.  POSTERN_FLOOD: how many bad tokens (1000, and then of two
kinds only)."""
import os
import pathlib
import re
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import process as p  # noqa: E402
import web  # noqa: E402

FLOOD = int(os.environ.get("POSTERN_FLOOD", "1000"))
KINDS = (["signature", "kid", "issuer", "stalled"]
         if "POSTERN_FLOOD" in os.environ else ["kid", "stalled"])
CONNS_MAX = 512
KEY, OTHER = web.Key("r1"), web.Key("r1")
CA = web.Ca("test CA")


@pytest.fixture
def issuer(tmp_path):
    it = web.Issuer(tmp_path, CA)
    it.keys = [KEY]
    yield it
    it.close()


@pytest.fixture
def oidc(tmp_path, issuer):
    it = p.Oidc(tmp_path, CA.pem(), "login-deadline 4s\n")
    it.issuers({"name": "ci", "url": issuer.url})
    assert it.login(KEY.token(issuer.claims(jti="first")))[0] == 0
    yield it
    assert it.process.poll() in (None, 0), it.logged()
    assert it.close() == 0


def took(what):
    start = time.monotonic()
    what()
    return time.monotonic() - start


def test_two_hundred_at_once(oidc, issuer):
    tokens = [KEY.token(issuer.claims(jti=str(i))) for i in range(200)]
    socks = [oidc.ask(t, source=f"10.0.{i % 4}.1")
             for i, t in enumerate(tokens)]
    assert [oidc.result(s) for s in socks] == [(0, p.HANDLE)] * 200
    for s in socks:
        s.close()
    assert len(oidc.marks) == 201


def test_who_fails_waits_and_nobody_else(oidc, issuer):
    """Bad tokens of one address for one target wait, up to two seconds; the
    same address for another target does not, and a good one never."""
    def bad(user="web-1", source="10.9.0.1"):
        with oidc.ask("bad", user=user, source=source) as s:
            assert oidc.result(s) == (1, "")

    def many(n):
        socks = [oidc.ask("bad", source="10.9.0.1") for _ in range(n)]
        for s in socks:
            assert oidc.result(s) == (1, "")
            s.close()

    def fast(what):
        """Once of three: other work on this machine is no wait of ours."""
        return min(took(what) for _ in range(3)) < 0.9

    assert fast(bad)
    many(9)
    assert took(bad) > 0.95
    many(20)
    assert took(bad) > 1.95
    many(12)
    assert 1.95 < took(bad) < 4   # and no longer for ever
    assert fast(lambda: bad(source="10.9.0.2"))
    for source in ("10.9.0.1", "10.9.0.2"):
        assert fast(lambda: oidc.login(KEY.token(issuer.claims()),
                                       source=source))
    # all targets of an address count together, less
    assert took(lambda: bad(user="web-2")) > 0.95
    # and with IPv6 nobody has one address alone
    for i in range(12):
        oidc.ask("bad", source=f"2001:db8::{i}").close()
    assert took(lambda: bad(source="2001:db8::ffff")) > 0.95


def flood(oidc, tokens, stop):
    """As fast as they are taken, from one address; (sent, sockets)."""
    socks = []
    for token in tokens:
        if stop.is_set():
            break
        socks.append(oidc.ask(token, source="10.66.0.1"))
        if len(socks) > CONNS_MAX + 100:   # our own descriptors
            with socks.pop(0) as s:
                assert oidc.result(s) == (1, "")
    for s in socks:
        assert oidc.result(s) == (1, "")
        s.close()


@pytest.mark.parametrize("kind", KINDS)
def test_flood(tmp_path, oidc, issuer, kind):
    """Thousands of bad tokens from one address, more than there is room for:
    a good one from the same address, and from another, is served as ever."""
    stalled = web.Issuer(tmp_path, CA)
    gate = threading.Event()
    stalled.behave = lambda h: gate.wait(60)
    if kind == "stalled":
        oidc.issuers({"name": "ci", "url": issuer.url},
                     {"name": "stalled", "url": stalled.url})
    claims = issuer.claims()
    bad = {"signature": OTHER.token(claims),
           "kid": OTHER.token(claims, {"kid": "made-up"}),
           "issuer": KEY.token({**claims, "iss": "https://nobody.example"}),
           "stalled": KEY.token(stalled.claims())}[kind]
    fetches, stop, failed = issuer.fetches(), threading.Event(), []

    def run():
        try:
            flood(oidc, [bad] * FLOOD, stop)
        except BaseException as e:
            failed.append(e)
            raise

    t = threading.Thread(target=run)
    before = time.monotonic()
    t.start()
    times = []
    for i in range(40):
        if not t.is_alive():
            break
        token = KEY.token(issuer.claims(jti=f"{kind}{i}"))
        source = ("10.66.0.1", "10.77.0.1")[i % 2]
        start = time.monotonic()
        assert oidc.login(token, source=source) == (0, p.HANDLE)
        times.append(time.monotonic() - start)
        time.sleep(0.05)
    t.join()
    seconds = time.monotonic() - before
    gate.set()
    stalled.close()
    assert not failed
    print(f"{kind}: {FLOOD} bad tokens in {seconds:.1f} s; {len(times)} good "
          f"ones meanwhile, {max(times):.3f} s the longest")
    assert len(times) >= 10 and max(times) < 2
    # what went out: at most one fetch in ten seconds, whoever asks
    assert issuer.fetches() - fetches <= 1 + seconds / 10
    assert len(stalled.paths) <= 1 + seconds / 10
    # what is written down: a hundred lines and a number, nothing is lost
    p.send(oidc.control, p.STOP)
    assert oidc.process.wait(20) == 0
    oidc.wait(lambda: written(oidc) >= FLOOD)
    assert written(oidc) == FLOOD
    assert len(oidc.events) < 110 + seconds / 10


def written(oidc):
    """Refusals that the events speak of."""
    n = 0
    for e in oidc.events:
        m = re.match(r"(\d+) logins of addresses", e["reason"])
        n += int(m.group(1)) if m else 1
    return n
