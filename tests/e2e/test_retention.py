"""Holds, retention and quotas as people and jobs meet them."""
import re
import time

import house as h
import pytest

TRUE = "/usr/bin/true"


@pytest.fixture
def settings(bastion):
    """Started again with these lines in postern.conf; at last without."""
    conf = h.ETC / "postern.conf"
    before = conf.read_text()

    def start(lines):
        bastion.stop()
        conf.write_text(before + lines)
        bastion.start()
    yield start
    start("")


def test_held_or_deleted(bastion, job, settings, mark):
    assert job.ssh("web-1", TRUE).code == 0
    held = bastion.event(mark, "operation.end")
    mark = bastion.mark()
    assert job.ssh("web-1", TRUE).code == 0
    gone = bastion.event(mark, "operation.end")
    r = bastion.postern("hold", "list")
    assert r.stdout == ""
    r = bastion.postern("hold", "add", "--session", held["session"],
                        "--reason", "case \x1b[31m7")
    assert (r.stdout, r.stderr) == ("", "")
    r = bastion.postern("hold", "add", "--session", held["session"],
                        check=False)
    assert (r.returncode, r.stderr) == (1, "postern: it is held already\n")
    r = bastion.postern("hold", "list")
    assert re.fullmatch(
        rf"session {held['session']}  since \S+Z  by uid:0  "
        r"case \\x1b\[31m7\n", r.stdout), r.stdout
    settings("retention-size 1B\n")
    end = time.monotonic() + 30
    while not (line := next(
            (e for e in bastion.events(mark, "retention.delete")
             if e["operation"] == gone["operation"]), None)):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert line["recording_sha256"] == gone["recording_sha256"]
    r = bastion.postern("replay", gone["operation"], check=False)
    assert r.returncode == 1 and \
        f"deleted by retention on {line['time']}" in r.stderr, r.stderr
    r = bastion.postern("show", gone["operation"])
    assert f"deleted by retention on {line['time']}; its hash" in r.stdout
    assert gone["recording_sha256"] in r.stdout
    assert bastion.postern("replay", held["operation"]).returncode == 0
    r = bastion.postern("hold", "remove", "--session", held["session"])
    assert bastion.postern("hold", "list").stdout == ""
    for words in (["add"], ["remove", "--commit", "x", "extra"],
                  ["list", "--session", "x"]):
        assert bastion.postern("hold", *words, check=False).returncode == 64


def test_quota(bastion, job, settings):
    settings("recording-quota 1B\n")
    job.ssh("web-1", TRUE)      # may be the first of today, or not
    bastion.mark()
    r = job.ssh("web-1", TRUE)
    assert r.code == 74, r.error
    assert "identity shop has recorded" in r.error
    assert "recording-quota" in r.error
