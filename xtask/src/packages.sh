# Installs the packages named as arguments and starts no service. For Debian and Ubuntu, as root.
set -eu

# Packages of servers ask this policy whether they may start what they install: a test machine wants the
# program, not a web server on port 80.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || echo "some package lists could not be fetched: going on with the others" >&2
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >/dev/null
