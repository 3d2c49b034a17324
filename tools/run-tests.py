#!/usr/bin/env python3
"""Runs all tests of a build folder and adds up what they counted.

    tools/run-tests.py BUILD [--only=NAME,...] [--no-unit] [--no-fuzz] [--no-layers] [--no-golden]
                       [--golden=FOLDER,...] [--isa=NAME] [--extract] [--require-shared]
                       [--allowed-skips=FILE]

1. unit tests: the programs that meson lists as tests (cmocka; their [ OK ], [ FAILED ], [ SKIPPED ] lines).
   A test that skips prints "skip: why" first; without that, its last line is the reason.
2. fuzz corpora: BUILD/fuzz/replay_WHAT over the seeds that fuzz/fuzz_WHAT.c names in its header comment after
   "Seeds:" (and fuzz/corpus/WHAT), one count a target.
3. layers: tools/check-layers.py, its self-test included.
4. golden data: golden-check over tests/golden, and over the vocabularies and templates whose licence keeps them
   out of the repository, where they are there (-Dshared=FOLDER, SNUG_SHARED=FOLDER, or ../shared).
5. --extract: one document read with two threads (for the thread sanitizer).

Whatever does not show its counts, shows none, crashes, hangs or leaves with a code that does not go with its
counts has failed. --require-shared: missing shared data is a failure. --allowed-skips: a file of regular
expressions, one a line; a skip whose reason none of them matches is a failure. The last line is
"N passed, N failed, N skipped"; the exit code is 0 only if nothing failed and something passed.

Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
SANITIZER = re.compile(r"(ERROR|WARNING|SUMMARY): \w+Sanitizer|: runtime error: ")
SHARED = ("golden/tokenizers", "golden/chat")
DETAIL_LINES = 40  # of a failure's output
LONG = {"cli/test_cli", "extract/test_reader", "extract/test_reader_ladder", "generate/test_ladder_faults", "ops/test_backends",
        "ops/test_backends_llama"}


class Tally:
    """Counts, and what stands behind them."""

    def __init__(self):
        self.passed = self.failed = 0
        self.skips = []  # (name, reason)
        self.failures = []  # (name, text)

    def skip(self, name, reason):
        self.skips.append((name, reason))

    def fail(self, name, text, count=1):
        self.failed += count
        self.failures.append((name, text))

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skips += other.skips
        self.failures += other.failures

    def counts(self):
        words = [(self.passed, "passed"), (self.failed, "FAILED"), (len(self.skips), "skipped")]
        return ", ".join("%d %s" % w for w in words if w[0]) or "nothing ran"


class Result:
    """What a program left behind. code: exit code, -SIGNAL, or None if it ran out of time."""

    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def ending(self):
        if self.code is None:
            return "ran out of time after %.0f s" % self.seconds
        if self.code < 0:
            return "killed by " + signal.Signals(-self.code).name
        return "exit code %d" % self.code

    def tail(self, lines=DETAIL_LINES):
        noise = re.compile(r"\[(  PASSED  |       OK | RUN      |  SKIPPED |=+)\]|\d (SKIPPED|FAILED) TEST|^\s*$")
        kept = [l for l in (self.out + "\n" + self.err).splitlines() if not noise.search(l)]
        cut = ["..."] if len(kept) > lines else []
        return "\n".join(cut + [l[:200] for l in kept[-lines:]])


def run(command, env, timeout, terminal=False):
    """Runs a program in its own process group. terminal: its stdout is a terminal, so that the C library writes
    every line at once and an abort loses none."""
    begin = time.monotonic()
    master = slave = None
    if terminal:
        try:
            master, slave = pty.openpty()
        except OSError:
            pass  # no terminals here: then lines before an abort may be lost
    chunks = []
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, start_new_session=True,
                                       stdout=slave if slave is not None else out, stderr=err)
        except OSError as problem:
            for end in (master, slave):
                if end is not None:
                    os.close(end)
            return Result(127, "", str(problem), 0)
        reader = None
        if slave is not None:
            os.close(slave)

            def drain():
                while True:
                    try:
                        data = os.read(master, 65536)
                    except OSError:  # EIO: the last writer is gone
                        return
                    if not data:
                        return
                    chunks.append(data)

            reader = threading.Thread(target=drain, daemon=True)
            reader.start()
        try:
            code = process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            code = None
        try:
            os.killpg(process.pid, signal.SIGKILL)  # also what it left running
        except ProcessLookupError:
            pass
        process.wait()
        if reader:
            reader.join(timeout=5)
            os.close(master)
        out.seek(0)
        err.seek(0)
        text = (b"".join(chunks) + out.read()).decode("utf-8", "replace").replace("\r\n", "\n")
        return Result(code, text, err.read().decode("utf-8", "replace"), time.monotonic() - begin)


def judge_cmocka(name, result):
    """Counts of one cmocka program, by the lines of its groups; None if it has none."""
    tally = Tally()
    expected = seen = 0
    inside, talk, begun = False, "", "none"
    for line in result.out.splitlines():
        start = re.match(r"\[=+\] Running (\d+) test\(s\)\.", line)
        mark = re.match(r"\[\s+(OK|FAILED|SKIPPED|RUN)\s+\] (.+)$", line)
        if start:
            expected += int(start.group(1))
            inside = True
        elif re.match(r"\[=+\] \d+ test\(s\) run\.", line):
            inside = False
        elif inside and mark:
            word, test = mark.groups()
            begun = test if word == "RUN" else begun
            seen += word != "RUN"
            if word == "OK":
                tally.passed += 1
            elif word == "FAILED":
                tally.fail("%s: %s" % (name, test), "")
            elif word == "SKIPPED":
                tally.skip("%s: %s" % (name, test), talk or "no reason given")
            talk = ""
        elif line.startswith("skip:") or inside and line.strip():
            talk = re.sub(r"^skip:", "", line).strip()
    if not expected:
        return None
    if seen < expected:
        tally.fail(name, "%d of %d tests did not end; the last one begun: %s" % (expected - seen, expected, begun),
                   expected - seen)
    elif seen > expected:
        tally.fail(name, "%d tests, %d results" % (expected, seen))
    return tally


def judge_closing(name, result):
    """Counts of a program that ends with our closing line; None if it does not."""
    lines = result.out.rstrip().splitlines()
    match = CLOSING.match(lines[-1]) if lines else None
    if not match:
        return None
    passed, failed, skipped = map(int, match.groups())
    tally = Tally()
    tally.passed = passed
    if failed:
        bad = [l for l in lines if l.startswith("FAIL")]
        cut = ["... (%d more)" % (len(bad) - DETAIL_LINES)] if len(bad) > DETAIL_LINES else []
        tally.fail(name, "\n".join(l[:300] for l in bad[:DETAIL_LINES] + cut), failed)
    reasons = [re.match(r"skip (.*?): (.*)", l) for l in lines]
    reasons = [m.groups() for m in reasons if m][:skipped]
    # A line may stand for several cases: the rest takes the reason of the last one, if there was but one reason.
    alike = len({why for _, why in reasons}) == 1
    reasons += [(name, reasons[0][1] if alike else "no reason given")] * (skipped - len(reasons))
    for where, why in reasons:
        tally.skip(where, why)
    return tally


def judge(name, result, readers, only_skips_is_fine=False):
    """The counts of a program, and all that speaks against believing them."""
    tally = None
    for reader in readers:
        tally = tally or reader(name, result)
    if tally is None:
        tally = Tally()
        tally.fail(name, "%s; it showed no counts\n%s" % (result.ending(), result.tail()))
        return tally
    if result.code != 0 and not tally.failed and not (only_skips_is_fine and not tally.passed and tally.skips):
        tally.fail(name, "%s, though no test failed\n%s" % (result.ending(), result.tail()))
    elif SANITIZER.search(result.err + result.out) and not tally.failed:
        tally.fail(name, "a sanitizer complained\n" + result.tail())
    elif tally.failed and readers[0] is judge_cmocka:
        tally.failures.append((name, "%s\n%s" % (result.ending(), result.tail())))
    if not tally.passed and not tally.failed and not tally.skips:
        tally.fail(name, "nothing ran")
    return tally


class Runner:
    def __init__(self, options):
        self.options = options
        self.build = Path(options.build).resolve()
        self.total = Tally()
        self.workers = len(os.sched_getaffinity(0))
        sanitize = self.build_option("b_sanitize", "none")
        self.slow = 8 if sanitize != "none" else 1
        self.prefix = []
        # ThreadSanitizer of gcc 12 does not start where the kernel spreads addresses over more than 28 bits.
        if "thread" in sanitize and shutil.which("setarch"):
            if subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode == 0:
                self.prefix = ["setarch", "-R"]
        self.shared = self.find_shared()
        self.env = dict(os.environ, SNUG_SOURCE_ROOT=str(ROOT), CMOCKA_MESSAGE_OUTPUT="STDOUT", LC_ALL="C.UTF-8")
        if self.slow > 1:
            self.env["SNUG_SLOW"] = "1"  # under a sanitizer: fewer documents where all would only be more of the same
        self.env.setdefault("ASAN_OPTIONS", "detect_leaks=1:allocator_may_return_null=1:strict_string_checks=1")
        self.env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
        self.env.setdefault("TSAN_OPTIONS", "exitcode=66:second_deadlock_stack=1")
        if self.shared:
            self.env["SNUG_SHARED"] = str(self.shared)

    def build_option(self, name, default):
        with open(self.build / "meson-info" / "intro-buildoptions.json") as file:
            found = [o["value"] for o in json.load(file) if o["name"] == name]
        return found[0] if found else default

    def find_shared(self):
        """-Dshared=DIR of the build, else SNUG_SHARED, else ../shared."""
        named = self.build_option("shared", "") or os.environ.get("SNUG_SHARED")
        folder = Path(named) if named else ROOT.parent / "shared"
        return folder.resolve() if folder.is_dir() else None

    def report(self, name, tally, seconds):
        self.total.add(tally)
        clock = "%6.1f s" % seconds if seconds >= 0.05 else ""
        print(("  %-38s %-28s%s" % (name[:38], tally.counts(), clock)).rstrip(), flush=True)

    # ---- the parts ----

    def unit_tests(self):
        print("unit tests")
        with open(self.build / "meson-info" / "intro-tests.json") as file:
            tests = json.load(file)
        if self.options.only:
            wanted = self.options.only.split(",")
            names = {t["name"].split("/")[-1] for t in tests}
            for item in wanted:
                if item not in names and "test_" + item not in names:
                    tally = Tally()
                    tally.fail(item, "no test of this name")
                    self.report(item, tally, 0)
            wanted += ["test_" + item for item in wanted]
            tests = [t for t in tests if t["name"].split("/")[-1] in wanted]
        elif not tests:
            tally = Tally()
            tally.fail("unit tests", "meson lists none")
            self.report("unit tests", tally, 0)

        def one(test):
            env = dict(self.env, **{k: v for k, v in test.get("env", {}).items() if k != "CMOCKA_MESSAGE_OUTPUT"})
            limit = max(120, test.get("timeout") or 0) * self.slow
            result = run(self.prefix + test["cmd"], env, limit, terminal=True)
            return judge(test["name"], result, (judge_cmocka, judge_closing)), result.seconds

        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            # The long ones begin first, so that none of them runs alone at the end; told of in the order of names.
            tests.sort(key=lambda t: (t["name"] not in LONG, t["name"]))
            running = {t["name"]: pool.submit(one, t) for t in tests}
            for name in sorted(running):
                self.report(name, *running[name].result())

    def seeds(self, what):
        text = (ROOT / "fuzz" / ("fuzz_%s.c" % what)).read_text(errors="replace")
        head = re.sub(r"\s*\n\s*\*?\s*", " ", text[:text.find("*/")])
        named = re.search(r"Seeds?:(.*)", head)
        paths = re.findall(r"(?:tests|fuzz|models|samples|schemas)/[\w./-]*\w", named.group(1)) if named else []
        paths = ["fuzz/corpus/" + what] + [p for p in paths if p != "fuzz/corpus/" + what]
        return [p for p in paths if (ROOT / p).exists()]

    def fuzz_corpora(self):
        print("fuzz corpora")
        sources = sorted((ROOT / "fuzz").glob("fuzz_*.c"))
        for source in sources:
            what = source.stem[len("fuzz_"):]
            program, tally = self.build / "fuzz" / ("replay_" + what), Tally()
            seeds = self.seeds(what)
            if not program.exists():
                tally.fail(source.stem, "not built: %s" % program.relative_to(self.build))
                self.report(what, tally, 0)
                continue
            result = run(self.prefix + [str(program)] + seeds, self.env, 120 * self.slow)
            count = re.search(r"^replayed (\d+) inputs$", result.out, re.M)
            if result.code == 0 and count and int(count.group(1)) and not SANITIZER.search(result.err):
                tally.passed = 1
                self.report("%s, %s inputs" % (what, count.group(1)), tally, result.seconds)
                continue
            again = run(self.prefix + [str(program), "-v"] + seeds, self.env, 120 * self.slow)
            named = [l for l in again.err.splitlines() if (ROOT / l).is_file()]
            tally.fail(source.stem, "%s; last input: %s\n%s" % (result.ending(), named[-1] if named else "none",
                                                               result.tail()))
            self.report(what, tally, result.seconds)

    def layers(self):
        print("layers")
        for name, arguments in (("who may include and call what", []), ("the check checks", ["--self-test"])):
            result = run([sys.executable, str(ROOT / "tools/check-layers.py")] + arguments, self.env, 60)
            tally = Tally()
            if result.code == 0:
                tally.passed = 1
            else:
                tally.fail("check-layers.py " + " ".join(arguments), result.tail(200))
            self.report(name, tally, result.seconds)

    def golden_one(self, name, folder, extra=()):
        command = self.prefix + [str(self.build / "golden-check")] + list(extra)
        if self.options.isa:
            command += ["--isa", self.options.isa]
        result = run(command + [str(folder)], self.env, 300 * self.slow)
        self.report(name, judge("golden " + name, result, (judge_closing,), True), result.seconds)

    def golden(self):
        print("golden data")
        if self.options.golden:
            folders = [ROOT / f for f in self.options.golden.split(",")]
        else:
            folders = sorted(f for f in (ROOT / "tests/golden").iterdir() if f.is_dir())
            # A folder without any manifest holds something else than cases.
            folders = [f for f in folders if any(f.rglob("manifest.json"))]
        for folder in folders:
            # Relative, so that the lines are short.
            self.golden_one(folder.name, os.path.relpath(folder, ROOT))
            if folder.name == "internvl":
                for quant in ("q8", "q4"):
                    self.golden_one(folder.name + " " + quant, os.path.relpath(folder, ROOT), ("--quantize", quant))
        if not folders:
            self.total.fail("golden data", "no folders")
        if self.options.golden:
            return
        for part in SHARED:
            name = "shared " + part[len("golden/"):]
            if self.shared and (self.shared / part).is_dir():
                self.golden_one(name, self.shared / part)
                continue
            tally = Tally()
            if self.options.require_shared or os.environ.get("SNUG_SHARED"):
                tally.fail(name, "not found in %s" % (self.shared or "../shared"))
            else:
                tally.skip(name, "not shipped: licence")
            self.report(name, tally, 0)

    def extract(self):
        print("extraction with two threads")
        sample, tally = "samples/receipt-04.png", Tally()
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.jsonl"
            command = [str(self.build / "snug"), "extract", "--threads", "2", "-o", str(out), sample]
            result = run(self.prefix + command, self.env, 300 * self.slow)
            rows = out.read_text(errors="replace").splitlines() if out.exists() else []
        if result.code == 0 and len(rows) == 1 and not SANITIZER.search(result.err + result.out):
            tally.passed = 1
        else:
            tally.fail("snug extract", "%s, %d rows\n%s" % (result.ending(), len(rows), result.tail()))
        self.report(sample, tally, result.seconds)

    # ---- the end ----

    def check_skips(self):
        if not self.options.allowed_skips:
            return
        lines = Path(self.options.allowed_skips).read_text().splitlines()
        allowed = [re.compile(l, re.I) for l in lines if l.strip() and not l.startswith("#")]
        for name, reason in list(self.total.skips):
            if not any(a.search(reason) for a in allowed):
                self.total.skips.remove((name, reason))
                self.total.fail(name, "skipped, which is not allowed here: " + reason)

    def finish(self):
        self.check_skips()
        total = self.total
        if not total.passed and not total.failed:
            total.fail("all", "nothing ran")
        if total.skips:
            print("\nskipped:")
            groups = collections.defaultdict(list)
            for name, reason in total.skips:
                groups[reason].append(name)
            for reason, names in groups.items():
                shown = ", ".join(dict.fromkeys(names[:3])) + (", ..." if len(names) > 3 else "")
                print(textwrap.fill("%d: %s (%s)" % (len(names), reason, shown), 79, initial_indent="  ",
                                    subsequent_indent="     ", break_long_words=False))
        if total.failures:
            print("\nfailed:")
            for name, text in total.failures:
                print("- " + name)
                print(textwrap.indent(text.rstrip(), "    ") if text else "", end="\n" if text else "")
        print("\n%d passed, %d failed, %d skipped" % (total.passed, total.failed, len(total.skips)))
        return 0 if not total.failed and total.passed else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    for name in ("only", "golden", "isa", "allowed-skips"):
        parser.add_argument("--" + name)
    for name in ("no-unit", "no-fuzz", "no-layers", "no-golden", "extract", "require-shared"):
        parser.add_argument("--" + name, action="store_true")
    options = parser.parse_args()
    if not (Path(options.build) / "meson-info" / "intro-tests.json").is_file():
        print("%s is not a meson build folder\n\n0 passed, 1 failed, 0 skipped" % options.build)
        return 1
    runner = Runner(options)
    for part, left_out in ((runner.unit_tests, options.no_unit), (runner.fuzz_corpora, options.no_fuzz),
                           (runner.layers, options.no_layers), (runner.golden, options.no_golden),
                           (runner.extract, not options.extract)):
        if not left_out:
            try:
                part()
            except Exception as problem:  # a bug here must not hide what ran, nor read as success
                runner.total.fail(part.__name__, "%s: %s" % (type(problem).__name__, problem))
    return runner.finish()


if __name__ == "__main__":
    sys.exit(main())
