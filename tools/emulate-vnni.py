#!/usr/bin/env python3
"""Runs a program on an emulated processor with VNNI, for those whose processor has none.

    tools/emulate-vnni.py                                   the tests of quantised kernels with VNNI, 5 minutes
    tools/emulate-vnni.py [-m MODEL] PROGRAM [ARGUMENT...]  any program; exit code: the program's, or 125

Without a program build/tests/ops_test_quantized is built and compares, to the bit and on the emulated processor, avxvnni
and avx512vnni with ops/ref; exit code 0 if all agree. MODEL: icelake (default), sapphirerapids, skylakex, arrowlake.
The environment's SNUG_ variables go along: SNUG_TEST_BACKEND and SNUG_TEST_STRIDE (tests/ops/backends_check.h).

The processor is that of Bochs, from the package bochscpu-python, which is installed in build-vnni on the first run.
There is no kernel: this file loads the program (static or dynamic) into 64-bit mode, every address its own physical
one, and answers the few system calls that a program with one thread needs. About 1/100 of the machine's speed.

    memory:  0 page tables, system call stub | 2 MiB program, brk | 32 MiB its loader | 64 MiB what it maps ... stack

Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
"""
import ctypes
import errno
import os
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOME = os.path.join(ROOT, "build-vnni")
PACKAGE = "bochscpu-python==0.4.0"

# Name: Bochs' own model, what the program may save (XCR0), the backend that is chosen there.
MODELS = {
    "icelake": ("corei7_icelake_u", 0xE7, "avx512vnni"),
    "sapphirerapids": ("sapphire_rapids", 0xE7, "avx512vnni"),
    "arrowlake": ("arrow_lake", 0x07, "avxvnni"),
    "skylakex": ("corei7_skylake_x", 0xE7, "avx512"),
}
TESTED = ["icelake", "arrowlake"]

# The package's processor has one model built in; the exported function that makes it is replaced by this one. The
# other two are names of C libraries younger than some that the package is installed with (declared by hand, as the
# headers of those libraries would rename them).
SHIM = """
typedef __builtin_va_list va;
int vsscanf(const char *, const char *, va);
unsigned long long strtoull(const char *, char **, int);
unsigned long long __isoc23_strtoull(const char *s, char **end, int base) { return strtoull(s, end, base); }
int __isoc23_sscanf(const char *s, const char *format, ...)
{
    va list;
    __builtin_va_start(list, format);
    int read = vsscanf(s, format, list);
    __builtin_va_end(list);
    return read;
}
void *(*make_model)(void *processor);
unsigned models_made;
void *_Z23create_corei3_cnl_cpuidP8BX_CPU_C(void *processor) { models_made++; return make_model(processor); }
"""

PAGE = 4096
MEMORY = 512 << 20
TABLES, STUB = 0x1000, 0x10000
PROGRAM, LOADER, MAPPED = 2 << 20, 32 << 20, 64 << 20
STACK = 8 << 20


def prepare():
    """Installs the package, builds the shim, and goes on in the installed interpreter."""
    python = os.path.join(HOME, "venv", "bin", "python")
    shim = os.path.join(HOME, "shim.so")
    if not os.path.exists(shim):
        os.makedirs(HOME, exist_ok=True)
        venv = os.path.dirname(os.path.dirname(python))
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PACKAGE], check=True)
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-xc", "-", "-o", shim + ".new"],
                       input=SHIM.encode(), check=True)
        os.rename(shim + ".new", shim)
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(HOME, "venv")):
        os.execv(python, [python, os.path.abspath(__file__)] + sys.argv[1:])
    return ctypes.CDLL(shim, ctypes.RTLD_GLOBAL)


def up(n):
    return (n + PAGE - 1) // PAGE * PAGE


class Memory:
    """The processor's memory, which is also the program's address space, and which pages of it are taken."""

    def __init__(self, bochs):
        libc = ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
        self.host = libc.mmap(None, MEMORY, 3, 0x22, -1, 0)
        self.taken = bytearray(MEMORY // PAGE)
        for page in range(0, MEMORY, PAGE):
            bochs.memory.page_insert(page, self.host + page)

    def check(self, at, count):
        if at < 0 or count < 0 or at + count > MEMORY:
            raise RuntimeError(f"access to {count} bytes at {at:#x}, outside of memory")

    def write(self, at, data):
        self.check(at, len(data))
        ctypes.memmove(self.host + at, bytes(data), len(data))

    def read(self, at, count):
        self.check(at, count)
        return ctypes.string_at(self.host + at, count)

    def text(self, at):
        self.check(at, 1)
        return ctypes.string_at(self.host + at)

    def take(self, at, count):
        """Zeroed pages: at this address, or anywhere if it is None. Returns the address, or None."""
        pages = up(count) // PAGE
        if at is None:
            first = self.taken.find(bytes(pages), MAPPED // PAGE)
            if first < 0:
                return None
            at = first * PAGE
        self.check(at, pages * PAGE)
        self.taken[at // PAGE:at // PAGE + pages] = b"\1" * pages
        ctypes.memset(self.host + at, 0, pages * PAGE)
        return at

    def release(self, at, count):
        self.check(at, up(count))
        self.taken[at // PAGE:(at + up(count)) // PAGE] = bytes(up(count) // PAGE)


class Elf:
    """A loaded program or loader."""

    def __init__(self, memory, path, base):
        with open(path, "rb") as f:
            data = f.read()
        if data[:5] != b"\x7fELF\2":
            raise SystemExit(f"{path}: not a 64-bit ELF program")
        kind, self.entry, phoff = struct.unpack_from("<H6xQQ", data, 16)
        size, self.count = struct.unpack_from("<HH", data, 54)
        self.base = base if kind == 3 else 0
        self.entry += self.base
        self.end, self.headers, self.loader = 0, 0, None
        for i in range(self.count):
            kind, _, offset, at, _, filled, whole, _ = struct.unpack_from("<IIQQQQQQ", data, phoff + i * size)
            if kind == 1:
                at += self.base
                memory.take(at // PAGE * PAGE, up(at + whole) - at // PAGE * PAGE)
                memory.write(at, data[offset:offset + filled])
                self.end = max(self.end, up(at + whole))
                if offset <= phoff < offset + filled:
                    self.headers = at + phoff - offset
            elif kind == 3:
                self.loader = data[offset:offset + filled - 1].decode()


class Ended(Exception):
    pass


class Linux:
    """System calls of a program with one thread. Files are opened for reading only."""

    def __init__(self, memory, program, brk):
        self.memory, self.program, self.brk = memory, program, brk
        self.code, self.fs = None, 0
        self.unknown = set()

    def path(self, at):
        return os.path.join(os.getcwd(), self.memory.text(at).decode())

    def call(self, number, a):
        """Returns what goes to rax."""
        handler = self.CALLS.get(number)
        if handler is None:
            self.unknown.add(number)
            return -errno.ENOSYS
        try:
            result = handler(self, *a)
            return 0 if result is None else result
        except OSError as e:
            return -e.errno

    def read(self, fd, at, count, *_):
        data = os.read(fd, count)
        self.memory.write(at, data)
        return len(data)

    def pread(self, fd, at, count, offset, *_):
        data = os.pread(fd, count, offset)
        self.memory.write(at, data)
        return len(data)

    def write(self, fd, at, count, *_):
        return os.write(fd, self.memory.read(at, count))

    def writev(self, fd, vectors, count, *_):
        done = 0
        for i in range(count):
            at, size = struct.unpack("<QQ", self.memory.read(vectors + 16 * i, 16))
            done += os.write(fd, self.memory.read(at, size))
        return done

    def openat(self, _, path, flags, *__):
        if flags & 3:
            return -errno.EROFS
        return os.open(self.path(path), os.O_RDONLY)

    def close(self, fd, *_):
        if fd > 2:
            os.close(fd)

    def stat(self, s, at):
        self.memory.write(at, struct.pack("<QQQIIIIQqqqQQQQQQ24x", s.st_dev, s.st_ino, s.st_nlink, s.st_mode, s.st_uid,
                                          s.st_gid, 0, s.st_rdev, s.st_size, s.st_blksize, s.st_blocks,
                                          int(s.st_atime), 0, int(s.st_mtime), 0, int(s.st_ctime), 0))

    def fstat(self, fd, at, *_):
        self.stat(os.fstat(fd), at)

    def newfstatat(self, fd, path, at, flags, *_):
        empty = flags & 0x1000 and not self.memory.text(path)
        self.stat(os.fstat(fd) if empty else os.stat(self.path(path)), at)

    def mmap(self, at, count, _, flags, fd, offset):
        if count == 0:
            return -errno.EINVAL
        at = self.memory.take(at if flags & 0x10 else None, count)
        if at is None:
            return -errno.ENOMEM
        if not flags & 0x20:
            self.memory.write(at, os.pread(fd, count, offset))
        return at

    def munmap(self, at, count, *_):
        self.memory.release(at, count)

    def set_brk(self, to, *_):
        if self.brk < to < LOADER:
            self.memory.take(up(self.brk), to - up(self.brk) if to > up(self.brk) else 0)
            self.brk = to
        return self.brk

    def arch_prctl(self, code, value, *_):
        if code != 0x1002:  # ARCH_SET_FS
            return -errno.EINVAL
        self.fs = value

    def readlink(self, path, at, count, *_):
        if self.memory.text(path) != b"/proc/self/exe":
            return -errno.ENOENT
        self.memory.write(at, self.program.encode()[:count])
        return min(count, len(self.program.encode()))

    def getcwd(self, at, count, *_):
        here = os.getcwd().encode() + b"\0"
        if len(here) > count:
            return -errno.ERANGE
        self.memory.write(at, here)
        return len(here)

    def clock_gettime(self, clock, at, *_):
        ns = time.clock_gettime_ns(clock)
        self.memory.write(at, struct.pack("<QQ", ns // 10**9, ns % 10**9))

    def getaffinity(self, _, count, at, *__):
        self.memory.write(at, struct.pack("<Q", 1))
        return 8

    def getrandom(self, at, count, *_):
        self.memory.write(at, bytes(count))
        return count

    def exit(self, code, *_):
        raise Ended(code & 255)

    def tid(self, *_):
        return 1000

    def nothing(self, *_):
        return 0

    def refused(self, *_):
        return -errno.ENOSYS

    CALLS = {
        0: read, 1: write, 3: close, 5: fstat, 9: mmap, 10: nothing, 11: munmap, 12: set_brk, 13: nothing, 14: nothing,
        17: pread, 20: writev, 28: nothing, 39: tid, 60: exit, 79: getcwd, 89: readlink, 99: refused, 131: nothing,
        158: arch_prctl, 186: tid, 202: nothing, 204: getaffinity, 218: tid, 228: clock_gettime, 231: exit,
        257: openat, 262: newfstatat, 273: nothing, 302: refused, 318: getrandom, 334: refused,
    }


def start_stack(memory, program, loader, arguments, environment):
    """The stack as the kernel leaves it; returns its top."""
    low = memory.take(MEMORY - STACK, STACK)
    at = low + STACK - 64

    def push(data):
        nonlocal at
        at -= len(data)
        memory.write(at, data)
        return at

    texts = [[push(t.encode() + b"\0") for t in list] for list in (arguments, environment)]
    platform, seed = push(b"x86_64\0"), push(bytes(range(16)))
    auxiliary = [(3, program.headers), (4, 56), (5, program.count), (6, PAGE), (7, loader.base if loader else 0),
                 (9, program.entry), (11, 0), (12, 0), (13, 0), (14, 0), (15, platform), (16, 0x0FABFBFF), (17, 100),
                 (23, 0), (25, seed), (31, texts[0][0]), (0, 0)]
    words = [len(texts[0])] + texts[0] + [0] + texts[1] + [0] + [w for pair in auxiliary for w in pair]
    at = (at - 8 * len(words)) // 64 * 64
    memory.write(at, struct.pack(f"<{len(words)}Q", *words))
    return at


def start_state(bochs, memory, entry, stack, xcr0):
    """64-bit mode at the highest privilege, pages of 2 MiB, SSE to AVX-512 on; SYSCALL goes to the stub."""
    memory.write(TABLES, struct.pack("<Q", TABLES + PAGE | 7))
    memory.write(TABLES + PAGE, struct.pack("<Q", TABLES + 2 * PAGE | 7))
    for i in range(MEMORY >> 21):
        memory.write(TABLES + 2 * PAGE + 8 * i, struct.pack("<Q", i << 21 | 0x87))
    # wbinvd (whose hook answers the call); push %r11; popf; jmp *%rcx
    memory.write(STUB, bytes.fromhex("0f09 4153 9d ffe1"))

    def segment(selector, attributes):
        s = bochs.Segment()
        s.present, s.selector, s.base, s.limit, s.attr = True, selector, 0, 0xFFFFFFFF, attributes
        return s

    state = bochs.State()
    bochs.cpu.set_long_mode(state)
    state.cr3 = TABLES
    state.cr4 |= 1 << 9 | 1 << 10 | 1 << 18  # OSFXSR, OSXMMEXCPT, OSXSAVE
    state.xcr0 = xcr0
    state.efer |= 1  # SYSCALL
    state.star, state.lstar, state.sfmask = 8 << 32, STUB, 0
    state.cs = segment(8, 0x209B)
    for name in ("ss", "ds", "es", "fs", "gs"):
        setattr(state, name, segment(16, 0xCF93))
    state.mxcsr, state.mxcsr_mask, state.fpcw, state.fptw = 0x1F80, 0xFFFF, 0x37F, 0xFFFF
    state.rflags, state.rip, state.rsp = 2, entry, stack
    return state


def signed(x):
    return x - (1 << 64) if x >> 63 else x


def run(shim, model, arguments):
    import bochscpu
    import bochscpu.cpu
    import bochscpu.memory

    name, xcr0, _ = MODELS[model]
    library = ctypes.CDLL(bochscpu._bochscpu.__file__)
    make = getattr(library, f"_Z{len(name) + 13}create_{name}_cpuidP8BX_CPU_C")
    ctypes.c_void_p.in_dll(shim, "make_model").value = ctypes.cast(make, ctypes.c_void_p).value
    session = bochscpu.Session()
    if ctypes.c_uint.in_dll(shim, "models_made").value == 0:
        raise SystemExit("the package's processor does not take another model: another version of it?")

    faults = []

    def missing(address):
        faults.append(f"no memory at {address:#x}")
        session.stop()

    session.missing_page_handler = missing
    memory = Memory(bochscpu)
    program_path = os.path.abspath(arguments[0])
    program = Elf(memory, program_path, PROGRAM)
    loader = Elf(memory, program.loader, LOADER) if program.loader else None
    if program.end > LOADER or (loader and loader.end > MAPPED):
        raise SystemExit(f"{program_path}: too large")
    environment = [f"{k}={v}" for k, v in os.environ.items() if k.startswith("SNUG_")]
    stack = start_stack(memory, program, loader, arguments, environment)
    session.cpu.state = start_state(bochscpu, memory, (loader or program).entry, stack, xcr0)
    system = Linux(memory, program_path, program.end)
    cpu = session.cpu

    def answer(*_):
        try:
            fs = system.fs
            got = system.call(cpu.rax, [cpu.rdi, cpu.rsi, cpu.rdx, cpu.r10, signed(cpu.r8), cpu.r9])
            cpu.rax = got & (1 << 64) - 1
            if fs != system.fs:
                segment = cpu.fs
                segment.base = system.fs
                cpu.fs = segment
        except Ended as e:
            system.code = e.args[0]
            session.stop()
        except Exception as e:  # pylint: disable=broad-except  (it would vanish in the emulator)
            faults.append(f"system call {cpu.rax}: {e!r}")
            session.stop()

    def exception(_, __, vector, code):
        faults.append(f"exception {vector} (code {code:#x}) at {cpu.rip:#x}, cr2 {cpu.cr2:#x}")
        session.stop()

    hook = bochscpu.Hook()
    hook.cache_cntrl = answer
    hook.exception = exception
    session.run([hook])
    if system.code is None or faults:
        print(f"emulated {model}: stopped: {'; '.join(faults) or 'unknown reason'}"
              f" (unanswered system calls: {sorted(system.unknown)})", file=sys.stderr)
        return 125
    return system.code


def test_all():
    """The tests of quantised linear layers with the backend of each tested model, side by side. True if all agree."""
    subprocess.run([os.path.join(ROOT, "tools", "build.sh"), "build"], check=True)
    program = os.path.join(ROOT, "build", "tests", "ops_test_quantized")
    running = []
    for model in TESTED:
        environment = dict(os.environ, SNUG_SOURCE_ROOT=ROOT, SNUG_TEST_BACKEND=MODELS[model][2])
        running.append(subprocess.Popen([sys.executable, os.path.abspath(__file__), "-m", model, program],
                                        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    agree = True
    for model, process in zip(TESTED, running):
        output = process.communicate()[0]
        backend = MODELS[model][2]
        compared = f"{backend}: " in output and "comparisons with ops/ref" in output
        good = process.returncode == 0 and compared
        agree = agree and good
        print(f"== {backend} on an emulated {model} ==\n{output}-> {'the same bits' if good else 'FAILED'}", flush=True)
    return agree


def main():
    shim = prepare()
    arguments = sys.argv[1:]
    model = TESTED[0]
    if arguments[:1] == ["-m"] and len(arguments) > 1:
        model, arguments = arguments[1], arguments[2:]
        if model not in MODELS:
            raise SystemExit(f"no model {model}: {', '.join(MODELS)}")
        if not arguments:
            raise SystemExit("-m needs a program, too")
    if not arguments:
        sys.exit(0 if test_all() else 1)
    if arguments[0].startswith("-"):
        raise SystemExit(__doc__)
    sys.exit(run(shim, model, arguments))


if __name__ == "__main__":
    main()
