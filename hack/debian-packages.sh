#!/bin/sh
# Ensures that programs from Debian packages are installed. It installs missing packages if it runs
# as root and apt exists, and otherwise lists them.
# Usage: hack/debian-packages.sh PACKAGE:FILE-OR-COMMAND...
set -eu

have() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

missing=
for want in "$@"; do
	have "${want#*:}" || missing="$missing ${want%%:*}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "Missing on this machine:$missing" >&2
	echo "Install them (on Debian or Ubuntu: sudo apt-get install$missing) and run this again." >&2
	exit 1
fi
echo "installing$missing"
install="apt-get install -y -qq --no-install-recommends $missing"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
# The package lists may be outdated or missing.
$install >"$log" 2>&1 || { apt-get update -qq >>"$log" 2>&1 && $install >>"$log" 2>&1; } || {
	tail -n 20 "$log" >&2
	echo "Could not install$missing: see $log" >&2
	exit 1
}
rm -f "$log"
