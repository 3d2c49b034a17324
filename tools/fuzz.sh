#!/bin/sh
# Builds the fuzz targets with libFuzzer, AddressSanitizer and UBSan (clang), and runs each for a while.
#   FUZZ_SECONDS=60 tools/fuzz.sh FOLDER [WHAT...]
# What is found grows in FOLDER/corpus/WHAT; an input that crashes is left in FOLDER/crashes.
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1
folder=$1
shift
seconds=${FUZZ_SECONDS:-60}
if ! command -v clang > /dev/null; then
    echo "fuzzing needs clang and its libFuzzer (Debian: clang, libclang-rt-14-dev)"
    exit 1
fi
CC=clang tools/build.sh "$folder" -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false \
    -Dbuildtype=debugoptimized -Dc_args=-fsanitize=fuzzer-no-link || exit 1

# shellcheck disable=SC2046 # one word a target
[ $# -gt 0 ] || set -- $(find fuzz -maxdepth 1 -name 'fuzz_*.c' | sed 's|.*/fuzz_||; s|\.c$||' | sort)
mkdir -p "$folder/crashes"
bad=0
for what in "$@"; do
    corpus=$folder/corpus/$what
    log=$folder/fuzz_$what.log
    mkdir -p "$corpus"
    # The seeds that the target names in its first comment.
    seeds=$(sed -n '1,/\*\//p' "fuzz/fuzz_$what.c" | tr '\n' ' ' | sed -n 's/.*Seeds\{0,1\}:\(.*\)/\1/p' |
        grep -o -E '(tests|fuzz|models|samples|schemas)/[A-Za-z0-9_./-]*[A-Za-z0-9_]')
    paths=
    for path in fuzz/corpus/$what $seeds; do
        [ ! -d "$path" ] || paths="$paths $path"
    done
    # shellcheck disable=SC2086 # one word a folder
    ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
        "$folder/fuzz/fuzz_$what" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=3000 -print_final_stats=1 \
        -artifact_prefix="$folder/crashes/$what-" "$corpus" $paths > "$log" 2>&1
    code=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    if [ $code = 0 ]; then
        printf '  %-22s %10s inputs, %s edges\n' "$what" "${runs:-0}" "${coverage:-?}"
    else
        bad=$((bad + 1))
        printf '  %-22s FAILED (exit code %s), see %s:\n' "$what" $code "$log"
        grep -E 'ERROR|SUMMARY|runtime error|^ *#[0-9]+ 0x|Test unit|failed|No such' "$log" | head -n 20 |
            cut -c 1-160 | sed 's/^/    /'
    fi
done
echo "$# targets of $seconds s each, $bad failed"
[ $bad = 0 ] && [ $# -gt 0 ]
