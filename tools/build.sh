#!/bin/sh
# Configures a build folder if needed and builds it, quietly: the log lies in the folder, its end is shown on failure.
#   tools/build.sh FOLDER [MESON OPTION...]
# Environment: CC as usual; STRICT=1 makes warnings errors; VERBOSE=1 shows the compiler's lines.
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1

folder=$1
shift
[ -z "${STRICT:-}" ] || set -- "$@" -Dwerror=true
log=$folder/build.log
mkdir -p "$folder"

failed()
{
    echo
    echo "$1 failed; the end of $log:"
    # Errors first: with several compilers at once the last lines may be another file's warnings.
    grep -n -E '(error|ERROR|undefined reference|FAILED):?' "$log" | head -n 15 | cut -c 1-200
    echo "..."
    tail -n 20 "$log" | cut -c 1-200
    exit 1
}

# The options the folder was configured with; other ones mean starting it afresh. A folder without that note was
# configured by hand: it is used as it is.
options="CC=${CC:-} $*"
note=$folder/options
if [ -f "$note" ] && [ "$(cat "$note")" != "$options" ] && [ -d "$folder/meson-private" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
fi
if [ ! -f "$folder/build.ninja" ]; then
    echo "configuring $folder"
    rm -rf "$folder/meson-private" # half configured
    meson setup "$folder" "$@" > "$log" 2>&1 < /dev/null || failed "meson setup"
    echo "$options" > "$note"
fi

# Nothing to do is the usual case, and says nothing.
ninja -C "$folder" -n 2> /dev/null | grep -q 'no work to do' || echo "building $folder"
if [ -n "${VERBOSE:-}" ]; then
    ninja -C "$folder" || exit 1
else
    ninja -C "$folder" > "$log" 2>&1 || failed "ninja"
    warnings=$(grep -c 'warning:' "$log")
    [ "$warnings" = 0 ] || echo "$warnings compiler warnings: see $log"
fi
