"""Who has no session here is not told which names there are, by words or by
time: an unknown name, a target that cannot be reached, one that can and has no
rule for this identity, an account of the host.  POSTERN_ALIKE: how many rounds
(`./dev alike`); without it a sample."""
import math
import os
import random
import re
import statistics

import house as h
import pytest

ROUNDS = int(os.environ.get("POSTERN_ALIKE", "10"))
NAMES = {"unknown name": "nosuch", "unreachable target": "down-1",
         "unmatched identity": "web-1", "local account": "daemon"}
# Beyond this a difference can be seen from afar, and is a failure.
SEEN_S = 0.02
UNLIKELY = 1e-3
EACH = 2            # attempts of an address: whoever fails often is slowed down


def friedman(rounds):
    """The chance that so different ranks come by chance: each round ranks its
    own members, so that a slow moment of the machine is everybody's.  (Friedman
    1937; for three degrees of freedom chi-square has a closed form.)"""
    n, k = len(rounds), len(NAMES)
    assert k == 4
    sums = dict.fromkeys(NAMES, 0)
    for r in rounds:
        for rank, kind in enumerate(sorted(r, key=r.get), 1):
            sums[kind] += rank
    q = 12 / (n * k * (k + 1)) * sum(s * s for s in sums.values()) - \
        3 * n * (k + 1)
    return math.erfc(math.sqrt(q / 2)) + \
        math.sqrt(2 * q / math.pi) * math.exp(-q / 2)


def told_apart(rounds):
    """(whether they are, what was measured)."""
    p = friedman(rounds)
    # Against the others of the same round.
    off = {k: statistics.median(r[k] - statistics.median(
        v for n, v in r.items() if n != k) for r in rounds) for k in NAMES}
    most = max(off.values(), key=abs)
    text = f"p = {p:.3g} of {len(rounds)} rounds; " + ", ".join(
        f"{k} {v * 1000:+.1f} ms" for k, v in off.items())
    return p < UNLIKELY and abs(most) > SEEN_S, text


class Addresses:
    """More of them for the job: each is used for a few rounds."""

    def __init__(self):
        self.used = 0

    def next(self):
        n, self.used = self.used, self.used + 1
        a = f"10.91.0.{100 + n // EACH % 120}"
        if n % EACH == 0 and n // EACH < 120:
            h.run("ip", "-n", "job", "addr", "add", f"{a}/24", "dev", "eth0")
        return a

    def give_back(self):
        for i in range(min(120, -(-self.used // EACH))):
            h.run("ip", "-n", "job", "addr", "del", f"10.91.0.{100 + i}/24",
                  "dev", "eth0")


@pytest.fixture(scope="module")
def addresses(up):
    it = Addresses()
    yield it
    it.give_back()


def attempt(job, name, token, address, *opts):
    return job.popen(job.argv(name, "/usr/bin/true", opts=[
        "-b", address, "-o", "NumberOfPasswordPrompts=1", *opts]),
        env=job.env(CI_TOKEN=token))


def answers(job, kind, p):
    """What it said, with the name of it taken out."""
    out, err = p.communicate(timeout=60)
    text = err.decode()
    for gone in (r"^debug1: (Connect|Local|kex: |Sanity|rekey|Authenticating"
                 r"|pubkey).*\n", r"^Connection .*\n", r"\b\d{4,}\b"):
        text = re.sub(gone, "", text, flags=re.M)
    return p.returncode, out, text.replace(NAMES[kind], "NAME")


def test_the_words_are_the_same(job, addresses):
    """To the byte, and with them all that stock ssh tells of the exchange."""
    token, address = job.issuer.token(repository_id="1"), addresses.next()
    said = {k: answers(job, k, attempt(job, n, token, address, "-v"))
            for k, n in NAMES.items()}
    assert len(set(said.values())) == 1, said
    one = said["unknown name"]
    assert one[0] == 255 and one[1] == b"" and "token part 3" not in one[2]
    assert "Permission denied (publickey,keyboard-interactive)" in one[2]
    assert "postern: this token opens no session here" in one[2]


# Who starts ssh takes the time, in the place where it runs: of all of it, and
# from the last part of the token on, which is what the bastion answers to.
TIMED = """\
import os, subprocess, sys, time
t = time.monotonic()
p = subprocess.run(sys.argv[1:], capture_output=True)
now = time.clock_gettime(time.CLOCK_MONOTONIC), time.time()
print(p.returncode, now[0] - t, now[1] - os.stat(os.environ["ASKED"]).st_mtime)
"""
WHAT = ("all of it", "the answer")


def measure(job, addresses, n):
    """n rounds, in each of them all at the same time, in another order; the
    rounds of each of WHAT."""
    rounds = [[], []]
    asked = {k: job.home / f"asked-{i}" for i, k in enumerate(NAMES)}
    for _ in range(n):
        token, address = job.issuer.token(repository_id="1"), addresses.next()
        running, took = {}, ({}, {})
        for kind in random.sample(list(NAMES), len(NAMES)):
            argv = job.argv(NAMES[kind], "/usr/bin/true", opts=[
                "-b", address, "-o", "NumberOfPasswordPrompts=1"])
            argv = [x.replace("printf %s", ': >"$ASKED"; printf %s')
                    for x in argv]
            running[kind] = job.popen(
                ["/usr/bin/python3", "-c", TIMED, *argv],
                env=job.env(CI_TOKEN=token, ASKED=str(asked[kind])))
        for kind, p in running.items():
            code, *seconds = p.communicate(timeout=60)[0].split()
            assert code == b"255"
            for i, s in enumerate(seconds):
                took[i][kind] = float(s)
        for i, r in enumerate(rounds):
            r.append(took[i])
    return rounds


def told(rounds):
    """Whether any of WHAT tells; says what was measured."""
    said = [told_apart(r) for r in rounds]
    for what, (_, text) in zip(WHAT, said):
        print(f"{what}: {text}")
    return any(apart for apart, _ in said)


@pytest.mark.slow
def test_the_time_is_the_same(job, addresses):
    """Twice, or it was by chance, as it is once in a thousand times."""
    assert not (told(measure(job, addresses, ROUNDS)) and
                told(measure(job, addresses, 2 * ROUNDS)))


def test_a_difference_would_be_seen():
    """What is planted is found, and what is none is not."""
    rnd = random.Random(1)
    same = [{k: 0.6 + rnd.gauss(0, 0.02) for k in NAMES} for _ in range(10)]
    assert not told_apart(same)[0]
    for k in NAMES:
        planted = [dict(r, **{k: r[k] + 0.05}) for r in same]
        assert told_apart(planted)[0], k
