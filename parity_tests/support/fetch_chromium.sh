#!/usr/bin/env bash
# Download Debian's Chromium and what it needs and this machine lacks, and unpack it below FOLDER. Nothing is installed.
#
#     fetch_chromium.sh FOLDER
#
# FOLDER/usr/lib/chromium/chromium   the browser
# FOLDER/libraries                   folders of its libraries, one a line, for LD_LIBRARY_PATH
set -euo pipefail

fail() {
    echo "fetch_chromium: $1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: fetch_chromium.sh FOLDER"
command -v apt-get > /dev/null || fail "this machine has no apt-get. Install Chromium by hand: tests find it on PATH"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
state="$folder/apt"
rm -rf "$state" "$folder/debs"
mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$folder/debs"

# An apt command whose lists and cache lie in the folder, so that it needs no rights and changes nothing.
apt() {
    apt-get -qq -o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Retries=3 "$@"
}

apt update || fail "Debian's package lists cannot be downloaded. Look at the network, and run it again"
packages=$(apt install --simulate --no-install-recommends chromium | sed -n 's/^Inst \([^ ]*\).*/\1/p')
[ -n "$packages" ] || fail "chromium is installed already: tests find it on PATH"
# shellcheck disable=SC2086  # several names
(cd "$folder/debs" && apt download $packages) || fail "chromium cannot be downloaded. Look at the network, and run it again"
for deb in "$folder"/debs/*.deb; do dpkg -x "$deb" "$folder"; done
find "$folder" -name '*.so*' -printf '%h\n' | sort -u > "$folder/libraries"
rm -rf "$state" "$folder/debs"
