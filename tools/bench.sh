#!/bin/sh
# Runs every benchmark of a build folder; each prints JSON on stdout, what it does on stderr.
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1
ran=0
for program in "$1"/bench/bench_*; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then
        continue
    fi
    echo "$program" >&2
    "$program" || exit 1
    ran=$((ran + 1))
done
if [ $ran = 0 ]; then
    echo "no benchmarks in $1/bench" >&2
    exit 1
fi
