#!/bin/sh
# Prometheus, promtool and Alertmanager of this machine's Debian, unpacked: prometheus.sh FOLDER
#
# Nothing is installed and no service is started. The machine's own are taken where it has them.
set -eu
# shellcheck source=tools/debian.sh
. "$(dirname "$0")/debian.sh"
fail() { say "logsvc: $*" >&2; exit 1; }

mkdir -p "$1"
folder=$(cd "$1" && pwd)
programs="prometheus promtool prometheus-alertmanager"

complete() {
    for program in $programs; do
        "$folder/bin/$program" --version >/dev/null 2>&1 || return 1
    done
}

complete && exit 0
rm -rf "$folder/bin" && mkdir -p "$folder/bin"
for program in $programs; do
    own=$(command -v "$program") && ln -s "$own" "$folder/bin/$program"
done
complete && exit 0

uri=$(mirror)
[ -n "$uri" ] || fail "the tests need $programs, and this machine has no Debian to take them from: put them into PATH"
work=$folder/apt
rm -rf "$work" && mkdir -p "$work/lists/partial" "$work/archives/partial"
: >"$work/status"
# shellcheck source=/dev/null
suite=$(. /etc/os-release && say "$VERSION_CODENAME")
say "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >"$work/sources.list"
say "unpacking prometheus and prometheus-alertmanager of Debian $suite into $folder"
private_apt update --error-on=any || fail "Debian $suite cannot be reached: $(grep -m 1 '^[EW]:' "$work/log" || :)"
(cd "$work/archives" && private_apt download prometheus prometheus-alertmanager) ||
    fail "Debian $suite does not hold prometheus: $(grep -m 1 '^E:' "$work/log" || :)"
for package in "$work"/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --no-same-owner -C "$work"
done
for program in $programs; do
    cp "$work/usr/bin/$program" "$folder/bin/"
done
# Debian's Alertmanager reads its templates in a fixed folder; here it reads them in the one it is started in.
fixed=/usr/share/prometheus/alertmanager
cp "$work$fixed"/*.tmpl "$folder/"
here=$(printf '%s' "$fixed" | sed 's#.#/#g; s#^/#.#') # as long as before
LC_ALL=C sed -i "s#$fixed#$here#g" "$folder/bin/prometheus-alertmanager"
rm -rf "$work"
complete || fail "prometheus of Debian $suite does not run on this machine"
