#!/bin/bash
# Reads the sample documents with the small model that is linked into snug, shows some of the rows, and scores
# them all. Results on stdout, progress on stderr; the last line is the accuracy.
#   tools/demo.sh [BUILD]
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
rows=$folder/rows.jsonl

if [ ! -x "$build/snug" ]; then
    echo "$build/snug is not built: run make" >&2
    exit 1
fi

echo "\$ snug extract samples/ -o rows.jsonl"
begin=$(date +%s%N)
"$build/snug" extract samples/ -o "$rows" || { echo "snug extract failed (exit code $?)" >&2; exit 1; }
end=$(date +%s%N)
echo

python3 - "$rows" $(((end - begin) / 1000000)) <<'PYTHON' || exit 1
# A table for the first document of each of the first three kinds, and one line for all.
import json, os, sys
rows = [json.loads(l) for l in open(sys.argv[1], encoding="utf-8") if l.strip()]
seconds = int(sys.argv[2]) / 1000

def value(row, field):
    v = row["fields"].get(field)
    v = v.get("value") if isinstance(v, dict) else v
    if isinstance(v, list):
        v = " | ".join("NOT_FOUND" if x is None else str(x) for x in v)
    return "" if v is None or v == "NOT_FOUND" else str(v)

def cut(text, width):
    return text if len(text) <= width else text[:width - 1] + "…"

read = [r for r in rows if isinstance(r.get("fields"), dict)]
kinds = {}
for row in read:
    kinds.setdefault(value(row, "DOCUMENT_TYPE"), row)
shown = list(kinds.values())[:3]
shown += [r for r in read if r not in shown][:3 - len(shown)]
if shown:
    names = [os.path.basename(str(r.get("document", "?"))) for r in shown]
    width = (79 - 20) // len(shown) - 1
    print(" ".join([" " * 19] + [cut(n, width).ljust(width) for n in names]).rstrip())
    print("-" * 79)
    for field in shown[0]["fields"]:
        values = [value(r, field) for r in shown]
        if any(values):
            print(" ".join([field[:19].ljust(19)] + [cut(v or "-", width).ljust(width) for v in values]).rstrip())
    print()
found = sum(bool(value(r, f)) for r in read for f in r["fields"])
print("%d documents, %d read, %d values found, %.1f s: %.2f s a document" %
      (len(rows), len(read), found, seconds, seconds / max(1, len(rows))))
sys.exit(0 if read else 1)
PYTHON

echo
echo "\$ snug eval rows.jsonl samples/truth.csv"
"$build/snug" eval "$rows" samples/truth.csv > "$folder/eval.txt" 2> "$folder/eval.log"
code=$?
# What it says on stderr comes first: the last line of all is the accuracy.
cat "$folder/eval.log" >&2
cat "$folder/eval.txt"
if [ $code != 0 ] || ! tail -n 1 "$folder/eval.txt" | grep -q '^accuracy: '; then
    echo "snug eval failed (exit code $code)" >&2
    exit 1
fi
