"""Every local command of the guides, as it stands there."""
import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import guide
import house as h
import pytest
from test_doctor import away

TOP = pathlib.Path(__file__).resolve().parents[2]
GUIDES = ["CI", "ADMIN", "AUDITOR"]
PLACES = {"/etc/postern": str(h.ETC), "/var/lib/postern": str(h.STATE),
          "/usr/share/doc/postern-audit": str(TOP / "doc"),
          "10.0.3.11": "10.91.0.2",
          "/opt/shop/bin/migrate": "/opt/house/bin/migrate", "/usr/bin/systemctl": "/opt/house/bin/"
          "systemctl"}


def all_blocks():
    for name in GUIDES:
        text = (TOP / f"doc/GUIDE-{name}.md").read_text()
        for i, (where, body) in enumerate(guide.blocks(text)):
            yield pytest.param(where, guide.placed(body, **PLACES),
                               id=f"{name}-{i}-{where}")


@pytest.fixture(scope="module")
def done(bastion, job):
    """Something has happened already, and somebody was refused."""
    assert job.ssh("web-1", "systemctl restart web").code == 0
    to = h.WORK / "guide"
    shutil.copytree(TOP / "packaging/ci", to)
    h.run("chmod", "-R", "a+rX", to)
    return to


def on_bastion(bastion, body, **env):
    return subprocess.run(
        h.inside("bastion", ["/bin/sh", "-euc", body]), text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
        cwd=h.WORK, env={**os.environ, **env,
             "PATH": f"{h.PREFIX}/bin:{os.environ['PATH']}"})


def in_job(bastion, job, folder, body):
    kind, blob = bastion.hostkey.with_suffix(".pub").read_text().split()[:2]
    return job.run(["/bin/sh", "-c", f"cd {folder}\n{body}"], env=job.env(
        POSTERN_BASTION=h.BASTION, POSTERN_HOSTKEY=f"{kind} {blob}",
        POSTERN_TOKEN=job.issuer.token()))


@pytest.mark.parametrize("where, body", all_blocks())
def test_it_works_as_it_stands(bastion, job, up, done, where, body):
    if where == "bastion":
        p = on_bastion(bastion, body)   # the house's policy has warnings
        assert p.returncode == 0 and "postern: " not in p.stderr, p
        return
    if where == "setup":
        with away(h.ETC / "ca"), away(h.ETC / "policy"):
            try:
                p = on_bastion(bastion, body, HOSTKEY=up.web1.fingerprint)
            finally:
                for name in "ca", "policy":
                    shutil.rmtree(h.ETC / name, ignore_errors=True)
        assert (p.returncode, p.stderr) == (0, ""), p
        assert "TrustedUserCAKeys" in p.stdout
        return
    if where == "locked-job":
        bastion.postern("lock", "--reason", "drill")
        try:
            token = job.issuer.token()
            r = job.ssh("web-1", "systemctl restart web", token=token)
        finally:
            bastion.postern("unlock")
        assert r.code == 75 and "drill" in r.error
        return
    assert where == "job", f"nobody knows the place {where}"
    r = in_job(bastion, job, done, "set -e\n" + body)
    assert r.code == 0, r
    assert "is up" in r.text or "allowed" in r.text.lower() or "web-1" in \
        r.text, r


def test_pictures_are_there_and_say_what_they_show():
    """Each is shown somewhere, and is one that ./dev pictures made."""
    shown = set()
    for page in [TOP / "README.md", *TOP.glob("doc/*.md")]:
        for words, path in re.findall(r"!\[([^\]]*)\]\(([^)]*)\)",
                                      page.read_text()):
            root = ET.parse(page.parent / path).getroot()
            assert len(words) > 40 and "$ " in "".join(root.itertext()), path
            shown.add((page.parent / path).resolve())
    assert shown == set((TOP / "doc/pictures").resolve().iterdir())


def test_the_guides_have_them():
    """A guide whose blocks are not found would pass unread."""
    assert len(list(all_blocks())) >= 14
