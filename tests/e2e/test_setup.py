"""`postern setup` and `postern status`: the first ten minutes, and every day."""
import json
import pathlib
import re
import shutil
import subprocess

import house as h
import pytest
from test_doctor import away

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def fresh(bastion):
    """As a package has just been unpacked: neither CA nor policy."""
    with away(h.ETC / "ca"), away(h.ETC / "policy"):
        yield
        for name in "ca", "policy":
            shutil.rmtree(h.ETC / name, ignore_errors=True)


def all_said(up, **more):
    said = {"target": "web-9", "address": "deploy@10.91.0.2",
            "hostkey": up.web1.fingerprint, "issuer": "github",
            "audience": "bastion.example.com", "identity": "shop",
            "claim": "repository_id=7712345",
            "run": "/usr/bin/systemctl restart shop", **more}
    return ["setup", *(x for k, v in said.items() if v is not None
                       for x in (f"--{k}", v))]


def test_all_on_the_command_line(bastion, up, fresh):
    p = bastion.postern(*all_said(up))
    assert p.stderr == "" and up.web1.fingerprint in p.stdout
    assert "Compare it with what the target itself says" in p.stdout
    assert "Made the CA keys" in p.stdout and "Wrote " in p.stdout
    assert "TrustedUserCAKeys /etc/ssh/postern-ca.pub" in p.stdout
    assert "AuthorizedPrincipalsCommand /bin/echo %u+web-9" in p.stdout
    assert "systemctl restart shop" in p.stdout.split("Next:")[1]
    assert bastion.postern("policy", "check").stdout == \
        "ok: 1 target, 1 identity, 1 issuer; its tests pass\n"
    for key in "target.pem", "job.pem":
        assert (h.ETC / "ca" / key).stat().st_mode & 0o777 == 0o600
    p = bastion.postern("policy", "explain", "--as", "shop", "--on", "web-9",
                        "/usr/bin/systemctl restart shop")
    assert p.returncode == 0, p
    found = json.loads(bastion.postern("doctor", "--offline",
                                       "--json").stdout)
    assert [f for f in found["findings"] if f["level"] == "bad"] == []
    # A second time: nothing is touched.
    files = {f: f.read_bytes() for f in h.ETC.glob("*/*") if f.is_file()}
    p = bastion.postern(*all_said(up, target="web-8"), check=False)
    assert p.returncode == 1 and "there is a policy in" in p.stderr
    assert all(f.read_bytes() == text for f, text in files.items())
    # Keys that are there are found.
    keys = (h.ETC / "ca/target.pem").read_bytes()
    (h.ETC / "policy/first.postern").unlink()
    p = bastion.postern(*all_said(up))
    assert "are there already" in p.stdout
    assert (h.ETC / "ca/target.pem").read_bytes() == keys


@pytest.mark.parametrize("more, code, says", [
    ({"hostkey": None}, 1, "say all again, and --hostkey SHA256:"),
    ({"hostkey": "SHA256:" + "A" * 43}, 1, "either is wrong"),
    ({"address": "10.91.0.2"}, 64, "is not LOGIN@HOST"),
    ({"address": "deploy@10.91.0.2:99999"}, 64, "is not LOGIN@HOST"),
    ({"address": "deploy@-oProxyCommand=x"}, 69, "no ssh server"),
    ({"address": "deploy@10.91.0.2:2299"}, 69, "no ssh server shows"),
    ({"audience": None}, 64, "--audience is missing, for example"),
    ({"claim": "repository_id"}, 1, "not NAME=VALUE"),
    ({"claim": "repository_id=x\n\"; }"}, 1, "does not make a policy"),
    ({"run": "'unbalanced"}, 1, "does not make a policy"),
    ({"run": "x }\nallow all for * on *"}, 1, ""),
    ({"issuer": "nosuch"}, 1, "does not make a policy"),
    ({"target": "Bad Name"}, 1, "does not make a policy")])
def test_nothing_is_written_when_something_is_wrong(bastion, up, fresh, more,
                                                    code, says):
    p = bastion.postern(*all_said(up, **more), check=False)
    assert p.returncode == code and says in p.stderr, p
    assert not (h.ETC / "policy/first.postern").exists()
    assert not (h.ETC / "ca/target.pem").exists()


# -- status -----------------------------------------------------------------------


def test_status_for_people_and_programs(bastion, job, mark):
    assert job.ssh("web-1", "systemctl restart web").code == 0
    s = json.loads(bastion.postern("status", "--json").stdout)
    assert s["operations_max"] == 256 and s["sessions_max"] == 1024
    assert s["audit"] and s["signer"] and s["oidc"] and not s["locked"]
    assert 0 <= s["target_ca_age_s"] < 86400 and s["disk_free_bytes"] > 0
    assert s["time"] >= s["policy_since"] == s["policy_tried"] > 1.7e9
    assert s["audit_room"] > 0 and s["denial_room"] == 256
    text = bastion.postern("status").stdout
    for line in ("sessions    ", "operations  0 of 256", "audit       running",
                 "oidc        running", "target CA   in a file, 0 days old, SHA256:",
                 "alarms      ",
                 f"policy      {s['policy'][:12]}, "):
        assert line in text, text


def metrics(text):
    """Prometheus's text format, read: each name once, with HELP and TYPE."""
    got = {}
    lines = text.splitlines()
    assert text.endswith("\n") and len(lines) % 3 == 0
    for h_, t, v in zip(lines[::3], lines[1::3], lines[2::3]):
        name = re.fullmatch(r"# HELP (postern_[a-z_]+) \S.*", h_)[1]
        assert t == f"# TYPE {name} gauge"
        value = re.fullmatch(rf"{name} (-?\d+)", v)[1]
        assert name not in got
        got[name] = int(value)
    return got


def test_prometheus(bastion, tmp_path):
    m = metrics(bastion.postern("status", "--prometheus").stdout)
    assert m["postern_up"] == m["postern_audit_up"] == 1
    assert m["postern_policy_accepted"] == 1 and m["postern_locked"] == 0
    out = tmp_path / "postern.prom"
    assert bastion.postern("status", "--prometheus", "--output",
                           out).stdout == ""
    assert metrics(out.read_text())["postern_up"] == 1
    assert out.stat().st_mode & 0o777 == 0o644
    # The broker is away: that is what it must say.
    with away(h.RUN / "ctl.sock"):
        p = bastion.postern("status", "--prometheus", "--output", out,
                            check=False)
    assert p.returncode == 69
    m = metrics(out.read_text())
    assert m["postern_up"] == 0 and "postern_sessions" not in m
    assert [f.name for f in tmp_path.iterdir()] == ["postern.prom"]
    p = bastion.postern("status", "--prometheus", "--output",
                        tmp_path / "no/x", check=False)
    assert p.returncode == 74 and "No such file" in p.stderr
    for bad in (["--json", "--prometheus"], ["--output", "x"]):
        assert bastion.postern("status", *bad, check=False).returncode == 64


def test_alert_rules(bastion):
    """What they ask for is there; the syntax is promtool's to judge."""
    rules = TOP / "packaging/prometheus/postern.rules.yml"
    m = metrics(bastion.postern("status", "--prometheus").stdout)
    used = set(re.findall(r"\bpostern_[a-z_]+", rules.read_text()))
    assert used and used <= set(m), used - set(m)
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "rules", rules], check=True)
