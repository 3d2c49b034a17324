#!/bin/sh
# Installs a build folder under a prefix (DESTDIR is respected).
#   tools/install.sh FOLDER PREFIX
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1
folder=$1
prefix=$2
bin=${DESTDIR:-}$prefix/bin
install -d "$bin" 2> /dev/null
if [ ! -d "$bin" ] || [ ! -w "$bin" ]; then
    echo "cannot write to $bin: try \`sudo make install\`, or make install PREFIX=\$HOME/.local" >&2
    exit 1
fi
install -m 755 "$folder/snug" "$bin/snug" || exit 1
# ldd names the libraries that the program will look for; a missing one is better found here.
if ldd "$bin/snug" 2> /dev/null | grep 'not found'; then
    exit 1
fi
echo "installed $bin/snug"
