"""The messages of doc/PROTOCOL.md as a second, independent implementation, and
a broker made of it: it answers what a test tells it to."""
import array
import os
import pathlib
import re
import socket
import struct
import threading

VERSION = int(re.search(r"#define MSG_VERSION (\d+)", (
    pathlib.Path(__file__).resolve().parents[2] / "lib/msg.h").read_text())[1])
LOGIN, LOGIN_RESULT = 32, 33
SESSION_OPEN, SESSION_OPENED = 48, 49
SESSION_CLOSE, SESSION_CLOSED = 50, 51
RUN, ANSWER, ACCEPTED = 64, 65, 66
RESIZED, SIGNAL, EXIT = 68, 70, 72

# Fields of what the modules and the shell send: s string, b u8, u u32, l u32 and
# so many strings.
FIELDS = {
    LOGIN: (("user", "s"), ("source", "s"), ("token", "s"), ("parts", "u"),
            ("trouble", "s")),
    SESSION_OPEN: (("handle", "s"), ("user", "s"), ("source", "s"),
                   ("auth_info", "s")),
    SESSION_CLOSE: (("handle", "s"),),
    RUN: (("handle", "s"), ("kind", "b"), ("command", "s"), ("tty", "b"),
          ("term", "s"), ("columns", "u"), ("rows", "u"), ("sent", "l")),
    RESIZED: (),
    SIGNAL: (("signal", "u"),),
}


def string(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack(">I", len(s)) + s


def number(n):
    return struct.pack(">I", n)


class Message:
    """One received message: its fields as attributes, its descriptors."""

    def __init__(self, data, fds):
        version, self.type, self.id = struct.unpack(">HHI", data[:8])
        assert version == VERSION
        self.fds, self.fields = fds, {}
        data = data[8:]
        for name, kind in FIELDS[self.type]:
            if kind == "b":
                value, data = data[0], data[1:]
            else:
                (value,), data = struct.unpack(">I", data[:4]), data[4:]
                if kind == "s":
                    value, data = data[:value], data[value:]
                if kind == "l":
                    n, value = value, []
                    for _ in range(n):
                        (size,), data = (struct.unpack(">I", data[:4]),
                                         data[4:])
                        value.append(data[:size])
                        data = data[size:]
            self.fields[name] = value
        assert data == b"", "leftover bytes"

    def __getattr__(self, name):
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None


def receive(sock):
    """The next message, or None at the end."""
    data, control, _, _ = sock.recvmsg(256 * 1024, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, d in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(d[:len(d) - len(d) % fds.itemsize])
    return Message(data, list(fds)) if data else None


def send(sock, kind, body=b"", ident=0):
    m = struct.pack(">HHI", VERSION, kind, ident) + body
    try:
        sock.sendall(m)
    except ConnectionResetError:
        # Said once, to whatever call comes first after the peer has left
        # something unread.
        sock.sendall(m)


class Listener:
    """A socket whose every connection is given to handle(conn), in a thread
    of its own; the connection is closed when that returns."""

    def __init__(self, path, handle, mode=0o600, gid=0):
        self.path, self.handle = str(path), handle
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.bind(self.path)
        os.chmod(self.path, mode)
        if gid:
            os.chown(self.path, 0, gid)
        self.sock.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _serve(self, conn):
        with conn:
            self.handle(conn)

    def close(self):
        # shutdown wakes accept, which close alone would not.
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        os.unlink(self.path)


class Broker:
    """What oidc and policy do for the modules and the shell.  `heard` keeps
    every message; a test sets login, open and run to other answers."""

    HANDLE = "0123456789abcdef" * 2
    SECOND = "fedcba9876543210" * 2

    def __init__(self, folder, gid=0):
        self.heard = []
        self.login = lambda m: (0, self.HANDLE)
        self.open = lambda m: (0, self.SECOND)
        self.close_result = 0
        self.run = lambda conn, m: send(
            conn, ANSWER, number(0) + string("") + string(""))
        self.listeners = [
            Listener(f"{folder}/pam.sock", self._pam),
            Listener(f"{folder}/session.sock", self._session),
            Listener(f"{folder}/shell.sock", self._shell, 0o660, gid),
        ]

    def all(self, kind):
        return [m for m in self.heard if m.type == kind]

    def _hear(self, conn):
        m = receive(conn)
        if m:
            self.heard.append(m)
        return m

    def _pam(self, conn):
        m = self._hear(conn)
        if m:
            result, handle = self.login(m)
            send(conn, LOGIN_RESULT, number(result) + string(handle), m.id)

    def _session(self, conn):
        m = self._hear(conn)
        if m and m.type == SESSION_OPEN:
            result, handle = self.open(m)
            send(conn, SESSION_OPENED, number(result) + string(handle), m.id)
        elif m:
            send(conn, SESSION_CLOSED, number(self.close_result), m.id)

    def _shell(self, conn):
        m = self._hear(conn)
        if m:
            self.run(conn, m)
            for fd in m.fds:
                os.close(fd)

    def close(self):
        for x in self.listeners:
            x.close()
