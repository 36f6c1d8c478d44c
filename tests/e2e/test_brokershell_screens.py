"""What a person sees in a broker shell, whole screens of it: they are kept in
tests/e2e/screens/ (SCREENS=write keeps them anew; look at them then)."""
import os
import re

import pytest

from test_brokershell import TOP, at, events, same, shell  # noqa: F401


def test_history(at):
    at.line("systemctl is-active web")
    at.see(r"^web is up$")
    at.line("systemctl is-active api")
    at.see(r"^api is up$")
    at.ready(3)
    at.key("Up", "Up")
    at.see(r"> systemctl is-active web\s*\Z")
    at.key("Enter")
    at.see(r"(?:^web is up$.*){2}")
    at.ready(4)
    at.key("C-r")
    at.type("api")
    at.see(r"bck:api")
    same(at, "history-search")
    at.key("Enter")
    at.see(r"(?:^api is up$.*){2}")
    at.ready(5)
    same(at, "history")


def test_denials(at):
    for line, said in (("systemctl stop web", "use the runbook"),
                       ("systemctl restart mail", "refused"),
                       ("systemctl reload web && /usr/bin/id", "refused"),
                       ("systemctl reload $UNIT", r"\^"),
                       ("cd /opt/house && /usr/bin/pwd", "not in this folder")):
        at.line(line)
        at.see(rf"> {re.escape(line)}\n.*{said}")
        at.see(r"^\S+ as \S+>\s*\Z")
    same(at, "denials")


def test_ctrl_c(at):
    at.type("systemctl restart web")
    at.see(r"restart web$")     # Ctrl-C drops what is not read yet
    at.key("C-c")
    at.ready(2)
    at.line("/opt/house/bin/slow 50; systemctl restart api")
    at.see(r"^started$")
    at.key("C-c")
    at.see(r"what follows in the list was not run")
    at.ready(3)
    at.line("systemctl is-active web")
    at.see(r"^web is up$")
    at.ready(4)
    same(at, "ctrl-c")


def test_ctrl_z(at):
    """At a prompt and to a command it is nothing."""
    at.type("systemctl is-active ")
    at.see(r"is-active\s*\Z")
    at.key("C-z")
    at.type("web")
    at.key("Enter")
    at.see(r"^web is up$")
    at.ready(2)
    at.line("/opt/house/bin/slow 50")
    at.see(r"^started$")
    at.key("C-z")
    at.key("C-c")
    at.see(r"\^C")
    at.ready(3)
    same(at, "ctrl-z")


def test_a_paste_of_10000(at):
    text = "".join(chr(97 + i % 26) for i in range(9980))
    at.type(f"/opt/house/bin/argv {text}")
    at.key("Enter")
    at.see(f"^<{text}>$", whole=True)
    at.ready()
    same(at, "paste")


def test_typed_for_a_command_without_a_terminal(mark, at, bastion):
    """It is shown, may be changed, and is in the recording; also what is typed
    before the command is there, and what comes behind its end."""
    at.type("cat\none\n")
    at.see(r"^one\none$")
    at.type("two wrong")
    at.key("C-w")
    at.type("wordsü☃漢字e\u0301")
    at.key("BSpace", "BSpace", "BSpace", "BSpace", "BSpace", "Enter")
    at.see(r"(?:^two words\n){2}")
    at.type("drop\tped")
    at.see(r"^drop    ped$")
    at.key("C-u", "Up", "z", "Enter")
    at.see(r"^z\[\[Az$")    # cat's own: it went up and wrote over it
    at.type("three")
    at.key("C-d")
    at.see(r"^threethree$")
    at.type("\x04systemctl is-active web\n")
    at.see(r"^web is up$")
    at.ready()
    same(at, "typed")
    at.line("cat")
    at.type("x" * 2500 + "\n")      # longer than what can be changed
    at.see(r"(?:x\n?){5000}", whole=True)
    at.key("C-d")
    at.ready()
    at.key("C-d")
    at.see(r"^left with 0$")
    ends = events(bastion, mark, "operation.end", 3)
    assert [e["bytes_in"] for e in ends] == [24, 0, 2501]
    shell = events(bastion, mark, "operation.decide", 3)[0]["shell"]
    for which, text in ((["--shell", shell], "cat\none\none\n"),
                        ([ends[0]["operation"]], "one\none\n")):
        cast = bastion.postern("replay", "--speed", "0", *which).stdout
        assert text in cast.replace("\r", ""), cast


def test_resize(shell):
    t = shell(size=(100, 30))
    t.ready()
    t.line("/opt/house/bin/istty")
    t.see(r"^30 100$")
    t.ready(2)
    t.tmux("resize-window", "-x", "72", "-y", "20")
    t.line("/opt/house/bin/istty")
    t.see(r"^20 72$")
    t.ready(3)
    text = "".join(chr(65 + i % 26) for i in range(100))
    t.line(f"/opt/house/bin/argv {text}")
    t.see(rf"^<{text[:71]}\n{text[71:]}>$")
    t.ready(4)
    same(t, "resize")


def masked(text):
    """top's screen without what is another each time."""
    rows = []
    for row in text.splitlines():
        row = re.sub(r"^top - .*load", "top - …, load", row)
        row = re.sub(r"\d+(?:[.,]\d+)?", "N", " ".join(row.split()))
        row = re.sub(r"([:,])(?=N)", r"\1 ", row)
        if re.match(r"N \S+ (?:N|rt) ", row):
            row = "(a process)"
        if row and row != (rows[-1] if rows else None):
            rows.append(row)
    return "\n".join(rows)


@pytest.mark.skipif(not os.path.exists("/usr/bin/top"), reason="no top")
def test_a_program_of_the_whole_screen(at, bastion):
    with bastion.more_rules(TOP):
        at.line("/usr/bin/top -d 9")
        at.see(r"^top - .*PID +USER.*^ *\d+ \S+")
        same(at, "top", masked)
        at.tmux("resize-window", "-x", "90", "-y", "16")
        at.see(r"^top - .*PID +USER")
        at.type("q")
        at.see(r"^\S+ as \S+>\s*\Z")
        at.line("systemctl restart web")
        at.see(r"^restart web\nweb is up$")
