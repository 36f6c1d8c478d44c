"""The anchor command: posternd runs it, and the test is audit."""
import os
import pathlib
import pwd
import select
import signal
import time

import pytest

import test_posternd_process as pd
import wire as w

pytestmark = pd.pytestmark
place = pd.place
COMMAND, OUT = pathlib.Path("/opt/anchor"), pathlib.Path("/opt/anchored")
NOTE = "postern-ledger/1/X\n4\nAAAA\n\n\u2014 X BBBB\n"


def command(text):
    COMMAND.unlink(missing_ok=True)
    COMMAND.write_text("#!/bin/sh\n" + text)
    COMMAND.chmod(0o755)


@pytest.fixture
def posternd(place, request):
    OUT.mkdir(exist_ok=True)
    OUT.chmod(0o777)
    for x in OUT.iterdir():
        x.unlink()
    it = pd.Posternd(f"anchor-command {COMMAND}\n"
                     f"anchor-timeout {getattr(request, 'param', '2s')}\n")
    yield it
    it.close()


def anchor(posternd, ident=5, note=NOTE):
    control = posternd.child["audit"].control
    w.send(control, "ANCHOR", w.text(note), ident=ident)
    return control


def answer(control, ident=5):
    m = w.expect(control, "ANCHOR_DONE")
    assert m.id == ident
    got = m.u32(), m.text()
    m.end()
    return got


def test_it_gets_the_checkpoint_and_nothing_else(posternd):
    command(f"cat >{OUT}/note\n"
            f"(id -u; id -G; pwd; ls /proc/self/fd | wc -l; "
            f"grep NoNewPrivs /proc/self/status; "
            f"grep processes /proc/self/limits) >{OUT}/who\n"
            f"env >{OUT}/env\n")
    posternd.start()
    assert answer(anchor(posternd)) == (0, "")
    assert (OUT / "note").read_text() == NOTE
    pw = pwd.getpwnam("_postern-anchor")
    uid, gids, cwd, fds, nnp, nproc = \
        (OUT / "who").read_text().splitlines()
    assert (int(uid), int(gids)) == (pw.pw_uid, pw.pw_gid)
    # 0, 1, 2, and the folder that ls reads
    assert (cwd, int(fds), nnp.split()[1], nproc.split()[2]) == \
        ("/", 4, "1", "32")
    names = {x.split("=")[0] for x in (OUT / "env").read_text().splitlines()}
    assert names <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.parametrize("text, words", [
    ("exit 3", "ended with exit code 3"), ("kill -9 $$", "ended with signal 9"),
    ("exit 127", "cannot be executed, or ended with 127"), (None, "cannot be")])
def test_how_it_failed(posternd, text, words):
    command(text or "")
    if text is None:
        COMMAND.chmod(0o600)
    posternd.start()
    result, why = answer(anchor(posternd))
    assert result == 1 and words in why


def test_it_is_ended_with_all_that_it_started(posternd):
    command(f"sleep 600 & echo $! >{OUT}/pid\nsleep 601\n")
    posternd.start()
    begun = time.monotonic()
    control = anchor(posternd)
    # One at a time.
    assert answer(anchor(posternd, 6), 6)[0] == 1
    assert answer(control) == (1, "the command ran for 2 s and was ended")
    assert 1.5 < time.monotonic() - begun < 60
    pid = int((OUT / "pid").read_text())
    end = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < end
        time.sleep(0.02)
    command("exit 0")
    assert answer(anchor(posternd, 7), 7) == (0, "")


def alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def test_not_as_often_as_audit_likes(posternd):
    command(f"echo x >>{OUT}/n\n")
    posternd.start()
    assert answer(anchor(posternd)) == (0, "")
    for i in range(20):
        anchor(posternd, 100 + i)
    results = [answer(posternd.child["audit"].control, 100 + i)[0]
               for i in range(20)]
    assert results.count(0) <= 5     # on a slow machine
    assert len((OUT / "n").read_text()) // 2 == 1 + results.count(0)


@pytest.mark.parametrize("note", ["x" * 2049, "x" * 4000])
def test_p10_what_is_too_long_is_none(posternd, note):
    command("exit 0")
    posternd.start()
    f = posternd.child["audit"]
    anchor(posternd, note=note)
    assert f.gone()     # it broke the protocol
    posternd.again("audit")


@pytest.mark.parametrize("posternd", ["60s"], indirect=True)
def test_a_next_audit_has_not_asked(posternd):
    command(f"until [ -e {OUT}/go ]; do sleep 0.1; done; "
            f"echo x >{OUT}/done\n")
    posternd.start()
    anchor(posternd)
    old = posternd.child["audit"]
    os.kill(old.pid, signal.SIGKILL)
    assert old.gone()
    f = posternd.again("audit")
    f.ready()
    (OUT / "go").touch()
    m = w.receive(f.control)
    while m.name == "ALARM":
        m = w.receive(f.control)
    assert (m.name, m.id) == ("ANCHOR_DONE", 5)     # audit lets it be


def test_p9_an_upgrade_waits_for_it(posternd):
    """Whoever is reaped afterwards would be taken for a hop."""
    command(f"sleep 1; echo x >{OUT}/done\n")
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    control = anchor(posternd)
    posternd.proc.send_signal(signal.SIGUSR2)
    assert answer(control) == (0, "")
    pd.reloading(posternd)
    pd.replaced(posternd)
    assert posternd.notify.recv(99) == b"READY=1"
    time.sleep(0.6)
    assert answer(anchor(posternd, 9), 9) == (0, "")


def test_it_does_not_outlive_posternd(posternd):
    command(f"echo $$ >{OUT}/pid; sleep 600\n")
    posternd.start()
    anchor(posternd)
    end = time.monotonic() + 10
    while not (OUT / "pid").exists() or not (OUT / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    pid = int((OUT / "pid").read_text())
    posternd.proc.send_signal(signal.SIGTERM)
    for name in ("policy", "oidc", "signer", "audit"):
        posternd.child[name].until("STOP")
        posternd.child[name].say(b"exit")
    assert posternd.proc.wait(20) == 0
    while alive(pid):
        assert time.monotonic() < end + 10
        time.sleep(0.02)


def test_without_a_command_there_is_none(place):
    it = pd.Posternd()
    try:
        it.start()
        assert answer(anchor(it))[0] == 1
        assert not select.select([it.child["audit"].control], [], [], 0.3)[0]
    finally:
        it.close()
