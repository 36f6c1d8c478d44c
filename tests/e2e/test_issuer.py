"""An issuer that fails, seen by jobs with stock ssh: whoever has keys goes on,
nobody waits beyond a login's deadline, and nothing is connected to but what may
be.  `./dev flood` has it with the settings as they are by default, and with
stalls and names that change over minutes; else the deadline is 3 s."""
import concurrent.futures
import contextlib
import os
import socket
import struct
import threading
import time

import house as h
import pytest
from test_jobcert import Key, settings

RESTART = "systemctl restart web"
DONE = (0, "restart web\nweb is up\n")
LONG = "POSTERN_FLOOD" in os.environ
DEADLINE_S = 10 if LONG else 3  # login-deadline
STALL_S = 30
COOLDOWN_S = 10                 # an issuer is asked so often for a key
CACHED_S = 60                   # for so long libcurl remembers a name
at_length = pytest.mark.skipif(not LONG, reason="in ./dev flood")
PUBLIC = "93.184.216.34"        # of the internet's, and here the issuer's
PRIVATE = "10.91.0.2"           # where nothing of ours has any business


def name(iss):
    return iss.split("//")[1].split(".")[0]


def said_of(iss):
    return (f'issuer {name(iss)} {{ preset custom; url "{iss}"; audience '
            f'"{h.AUDIENCE}"; algorithms ES256 }}\nidentity of-{name(iss)} '
            f'from {name(iss)} {{ claim repository_id = "7712345" }}\n')


PROGRAM = f"/opt/house/bin/{RESTART}"
POLICY = "policy 1\n" + "".join(map(said_of, h.NAMED[:4])) + \
    "allow named for " + " ".join(f"of-{name(i)}" for i in h.NAMED[:4]) + \
    f" on web-1 {{ run {PROGRAM} }}\n"


class NameServer:
    """Says for each name what it is told to, and counts."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []
        with h.in_netns("bastion"):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                q, who = self.sock.recvfrom(512)
            except OSError:
                return
            labels, at = [], 12
            while q[at]:
                labels.append(q[at + 1:at + 1 + q[at]].decode().lower())
                at += 1 + q[at]
            kind, end = struct.unpack(">H", q[at + 1:at + 3])[0], at + 5
            found = []
            if kind == 1 and ".".join(labels[1:]) == "named.example":
                self.asked.append(labels[0])
                found = self.answers(labels[0], self.asked.count(labels[0]))
            answer = q[:2] + b"\x81\x80" + q[4:6] + struct.pack(
                ">HHH", len(found), 0, 0) + q[12:end] + b"".join(
                b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 0, 4) +
                socket.inet_aton(a) for a in found)
            with contextlib.suppress(OSError):  # closed meanwhile
                self.sock.sendto(answer, who)

    def close(self):
        self.sock.close()


def addresses(label, times):
    return {"steady": [PUBLIC], "late": [PUBLIC], "private": [PRIVATE],
            "both": ["93.184.216.35", PRIVATE],
            "flips": [PUBLIC] if times == 1 else [PRIVATE]}[label]


class Trap:
    """Counts who connects to the address that must not be connected to."""

    def __init__(self):
        with h.in_netns("target"):
            self.sock = socket.create_server((PRIVATE, 443))
        self.accepted = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            s.close()

    def close(self):
        # Wakes accept, which close does not.
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.fixture(scope="module")
def named(bastion, issuer):
    """The issuers of NAMED, in the policy, and who says where they are."""
    key = h.Key("ES256", "named-1")
    for iss in h.NAMED:
        issuer.keys[iss] = key
    h.run("ip", "-n", "issuer", "addr", "add", f"{PUBLIC}/32", "dev", "lo")
    h.run("ip", "-n", "bastion", "route", "add", f"{PUBLIC}/32", "via",
          h.NET["issuer"][0])
    with h.in_netns("issuer"):
        more = socket.create_server((PUBLIC, 443))
    forward(more)
    server, trap = NameServer(addresses), Trap()

    def close_after_each(handler, iss):
        # Or the second request goes over the first one's connection.
        handler.close_connection = iss in h.NAMED
        return False
    issuer.behave = close_after_each
    path = h.ETC / "policy/named.postern"
    bastion.write_policy(POLICY, path.name)
    with contextlib.ExitStack() as stack:
        if LONG:
            bastion.reload()
        else:
            stack.enter_context(settings(
                bastion, f"login-deadline {DEADLINE_S}s\n"))
        yield server, trap
        issuer.behave = None
        path.unlink()
    bastion.reload()
    for it in (server, trap):
        it.close()
    more.shutdown(socket.SHUT_RDWR)
    more.close()
    h.run("ip", "-n", "bastion", "route", "del", f"{PUBLIC}/32")
    h.run("ip", "-n", "issuer", "addr", "del", f"{PUBLIC}/32", "dev", "lo")


def forward(server):
    """What comes there goes to the issuer's own address."""
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve():
        while True:
            try:
                s, _ = server.accept()
            except OSError:
                return
            with h.in_netns("issuer"):
                to = socket.create_connection((h.NET["issuer"][0], 443))
            for ends in ((s, to), (to, s)):
                threading.Thread(target=copy, args=ends, daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()


def login(job, iss, **changes):
    return job.ssh("web-1", RESTART, token=job.issuer.token(iss, **changes),
                   opts=("-o", "NumberOfPasswordPrompts=1"))


def test_by_a_name_that_is_looked_up(named, job):
    """The control: this is how the others below would get in."""
    r = login(job, h.NAMED[0])
    assert (r.code, r.text) == DONE, r.error
    assert "steady" in named[0].asked


@pytest.mark.parametrize("iss", h.NAMED[2:4], ids=name)
def test_what_a_name_server_says_is_no_permission(bastion, named, job, iss,
                                                  mark, fresh):
    """A private address; a public one that nobody is at, and a private one
    beside it."""
    server, trap = named
    r = login(job, iss)
    assert (r.code, r.out) == (255, b"")
    assert "keys" in bastion.event(mark, "login.refused")["reason"]
    assert trap.accepted == 0 and name(iss) in server.asked
    said = [x for x in bastion.log.read_text().splitlines()
            if f"keys of {iss}" in x]
    assert said and all(PRIVATE in x and "issuer-address" in x
                        for x in said), said
    assert not [p for i, p in job.issuer.requests if i == iss]


def test_a_name_that_changes(named, job):
    """It leads to a private address from the second time on that it is looked
    up: what is connected to is what was judged, at each connection."""
    server, trap = named
    iss = h.NAMED[1]
    r = login(job, iss)
    assert (r.code, r.text) == DONE, r.error
    assert trap.accepted == 0
    if not LONG:
        return
    time.sleep(CACHED_S + COOLDOWN_S)
    n = len(job.issuer.requests)
    r = login(job, iss, key=h.Key("ES256", "n-3"))
    assert r.code == 255
    assert server.asked.count(name(iss)) >= 2 and trap.accepted == 0
    assert not [p for i, p in job.issuer.requests[n:] if i == iss]
    # With the keys that it had its jobs still come in.
    r = login(job, iss)
    assert (r.code, r.text) == DONE, r.error


@contextlib.contextmanager
def stalled(issuer, iss):
    """It takes connections and says nothing, for so long; yields when that
    began, and who came meanwhile."""
    begin, came = time.monotonic(), []

    def stall(handler, of):
        if of == iss:
            came.append(time.monotonic() - begin)
            time.sleep(max(0, begin + STALL_S - time.monotonic()))
        return False
    before, issuer.behave = issuer.behave, stall
    try:
        yield begin, came
    finally:
        issuer.behave = before


def others_notice_nothing(job, key, waiting, *more):
    """Until that login is refused."""
    took = []
    while not waiting.done():
        for r in (job.ssh("web-1", RESTART), key.ssh("web-1", RESTART),
                  *(login(job, iss, key=k) for iss, k in more)):
            assert (r.code, r.text) == DONE, r.error
            took.append(r.seconds)
    r = waiting.result()
    assert (r.code, r.out) == (255, b"")
    print(f"refused after {r.seconds:.1f} s; {len(took)} others meanwhile, "
          f"{max(took):.1f} s the longest")
    # and far from sshd's own bound, at which nobody would be told anything
    assert len(took) >= 2 and r.seconds < DEADLINE_S + 15 < 30


@contextlib.contextmanager
def begun(job, iss):
    """A login of that issuer's, in the background."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(login, job, iss)


def test_an_issuer_that_stalls(bastion, named, job):
    """From its first connection on: its job is refused when its deadline is
    over; who else comes, by token or certificate, does not notice."""
    iss, key = h.NAMED[4], Key(job).login()
    path = h.ETC / "policy/late.postern"
    with stalled(job.issuer, iss) as (_, came):
        bastion.write_policy("policy 1\n" + said_of(iss) + f"""
            allow late for of-late on web-1 {{ run {PROGRAM} }}""", path.name)
        try:
            bastion.reload()
            with begun(job, iss) as waiting:
                others_notice_nothing(job, key, waiting)
            assert len(came) == 1
        finally:
            path.unlink()
            bastion.reload()


@at_length
def test_a_stall_of_thirty_seconds(named, job):
    """Of an issuer whose keys are there, when one is asked for that is not:
    tokens by the old key go on, and the new one is found afterwards."""
    iss, key = h.NAMED[0], Key(job).login()
    assert login(job, iss).code == 0
    time.sleep(COOLDOWN_S + 1)
    good, job.issuer.keys[iss] = job.issuer.keys[iss], h.Key("ES256", "n-2")
    with stalled(job.issuer, iss) as (begin, came):
        with begun(job, iss) as waiting:
            others_notice_nothing(job, key, waiting, (iss, good))
        assert came
    end = begin + STALL_S + 60
    while (r := login(job, iss)).code != 0:
        assert time.monotonic() < end, r.error
        time.sleep(0.5)
    # What it withdrew opens nothing any more.
    assert login(job, iss, key=good).code == 255


def test_an_outage(named, job):
    """The issuers' network is gone.  Whoever's keys are there logs in as ever,
    by token and by certificate; a key that nobody has is nobody's."""
    key = Key(job).login()
    h.run("ip", "-n", "issuer", "link", "set", "eth0", "down")
    try:
        for r in (job.ssh("web-1", RESTART), login(job, h.NAMED[0]),
                  key.ssh("web-1", RESTART), login(job, h.NAMED[0])):
            assert (r.code, r.text) == DONE, r.error
        r = login(job, h.NAMED[0], key=h.Key("ES256", "nobody's"))
        assert r.code == 255 and r.seconds < DEADLINE_S + 10
    finally:
        h.run("ip", "-n", "issuer", "link", "set", "eth0", "up")
    assert job.ssh("web-1", RESTART).code == 0
