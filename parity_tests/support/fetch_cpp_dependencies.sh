#!/usr/bin/env bash
# Fetch into FOLDER what building the C++ consumer needs and this machine lacks. Nothing is installed.
#
#     fetch_cpp_dependencies.sh FOLDER PYTHON
#
# FOLDER/onnxruntime/  include/ and lib/ as in ONNX Runtime's release archives: the headers are Debian 13's, the library
#                      is that of the Python package
# FOLDER/usr/          nlohmann's JSON header and, where the system lacks them, OpenSSL's, libpng's and libjpeg's files
set -euo pipefail

HEADERS_SUITE=trixie
ATTEMPTS=3

fail() {
    echo "fetch_cpp_dependencies: $1" >&2
    exit 1
}

[ $# -eq 2 ] || fail "usage: fetch_cpp_dependencies.sh FOLDER PYTHON"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
python=$2
command -v apt-get > /dev/null || fail "this machine has no apt-get. Fetch the packages by hand: see consumers/cpp/README.md"
own_suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

# Copy the machine's package sources, in either of their two formats, with the suite changed.
copy_sources() {
    local suite=$1 target="$folder/apt/$1/sources.d" source
    rm -rf "$target"
    mkdir -p "$target"
    for source in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if [ -f "$source" ] && grep -qi debian "$source"; then
            sed "s/\b${own_suite:-no suite}\b/$suite/g" "$source" > "$target/$(basename "$source")"
        fi
    done
}

# An apt command whose whole state lies in the folder, so that it needs no rights and changes nothing.
apt() {
    local suite=$1 command=$2 state="$folder/apt/$1"
    shift 2
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    "apt-$command" -qq \
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$state/sources.d" \
        -o Dir::State::lists="$state/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$state/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@"
}

try_to_fetch() {
    local suite=$1
    shift
    apt "$suite" get update && (cd "$folder/debs" && apt "$suite" get download "$@")
}

# Download packages of a suite and unpack them below a folder: unpack SUITE TARGET PACKAGE...
unpack() {
    local suite=$1 target=$2 attempt deb
    shift 2
    rm -rf "$folder/debs"
    mkdir -p "$folder/debs" "$target"
    copy_sources "$suite"
    for attempt in $(seq "$ATTEMPTS"); do
        try_to_fetch "$suite" "$@" && break
        [ "$attempt" -lt "$ATTEMPTS" ] || fail "$* of Debian $suite cannot be downloaded. Look at the network, and run it again"
        sleep $((attempt * 5))
    done
    for deb in "$folder"/debs/*.deb; do dpkg -x "$deb" "$target"; done
}

# Whether the C++ compiler finds a header.
has_header() {
    echo "#include <$1>" | "${CXX:-c++}" -x c++ -E - > /dev/null 2>&1
}

# The shared libraries that development packages lead to by relative links.
list_libraries() {
    apt "$own_suite" cache depends "$@" | sed -n 's/^ *Depends: *\(lib\(ssl\|png\|jpeg\)[0-9][a-z0-9.-]*\)$/\1/p'
}

rm -rf "$folder/usr" "$folder/onnxruntime" "$folder/headers"

unpack "$HEADERS_SUITE" "$folder/headers" libonnxruntime-dev
mkdir -p "$folder/onnxruntime/lib"
mv "$folder/headers/usr/include/onnxruntime" "$folder/onnxruntime/include"
rm -rf "$folder/headers"
library=$("$python" -c 'import pathlib, importlib.util as u; print(*pathlib.Path(u.find_spec("onnxruntime").origin).parent.glob("capi/libonnxruntime.so.*"))')
[ -f "$library" ] || fail "the onnxruntime package of $python holds no library. Install ganport with the extra 'dev'"
ln -s "$library" "$folder/onnxruntime/lib/libonnxruntime.so.1"
ln -s libonnxruntime.so.1 "$folder/onnxruntime/lib/libonnxruntime.so"

# The system's own packages where it has them: their CMake files and pkg-config files fit its compiler.
packages=()
[ -f /usr/share/cmake/nlohmann_json/nlohmann_jsonConfig.cmake ] || packages+=(nlohmann-json3-dev)
has_header openssl/evp.h || packages+=(libssl-dev)
has_header png.h || packages+=(libpng-dev zlib1g-dev)
has_header jpeglib.h || packages+=(libjpeg62-turbo-dev)
if [ ${#packages[@]} -gt 0 ]; then
    unpack "$own_suite" "$folder" "${packages[@]}"
    libraries=$(list_libraries "${packages[@]}")
    # shellcheck disable=SC2086  # several names
    [ -z "$libraries" ] || unpack "$own_suite" "$folder" $libraries
    # Only the system's own compiler knows its folder for headers of one processor.
    for headers in "$folder"/usr/include/*-linux-gnu; do
        if [ -d "$headers" ]; then cp -a "$headers/." "$folder/usr/include/"; fi
    done
fi
rm -rf "$folder/apt" "$folder/debs"
