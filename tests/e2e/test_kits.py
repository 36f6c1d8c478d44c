"""The two kits of tests/hostile against our bastion, several cases at a time;
then: is the bastion what it was?"""
import concurrent.futures
import contextlib
import importlib.util
import json
import os
import shlex
import sys
import time

import house as h
import pytest

KITS = h.TOP / "tests/hostile"
KEY = h.WORK / "hostile/key"
PORTS = [2410, 2411, 2412, 2413, 2414, 2415]
CMD = "systemctl restart web"
BULK = "/opt/house/bin/lines 1000000"
HOP_KIB = 64 * 1024  # of a hop, whatever a target does; that is its limit
NETNS = ["job", "job", "job", "stranger"]


def load(name):
    spec = importlib.util.spec_from_file_location(f"hostile_{name}",
                                                  KITS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(KITS))
    spec.loader.exec_module(module)
    return module.cases


# Of the client's cases, those that get beyond sshd.
DEEP = ("token", "user", "exec", "pty", "signals", "leaves", "closes")


def params(kit):
    return [pytest.param(c.name, id=c.name, marks=[pytest.mark.slow] if
                         c.slow or (kit == "client" and
                                    not c.name.startswith(DEEP)) else [])
            for c in load(kit).values()]


def wanted(request, test):
    """The cases that this run selected, in order."""
    return [i.callspec.params["case"] for i in request.session.items
            if getattr(i, "originalname", "") == test]


@pytest.fixture(scope="module")
def house_is_hostile(up, bastion):
    """Targets of the kit's, in the policy for as long as it takes."""
    h.ssh_keygen(KEY)
    pin = h.fingerprint(KEY.with_suffix(".pub"))
    text = "policy 1\n" + "".join(
        f'target hostile-{p} {{ ssh "deploy@10.91.0.2:{p}"; '
        f'hostkey ssh-ed25519 "{pin}" }}\n' for p in PORTS)
    names = " ".join(f"hostile-{p}" for p in PORTS)
    text += f"allow hostile for shop on {names} {{ run /usr/bin/true }}\n"
    bastion.write_policy(text, "hostile.postern")
    said = bastion.reload()
    assert "not accepted" not in said, said
    yield bastion.log.stat().st_size
    (h.ETC / "policy/hostile.postern").unlink()
    bastion.reload()


def kit(name, netns, token, argv, cases):
    """{case: its line}; one process for all of them."""
    p = h.run(*h.inside(netns, ["/usr/bin/python3", "-B", KITS / f"{name}.py",
                                *argv, *cases]),
              check=False, env=dict(os.environ, CI_TOKEN=token), timeout=800)
    lines = [json.loads(x) for x in p.stdout.splitlines()]
    assert [x["case"] for x in lines] == cases, p.stdout + p.stderr
    assert (p.returncode == 0) == all(x["result"] != "FAIL" for x in lines)
    return {x["case"]: x for x in lines}


@contextlib.contextmanager
def in_turns(go, cases, n):
    """go(number, its share of the cases), n at a time: case -> future."""
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        futures = {}
        for i in range(n):
            share = cases[i::n]
            futures.update(dict.fromkeys(share, pool.submit(go, i, share)))
        yield futures


@pytest.fixture(scope="module")
def results(request, up, job, house_is_hostile):
    """Of both kits, which run at the same time: mostly they wait."""
    token = up.issuer.token()

    def target(i, cases):
        port = PORTS[i]
        command = h.inside("job", [
            "env", "-i", f"HOME={job.home}", "PATH=/usr/bin:/bin",
            "LANG=C.UTF-8", f"CI_TOKEN={token}",
            *job.argv(f"hostile-{port}", "/usr/bin/true")], job.user)
        memory = [] if h.SANITIZED else ["--memory", f"postern-hop:{HOP_KIB}"]
        return kit("target", "target", token, [
            "--address", "10.91.0.2", "--port", str(port), "--key", KEY,
            "--limit", "60", *memory, "--job", shlex.join(command)], cases)

    def client(i, cases):
        return kit("client", NETNS[i], up.issuer.token(), [
            "--host", "10.91.0.1", "--user", "web-1", "--command", CMD,
            "--bulk", BULK], cases)

    cases = wanted(request, "test_kit_client")
    flood = "connection-flood"
    if flood in cases:  # counts against its address: the stranger's turn
        cases.remove(flood)
        cases.insert(3, flood)
    with in_turns(target, wanted(request, "test_kit_target"),
                  len(PORTS)) as of_targets, \
            in_turns(client, cases, len(NETNS)) as of_clients:
        yield of_targets, of_clients


@pytest.mark.parametrize("case", params("target"))
def test_kit_target(results, case):
    r = results[0][case].result()[case]
    assert r["result"] == "PASS", r


@pytest.mark.parametrize("case", params("client"))
def test_kit_client(results, case):
    r = results[1][case].result()[case]
    assert r["result"] == "PASS", r


def test_afterwards(bastion, job, house_is_hostile):
    """Nobody fell, nothing is left behind, nobody grew."""
    said = bastion.log.read_bytes()[house_is_hostile:].decode()
    assert " died " not in said, said[-3000:]
    end = time.monotonic() + 20
    while left := [p for p in bastion.processes() if p[2] in (
            "postern-hop", "postern-shell")]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
    bastion.mark()
    numbers = [e["number"] for e in bastion.ledger()]
    assert numbers == list(range(1, len(numbers) + 1))
    for pid, _, name in bastion.processes():
        if name in ("postern-policy", "postern-oidc", "postern-audit",
                    "postern-signer", "posternd") and not h.SANITIZED:
            with open(f"/proc/{pid}/status") as f:
                (kib,) = [int(x.split()[1]) for x in f
                          if x.startswith("RssAnon")]
            assert kib < 32 * 1024, (name, kib)
            assert len(os.listdir(f"/proc/{pid}/fd")) < 40, name
    assert job.ssh("web-1", CMD).code == 0
