#!/bin/sh
# Formats our C files with clang-format 14, or (format-check) lists those that are not formatted.
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1
if ! command -v clang-format > /dev/null; then
    echo "clang-format is not installed"
    exit 2
fi
version=$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/')
[ "$version" = 14 ] || echo "clang-format $version: the sources are formatted with 14, others differ in detail"

files=$(find src include tools tests fuzz bench -name golden -prune -o -name corpus -prune -o \
    \( -name '*.c' -o -name '*.h' \) -type f -print 2> /dev/null | sort)
[ -n "$files" ] || exit 0
if [ "${1:-format}" = format ]; then
    echo "$files" | xargs clang-format -i
    exit
fi
bad=0
for file in $files; do
    if ! clang-format --dry-run -Werror "$file" > /dev/null 2>&1; then
        clang-format "$file" | diff "$file" - | sed -n 's/^\([0-9]*\).*/\1/p;' | head -n 1 |
            sed "s|^|$file:|; s|\$|: not as clang-format writes it|"
        bad=$((bad + 1))
    fi
done
echo "$(echo "$files" | wc -l) files, $bad not formatted"
[ $bad = 0 ]
