"""`./dev pictures`: doc/pictures/*.svg, from what stock ssh and `postern` show
in real terminals of a house.  Nothing is drawn by hand: a screen is what tmux
has of it, cell by cell, and only its colours are ours."""
import html
import os
import pathlib
import re
import shutil
import types

import house as h
from test_brokershell import Terminal

TO = pathlib.Path(h.TOP) / "doc/pictures"
SIZE, ADVANCE, LEADING, EDGE = 14, 8.4, 19, 16      # pixels
STYLE = """\
text { font: %dpx ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
fill: #d8dee9; white-space: pre }
.typed { fill: #ffffff; font-weight: bold }
.said { fill: #ebcb8b }""" % SIZE


def kind_of(line):
    return "typed" if re.match(r"\S+\$ |\S+ as \S+> ", line) else \
        "said" if line.startswith("postern:") else None


def svg(title, screen):
    """A screen of text; each line has the width of its cells, whatever the
    reader's font."""
    lines = screen.rstrip().splitlines()
    width = max(map(len, lines)) * ADVANCE + 2 * EDGE
    height = len(lines) * LEADING + 2 * EDGE
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
           f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
           f'height="{height}">',
           f"<title>{html.escape(title)}</title>",
           f"<style>{STYLE}</style>",
           '<rect width="100%" height="100%" rx="8" fill="#2e3440"/>']
    for n, line in enumerate(lines):
        if not line.strip():
            continue
        kind = kind_of(line)
        out.append(
            f'<text x="{EDGE}" y="{EDGE + n * LEADING + SIZE}" '
            f'textLength="{len(line) * ADVANCE:.1f}" xml:space="preserve"'
            f'{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>'
            f"{html.escape(line, quote=False)}</text>")
    return "\n".join(out) + "\n</svg>\n"


def terminal(netns, user, prompt, size, **env):
    """A shell of that user there, with nothing on its screen."""
    who = types.SimpleNamespace(netns=netns, user=user)
    return Terminal(who, ["/bin/sh"], {
        "HOME": str(h.WORK / "home" / user), "TMPDIR": "/tmp", "PS1": prompt,
        "PATH": f"{h.PREFIX}/bin:/usr/bin:/bin", "TERM": "xterm-256color",
        "LANG": "C.UTF-8", **env}, size=size)


def keep(t, name, title):
    (TO / f"{name}.svg").write_text(svg(title, t.screen()))
    print(f"doc/pictures/{name}.svg\n{t.screen().rstrip()}\n")


def shell(it):
    """A person at the broker shell: completion, a denial, another try."""
    kind, blob = it.bastion.hostkey.with_suffix(".pub").read_text().split()[:2]
    kit = h.WORK / "postern.sh"
    shutil.copy(h.TOP / "packaging/ci/postern.sh", kit)
    kit.chmod(0o644)
    t = terminal("job", "runner", "job$ ", (84, 26), POSTERN_BASTION=h.BASTION,
                 POSTERN_HOSTKEY=f"{kind} {blob}",
                 POSTERN_TOKEN=it.issuer.token())
    t.line(f". {kit} && postern_login && clear && echo here")
    t.see(r"\Ahere\njob\$")
    t.line("clear")
    t.see(r"\Ajob\$ ?\s*\Z")
    t.line(f"ssh -t web-1@{h.BASTION}")
    t.see(r"^\S+ as \S+> ?\s*\Z")
    t.type("systemctl re")
    t.key("Tab")
    t.see(r"^reload +restart\s.*systemctl re$")
    t.line("start mail")
    t.see(r"refused; this is operation.*> ?\s*\Z")
    t.line("systemctl restart web")
    t.see(r"^web is up$.*> ?\s*\Z")
    t.line("exit")
    t.see(r"job\$ ?\s*\Z")
    keep(t, "shell", "The bastion's shell: Tab completes what the rules give, "
         "a denial is explained in place, what is allowed runs")
    t.close()


def audit(it, web1):
    """An auditor: who, what it looked like, and whether all of it is true."""
    h.run("useradd", "-m", "-d", h.WORK / "home/anna", "-s", "/bin/sh", "-g",
          "postern-auditor", "-p", "*", "anna")
    log = h.WORK / "home/anna/web-1.log"
    shutil.copy(web1.log, log)
    log.chmod(0o644)
    # which she noted when the bastion was set up
    key = it.bastion.postern("ledger", "key").stdout
    (h.WORK / "home/anna/bastion.key").write_text(key)
    t = terminal("bastion", "anna", "auditor$ ", (100, 30))
    t.line("cd; clear")
    t.see(r"\Aauditor\$ ?\s*\Z")
    t.line("postern sessions --commit 1f0c7a2")
    t.see(r"restart web$.*auditor\$ ?\s*\Z")
    ran = [e for e in it.bastion.ledger() if e["event"] == "operation.end"]
    t.line(f"postern replay --speed 0 {ran[-1]['operation']}")
    t.see(r"^web is up$.*auditor\$ ?\s*\Z")
    t.line('postern verify --key "$(cat bastion.key)"')
    t.see(r"^well: .+auditor\$ ?\s*\Z")
    t.line("postern reconcile --target web-1 web-1.log")
    t.see(r"web-1.log\n.+auditor\$ ?\s*\Z")
    keep(t, "audit", "An auditor: who ran what for a commit, what it looked "
         "like, is the ledger whole, and does the target's own log agree")
    t.close()


def main():
    os.umask(0o022)
    TO.mkdir(exist_ok=True)
    it = h.House()
    try:
        web1 = it.target("web-1", "10.91.0.2")
        it.bastion = h.Bastion(it.issuer, [web1], "tests/e2e/demo.postern")
        it.started.append(it.bastion)
        it.bastion.start()
        shell(it)
        audit(it, web1)
    finally:
        it.close()


if __name__ == "__main__":
    main()
