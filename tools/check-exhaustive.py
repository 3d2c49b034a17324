#!/usr/bin/env python3
"""The long versions of what `make check` samples: plans, dry documents, real pages on one region.

    tools/check-exhaustive.py BUILD [--plans=N] [--dry=N] [--pages=N] [--ladder=NAME,...]

1. --plans (1,000,000): random lifetimes through planner and verifier.
2. --dry (1,000,000): documents of 1 to 13 tiles and random lengths through a 1B model's region, without arithmetic: no
   failure, nothing taken, the high-water mark the same to the byte.
3. --pages (10,000): the sample pages, again and again, through the embedded model in one process. Every row must be that
   of the same page read alone; no region and no block may be taken after the start, no heap be kept from document to
   document, and the process' high-water mark must not move by more than --slack (256 KiB) after the first 20 pages.
4. --ladder (cut_overs, faults, neighbours, nano; 0 for none): the ladder's tests with SNUG_EXHAUSTIVE: every cut-over, every
   failing call (of the embedded model every 97th), every refused request of the heap, 10,000 histories of neighbours and 1,000,000 dry documents of 8B.

Prints what was done and how long it took; exit code 1 if anything failed.
Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_test(build, name, variable, count):
    """Lines of the program that begin with a count, or name one, are shown: how many runs there were."""
    start = time.time()
    result = subprocess.run([build / "tests" / name], capture_output=True, text=True,
                            env={**os.environ, "SNUG_SOURCE_ROOT": str(ROOT), variable: str(count)})
    print(f"{'ok  ' if result.returncode == 0 else 'FAIL'} {name}, {variable}={count}: {time.time() - start:.0f} s", flush=True)
    for line in (result.stdout + result.stderr).splitlines():
        if re.search(r"\d+ (of \d+ )?(runs|cut-overs|histories|dry documents)", line):
            print("     " + line)
    if result.returncode:
        print(result.stdout[-2000:] + result.stderr[-2000:])
    return result.returncode == 0


def bare(row):
    return {k: v for k, v in row.items() if k not in ("document", "timing_ms")}


def extract(build, documents, folder, *more):
    out = folder / "out.jsonl"
    result = subprocess.run([build / "snug", "extract", *documents, "-q", "-o", out, *more], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"FAIL extract: exit code {result.returncode}: {result.stderr[-2000:]}")
    return [json.loads(line) for line in out.open()]


def pages(build, count, slack):
    start = time.time()
    samples = sorted((ROOT / "samples").glob("*.png"))
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = [bare(extract(build, [sample], folder)[0]) for sample in samples]
        links = folder / "pages"
        links.mkdir()
        for i in range(count):
            (links / f"{i:06}.png").symlink_to(samples[i % len(samples)])
        rows = extract(build, [links], folder, "--memory-report", folder / "memory.json")
        report = json.loads((folder / "memory.json").read_text())
    if len(rows) != count:
        wrong.append(f"{len(rows)} rows")
    differ = [row["document"] for i, row in enumerate(rows) if bare(row) != alone[i % len(samples)]]
    if differ:
        wrong.append(f"{len(differ)} rows differ, first {differ[0]}")
    taken = report["regions_taken_after_start"] + report["blocks_taken_in_runs"]
    if taken or report["region"]["num_device_alloc"] != 1:
        wrong.append(f"{taken} regions and blocks taken")
    if report["leaked_bytes"] > 4096:
        wrong.append(f"{report['leaked_bytes']} bytes kept")
    peaks = [document["process_peak_bytes"] for document in report["documents"]]
    moved = peaks[-1] - peaks[min(len(samples), count) - 1]
    if moved > slack or peaks[-1] > report["planned"]["peak_bytes"]:
        wrong.append(f"high-water mark {peaks[-1]}, moved by {moved}, planned {report['planned']['peak_bytes']}")
    region = report["region"]["allocated_bytes.all.peak"]
    print(f"{'FAIL' if wrong else 'ok  '} {count} pages on one region: {time.time() - start:.0f} s; {report['runs']} runs; "
          f"region's high-water mark {region}, process {peaks[-1]} (moved by {moved} after the first {len(samples)}), "
          f"planned {report['planned']['peak_bytes']}", flush=True)
    for text in wrong:
        print("     " + text)
    return not wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("--plans", type=int, default=1000000)
    parser.add_argument("--dry", type=int, default=1000000)
    parser.add_argument("--pages", type=int, default=10000)
    parser.add_argument("--ladder", default="cut_overs,faults,neighbours,nano")
    parser.add_argument("--slack", type=int, default=256 << 10)
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    good = True
    if arguments.plans:
        good &= run_test(build, "memory_test_plan", "SNUG_PLAN_INSTANCES", arguments.plans)
    if arguments.dry:
        good &= run_test(build, "generate_test_memory", "SNUG_DRY_DOCUMENTS", arguments.dry)
    if arguments.pages:
        good &= pages(build, arguments.pages, arguments.slack)
    programs = {"cut_overs": "generate_test_ladder", "faults": "generate_test_ladder_faults", "neighbours": "generate_test_neighbours",
                "nano": "extract_test_reader_ladder"}
    wanted = [] if arguments.ladder in ("", "0") else arguments.ladder.split(",")
    for name in wanted:
        if name not in programs:
            parser.error(f"--ladder: {name} is none of {', '.join(programs)}")
        good &= run_test(build, programs[name], "SNUG_EXHAUSTIVE", 1)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
