#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages of packages.debian that are missing: lists them, asks on a terminal
# (YES=1 answers), works as root or through sudo. Shell, since a fresh machine may lack Python.
set -eu
list="$(dirname "$0")/packages.debian"
wanted=$(sed 's/#.*//' "$list" | tr -s '\n ' ' ')
. /etc/os-release
if [ "${ID:-} ${VERSION_ID:-}" != "debian 12" ]; then
	echo "Tepui builds on Debian 12; this is ${PRETTY_NAME:-another system}. Use a Debian 12 machine, container or chroot (its packages:$wanted)." >&2
	exit 1
fi
missing=
for package in $wanted; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=" $package"
done
[ -n "$missing" ] || exit 0
echo "Debian packages to install:$missing"
if [ -t 0 ] && [ "${YES:-}" != 1 ]; then
	read -rp 'Install them now? [Y/n] ' answer
	case "$answer" in [nN]*) echo 'Nothing installed.' >&2; exit 1 ;; esac
fi
as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo 'Installing needs root: run as root, or install sudo.' >&2; exit 1; }
	as_root='sudo env'
fi
log=build/deps.log
mkdir -p build
if ! { $as_root apt-get update && ${as_root:-env} DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } </dev/null >$log 2>&1; then
	tail -n 20 $log >&2
	echo "apt-get could not install the packages; its output: $log" >&2
	exit 1
fi
