"""oldkernel.py ABI COMMAND...: runs COMMAND, and all that it starts, as on a
kernel whose Landlock has this ABI (0: none; Debian 12's 6.1 has 2).

The kernel's own means: a seccomp filter gives the questions to us, and we
answer as that kernel does.  What it would take goes on to the real one; what
it would not know, it refuses with the same errors.  Linux 6.1's missing socket
option (SO_PEERPIDFD, since 6.5) is refused, too, when ABI is below 3.
"""
import ctypes
import errno
import fcntl
import os
import platform
import signal
import struct
import sys

# What each ABI has: bits of rights to files, size of the ruleset's attributes.
ABIS = {1: (13, 8), 2: (14, 8), 3: (15, 8), 4: (15, 16), 5: (16, 16),
        6: (16, 24)}
CREATE_RULESET, VERSION = 444, 1
GETSOCKOPT = {"x86_64": 55, "aarch64": 209, "riscv64": 209}
SO_PEERPIDFD = 77
PR_SET_PDEATHSIG = 1
SET_MODE_FILTER, NEW_LISTENER = 1, 8
SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277}
RET_ALLOW, RET_ERRNO, RET_NOTIFY = 0x7fff0000, 0x00050000, 0x7fc00000
NOTIF_RECV, NOTIF_SEND = 0xc0502100, 0xc0182101
FLAG_CONTINUE = 1
LD, JEQ, RET = 0x20, 0x15, 0x06
NR_AT, ARG2_AT = 0, 32

libc = ctypes.CDLL(None, use_errno=True)


def install(code):
    """The filter is in force, for everything to come; its listener."""
    raw = b"".join(struct.pack("HBBI", *c) for c in code)
    keep = ctypes.create_string_buffer(raw)
    prog = ctypes.create_string_buffer(
        struct.pack("H6xQ", len(code), ctypes.addressof(keep)))
    fd = libc.syscall(SECCOMP[platform.machine()], SET_MODE_FILTER,
                      NEW_LISTENER, prog)
    if fd == -1:
        raise OSError(ctypes.get_errno(), "seccomp")
    return fd


def answer(abi, pid, attr, size, flags):
    """(value, errno) of landlock_create_ruleset, or None: ask the kernel."""
    if abi == 0:
        return 0, errno.ENOSYS
    if flags == VERSION:
        return abi, 0
    bits, known = ABIS[abi]
    with open(f"/proc/{pid}/mem", "rb") as f:
        f.seek(attr)
        raw = f.read(size)
    if any(raw[known:]):
        return 0, errno.E2BIG
    if struct.unpack_from("Q", raw)[0] >> bits:
        return 0, errno.EINVAL
    return None


def serve(fd, abi):
    while True:
        note = bytearray(80)
        try:
            fcntl.ioctl(fd, NOTIF_RECV, note)
        except OSError as e:
            if e.errno in (errno.EINTR, errno.ENOENT):
                continue
            raise
        ident, pid = struct.unpack_from("QI", note)
        attr, size, flags = struct.unpack_from("QQQ", note, 32)
        try:
            a = answer(abi, pid, attr, size, flags)
        except OSError:
            a = 0, errno.EFAULT
        reply = struct.pack("QqiI", ident, 0, 0, FLAG_CONTINUE) if a is None \
            else struct.pack("QqiI", ident, a[0], -a[1], 0)
        try:
            fcntl.ioctl(fd, NOTIF_SEND, reply)
        except OSError as e:  # it died meanwhile
            if e.errno != errno.ENOENT:
                raise


def main():
    abi, argv = int(sys.argv[1]), sys.argv[2:]
    code = [(LD, 0, 0, NR_AT), (JEQ, 0, 1, CREATE_RULESET),
            (RET, 0, 0, RET_NOTIFY)]
    if abi < 3:
        code += [(JEQ, 0, 3, GETSOCKOPT[platform.machine()]),
                 (LD, 0, 0, ARG2_AT), (JEQ, 0, 1, SO_PEERPIDFD),
                 (RET, 0, 0, RET_ERRNO | errno.ENOPROTOOPT)]
    code.append((RET, 0, 0, RET_ALLOW))
    fd = install(code)
    here = os.getpid()
    if os.fork() == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == here:
            serve(fd, abi)
        os._exit(0)
    os.close(fd)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
