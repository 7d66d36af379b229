# For scripts that take packages of Debian without installing them: nobody needs to be root, nothing is started.
# shellcheck shell=sh

say() { printf '%s\n' "$*"; }

# The mirror of Debian itself, not of its security updates or of others.
mirror() {
    command -v apt-get >/dev/null 2>&1 || return 0
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && [ "$ID" = debian ] && say "${VERSION_CODENAME:-}") || return 0
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v wanted="$codename" '$1 == wanted && $2 == "main" && $3 !~ /security/ { print $3; exit }'
}

# private_apt ARGUMENT…: apt-get with lists and archives below $work, its words in $work/log.
private_apt() {
    apt-get -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State="$work" \
        -o Dir::State::status="$work/status" -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" \
        -o APT::Sandbox::User=root -o Acquire::Retries=3 \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@" >"$work/log" 2>&1 </dev/null
}
