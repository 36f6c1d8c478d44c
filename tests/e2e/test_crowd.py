"""Many at once, through sshd, with stock clients: a crowd of jobs behind one
address, and bad tokens by the thousand from it.  POSTERN_FLOOD: how many bad
tokens, and then two hundred jobs (`./dev flood`); without it a sample."""
import collections
import concurrent.futures
import os
import threading
import time

import house as h
import pytest
from test_jobcert import Key

TRUE = "/usr/bin/true"
FLOOD = int(os.environ.get("POSTERN_FLOOD", "0"))
CROWD = 200 if FLOOD else 80
ATTACKERS = 60      # connections of theirs at a time
TRIES = 3           # tokens that stock ssh shows on one connection
# By how much a login may take longer than one alone: both cores are the
# flood's, its clients', the bastion's and the target's.
PATIENCE = 25
KINDS = ("signature", "kid", "nobody", "rubbish")


def in_time(r):
    assert r.code == 0, (r.code, r.error)
    return r.seconds


@pytest.mark.slow
def test_10_a_crowd_behind_one_address(bastion, job, mark):
    """By token and by certificate in turn, all begun before the first has
    ended; each gets its session, its operation and its recording."""
    keys = [Key(job).login() for _ in range(4)]
    tokens = [job.issuer.token() for _ in range(CROWD // 2)]
    running = []
    for i in range(CROWD):
        if i % 2:
            p = job.popen(keys[i // 2 % len(keys)].argv("web-1", TRUE))
        else:
            p = job.popen(job.argv("web-1", TRUE),
                          env=job.env(CI_TOKEN=tokens[i // 2]))
        running.append(p)
    said = collections.Counter()
    for p in running:
        out, err = p.communicate(timeout=120)
        said[p.returncode, out, err.decode()[-300:]] += 1
    assert said == {(0, b"", ""): CROWD}
    bastion.mark()      # until the last one is written down
    ended = [e for e in bastion.events(mark, "operation.end")
             if e["state"] == "complete" and e.get("exit") == 0]
    assert len(ended) == CROWD
    opened = {e["session"] for e in bastion.events(mark, "session.open")}
    assert len(opened) == CROWD // 2 + len(keys)
    assert len(bastion.events(mark, "certificate.login")) == CROWD // 2


def bad_token(issuer, kind, i, key=[]):
    if kind == "rubbish":
        return f"{i}." + "x" * 900
    if kind == "nobody":      # anybody at a shared issuer has such a one
        return issuer.token(repository_id=str(i))
    if not key:
        key.append(h.Key("RS256", "rogue"))
    kid = issuer.keys[h.GITHUB].kid if kind == "signature" else f"made-up-{i}"
    return issuer.token(key=key[0], headers={"kid": kid})


class Flood:
    """ATTACKERS clients that begin anew as soon as they are refused."""

    def __init__(self, job, n):
        self.job, self.left, self.lock = job, n, threading.Lock()
        self.refused = self.dropped = 0
        self.tokens = {k: bad_token(job.issuer, k, 7) for k in KINDS}

    def go(self):
        while True:
            with self.lock:
                if self.left <= 0:
                    return
                self.left -= TRIES
                kind = KINDS[self.left // TRIES % len(KINDS)]
            r = self.job.ssh("web-1", TRUE, token=self.tokens[kind],
                             timeout=120)
            assert r.code == 255, r
            with self.lock:
                if "Permission denied" in r.error:
                    self.refused += TRIES
                else:
                    self.dropped += 1

    def __enter__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(ATTACKERS)
        self.runs = [self.pool.submit(self.go) for _ in range(ATTACKERS)]
        return self

    def over(self):
        return all(r.done() for r in self.runs)

    def __exit__(self, *why):
        if why[0]:
            self.left = 0
        self.pool.shutdown()
        for r in self.runs:
            r.result()


@pytest.mark.slow
def test_a_flood_of_bad_tokens(bastion, job, mark):
    """From one address, for one target: another address, and a job with a good
    token or a certificate behind the same one, log in meanwhile."""
    stranger = h.Job(job.issuer, netns="stranger")
    key = Key(job).login()
    alone = min(job.ssh("web-1", TRUE).seconds for _ in range(3))
    fetches = len(job.issuer.requests)
    begin, times = time.monotonic(), collections.defaultdict(list)
    with Flood(job, FLOOD or 3 * ATTACKERS) as flood:
        while not flood.over():
            times["the same address"].append(
                in_time(job.ssh("web-1", TRUE, timeout=120)))
            times["its certificate"].append(
                in_time(key.ssh("web-1", TRUE, timeout=120)))
            times["another address"].append(
                in_time(stranger.ssh("web-1", TRUE, timeout=120)))
    seconds = time.monotonic() - begin
    for who, took in times.items():
        print(f"{who}: {len(took)} logins, {sorted(took)[len(took) // 2]:.2f} "
              f"s, {max(took):.2f} s the longest ({alone:.2f} s alone)")
        assert max(took) < alone + PATIENCE, who
    print(f"{flood.refused} bad tokens refused in {seconds:.0f} s, "
          f"{flood.dropped} connections dropped")
    # One or the other may have met sshd's own bound of 30 s.
    assert flood.refused > 50 * flood.dropped
    # What went out to the issuer: once in ten seconds, whoever asks.
    asked = job.issuer.requests[fetches:]
    print(f"{len(asked)} requests to the issuers")
    assert len(asked) <= 2 * (1 + seconds / 10)
    # Nobody's session but the good ones'.
    good = sum(map(len, times.values()))
    decided = bastion.events(mark, "operation.decide")
    assert len(decided) == good + 3
    assert {e["identity"] for e in decided} == {"shop"}
