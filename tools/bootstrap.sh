#!/bin/sh
# Makes a virtual environment from nothing, by the lock: bootstrap.sh VENV LOCK
#
# A fresh Debian has Python without its venv module: root gets it installed, anybody else is told what to install.
# bootstrap.sh --test-tools installs in the same way the programs that the tests drive.
set -eu

say() { printf '%s\n' "$*"; }
fail() { say "logsvc: $*" >&2; exit 1; }

# apt PACKAGE…: true once they are installed, false where that is not ours to do.
apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    say "installing with apt-get: $*"
    log=$(mktemp)
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
        >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        tail -n 5 "$log" >&2
        rm -f "$log"
        return 1
    fi
}

# The first Python that the service runs on; nothing where there is none.
find_python() {
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
}

test_tools() {
    missing=
    command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
    command -v chromedriver >/dev/null 2>&1 || missing="$missing chromium-driver"
    command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
    command -v strace >/dev/null 2>&1 || missing="$missing strace"
    command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
    command -v faketime >/dev/null 2>&1 || missing="$missing faketime"
    command -v logrotate >/dev/null 2>&1 || [ -x /usr/sbin/logrotate ] || missing="$missing logrotate"
    command -v unzip >/dev/null 2>&1 || missing="$missing unzip"
    command -v 7zz >/dev/null 2>&1 || command -v 7z >/dev/null 2>&1 || missing="$missing 7zip"
    ls /usr/share/fonts/*/noto/NotoSansCJK* >/dev/null 2>&1 || missing="$missing fonts-noto-cjk"
    [ -n "$missing" ] || exit 0
    # shellcheck disable=SC2086 # one word a package
    apt $missing || fail "the tests need these Debian packages, install them as root: apt-get install$missing"
}

[ "${1:-}" != --test-tools ] || { test_tools; exit 0; }

venv=$1 lock=$2
if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$(find_python)
    if [ -z "$python" ] && apt python3 python3-venv; then
        python=$(find_python)
    fi
    [ -n "$python" ] || fail "Python 3.11 or newer is needed, install it as root: apt-get install python3 python3-venv"
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        apt python3-venv && "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
            fail "$python has no venv module, install it as root: apt-get install python3-venv"
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi
say "installing $lock into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$lock" ||
    fail "the packages of $lock could not be installed; is the package index reachable?"
