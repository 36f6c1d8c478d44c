"""What both kits share: SSH messages made by hand, the table of cases, and one
line of JSON for each."""
import argparse
import json
import os
import struct
import sys
import time

import paramiko

VERSION = b"SSH-2.0-hostile_1\r\n"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b6n\u202etxt"

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG = 1, 2, 3, 4
SERVICE_REQUEST, SERVICE_ACCEPT = 5, 6
KEXINIT = 20
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS = 50, 51, 52
USERAUTH_BANNER, USERAUTH_INFO_REQUEST = 53, 60
GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = 80, 81, 82
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_OPEN_FAILURE = 90, 91, 92
WINDOW_ADJUST, DATA, EXTENDED_DATA, EOF, CLOSE = 93, 94, 95, 96, 97
CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_FAILURE = 98, 99, 100


class Failed(Exception):
    """The bastion did not behave; the text says how."""


class Skip(Exception):
    """The case needs something that was not given."""


def need(true, why):
    if not true:
        raise Failed(why)


def message(kind, *parts):
    """An SSH message: int is uint32, bool a boolean, str and bytes strings."""
    m = paramiko.Message()
    m.add_byte(bytes([kind]))
    for p in parts:
        if isinstance(p, bool):
            m.add_boolean(p)
        elif isinstance(p, int):
            m.add_bytes(struct.pack(">I", p))
        else:
            m.add_string(p)
    return m


def packet(payload, length=None):
    """The same before keys are agreed on: in the clear."""
    pad = 8 - (len(payload) + 5) % 8
    pad += 8 if pad < 4 else 0
    n = len(payload) + pad + 1 if length is None else length
    return struct.pack(">IB", n, pad) + payload + bytes(pad)


KEX = "curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group14-sha256"
HOSTKEYS = "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512"
CIPHERS = "aes128-ctr,aes256-ctr,aes128-gcm@openssh.com"
MACS = "hmac-sha2-256,hmac-sha2-512"


def kexinit(kex=KEX, hostkeys=HOSTKEYS, ciphers=CIPHERS, macs=MACS,
            compression="none"):
    m = paramiko.Message()
    m.add_byte(bytes([KEXINIT]))
    m.add_bytes(os.urandom(16))
    for names in (kex, hostkeys, ciphers, ciphers, macs, macs, compression,
                  compression, "", ""):
        m.add_string(names)
    m.add_boolean(False)
    m.add_bytes(bytes(4))
    return m.asbytes()


def drain(sock, until):
    """Reads and forgets until the other end closes; False: it did not."""
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if not sock.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


def no_escapes(text, where):
    """What people are shown drives no terminal."""
    for c in text:
        bad = (ord(c) < 32 and c not in "\r\n\t") or 127 <= ord(c) < 160 \
            or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        need(not bad, f"{where} has the control character {c!r}: {text!r}")


class Case:
    def __init__(self, name, what, run, slow, **more):
        self.name, self.what, self.run, self.slow = name, what, run, slow
        self.__dict__.update(more)


class Table(dict):
    def add(self, what, slow=False, name=None, **more):
        """Decorates a case; its name is the function's."""
        def put(f):
            n = name or f.__name__.strip("_").replace("_", "-")
            assert n not in self, n
            self[n] = Case(n, what, f, slow, **more)
            return f
        return put


def main(table, parser, run):
    """run(case, args) returns facts, or raises Failed or Skip."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("case", nargs="*", help="names, or nothing with --all")
    parser.add_argument("--list", action="store_true",
                        help="the cases, one a line")
    parser.add_argument("--all", action="store_true", help="every case")
    parser.add_argument("--quick", action="store_true",
                        help="every case that needs no long wait")
    args = parser.parse_args()
    if args.list:
        for c in table.values():
            print(f"{c.name:32} {'slow ' if c.slow else ''}{c.what}")
        return 0
    names = args.case or [c.name for c in table.values()
                          if args.all or (args.quick and not c.slow)]
    unknown = [n for n in names if n not in table]
    if unknown or not names:
        parser.error(f"no such case: {' '.join(unknown)}" if unknown
                     else "name a case, or --all, --quick or --list")
    failed = 0
    for name in names:
        t0 = time.monotonic()
        try:
            facts = run(table[name], args) or {}
            result, why = "PASS", ""
        except Skip as e:
            result, why, facts = "SKIP", str(e), {}
        except Failed as e:
            result, why, facts = "FAIL", str(e), {}
        except Exception as e:  # the kit itself, or a bastion that is gone
            result, why, facts = "FAIL", f"{type(e).__name__}: {e}", {}
        failed += result == "FAIL"
        print(json.dumps({"case": name, "result": result, "why": why,
                          "seconds": round(time.monotonic() - t0, 2)} |
                         facts), flush=True)
    sys.stdout.flush()
    return 1 if failed else 0
