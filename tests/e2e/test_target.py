"""What the target sees, and what a thief could do with what a hop held."""
import base64
import re
import shlex
import time

import house as h
import pytest

CMD = "/opt/house/bin/showauth"


@pytest.fixture(scope="module")
def seen(up, bastion, job):
    """A real operation: the certificate as the target's sshd got it."""
    mark, at = bastion.mark(), up.web1.mark()
    r = job.ssh("web-1", CMD)
    assert r.code == 0, r.error
    kind, blob = r.text.split()[1:3]
    assert r.text.split()[0] == "publickey"
    assert kind == "ssh-ed25519-cert-v01@openssh.com"
    cert = h.Certificate.parse(base64.b64decode(blob))
    return cert, bastion.event(mark, "operation.decide"), up.web1.since(at)


def test_5_certificate_is_for_this_operation_alone(seen, bastion):
    cert, d, _ = seen
    assert cert.principals == ["deploy+web-1"] == [d["principal"]]
    critical = dict(cert.critical)
    assert shlex.split(critical.pop("force-command")) == [CMD]
    # Not 127.0.0.1: on the target that would be anybody.
    assert critical == {"source-address": "10.91.0.1/32"}
    assert cert.extensions == {}
    assert 0 < cert.before - cert.after <= 180
    assert cert.before - time.time() <= 61
    assert cert.serial == int(d["serial"]) and cert.key_id == d["key_id"]
    shown = bastion.postern("ca", "show").stdout.split()
    ca = shown[shown.index("ssh-ed25519") + 1]
    assert cert.ca == base64.b64decode(ca)


def test_key_id_ties_the_login_to_the_commit(seen):
    cert, d, _ = seen
    for fact in (d["operation"], d["identity"], d["commit"], d["run"]):
        assert fact in cert.key_id
    assert re.fullmatch(r"[!-~][ -~]*[!-~]", cert.key_id)
    assert len(cert.key_id) <= 220  # sshd's line is whole in syslog


def test_target_log_names_certificate_key_id_and_serial(seen):
    cert, d, log = seen
    m = re.search(r"Accepted publickey for deploy from 10\.91\.0\.1 port \d+ "
                  r"ssh2: ED25519-CERT (SHA256:\S+) ID (.*) "
                  r"\(serial (\d+)\) CA ED25519 (SHA256:\S+)", log)
    assert m, log
    assert m[2] == cert.key_id and int(m[3]) == cert.serial


# A kept certificate: signed anew for a key that the test has, every other
# field as the target saw it.  So each refusal is for the one thing changed.

@pytest.fixture(scope="module")
def try_kept(seen, up, tmp_path_factory):
    cert = seen[0]
    pem = (h.ETC / "ca/target.pem").read_bytes()
    known = h.WORK / "kept_known_hosts"
    known.write_text("".join(
        f"[{t.addr}]:{t.port} {(t.dir / 'host.pub').read_text()}"
        if t.port != 22 else f"{t.addr} {(t.dir / 'host.pub').read_text()}"
        for t in (up.web1, up.web2)))

    def go(netns="bastion", to="deploy@10.91.0.2", command=CMD, fresh=True,
           opts=(), **changes):
        if fresh:
            now = int(time.time())
            changes = {"after": now - 60, "before": now + 60} | changes
        k = cert.kept(tmp_path_factory.mktemp("kept"), pem, **changes)
        mark = up.web1.mark(), up.web2.mark()
        p = h.run(*h.inside(netns, [
            "ssh", "-F", "none", "-i", k, "-o", "BatchMode=yes", "-o",
            "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known}", *opts,
            to, *([command] if command else [])]), check=False)
        return p, up.web1.since(mark[0]) + up.web2.since(mark[1])
    return go


def test_5_kept_certificate_itself_works(try_kept):
    """The control: within its minute, from the bastion, for its command."""
    p, log = try_kept()
    assert p.returncode == 0, p.stderr + log


def test_5_kept_certificate_another_command(try_kept):
    p, _ = try_kept(command="/usr/bin/id")
    assert "uid=" not in p.stdout
    assert p.stdout.startswith("publickey ")  # the forced one ran
    p, _ = try_kept(command=None, opts=["-s", "sftp"])
    assert p.stdout.startswith("publickey ") or p.returncode
    p, log = try_kept(opts=["-tt"])
    assert "PTY allocation request failed" in p.stderr
    p, log = try_kept(command=None, opts=["-N", "-o", "ExitOnForwardFailure="
                                          "yes", "-R", "2222:127.0.0.1:22"])
    assert p.returncode != 0


@pytest.mark.parametrize("what, how, why", [
    ("address", {"netns": "job"}, "not from a permitted source address"),
    ("address-loopback", {"netns": "target", "to": "deploy@127.0.0.1", "opts":
     ["-o", "HostKeyAlias=10.91.0.2"]}, "not from a permitted source address"),
    ("login", {"to": "other@10.91.0.2"}, "does not contain an authorized "
     "principal"),
    ("target", {"to": "deploy@10.91.0.3"}, "does not contain an authorized "
     "principal"),
])
def test_5_kept_certificate_another(try_kept, what, how, why):
    p, log = try_kept(**how)
    assert p.returncode == 255 and "Permission denied" in p.stderr
    assert why in log, log


def test_5_kept_certificate_two_minutes_later(try_kept, seen):
    """Two minutes on is its validity two minutes ago."""
    cert = seen[0]
    now = int(time.time())
    started = cert.before - 60
    p, log = try_kept(fresh=False, after=cert.after - (started + 120 - now),
                      before=cert.before - (started + 120 - now))
    assert p.returncode == 255 and "Permission denied" in p.stderr
    assert "expired" in log, log
