#!/bin/sh
# Installs the Debian packages that building needs, if some are missing; otherwise does nothing, and needs no
# network. Never fails for want of a package: the build itself says what it lacks.
#   tools/install-packages.sh            what `make` and `make check` need
#   tools/install-packages.sh --fuzz     also what `make fuzz` needs
#   tools/install-packages.sh --format   also what `make format` needs
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
set -u

# a|b: either will do; the first that the system knows is installed.
packages="gcc libc6-dev meson ninja-build pkg-config|pkgconf libjansson-dev libpcre2-dev libutf8proc-dev
    libjpeg62-turbo-dev|libjpeg-turbo8-dev libpng-dev libwebp-dev zlib1g-dev libcmocka-dev liblzma-dev libmd-dev"
case "${1:-}" in
--fuzz) packages="$packages clang llvm libclang-rt-14-dev|libclang-rt-dev" ;;
--format) packages="$packages clang-format" ;;
'') ;;
*) echo "usage: tools/install-packages.sh [--fuzz | --format]" >&2; exit 2 ;;
esac

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
    for tool in cc meson ninja pkg-config; do
        command -v $tool > /dev/null || { echo "not Debian: please install meson, ninja, pkg-config, a C compiler, and
  jansson, pcre2, utf8proc, libjpeg-turbo, libpng, libwebp, zlib, cmocka, liblzma and libmd
  with their headers"; break; }
    done
    exit 0
fi

# The installed ones, each between blanks. A package that is half removed does not count.
installed=" $(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2> /dev/null |
    sed -n 's/^installed //p' | tr '\n' ' ')"
missing=
for wanted in $packages; do
    found=no
    for name in $(echo "$wanted" | tr '|' ' '); do
        case "$installed" in *" $name "*) found=yes ;; esac
    done
    [ $found = yes ] || missing="$missing $wanted"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    if ! command -v sudo > /dev/null; then
        echo "not root and no sudo; missing packages:$missing" | fold -s -w 78
        exit 0
    fi
fi

log=${SNUG_LOG_FOLDER:-build}/packages.log
mkdir -p "$(dirname "$log")"
export DEBIAN_FRONTEND=noninteractive
failed()
{
    echo "installing packages failed; the end of $log:"
    tail -n 15 "$log" | cut -c 1-160
    exit 0
}

echo "installing Debian packages (log: $log):"
echo "$missing" | fold -s -w 76 | sed 's/^ */  /'
echo "apt-get update" > "$log"
# A list that cannot be renewed need not matter: the packages may be known already.
$as_root apt-get update -q >> "$log" 2>&1 < /dev/null || echo "apt-get update failed" >> "$log"

names=
for wanted in $missing; do
    choice=${wanted%%|*}
    for name in $(echo "$wanted" | tr '|' ' '); do
        # Known by name, or provided by another package.
        if apt-cache show "$name" > /dev/null 2>&1; then
            choice=$name
            break
        fi
    done
    names="$names $choice"
done
# shellcheck disable=SC2086 # one word a package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=120 $names >> "$log" 2>&1 < /dev/null || failed
echo "installed."
