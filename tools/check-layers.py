#!/usr/bin/env python3
"""Checks the house rules that a compiler does not: who may include whom, and who may call what.

    tools/check-layers.py [ROOT]      lists violations as FILE:LINE: RULE: WHAT; exit code 1 if there are any
    tools/check-layers.py --self-test proves on a made-up tree that every rule fires, and only where it should

The rules (DESIGN 6, STYLE 1, 2, 10, 12, 18), for src/ and include/ unless said otherwise:
  floor     a file includes from its own part or from a lower floor, by the path from src/ ("part/file.h")
  library   a library's header is included only by the parts that own that library
  alloc     malloc and its kin only in base
  print     printing and ending the process only in cli and server (base/status.c may: broken invariants)
  backend   processor and device #ifdefs, intrinsics and target attributes only in ops and device
            (base may ask which processor it is, for the floating-point control word)
  banned    functions that overflow or hide errors (also in tools/, tests/, fuzz/, bench/)
  length    at most 1,000 lines a file (also there)

Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
"""
import re
import sys
import tempfile
from pathlib import Path

FLOORS = {
    "base": 0,
    "memory": 1, "device": 1,
    "tensor": 2,
    "ops": 3, "formats": 3, "document": 3,
    "program": 4,
    "models": 5,
    "generate": 6,
    "extract": 7,
    "job": 8,
    "server": 9, "report": 9,
    "cli": 10,
}
# The public headers (include/snug) describe what is offered above this floor.
API_FLOOR = 7

# Pairs (including file's part, included part) that may go sideways or up, with the reason. None.
EXCEPTIONS = {}

# Header, as a pattern on the whole <name>: the parts that own the library.
LIBRARIES = [
    (r"jansson\.h", {"base"}),
    (r"pcre2\.h", {"formats"}),
    (r"utf8proc\.h", {"formats", "extract", "cli"}),  # NFC, case, the width on a terminal
    (r"png\.h|pnglibconf\.h|zlib\.h", {"document"}),
    (r"jpeglib\.h|jerror\.h|turbojpeg\.h", {"document"}),
    (r"webp/.*", {"document"}),
    (r"tiff(io)?\.h", {"document"}),
    (r"seccomp\.h", {"document"}),
    (r"sqlite3\.h", {"job"}),
    (r"event2/.*", {"server"}),
    (r"cuda\.h|cuda_runtime.*", {"device", "ops"}),
    (r"cmocka\.h|lzma\.h", set()),
]
BACKEND_HEADERS = r"(imm|x86|[a-z]mm|avx\w*|cpuid|arm_\w+)(intrin)?\.h"
BACKEND_MACROS = r"\b(__(AVX|SSE|FMA|F16C|VNNI|BMI|CUDA|ARM_)\w*|SNUG_(CUDA|AVX|SIMD)\w*)"
# Which processor it is at all; base may ask, for the control word of the floating-point unit.
PROCESSOR_MACROS = r"\b__(x86_64|i386|amd64|aarch64|arm|riscv)\w*"

BANNED = "strcpy strcat stpcpy sprintf vsprintf strtok atoi atol atoll atof gets alloca __builtin_alloca"
ALLOC = "malloc calloc realloc reallocarray free strdup strndup aligned_alloc posix_memalign memalign asprintf vasprintf"
PRINT = ("printf fprintf vprintf vfprintf dprintf puts fputs putchar fputc putc perror psignal "
         "exit _exit _Exit quick_exit abort")
PRINTERS = {"cli", "server"}
MAX_LINES = 1000


def calls(names):
    """Calls of these functions; members of a struct (x->free(y)) and longer names are others' business."""
    return re.compile(r"(?<![\w.])(?<!->)(%s)\s*\(" % "|".join(map(re.escape, names.split())))


CALL_BANNED, CALL_ALLOC, CALL_PRINT = calls(BANNED), calls(ALLOC), calls(PRINT)
# The allocation functions are also not to be handed around. (A variable may well be called free.)
NAME_ALLOC = re.compile(r"(?<![\w.])(?<!->)(malloc|calloc|realloc|strdup|strndup)\b(?!\s*\()|&\s*free\b")
STREAMS = re.compile(r"\b(stdout|stderr)\b")
DECLARATION = re.compile(r"(format|__format__)\s*\(\s*$")


def strip(text):
    """The text without comments and without what stands in quotes, line numbers kept. Include lines keep their names."""
    token = re.compile(r'//(?:\\\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        piece = match.group(0)
        if piece[0] == '"':
            begin = text.rfind("\n", 0, match.start()) + 1
            if re.match(r"\s*#\s*include\s*$", text[begin:match.start()]):
                return piece
            return '""'
        if piece[0] == "'":
            return "0"
        return " " + "\n" * piece.count("\n")

    return token.sub(blank, text)


class Checker:
    def __init__(self, root):
        self.root = Path(root)
        self.found = []  # (path, line, rule, message)

    def report(self, path, line, rule, message):
        self.found.append((str(path.relative_to(self.root)), line, rule, message))

    def files(self, *folders):
        for folder in folders:
            for path in sorted((self.root / folder).rglob("*")):
                if path.suffix in (".c", ".h", ".cu") and path.is_file() and "golden" not in path.parts[:-2]:
                    yield path

    def check_length(self, path, text):
        lines = text.count("\n")
        if lines > MAX_LINES:
            self.report(path, lines, "length", "%d lines, at most %d" % (lines, MAX_LINES))

    def include_quoted(self, path, number, part, name):
        where = self.root / "src"
        if name.startswith("snug/"):
            if part is not None and FLOORS[part] < API_FLOOR:
                self.report(path, number, "floor", "%s includes the public %s" % (part, name))
            return
        if ".." in name.split("/"):
            self.report(path, number, "floor", "write the path from src/: %s" % name)
            return
        first = name.split("/")[0] if "/" in name else None
        if first is None:
            # Beside the file, or made by the build.
            return
        if first not in FLOORS:
            if (path.parent / name).is_file():
                return  # below the file's own folder, so in its own part
            self.report(path, number, "floor", "%s is in no known part" % name)
        elif part is None:
            self.report(path, number, "floor", "a public header includes %s" % name)
        elif first != part and FLOORS[first] >= FLOORS[part] and (part, first) not in EXCEPTIONS:
            way = "sideways" if FLOORS[first] == FLOORS[part] else "up"
            self.report(path, number, "floor", "%s (floor %d) includes %s: %s to floor %d" %
                        (part, FLOORS[part], name, way, FLOORS[first]))
        elif not (where / name).is_file() and not (path.parent / name).is_file():
            self.report(path, number, "floor", "no such file: src/%s" % name)

    def include_system(self, path, number, part, name):
        for pattern, owners in LIBRARIES:
            if re.fullmatch(pattern, name) and part not in owners:
                self.report(path, number, "library", "<%s> belongs to %s" %
                            (name, " and ".join(sorted(owners)) or "the tests"))
        if re.fullmatch(BACKEND_HEADERS, name) and part not in ("ops", "device"):
            self.report(path, number, "backend", "<%s> outside ops and device" % name)

    def check_line(self, path, number, part, line):
        include = re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', line)
        if include:
            if include.group(1):
                self.include_quoted(path, number, part, include.group(1))
            else:
                self.include_system(path, number, part, include.group(2))
            return
        if part not in ("ops", "device"):
            condition = re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line)
            name = re.search(BACKEND_MACROS, line) if condition else None
            if condition and part != "base":
                name = name or re.search(PROCESSOR_MACROS, line)
            name = name or re.search(r"\btarget\s*\(\s*\"|\b__builtin_cpu_(supports|is|init)\b|\b_mm\d*_\w+\s*\(", line)
            if name:
                self.report(path, number, "backend", "%s outside ops and device" % name.group(0).strip())
        if part != "base":
            for match in list(CALL_ALLOC.finditer(line)) + list(NAME_ALLOC.finditer(line)):
                self.report(path, number, "alloc", "%s: use the allocator that was passed in" % match.group(0).rstrip("( "))
        if part not in PRINTERS and str(path.relative_to(self.root)) != "src/base/status.c":
            for match in list(CALL_PRINT.finditer(line)) + list(STREAMS.finditer(line)):
                if not DECLARATION.search(line[:match.start()]):
                    self.report(path, number, "print", "%s outside %s" %
                                (match.group(1), " and ".join(sorted(PRINTERS))))

    def check_source(self, path, text):
        relative = path.relative_to(self.root).parts
        part = None if relative[0] == "include" else relative[1] if len(relative) > 2 else ""
        if part is not None and part not in FLOORS:
            self.report(path, 1, "floor", "src/%s is in no known part" % "/".join(relative[1:]))
            return
        for number, line in enumerate(strip(text).split("\n"), 1):
            self.check_line(path, number, part, line)

    def run(self):
        count = 0
        for path in self.files("src", "include", "tools", "tests", "fuzz", "bench"):
            text = path.read_text(errors="replace")
            count += 1
            self.check_length(path, text)
            for number, line in enumerate(strip(text).split("\n"), 1):
                for match in CALL_BANNED.finditer(line):
                    self.report(path, number, "banned", match.group(1))
            if path.relative_to(self.root).parts[0] in ("src", "include"):
                self.check_source(path, text)
        return count


# ---- the check of the check: file, text, expected (line, rule) pairs ----

CASES = [
    ("src/base/a.h", "#include <jansson.h>\n#include <stdio.h>\n", []),
    ("src/base/alloc.c", '#include "base/a.h"\nvoid *f(void) { return malloc(3); }\n', []),
    ("src/base/status.c", 'void g(void) { fprintf(stderr, "x"); abort(); }\n', []),
    ("src/base/up.c", '#include "tensor/t.h"\n', [(1, "floor")]),
    ("src/base/cpu.c", "#ifdef __x86_64__\n#elif defined(__aarch64__)\n#endif\n#ifdef __AVX2__\n#endif\n", [(4, "backend")]),
    ("src/base/stray.c", 'int f(void) { puts("x"); return 0; }\n', [(1, "print")]),
    ("src/tensor/t.h", '#include "base/a.h"\n', []),
    ("src/memory/m.c", '#include "device/d.h"\n', [(1, "floor")]),
    ("src/device/d.h", '#include "base/a.h"\n#ifdef __AVX2__\n#endif\n#include <immintrin.h>\n', []),
    ("src/ops/ref/o.c", '#include "ops/op.h"\n#include "tensor/t.h"\n#include "device/d.h"\n'
                        '#if defined(__x86_64__)\n#endif\n__attribute__((target("avx2"))) void f(void);\n', []),
    ("src/ops/op.h", '#include "formats/f.h"\n', [(1, "floor")]),
    ("src/formats/f.h", "#define PCRE2_CODE_UNIT_WIDTH 8\n#include <pcre2.h>\n#include <utf8proc.h>\n", []),
    ("src/document/png.c", "#include <png.h>\n#include <webp/decode.h>\n#include <stdio.h>\n#include <jpeglib.h>\n", []),
    ("src/document/lib.c", "#include <jansson.h>\n#include <pcre2.h>\n#include <utf8proc.h>\n",
     [(1, "library"), (2, "library"), (3, "library")]),
    ("src/extract/lib.c", "#include <png.h>\n#include <jpeglib.h>\n#include <webp/demux.h>\n#include <cmocka.h>\n",
     [(1, "library"), (2, "library"), (3, "library"), (4, "library")]),
    ("src/extract/up.c", '#include "cli/c.h"\n#include "nowhere/x.h"\n#include "base/missing.h"\n'
                         '#include "../base/a.h"\n#include "snug/snug.h"\n',
     [(1, "floor"), (2, "floor"), (3, "floor"), (4, "floor")]),
    ("src/models/api.c", '#include "snug/snug.h"\n', [(1, "floor")]),
    ("src/models/backend.c", "#if SNUG_SIMD_AVX2\n#elif defined(__FMA__)\n#endif\n#include <immintrin.h>\n"
                             '__attribute__((target("avx2"))) int f(void)\n{ return __builtin_cpu_supports("fma"); }\n',
     [(1, "backend"), (2, "backend"), (4, "backend"), (5, "backend"), (6, "backend")]),
    ("src/models/processor.c", "#ifdef __x86_64__\n#endif\nint x = _mm_getcsr();\n", [(1, "backend"), (3, "backend")]),
    ("src/models/alloc.c", "void f(void *p)\n{\n    p = malloc(1);\n    p = calloc(1, 1);\n    p = realloc(p, 2);\n"
                           "    free(p);\n    p = strdup(0);\n    p = strndup(0, 1);\n    h(&free);\n    h(malloc, 1);\n}\n",
     [(n, "alloc") for n in range(3, 11)]),
    ("src/models/traps.c", "/* malloc(3); printf(\"\") */\n// exit(1); \\\n   abort();\n"
                           'const char *s = "free(x) \\" strcpy(a, b)";\nchar c = \'"\'; int n = snug_free(a);\n'
                           "int m = x->free(x) + y.malloc + snprintf(0, 0, \"\") + my_printf(1);\nsize_t free = 3;\n"
                           "void p(const char *, ...) __attribute__((format(printf, 1, 2)));\nint exit_code(int x);\n"
                           "#if SNUG_LIMIT > 3\n#endif\n", []),
    ("src/models/print.c", 'void f(void)\n{\n    printf("x");\n    fprintf(g, "x");\n    puts("x");\n    exit(1);\n'
                           '    abort();\n    fwrite(x, 1, 1, stdout);\n    fputs("x", f);\n    perror("x");\n}\n',
     [(n, "print") for n in range(3, 11)]),
    ("src/models/banned.c", "void f(char *a)\n{\n    strcpy(a, a);\n    strcat(a, a);\n    sprintf(a, a);\n    vsprintf(a, a, v);\n"
                            "    strtok(a, a);\n    atoi(a);\n    atol(a);\n    atof(a);\n    gets(a);\n    alloca(3);\n}\n",
     [(n, "banned") for n in range(3, 13)]),
    ("src/cli/c.h", "", []),
    ("src/cli/main.c", '#include "extract/e.h"\n#include "cli/c.h"\n#include "c.h"\nint main(void) { printf("x"); exit(1); }\n', []),
    ("src/extract/e.h", "", []),
    ("src/strange/x.c", "", [(1, "floor")]),
    ("src/loose.c", "", [(1, "floor")]),
    ("include/snug/snug.h", "#include <stdint.h>\n", []),
    ("include/snug/bad.h", '#include "base/a.h"\n', [(1, "floor")]),
    ("src/job/long.c", "\n" * 1001, [(1001, "length")]),
    ("src/job/short.c", "\n" * 1000, []),
    ("tests/t.c", '#include <cmocka.h>\n#include "cli/c.h"\nvoid *p(void) { return malloc(3); }\nint q = atoi("1");\n', [(4, "banned")]),
    ("tools/t.c", 'int main(void) { printf("x"); return strtok(0, ""); }\n', [(1, "banned")]),
]


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        for name, text, _ in CASES:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        checker = Checker(folder)
        checker.run()
    wrong = 0
    for name, _, expected in CASES:
        got = sorted({(line, rule) for path, line, rule, _ in checker.found if path == name})
        if got != sorted(expected):
            wrong += 1
            print("%s: expected %s, got %s" % (name, sorted(expected), got))
    rules = {rule for _, _, expected in CASES for _, rule in expected}
    print("self-test: %d cases, %d rules, %d wrong" % (len(CASES), len(rules), wrong))
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    checker = Checker(root)
    count = checker.run()
    for path, line, rule, message in sorted(checker.found):
        print("%s:%d: %s: %s" % (path, line, rule, message))
    print("layers: %d files, %d violations" % (count, len(checker.found)))
    return 1 if checker.found or not count else 0


if __name__ == "__main__":
    sys.exit(main())
