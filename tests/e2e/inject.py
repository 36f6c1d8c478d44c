"""Plays the owner of a running process: makes it perform a system call of our
choice, in its own place, under its own uid, filter and Landlock domain.  By
ptrace, as root, from outside: the programs hold no hook for this.
"""
import ctypes
import os
import platform
import signal
import struct
import time

SUPPORTED = platform.machine() == "x86_64"

# The calls that the tests try, by x86-64's numbers.
NR = {"open": 2, "mmap": 9, "mprotect": 10, "getpid": 39, "socket": 41,
      "connect": 42, "bind": 49, "fork": 57, "execve": 59, "kill": 62,
      "ftruncate": 77, "ptrace": 101, "setresuid": 117, "openat": 257,
      "linkat": 265, "bpf": 321, "io_uring_setup": 425, "pidfd_getfd": 438}

AT_FDCWD = -100
SEIZE, INTERRUPT, GETREGS, SETREGS = 0x4206, 0x4207, 12, 13
CONT, DETACH, SYSCALL = 7, 17, 24
OPT_SYSGOOD = 1
STOP_SYSCALL = signal.SIGTRAP | 0x80

# struct user_regs_struct
REGS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax "
        "rip cs eflags rsp ss fs_base gs_base ds es fs gs").split()

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                         ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Killed(Exception):
    """The kernel killed the process for the call; its signal."""


def _ptrace(request, pid, data=0):
    if _libc.ptrace(request, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {pid}")


class Owned:
    """with Owned(pid) as it: it.call("openat", AT_FDCWD, b"/etc/passwd", 0)"""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        _ptrace(SEIZE, self.pid, OPT_SYSGOOD)
        self._mem = os.open(f"/proc/{self.pid}/mem", os.O_RDWR)
        end = time.monotonic() + 10
        while True:
            _ptrace(INTERRUPT, self.pid)
            self._wait()
            self._saved = self._get()
            # It waits in a system call: behind that instruction.
            if os.pread(self._mem, 2, self._saved["rip"] - 2) == b"\x0f\x05":
                return self
            assert time.monotonic() < end, "it never waits"
            _ptrace(CONT, self.pid)
            time.sleep(0.01)

    def __exit__(self, kind, value, trace):
        os.close(self._mem)
        if kind is Killed:
            return False
        # To where the kernel looks whether a call is to be started again.
        _ptrace(INTERRUPT, self.pid)
        _ptrace(CONT, self.pid)
        self._wait()
        self._set(self._saved)
        _ptrace(DETACH, self.pid)
        return False

    def _wait(self):
        _, status = os.waitpid(self.pid, 0x40000000)  # __WALL
        if os.WIFSIGNALED(status):
            raise Killed(signal.Signals(os.WTERMSIG(status)).name)
        assert os.WIFSTOPPED(status), status
        return os.WSTOPSIG(status)

    def _get(self):
        raw = ctypes.create_string_buffer(8 * len(REGS))
        _ptrace(GETREGS, self.pid, ctypes.addressof(raw))
        return dict(zip(REGS, struct.unpack(f"{len(REGS)}Q", raw.raw)))

    def _set(self, regs):
        raw = ctypes.create_string_buffer(
            struct.pack(f"{len(REGS)}Q", *(regs[r] for r in REGS)))
        _ptrace(SETREGS, self.pid, ctypes.addressof(raw))

    def _survive(self):
        """What kills is a signal that waits for it at the call's end."""
        with open(f"/proc/{self.pid}/status") as f:
            waits = next(int(x.split()[1], 16) for x in f
                         if x.startswith("SigPnd:"))
        if waits >> (signal.SIGSYS - 1) & 1:
            _ptrace(CONT, self.pid)
            self._wait()
            raise AssertionError("SIGSYS did not kill")

    def call(self, name, *args):
        """What the kernel answers; bytes are put below its stack."""
        regs = dict(self._saved)
        at = (regs["rsp"] - 8192) & ~15
        values = []
        for a in args:
            if isinstance(a, bytes):
                os.pwrite(self._mem, a + b"\0", at)
                a, at = at, at + (len(a) + 16 & ~15)
            values.append(a & (1 << 64) - 1)
        values += [0] * (6 - len(values))
        regs.update(zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values))
        regs.update(rax=NR[name], orig_rax=(1 << 64) - 1,
                    rip=self._saved["rip"] - 2)
        self._set(regs)
        for _ in range(2):  # to its entry, to its end
            _ptrace(SYSCALL, self.pid)
            while self._wait() != STOP_SYSCALL:
                _ptrace(SYSCALL, self.pid)
        self._survive()
        answer = self._get()["rax"]
        return answer - (1 << 64) if answer >> 63 else answer
