"""CA keys are replaced while jobs work: real targets, real ssh-keygen."""
import shutil

import house as h
import pytest
from test_jobcert import Key

RESTART = "systemctl restart web"
CA = h.ETC / "ca"


@pytest.fixture
def put_back(bastion, up):
    kept = h.WORK / "ca-kept"
    shutil.copytree(CA, kept)
    yield
    shutil.rmtree(CA)
    shutil.copytree(kept, CA)
    shutil.rmtree(kept)
    trust(bastion, up)
    restart(bastion)


def trust(bastion, up):
    text = bastion.postern("ca", "show", "--target", "web-1").stdout
    up.web1.trust(text)
    return text


def restart(bastion):
    bastion.stop()
    bastion.start()


def revoked(krl, *keys):
    p = h.run("ssh-keygen", "-Q", "-f", krl, *keys, check=False)
    return p.returncode == 1 and "REVOKED" in p.stdout


def test_targets(bastion, job, up, put_back, mark, tmp_path):
    def well():
        assert job.ssh("web-1", RESTART).code == 0

    krl = tmp_path / "krl"
    bastion.postern("ca", "krl", krl)
    old = (CA / "target.pub").read_text()
    p = bastion.postern("ca", "rotate")
    assert "nothing is signed with it yet" in p.stdout
    new = (CA / "target.next.pub").read_text()
    assert (CA / "target.next.pem").stat().st_mode & 0o777 == 0o600
    well()
    assert old in trust(bastion, up) and new in trust(bastion, up)
    well()
    again = bastion.postern("ca", "rotate", check=False)
    assert again.returncode == 1 and "next key already" in again.stderr
    none = bastion.postern("ca", "rotate", "--retire", check=False)
    assert none.returncode == 1 and "no old key" in none.stderr
    bastion.postern("ca", "rotate", "--switch")
    assert (CA / "target.pub").read_text() == new
    well()                  # the signer has the old one still
    restart(bastion)
    well()                  # and now the new one
    serial = bastion.events(mark, "operation.decide")[-1]["key_id"]
    assert serial and not revoked(krl, CA / "target.old.pub")
    bastion.postern("ca", "rotate", "--retire")
    assert not (CA / "target.old.pem").exists()
    assert old not in trust(bastion, up)
    well()
    (retired,) = (CA / "retired").iterdir()
    assert retired.read_text() == old
    said = bastion.postern("ca", "krl", krl).stdout
    assert said == (f"{krl} revokes 1 retired CA key; on a target: "
                    f"RevokedKeys {krl}\n")
    assert revoked(krl, retired) and not revoked(krl, CA / "target.pub")
    assert [f.name for f in tmp_path.iterdir()] == ["krl"]


def test_jobs(bastion, job, put_back, tmp_path):
    """A certificate of the old key is good until that is retired; the KRL
    knows it."""
    k = Key(job).login()
    bastion.postern("ca", "rotate", "--job")
    restart(bastion)
    bastion.postern("ca", "rotate", "--job", "--switch")
    restart(bastion)
    assert k.ssh("web-1", RESTART).code == 0
    fresh = Key(job).login()
    assert fresh.cert().ca != k.cert().ca
    assert fresh.ssh("web-1", RESTART).code == 0
    bastion.postern("ca", "rotate", "--job", "--retire")
    restart(bastion)
    assert k.ssh("web-1", RESTART).code == 255
    assert fresh.ssh("web-1", RESTART).code == 0
    krl = tmp_path / "krl"
    bastion.postern("ca", "krl", krl)
    assert revoked(krl, k.folder / "k-cert.pub")
    assert not revoked(krl, fresh.folder / "k-cert.pub")


def test_wrong_words(bastion):
    for args in (["rotate", "--switch", "--retire"], ["rotate", "x"], ["krl"],
                 ["krl", "--output"]):
        assert bastion.postern("ca", *args, check=False).returncode == 64
    p = bastion.postern("ca", "rotate", "--switch", check=False)
    assert p.returncode == 1 and "there is no next key" in p.stderr


def krl_says(krl, cert):
    return h.run("ssh-keygen", "-Q", "-f", krl, cert, check=False).stdout


def test_single_certificates(bastion, job, up, put_back, mark, tmp_path):
    """By session, operation and serial; ssh-keygen and a target's sshd agree,
    and the next list holds them, too."""
    krl = tmp_path / "krl"
    k, other = Key(job).login(), Key(job).login()
    cert, spared = k.folder / "k-cert.pub", other.folder / "k-cert.pub"
    one, two = (e["session"] for e in bastion.events(mark, "session.open"))
    said = bastion.postern("ca", "krl", "--session", one, krl).stdout
    assert "0 retired CA keys and 1 certificate;" in said
    assert revoked(krl, cert) and not revoked(krl, spared)
    assert job.ssh("web-1", RESTART).code == 0
    e = bastion.event(mark, "operation.decide")
    p = bastion.postern("ca", "krl", "--operation", e["session"], krl,
                        check=False)    # and not what it has run last
    assert p.returncode == 1 and "is no operation that got a" in p.stderr
    for args in (["--operation", e["operation"]], ["--serial", e["serial"]],
                 ["--session", one], []):
        said = bastion.postern("ca", "krl", *args, krl).stdout
        assert "and 2 certificates;" in said
    assert revoked(krl, cert) and not revoked(krl, spared)
    assert sorted((CA / "revoked").read_text().split("\n")) == sorted(
        [f"target {e['serial']}", f"job {k.cert().serial}", ""])
    # of another CA the serial is another certificate
    bastion.postern("ca", "krl", "--serial", str(other.cert().serial), krl)
    assert not revoked(krl, spared)
    bastion.postern("ca", "krl", "--job", "--serial",
                    str(other.cert().serial), krl)
    assert revoked(krl, spared)
    assert [f.name for f in tmp_path.iterdir()] == ["krl"]
    listed = h.run("ssh-keygen", "-Q", "-l", "-f", krl).stdout
    assert f"serial: {e['serial']}" in listed


def test_what_is_no_certificate(bastion, put_back, tmp_path):
    krl = tmp_path / "krl"
    for args, words in ((["--session", "x"], "no session's id"),
                        (["--serial", "0"], "no serial"),
                        (["--serial", "x"], "no serial"),
                        (["--operation", "01ARZ3NDEKTSV4RRFFQ69G5FAV"],
                         "no operation")):
        p = bastion.postern("ca", "krl", *args, krl, check=False)
        assert p.returncode != 0 and words in p.stderr, p.stderr
        assert not krl.exists() and not (CA / "revoked").exists()
    # the bound, and what is not understood
    many = "".join(f"target {n}\n" for n in range(1, 4097))
    (CA / "revoked").write_text(many)
    (CA / "revoked").chmod(0o644)
    bastion.postern("ca", "krl", "--serial", "4096", krl)
    p = bastion.postern("ca", "krl", "--serial", "4097", krl, check=False)
    assert p.returncode == 1 and "which is all it can" in p.stderr
    assert (CA / "revoked").read_text() == many
    for bad in ("target\n", "targets 4\n", "target 0\n", "target -1\n",
                "target 1 2\n", "\n", "x" * 100 + "\n"):
        (CA / "revoked").write_text("job 7\n" + bad)
        p = bastion.postern("ca", "krl", krl, check=False)
        assert p.returncode == 1 and "/revoked" in p.stderr
