#!/bin/sh
# Pythons that the collector promises to run on: pythons.sh FOLDER VERSION=SUITE…
#
# FOLDER/python3.9 for 3.9=bullseye: the machine's own python3.9 where it has one, else the newest of that Debian
# suite, from the mirror that this machine's apt uses, its signatures checked. Nothing is installed, so nobody needs
# to be root: the packages are unpacked into FOLDER, and a launcher starts them with the C library that they came with.
# Where there is no Debian or no mirror, FOLDER/python3.9.missing says so in a sentence, which the tests repeat.
set -eu
# shellcheck source=tools/debian.sh
. "$(dirname "$0")/debian.sh"

fail() { say "logsvc: $*" >&2; exit 1; }

works() { "$1" -c "import hashlib, sys, ssl, zlib; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" >/dev/null 2>&1; }

# missing WHY: the tests repeat it.
missing() { say "$name: $*" | tee "$folder/$name.missing"; }

launcher() {
    { say '#!/bin/sh'; printf 'exec'; printf ' "%s"' "$@"; say ' "$@"'; } >"$folder/$name"
    chmod +x "$folder/$name"
}

# fetch VERSION SUITE: unpacks that Python and all that it needs into $folder/VERSION.
fetch() {
    uri=$(mirror)
    [ -n "$uri" ] || { missing "not on this machine, which has no Debian to take it from"; return 1; }
    work=$folder/$1.apt
    rm -rf "$work" "$folder/$1" && mkdir -p "$work/lists/partial" "$work/archives/partial"
    : >"$work/status" # nothing counts as installed: the C library comes along too
    say "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $2 main" >"$work/sources.list"
    say "unpacking $name of Debian $2 into $folder"
    if ! private_apt update --error-on=any; then
        missing "not on this machine, and Debian $2 cannot be reached: $(grep -m 1 '^[EW]:' "$work/log" || :)"
        rm -rf "$work"
        return 1
    fi
    private_apt install --yes --download-only --no-install-recommends "python$1" ||
        fail "Debian $2 does not hold $name: $(grep -m 1 '^E:' "$work/log" || :)"
    mkdir "$folder/$1"
    for package in "$work"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --no-same-owner -C "$folder/$1" --exclude './usr/share' --exclude './var'
    done
    rm -rf "$work"
}

mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
for wanted in "$@"; do
    version=${wanted%=*} name=python${wanted%=*}
    works "$folder/$name" "$version" && continue
    rm -f "$folder/$name" "$folder/$name.missing"
    if works "$name" "$version"; then
        launcher "$(command -v "$name")"
    elif fetch "$version" "${wanted#*=}"; then
        root=$folder/$version
        loader=$(find "$root" -name 'ld-linux*.so.*' | head -n 1)
        triplet=$(basename "$(dirname "$(find "$root" -name libc.so.6)")")
        launcher "$loader" --library-path "$root/lib/$triplet:$root/usr/lib/$triplet" "$root/usr/bin/$name"
        works "$folder/$name" "$version" || fail "$name of Debian ${wanted#*=} does not run on this machine"
    fi
done
