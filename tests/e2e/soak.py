"""`./dev soak [MINUTES]`: jobs of all sorts for as long as it is told, and what
that does to the memory and the descriptors of every process that stays."""
import concurrent.futures
import contextlib
import itertools
import os
import sys
import time

import house as h

STAYS = ("posternd", "postern-oidc", "postern-policy", "postern-signer",
         "postern-audit", "postern-sshd")
JOBS = 6          # at a time
JOBS_OF_TOKEN = 5 # several join a session: sessions-max is not what is tried
EVERY_S = 30      # between two lines of progress
WARM = 0.2        # of the time until the first measurement counts
# What a process may have grown by at the end, when the caches are warm.
KIB_MAX, FDS_MAX = 4096, 8

KINDS = [("systemctl restart web", 0), ("systemctl restart mail", 77),
         ("/opt/house/bin/lines 20000", 0), ("/opt/house/bin/exitwith 9", 9),
         ("systemctl restart `id`", 64), ("/opt/house/bin/both", 0)]


def measure(bastion):
    """{(name, pid): (KiB of its own, descriptors)}"""
    out = {}
    for pid, _, name in bastion.processes():
        with contextlib.suppress(OSError, ValueError):
            if name in STAYS:
                with open(f"/proc/{pid}/status") as f:
                    (kib,) = [int(x.split()[1]) for x in f
                              if x.startswith("RssAnon")]
                out[name, pid] = kib, len(os.listdir(f"/proc/{pid}/fd"))
    return out


def line(text, now):
    print(f"{text:>7}  " + "  ".join(
        f"{name.replace('postern-', '')} {kib}K/{fds}"
        for (name, _), (kib, fds) in sorted(now.items())), flush=True)


def main(minutes):
    house = h.House()
    wrong, n, first = [], itertools.count(), None
    try:
        house.open()
        t0 = time.monotonic()
        end = t0 + 60 * minutes

        def work(i):
            token = None
            for k in itertools.count(i):
                if (k - i) % JOBS_OF_TOKEN == 0:
                    token = house.issuer.token(ttl=120)
                if time.monotonic() >= end:
                    return
                command, code = KINDS[k % len(KINDS)]
                if k % 50 == 49:  # a token that is none
                    r, code = house.job.ssh("web-1", command, token="x" * 90,
                                            timeout=120), 255
                else:
                    r = house.job.ssh("web-1", command, token=token,
                                      timeout=120)
                next(n)
                if r.code != code:
                    wrong.append((command, r.code, r.error[-300:]))

        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            workers = [pool.submit(work, i) for i in range(JOBS)]
            while time.monotonic() < end:
                concurrent.futures.wait(workers, min(
                    EVERY_S, max(0, end - time.monotonic())))
                now = measure(house.bastion)
                gone = time.monotonic() - t0
                if first is None and gone >= WARM * 60 * minutes:
                    first = now
                line(f"{gone:.0f} s", now)
            for w in workers:
                w.result()
        house.bastion.mark()
        last = measure(house.bastion)
        left = [p for p in house.bastion.processes() if p[2] == "postern-hop"]
        done = repr(n)[6:-1]
        print(f"\n{done} operations in {minutes:g} minutes, {len(wrong)} with "
              f"another end than theirs; {len(left)} hops left behind\n"
              f"{'drift':24}{'KiB':>16}{'descriptors':>16}")
        bad = bool(wrong or left or set(last) != set(first))
        for key, (kib, fds) in sorted(last.items()):
            k0, f0 = first.get(key, (kib, fds))
            bad |= kib - k0 > KIB_MAX or fds - f0 > FDS_MAX
            print(f"{key[0]:24}{f'{k0} {kib - k0:+}':>16}"
                  f"{f'{f0} {fds - f0:+}':>16}")
        for w in wrong[:10]:
            print("wrong:", *w)
        if set(last) != set(first):
            print("a process is another one than at the beginning")
        return 1 if bad else 0
    finally:
        house.close()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60))
