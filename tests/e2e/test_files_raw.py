"""SFTP packet by packet, through the bastion: what no stock client says.  All
of it is said to a real server; afterwards what was there is as it was, but for
what a rule grants."""
import contextlib
import os
import shutil
import stat
import struct
import subprocess

import pytest
from test_jobcert import QUIET, Key

AREA = f"/tmp/files-raw-{os.urandom(4).hex()}"
W, R, KEEP, OUT = (f"{AREA}/{x}" for x in ("w", "r", "keep", "out"))
RULES = f"""
identity rawer from github {{ claim repository_id = "7712345"; claim ref = "refs/heads/raw" }}
allow raw for rawer on web-1 {{
    write under {W} by sftp
    read under {W} by sftp
    read under {R} by sftp
    write under {KEEP} by sftp no-delete no-symlinks
}}
deny not-here for rawer on web-1 {{ write under {W}/never by sftp }}
"""
(INIT, VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT,
 OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK,
 SYMLINK) = range(1, 21)
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, REPLY = 101, 102, 103, 104, 105, 200, 201
OK, EOF, MISSING, DENIED, FAILURE, MALFORMED, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
FXF_READ, FXF_WRITE, FXF_APPEND, FXF_CREAT, FXF_TRUNC, FXF_EXCL = (
    1 << i for i in range(6))
NEW = FXF_WRITE | FXF_CREAT
NO_ATTRS = struct.pack(">I", 0)
USAGE = 64


def text(s):
    b = s if isinstance(s, bytes) else str(s).encode()
    return struct.pack(">I", len(b)) + b


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


class Raw:
    """A session of the sftp subsystem whose packets are written here."""

    def __init__(self, key, to="web-1", begin=True):
        self.job, self.id = key.job, 0
        self.p = key.job.popen(["ssh", *QUIET, "-i", key.private, "-s",
                                f"{to}@{key.job.host}", "sftp"],
                               stdin=subprocess.PIPE)
        if begin:
            self.packet(INIT, u32(3))
            self.offers = self.read()
            assert self.offers[0] == VERSION

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        with contextlib.suppress(OSError):
            self.p.stdin.close()
        try:
            if failed:
                self.job.kill(self.p)
            while self.p.stdout.read(65536):
                pass
            self.p.wait(60)
        finally:
            self.job.kill(self.p)
            self.p.wait()
            self.p.stdout.close()
            self.p.stderr.close()

    def raw(self, data):
        self.p.stdin.write(data)
        self.p.stdin.flush()

    def packet(self, kind, body):
        self.raw(struct.pack(">IB", 1 + len(body), kind) + body)

    def send(self, kind, *fields, number=None):
        """A request; its number.  A kind that is a text is an extension."""
        self.id += 1
        number = self.id if number is None else number
        if isinstance(kind, str):
            kind, fields = EXTENDED, (text(kind), *fields)
        self.packet(kind, u32(number) + b"".join(fields))
        return number

    def read(self):
        """(type, number, the rest) of the next answer; None: it is over."""
        head = self.p.stdout.read(5)
        if len(head) < 5:
            return None
        n, kind = struct.unpack(">IB", head)
        body = self.p.stdout.read(n - 1)
        number, = struct.unpack_from(">I", body)
        return kind, number, body[4:]

    def ask(self, kind, *fields):
        number = self.send(kind, *fields)
        answer = self.read()
        assert answer is not None, "the session is over"
        assert answer[1] == number
        return answer[0], answer[2]

    def status(self, kind, *fields):
        """Its code; -1: it was answered by something better."""
        kind, body = self.ask(kind, *fields)
        return struct.unpack_from(">I", body)[0] if kind == STATUS else -1

    def says(self, kind, *fields):
        kind, body = self.ask(kind, *fields)
        assert kind == STATUS
        n, = struct.unpack_from(">I", body, 4)
        return body[8:8 + n].decode()

    def open(self, path, flags=NEW, attrs=NO_ATTRS):
        kind, body = self.ask(OPEN, text(path), u32(flags), attrs)
        assert kind == HANDLE, (kind, body)
        return body         # as a string, with its length

    def over(self):
        """The bastion ends it, and what ssh says."""
        self.p.stdin.close()    # a session that goes on would end well
        while self.read() is not None:
            pass
        return self.p.wait(60), self.p.stderr.read().decode()


@pytest.fixture(scope="module")
def key(job, rules):
    return Key(job).login(job.issuer.token(ref="refs/heads/raw"))


@pytest.fixture
def area():
    shutil.rmtree(AREA, ignore_errors=True)
    for name in ("w/never", "w/sub", "keep", "r", "out"):
        os.makedirs(f"{AREA}/{name}")
    for name in ("w/one", "w/sub/two", "keep/old", "r/text", "out/secret"):
        with open(f"{AREA}/{name}", "w", encoding="ascii") as f:
            f.write(f"{name}\n")
    os.symlink(OUT, f"{W}/leads-out")
    os.symlink(f"{OUT}/secret", f"{W}/file-out")
    os.symlink(f"{W}/never", f"{W}/to-never")
    os.symlink(f"{OUT}/new", f"{W}/dangles")
    os.symlink("..", f"{W}/up")
    os.symlink("sub", f"{KEEP}/link")
    os.mkdir(f"{KEEP}/sub")
    subprocess.run(["chown", "-hR", "deploy:", AREA], check=True)
    yield AREA
    shutil.rmtree(AREA, ignore_errors=True)


def look():
    """All of it, with what may tell that somebody was there."""
    seen = {}
    for folder, dirs, files in os.walk(AREA):
        for name in [*dirs, *files]:
            p = os.path.join(folder, name)
            s = os.lstat(p)
            what = b""
            if stat.S_ISLNK(s.st_mode):
                what = os.readlink(p)
            elif stat.S_ISREG(s.st_mode):
                with open(p, "rb") as f:
                    what = f.read()
            seen[p] = (s.st_mode, s.st_uid, s.st_gid, s.st_nlink,
                       int(s.st_mtime), what)
    return seen


# -- paths ----------------------------------------------------------------

# Names that no rule covers, whatever is done to them.
NOWHERE = {
    "another folder": f"{OUT}/secret",
    "up and out": f"{W}/../out/secret",
    "up and out, by more": f"{W}/sub/../../out/./secret",
    "above the root": f"/../../..{OUT}/secret",
    "two slashes": f"/{OUT}//secret",
    "a link on the way": f"{W}/leads-out/secret",
    "a link to a folder above": f"{W}/up/out/secret",
    "a link to what is denied": f"{W}/to-never/x",
    "denied": f"{W}/never/x",
    "denied, with a slash": f"{W}//never/",
    "case": f"{AREA}/W/one",
    "another that begins so": f"{AREA}/w2",
    "relative": "one",
    "a home": "~",
    "a home's file": "~/.ssh/authorized_keys",
    "another's home": "~root/.ssh/authorized_keys",
    "a name with a slash at its end": f"{OUT}/secret/",
    "a dot at its end": f"{OUT}/.",
    "nothing": "/",
    "not UTF-8": f"{W}/".encode() + b"caf\xe9",
    "overlong UTF-8": f"{W}/".encode() + b"\xc0\xae\xc0\xae/x",
    "a newline": f"{W}/a\nb",
    "an escape": f"{W}/a\x1b[2Jb",
    "C1": f"{W}/a\x9bb",
    "a NUL": f"{W}/a\0b",
    "4,096 bytes": "/" + "x/" * 2047 + "x",
    "4,096 bytes, plain when short": W + "/." * ((4096 - len(W)) // 2) + "/",
    "60,000 bytes": "/" + "x" * 60000,
}
# What is done to a path; each changes something, or tells something.
CHANGES = {
    "open to write": lambda p: (OPEN, text(p), u32(NEW), NO_ATTRS),
    "open to append": lambda p: (OPEN, text(p), u32(NEW | FXF_APPEND),
                                 NO_ATTRS),
    "open to cut": lambda p: (OPEN, text(p), u32(FXF_WRITE | FXF_TRUNC),
                              NO_ATTRS),
    "open to make": lambda p: (OPEN, text(p), u32(NEW | FXF_EXCL), NO_ATTRS),
    "open for both": lambda p: (OPEN, text(p), u32(NEW | FXF_READ), NO_ATTRS),
    "cut by reading": lambda p: (OPEN, text(p), u32(FXF_READ | FXF_TRUNC),
                                 NO_ATTRS),
    "make by reading": lambda p: (OPEN, text(p), u32(FXF_READ | FXF_CREAT),
                                  NO_ATTRS),
    "mkdir": lambda p: (MKDIR, text(p), NO_ATTRS),
    "setstat of size": lambda p: (SETSTAT, text(p), u32(1) + u64(0)),
    "setstat of owner": lambda p: (SETSTAT, text(p), u32(2) + u32(0) + u32(0)),
    "setstat of mode": lambda p: (SETSTAT, text(p), u32(4) + u32(0o777)),
    "setstat of times": lambda p: (SETSTAT, text(p), u32(8) + u32(1) + u32(1)),
    "rename away": lambda p: (RENAME, text(p), text(f"{W}/new")),
    "rename onto": lambda p: (RENAME, text(f"{W}/one"), text(p)),
    "posix-rename away": lambda p: ("posix-rename@openssh.com", text(p),
                                    text(f"{W}/new")),
    "posix-rename onto": lambda p: ("posix-rename@openssh.com",
                                    text(f"{W}/one"), text(p)),
    "hardlink of": lambda p: ("hardlink@openssh.com", text(p),
                              text(f"{W}/new")),
    "hardlink at": lambda p: ("hardlink@openssh.com", text(f"{W}/one"),
                              text(p)),
    "symlink at": lambda p: (SYMLINK, text(f"{W}/one"), text(p)),
    "symlink to": lambda p: (SYMLINK, text(p), text(f"{W}/new")),
}
# Of a link itself these may be had where the link is: its folder counts.
OF_LINKS = {
    "remove": lambda p: (REMOVE, text(p)),
    "rmdir": lambda p: (RMDIR, text(p)),
    "lsetstat": lambda p: ("lsetstat@openssh.com", text(p),
                           u32(8) + u32(1) + u32(1)),
}
READS = {
    "open": lambda p: (OPEN, text(p), u32(FXF_READ), NO_ATTRS),
    "open without flags": lambda p: (OPEN, text(p), u32(0), NO_ATTRS),
    "opendir": lambda p: (OPENDIR, text(p)),
    "readlink": lambda p: (READLINK, text(p)),
    "statvfs": lambda p: ("statvfs@openssh.com", text(p)),
    "stat": lambda p: (STAT, text(p)),
    "lstat": lambda p: (LSTAT, text(p)),
}
RELATIVE = {"relative", "a home", "a home's file", "another's home"}
REFUSED = (DENIED, FAILURE, MALFORMED)
# These may be read; a symbolic link in what is granted is the target's own.
READABLE = {"a link on the way", "a link to a folder above",
            "a link to what is denied", "denied", "denied, with a slash"}


@pytest.mark.parametrize("deeds", [CHANGES, OF_LINKS],
                         ids=["changes", "of links"])
def test_nothing_outside_changes(bastion, key, area, mark, deeds):
    """Each of them to each of these paths, in one session."""
    before = look()
    with Raw(key) as s:
        for how, deed in deeds.items():
            for what, path in NOWHERE.items():
                code = s.status(*deed(path))
                if how == "symlink to" and what in RELATIVE:
                    # Relative contents stay where the link is.
                    assert code in (OK, MISSING)
                    assert s.status(REMOVE, text(f"{W}/new")) == code
                    continue
                assert code in REFUSED, (how, what, code)
        assert s.status(STAT, text(f"{W}/one")) == -1   # and it goes on
    after = look()
    del before[W], after[W]     # its time: links came and went
    assert after == before
    assert bastion.event(mark, "operation.end")["exit"] == 0


def test_nothing_outside_is_told(key, area):
    with Raw(key) as s:
        for how, deed in READS.items():
            for what, path in NOWHERE.items():
                if what in READABLE or (what == "nothing" and
                                        how in ("stat", "lstat")):
                    continue
                assert s.status(*deed(path)) in REFUSED, (how, what)


def test_links_that_were_planted(key, area):
    """Whoever else may write there has left links: they are not followed for
    writing, whatever the last part of the path is."""
    before = look()
    with Raw(key) as s:
        for name in ("leads-out", "file-out", "to-never", "dangles", "up"):
            for how, deed in CHANGES.items():
                if how in ("symlink at", "mkdir", "hardlink at", "rename onto",
                           "posix-rename onto", "open to make"):
                    continue    # the name is there, or it is the link's own
                code = s.status(*deed(f"{W}/{name}"))
                if how == "symlink to" and code == OK:
                    assert s.status(REMOVE, text(f"{W}/new")) == OK
                    continue
                assert code in REFUSED, (name, how, code)
        # A rule without links does not follow them for anything.
        for deed in (*CHANGES.values(), *OF_LINKS.values()):
            assert s.status(*deed(f"{KEEP}/link/x")) in REFUSED
    after = look()
    del before[W], after[W]
    assert after == before


def test_names_stay_where_no_delete_says_so(key, area):
    with Raw(key) as s:
        for deed in (
                (REMOVE, text(f"{KEEP}/old")), (RMDIR, text(f"{KEEP}/sub")),
                (RENAME, text(f"{KEEP}/old"), text(f"{W}/new")),
                (RENAME, text(f"{W}/one"), text(f"{KEEP}/old")),
                ("posix-rename@openssh.com", text(f"{W}/one"),
                 text(f"{KEEP}/old")),
                ("hardlink@openssh.com", text(f"{KEEP}/old"),
                 text(f"{W}/new")),
                (SYMLINK, text(f"{KEEP}/old"), text(f"{KEEP}/l"))):
            assert s.status(*deed) in REFUSED, deed
    assert sorted(os.listdir(KEEP)) == ["link", "old", "sub"]


def test_up_behind_a_link(key, area):
    """A link and then .. is the folder that the link is in, for whoever judges
    and for the target: there is no such file there."""
    with Raw(key) as s:
        for deed in (*READS.values(), *OF_LINKS.values()):
            assert s.status(*deed(f"{W}/leads-out/../out/secret")) == MISSING
        s.open(f"{W}/leads-out/../new")
    assert os.path.exists(f"{W}/new") and os.listdir(OUT) == ["secret"]


def test_names_that_are_fine(key, area):
    """Of 255 bytes, beyond ASCII, with what a shell would read."""
    names = ("x" * 255, "café", "日本", "a b", "-rf", "*", "$(id)", "a'b\"",
             "back\\slash", "~", "...", "..x", "a:b", "#")
    with Raw(key) as s:
        for name in names:
            f = s.open(f"{W}//./sub/../{name}")
            assert s.status(WRITE, f, u64(0), text("y")) == OK
            assert s.status(CLOSE, f) == OK
        # The file system's own bounds, by its own word.
        longest = W + "/y" * ((4095 - len(W)) // 2)
        for path in (f"{W}/" + "x" * 256, longest):
            assert s.status(OPEN, text(path), u32(NEW), NO_ATTRS) in (
                MISSING, FAILURE, MALFORMED)
    assert set(names) <= set(os.listdir(W))


# -- extensions, attributes ------------------------------------------------

def test_what_is_offered(key, area):
    """Extensions of the target's that are known, and no others."""
    with Raw(key) as s:
        body = s.offers[2]
        names = []
        while body:
            for _ in range(2):
                n, = struct.unpack_from(">I", body)
                names.append(body[4:4 + n].decode())
                body = body[4 + n:]
        offered = dict(zip(names[::2], names[1::2]))
        known = {"posix-rename@openssh.com", "statvfs@openssh.com",
                 "fstatvfs@openssh.com", "hardlink@openssh.com",
                 "fsync@openssh.com", "lsetstat@openssh.com",
                 "limits@openssh.com", "expand-path@openssh.com", "copy-data",
                 "home-directory", "users-groups-by-id@openssh.com"}
        assert set(offered) <= known
        assert {"limits@openssh.com", "hardlink@openssh.com"} <= set(offered)
        for name in ("evil@example.com", "", "posix-rename@openssh.com\0",
                     "vendor-id", "md5-hash", "check-file", "text-seek",
                     "space-available", "x" * 255):
            assert s.status(name, text(W)) == UNSUPPORTED, name
        assert s.status("x" * 256, text(W)) == MALFORMED


def test_extensions(key, area):
    with Raw(key) as s:
        kind, body = s.ask("limits@openssh.com")
        assert kind == REPLY and struct.unpack(">4Q", body)[0] <= 256 * 1024
        assert s.ask("statvfs@openssh.com", text(W))[0] == REPLY
        assert s.status("statvfs@openssh.com", text(OUT)) == DENIED
        kind, body = s.ask("expand-path@openssh.com", text("~"))
        assert kind == NAME and b"/home/" in body
        assert s.status("expand-path@openssh.com", text("~root")) == DENIED
        # What no rule speaks of is said as it was written.
        kind, body = s.ask(REALPATH, text(f"{W}/../out/../out"))
        assert kind == NAME and text(OUT) in body
        f = s.open(f"{W}/new", NEW | FXF_READ)
        assert s.status(WRITE, f, u64(0), text("0123456789")) == OK
        assert s.status("fsync@openssh.com", f) == OK
        assert s.ask("fstatvfs@openssh.com", f)[0] == REPLY
        g = s.open(f"{W}/copy")
        assert s.status("copy-data", f, u64(2), u64(5), g, u64(1)) == OK
        assert s.status("copy-data", g, u64(0), u64(1), f, u64(0)) == FAILURE
        r = s.open(f"{R}/text", FXF_READ)
        assert s.status("copy-data", f, u64(0), u64(1), r, u64(0)) == FAILURE
        assert s.status("copy-data", f, u64(0), u64(1 << 63), g,
                        u64(1 << 63)) == MALFORMED
        assert s.status("lsetstat@openssh.com", text(f"{W}/file-out"),
                        u32(8) + u32(5) + u32(5)) == OK
        assert s.status("hardlink@openssh.com", text(f"{W}/one"),
                        text(f"{W}/hard")) == OK
        assert s.status("posix-rename@openssh.com", text(f"{W}/hard"),
                        text(f"{W}/copy2")) == OK
    with open(f"{W}/copy", "rb") as f:
        assert f.read() == b"\x0023456"
    assert os.lstat(f"{W}/file-out").st_mtime == 5
    assert os.stat(f"{OUT}/secret").st_mtime > 5
    assert os.stat(f"{W}/one").st_nlink == 2


def test_attributes(key, area):
    """Of a path, a link and an open file: size, mode and times; no owner, and
    nothing setuid."""
    with Raw(key) as s:
        f = s.open(f"{W}/new", NEW, u32(4) + u32(0o640))
        for how in ((SETSTAT, text(f"{W}/one")), (FSETSTAT, f),
                    ("lsetstat@openssh.com", text(f"{W}/one"))):
            for attrs in (u32(2) + u32(0) + u32(0),
                          u32(4) + u32(0o4755), u32(4) + u32(0o2755),
                          u32(6) + u32(0) + u32(0) + u32(0o644)):
                assert s.status(*how, attrs) == DENIED, (how, attrs)
            assert s.status(*how, u32(8) + u32(7) + u32(7)) == OK
            assert s.status(*how, u32(0x10)) == MALFORMED
            assert s.status(*how, u32(4)) == MALFORMED
        assert s.status(FSETSTAT, f, u32(1) + u64(7)) == OK
        assert s.status(SETSTAT, text(f"{W}/one"), u32(4) + u32(0o600)) == OK
        # A setuid file is not made, and no owner is given.
        assert s.status(OPEN, text(f"{W}/suid"), u32(NEW),
                        u32(4) + u32(0o4755)) == DENIED
        assert s.status(MKDIR, text(f"{W}/sgid"), u32(4) + u32(0o2777)) == DENIED
        s.open(f"{W}/mine", NEW, u32(2) + u32(0) + u32(0))
    assert os.stat(f"{W}/new").st_size == 7
    assert stat.S_IMODE(os.stat(f"{W}/new").st_mode) == 0o640
    assert stat.S_IMODE(os.stat(f"{W}/one").st_mode) == 0o600
    assert os.stat(f"{W}/mine").st_uid != 0
    assert not {"suid", "sgid"} & set(os.listdir(W))


# -- packets ---------------------------------------------------------------

def whole(handle):
    """Each request, as it should be: (what follows its number, minus what may
    be anything)."""
    path, two = text(f"{W}/one"), text(f"{W}/one") + text(f"{W}/new")
    return {
        OPEN: path + u32(FXF_READ) + NO_ATTRS, CLOSE: handle,
        READ: handle + u64(0) + u32(1), LSTAT: path, FSTAT: handle,
        SETSTAT: path + u32(8) + u32(9) + u32(9),
        FSETSTAT: handle + u32(8) + u32(9) + u32(9), OPENDIR: text(W),
        READDIR: handle, REMOVE: path, MKDIR: text(f"{W}/d") + NO_ATTRS,
        RMDIR: text(f"{W}/d"), REALPATH: path, STAT: path, RENAME: two,
        READLINK: path, SYMLINK: two, WRITE: handle + u64(0) + text("abc"),
        "posix-rename@openssh.com": two, "hardlink@openssh.com": two,
        "statvfs@openssh.com": path, "fstatvfs@openssh.com": handle,
        "fsync@openssh.com": handle, "limits@openssh.com": b"",
        "lsetstat@openssh.com": path + u32(8) + u32(9) + u32(9),
        "expand-path@openssh.com": path,
        "copy-data": handle + u64(0) + u64(1) + handle + u64(0)}


def test_each_packet_cut_short(key, area):
    """At each of its bytes, and with one more: malformed, and the session goes
    on as if nothing had been said."""
    before = look()
    with Raw(key) as s:
        handle = s.open(f"{W}/one", FXF_WRITE | FXF_READ)
        for kind, body in whole(handle).items():
            for cut in range(len(body)):
                assert s.status(kind, body[:cut]) == MALFORMED, (kind, cut)
            assert s.status(kind, body + b"\0") == MALFORMED, kind
            # A string that is longer than the packet.
            if len(body) > 4:
                assert s.status(kind, u32(0xffffffff) + body[4:]) in (
                    MALFORMED, FAILURE), kind
        assert s.status(CLOSE, handle) == OK
    assert look() == before


def test_other_handles(key, area):
    """None that is ours, closed ones, another session's: a failure each."""
    with Raw(key) as s, Raw(key) as other:
        f = s.open(f"{W}/one", FXF_READ)
        assert s.status(WRITE, f, u64(0), text("x")) == FAILURE
        assert s.status(FSETSTAT, f, u32(1) + u64(0)) == FAILURE
        assert s.status(READDIR, f) == FAILURE
        assert other.status(READ, f, u64(0), u32(1)) == FAILURE
        assert s.status(CLOSE, f) == OK
        for h in (f, text(""), text("\0" * 4), text("\0" * 8), text("0"),
                  text("\xff" * 8), text("x" * 256), text("/etc/passwd")):
            assert s.status(READ, h, u64(0), u32(1)) == FAILURE
            assert s.status(CLOSE, h) == FAILURE
        assert s.status(CLOSE, text("x" * 257)) == MALFORMED


def test_numbers_of_requests(key, area):
    """Those that are out of order, and the same one twice at once: each has an
    answer of its own, in any order, and what is about names keeps its order."""
    with Raw(key) as s:
        same = [s.send(STAT, text(f"{W}/one"), number=7),
                s.send(STAT, text(f"{OUT}/x"), number=7),
                s.send(MKDIR, text(f"{W}/d"), NO_ATTRS, number=7),
                s.send(RENAME, text(f"{W}/d"), text(f"{W}/e"), number=7),
                s.send(RMDIR, text(f"{W}/d"), number=7),
                s.send(RMDIR, text(f"{W}/e"), number=0),
                s.send(STAT, text(f"{W}/e"), number=0xffffffff)]
        answers = [s.read() for _ in same]
        assert sorted(a[1] for a in answers) == sorted(same)
        codes = [struct.unpack_from(">I", a[2])[0] for a in answers
                 if a[0] == STATUS and a[1] == 7]
        assert sorted(codes) == [OK, OK, MISSING, DENIED], codes
    assert "d" not in os.listdir(W) and "e" not in os.listdir(W)


def test_answers_from_a_client(key, area):
    """Types that only a server sends, and none at all."""
    with Raw(key) as s:
        for kind in (0, INIT, VERSION, 21, 99, STATUS, HANDLE, DATA, NAME, ATTRS,
                     REPLY, 255):
            assert s.status(kind, u32(0)) == UNSUPPORTED, kind
        assert s.status(STAT, text(f"{W}/one")) == -1


@pytest.mark.parametrize("begin, data", [
    (True, u32(0)), (True, u32(1) + b"\5"), (True, u32(4) + b"\5abc"),
    (True, u32(256 * 1024 + 1) + b"\5"), (True, u32(0xffffffff) + b"\x06"),
    (True, u32(65537) + bytes([STAT])), (False, u32(5) + b"\2" + u32(3)),
    (False, u32(9) + bytes([STAT]) + u32(1) + text("")),
    (False, b"SSH-2.0-x\r\n"),
], ids=["nothing", "a type alone", "half a number", "256 KiB and one",
        "4 GiB", "64 KiB and one", "VERSION first", "STAT first",
        "another protocol"])
def test_packets_that_end_it(bastion, key, area, mark, begin, data):
    before = look()
    with Raw(key, begin=begin) as s:
        s.raw(data)
        code, said = s.over()
    assert code == USAGE, said
    assert bastion.event(mark, "operation.end")["exit"] == USAGE
    assert look() == before


def test_more_than_is_held(key, area):
    """A thousand requests at once, and more files than one session may open:
    all are answered, and none is held."""
    with Raw(key) as s:
        opened = 0
        for i in range(300):
            s.send(OPEN, text(f"{W}/one"), u32(FXF_READ), NO_ATTRS)
        for _ in range(300):
            kind, _, body = s.read()
            opened += kind == HANDLE
        assert opened == 128
        assert "128" in s.says(OPEN, text(f"{W}/one"), u32(FXF_READ), NO_ATTRS)
        want = [s.send(STAT, text(f"{W}/one")) for _ in range(1000)]
        assert sorted(s.read()[1] for _ in want) == sorted(want)


def hops(bastion):
    return {pid for pid, _, name in bastion.processes()
            if name == "postern-hop"}


def private_kib(pid):
    """What it has written to for itself.  Not Private_Dirty: on a tmpfs every
    page of a library counts as that."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f
                   if line.startswith("Anonymous:"))


@pytest.mark.slow       # sanitizers have memory of their own
def test_memory_of_a_hop(bastion, key, area):
    """Of a session with nothing to do, with 32 MiB under way in both directions
    and as much asked at once as it takes, and with the longest of paths."""
    before, seen = hops(bastion), {}
    with Raw(key) as s:
        s.status(STAT, text(W))
        (pid,) = hops(bastion) - before
        seen["idle"] = private_kib(pid)
        f = s.open(f"{W}/big", NEW | FXF_READ)
        most, block = 0, os.urandom(32768)
        for i in range(0, 1024, 64):
            for k in range(i, i + 64):
                s.send(WRITE, f, u64(k << 15), text(block))
            for _ in range(64):
                s.read()
            most = max(most, private_kib(pid))
        for i in range(0, 1024, 256):
            for k in range(i, i + 256):
                s.send(READ, f, u64(k << 15), u32(32768))
            most = max(most, private_kib(pid))
            for _ in range(256):
                s.read()
            most = max(most, private_kib(pid))
        seen["in bulk"] = most
        long = f"{W}/" + "y/" * ((4000 - len(W)) // 2)
        for _ in range(256):
            s.send(RENAME, text(long + "a"), text(long + "b"))
        for _ in range(256):
            most = max(most, private_kib(pid))
            s.read()
        seen["with long paths"] = most
    # 8 KiB of paths each, and as much again for each question about them:
    # what was under way in bulk has room for those that are held.
    assert seen["idle"] <= 1400 and seen["in bulk"] <= 2048, seen
    assert seen["with long paths"] <= seen["in bulk"] + 512, seen
