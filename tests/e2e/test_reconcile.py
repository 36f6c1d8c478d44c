"""postern reconcile over what real targets have written in their own logs."""
import json
import re
import subprocess
import time

import house as h
import pytest

LEDGER = h.STATE / "ledger/ledger.jsonl"
ACCEPTED = b"Accepted publickey for "


def settled(bastion, target, mark, tmp_path):
    """The target's log since mark, as a file."""
    log = tmp_path / f"{target.name}.log"
    log.write_text(target.since(mark))
    return log


@pytest.fixture(scope="module")
def past(up, bastion, job, tmp_path_factory):
    """Jobs of all sorts, a login with a stolen CA key among them; each target's
    log and the ledger of them alone."""
    tmp = tmp_path_factory.mktemp("past")
    mark, web1, web2 = bastion.mark(), up.web1.mark(), up.web2.mark()
    for command in ("systemctl restart web", "/opt/house/bin/exitwith 3",
                    "/usr/bin/true && /usr/bin/true"):
        job.ssh("web-1", command)
    shown = job.ssh("web-1", "/opt/house/bin/showauth")
    assert shown.code == 0, shown.error
    assert job.ssh("other+web-1", "/usr/bin/whoami").code == 0
    assert job.ssh("web-1", "systemctl stop web").code == 77
    assert job.ssh("down-1", "systemctl restart web").code == 69
    assert job.ssh("web-2", "systemctl restart api").code == 0
    end = bastion.mark()
    logs = [settled(bastion, up.web1, web1, tmp),
            settled(bastion, up.web2, web2, tmp)]
    ledger = tmp / "ledger.jsonl"
    ledger.write_text("".join(
        line + "\n" for line in LEDGER.read_text().splitlines()
        if mark < json.loads(line)["number"] <= end))
    return logs, ledger, shown.text


def ask(bastion, ledger, *args):
    r = bastion.postern("reconcile", "--json", "--ledger", ledger,
                        "--recordings", h.STATE / "recordings", *args,
                        check=False)
    *found, total = [json.loads(line) for line in r.stdout.splitlines()]
    assert total["sum"] is True, r.stderr
    return r.returncode, found, total


def test_logs_and_ledger_agree(bastion, past):
    logs, ledger, _ = past
    code, found, total = ask(bastion, ledger, *logs)
    assert (code, found) == (0, [])
    assert total["logins"] == total["matched"] == 7
    assert total["operations"] >= 6
    r = bastion.postern("reconcile", "--ledger", ledger, *logs)
    assert r.stdout.endswith("logs and ledger agree\n"), r.stdout


def test_one_target_by_name(bastion, past):
    logs, ledger, _ = past
    code, found, total = ask(bastion, ledger, "--target", "web-1", logs[0])
    assert (code, found, total["matched"]) == (0, [], 6)
    # Another target's log under this one's name.
    code, found, _ = ask(bastion, ledger, "--target", "web-1", logs[1])
    assert code == 1 and found[0]["finding"] == "elsewhere"


def test_a_line_that_was_taken_out_is_missed(bastion, past, tmp_path):
    logs, ledger, _ = past
    lines = logs[0].read_bytes().splitlines(True)
    at = [i for i, x in enumerate(lines) if ACCEPTED in x]
    serial = re.search(rb"\(serial (\d+)\)", lines[at[2]])[1].decode()
    cut = tmp_path / "cut.log"
    cut.write_bytes(b"".join(lines[:at[2]] + lines[at[2] + 1:]))
    code, found, _ = ask(bastion, ledger, cut)
    assert code == 1
    assert [(f["finding"], f["serial"]) for f in found] == \
        [("missing", serial)]
    # What lies beyond the log's time is not missed, unless it is asserted.
    cut.write_bytes(b"".join(lines[:at[2]]))
    code, found, total = ask(bastion, ledger, cut)
    assert (code, found) == (0, []) and total["outside"] > 0
    code, found, _ = ask(bastion, ledger, "--target", "web-1", "--until",
                         str(int(time.time())), cut)
    assert code == 1 and len(found) == 4
    assert {f["finding"] for f in found} == {"missing"}


def test_a_login_that_the_ledger_does_not_know(bastion, past, up, tmp_path):
    """Somebody has the CA key: a real login, in the real log."""
    logs, ledger, shown = past
    blob = h.base64.b64decode(shown.split()[2])
    pem = (h.ETC / "ca/target.pem").read_bytes()
    now = int(time.time())
    cert = h.Certificate.parse(blob)
    key = cert.kept(tmp_path / "rogue", pem, serial=4711, after=now - 60,
                    before=now + 600, key_id="\x1b]0;evil (serial 1) CA x")
    mark = up.web1.mark()
    r = h.run(*h.inside("bastion", [
        "ssh", "-F", "none", "-i", key, "-o", "BatchMode=yes", "-o",
        "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "deploy@10.91.0.2", "x"]), check=False)
    assert r.returncode == 0, r.stderr
    log = tmp_path / "web-1.log"
    log.write_text(logs[0].read_text() + up.web1.since(mark))
    code, found, _ = ask(bastion, ledger, log)
    assert code == 1
    assert [(f["finding"], f["serial"]) for f in found] == \
        [("unknown", "4711")]
    assert found[0]["login"] == "deploy"
    r = bastion.postern("reconcile", "--ledger", ledger, log, check=False)
    assert r.returncode == 1 and "\x1b" not in r.stdout
    assert "serial 4711" in r.stdout and "unknown     1:" in r.stdout


def test_a_ledger_line_that_was_taken_out(bastion, past, tmp_path):
    logs, ledger, _ = past
    lines = ledger.read_text().splitlines(True)
    at = next(i for i, x in enumerate(lines)
              if json.loads(x)["event"] == "operation.decide")
    serial = json.loads(lines[at])["serial"]
    cut = tmp_path / "ledger.jsonl"
    cut.write_text("".join(lines[:at] + lines[at + 1:]))
    code, found, total = ask(bastion, cut, *logs)
    assert code == 1 and total["damaged"] == 1  # the gap in the numbers
    assert [(f["finding"], f["serial"]) for f in found] == \
        [("unknown", str(serial))]


def test_an_operation_whose_recording_is_gone(bastion, past, tmp_path):
    logs, ledger, _ = past
    (tmp_path / "recordings").mkdir()
    code, found, _ = ask(bastion, ledger, "--recordings",
                         tmp_path / "recordings", logs[1])
    assert code == 1
    assert [f["finding"] for f in found] == ["unrecorded"]


def test_other_cas_do_not_count(bastion, past):
    logs, ledger, _ = past
    other = "SHA256:" + "A" * 43
    code, found, total = ask(bastion, ledger, "--ca", other, logs[1])
    assert [f["finding"] for f in found] == ["other-ca"]
    assert (code, total["logins"]) == (1, 0)
    code, found, total = ask(bastion, ledger, "--ca", other, "--other-ca",
                             h.ETC / "ca/target.pub", logs[1])
    assert (code, found, total["logins"], total["other_ca"]) == (1, [], 0, 1)
    code, found, total = ask(bastion, ledger, "--ca", other, "--ca",
                             h.ETC / "ca/target.pub", logs[1])
    assert (code, found, total["matched"]) == (0, [], 1)


@pytest.mark.parametrize("place", ["target.old.pub", "target.next.pub",
                                   "retired/target-20260101T000000Z.pub"])
def test_a_key_that_was_replaced_counts(bastion, past, tmp_path, place):
    """While the two overlap, and when the old one is retired."""
    _, ledger, _ = past
    ca = h.ETC / "ca"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                    tmp_path / "ca"], check=True)
    retired = not (ca / "retired").exists()
    (ca / "retired").mkdir(exist_ok=True)
    kept = tmp_path / "target.pub"
    kept.write_bytes((ca / "target.pub").read_bytes())
    new = [ca / f"retired/target-2025{i:04}T000000Z.pub" for i in range(14)]
    try:
        (ca / place).write_bytes(kept.read_bytes())
        (ca / "target.pub").write_bytes((tmp_path / "ca.pub").read_bytes())
        code, found, total = ask(bastion, ledger, *past[0])
        assert (code, found, total["matched"]) == (0, [], 7)
        for path in new:
            path.write_bytes((tmp_path / "ca.pub").read_bytes())
        (ca / "retired/job-20270101T000000Z.pub").write_text("none of ours")
        r = bastion.postern("reconcile", "--ledger", ledger, *past[0])
        assert r.stdout.endswith("logs and ledger agree\n"), r.stdout
        assert "the newest 13 count" in r.stderr, r.stderr
    finally:
        (ca / "target.pub").write_bytes(kept.read_bytes())
        for path in (ca / place, *new, ca / "retired/job-20270101T000000Z.pub"):
            path.unlink(missing_ok=True)
        if retired:
            (ca / "retired").rmdir()


def test_what_it_cannot_read_it_says(bastion, past, tmp_path):
    logs, ledger, _ = past
    r = bastion.postern("reconcile", "--ledger", ledger, tmp_path / "no",
                        check=False)
    assert r.returncode == 74 and "No such file" in r.stderr
    r = bastion.postern("reconcile", "--ledger", tmp_path / "no", logs[0],
                        check=False)
    assert r.returncode == 74
    r = bastion.postern("reconcile", check=False)
    assert r.returncode == 64
