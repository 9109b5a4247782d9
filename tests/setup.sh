#!/bin/sh
# Install what building and testing ntcached needs and this machine lacks (`make deps` runs this).
#
#     tests/setup.sh build     what building and the tests link with: Debian packages
#     tests/setup.sh bench     what the benches measure beside ours: Debian packages
#     tests/setup.sh nvrtc     a compiler for CUDA kernels, where there is none: NVRTC from PyPI, below build/deps
#     tests/setup.sh           build and nvrtc
#
# Silent, fast and without network when everything is there. Installs with apt-get as root or with a sudo that
# asks for no password; otherwise prints the command to run. NTC_NO_INSTALL=1: say what is missing, install nothing.
set -eu
cd "$(dirname "$0")/.."

NVRTC_VERSION=13.0.88
NVRTC_DIR=build/deps/nvrtc

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
forbidden() { [ "${NTC_NO_INSTALL:-0}" = 1 ]; }

# --- Debian packages ------------------------------------------------------------------------------
missing=
need() { # package, then a command that succeeds when it is there
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
library() { need "$1" pkg-config --exists "$2"; }

find_missing() {
	need gcc have "${CC:-gcc}"
	need g++ have "${CXX:-g++}"
	need libc6-dev test -e /usr/include/stdlib.h
	need make have make
	need pkg-config have pkg-config
	library libevent-dev libevent_core
	library libsqlite3-dev sqlite3
	library libxxhash-dev libxxhash
	library libsystemd-dev libsystemd
	library libjansson-dev jansson
	library libzstd-dev libzstd
	library nettle-dev nettle
	library libelf-dev libelf
	library check check
	need mandoc have mandoc
}

install_packages() { # package...
	command="apt-get install -y --no-install-recommends $*"
	if forbidden; then
		say "missing, and NTC_NO_INSTALL=1 forbids installing:$missing"
		say "to install them: apt-get update && $command"
		exit 1
	fi
	if ! have apt-get; then
		say "missing (Debian's names):$missing"
		say "There is no apt-get here: install them with this system's package manager, and run make again."
		exit 1
	fi
	as_root=
	if [ "$(id -u)" != 0 ]; then
		if have sudo && sudo -n true 2>/dev/null; then
			as_root="sudo -n"
		else
			say "ntcached needs packages that are not installed. Run this, and make again:"
			say "    sudo apt-get update && sudo $command"
			exit 1
		fi
	fi
	say "installing:$(printf ' %s' "$@")"
	quiet=$(mktemp)
	# Lists that are old or partly unreachable may still do: the installation decides.
	$as_root apt-get -q update >"$quiet" 2>&1 || true
	if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
		-o DPkg::Lock::Timeout=600 "$@" >>"$quiet" 2>&1; then
		cat "$quiet" >&2
		rm -f "$quiet"
		say "could not install:$(printf ' %s' "$@")"
		exit 1
	fi
	rm -f "$quiet"
}

find_missing_bench() {
	library liblmdb-dev lmdb
	need redis-server have redis-server
	need memcached have memcached
}

setup_packages() { # the function that finds what is missing
	"$1"
	[ -n "$missing" ] || return 0
	# shellcheck disable=SC2086 # words are meant
	install_packages $missing
	missing=
	"$1"
	if [ -n "$missing" ]; then
		say "installed, and still not found:$missing"
		exit 1
	fi
}

# --- NVRTC ----------------------------------------------------------------------------------------
# The places where libntcache_cuda looks (kernels/compiler.c), and ours.
exists() { # pattern...: does any file match?
	for file in "$@"; do
		[ -e "$file" ] && return 0
	done
	return 1
}

nvrtc_found() {
	[ -z "${NTCACHE_NVRTC:-}" ] || return 0
	exists "$NVRTC_DIR"/nvidia/*/lib/libnvrtc.so.* && return 0
	for cuda in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda; do
		[ -z "$cuda" ] && continue
		exists "$cuda"/lib64/libnvrtc.so* "$cuda"/targets/*/lib/libnvrtc.so* && return 0
	done
	(PATH="$PATH:/sbin:/usr/sbin" && ldconfig -p) 2>/dev/null | grep -q 'libnvrtc\.so' && return 0
	for site in "${VIRTUAL_ENV:-/nonexistent}"/lib/python3*/site-packages "${HOME:-/nonexistent}"/.local/lib/python3*/site-packages \
		/usr/local/lib/python3*/*-packages /usr/lib/python3/dist-packages; do
		exists "$site"/nvidia/*/lib/libnvrtc.so* && return 0
	done
	return 1
}

setup_nvrtc() {
	! nvrtc_found || return 0
	if forbidden; then
		say "missing, and NTC_NO_INSTALL=1 forbids installing: NVRTC (the compiler of CUDA kernels)"
		say "to have it: a CUDA toolkit, or: python3 -m pip install --target $NVRTC_DIR nvidia-cuda-nvrtc==$NVRTC_VERSION"
		exit 1
	fi
	if ! python3 -m pip --version >/dev/null 2>&1; then
		missing=" python3-pip"
		install_packages python3-pip
	fi
	say "fetching NVRTC $NVRTC_VERSION from PyPI into $NVRTC_DIR (about 90 MB)"
	mkdir -p build/deps
	new=$(mktemp -d build/deps/nvrtc.XXXXXX)
	# shellcheck disable=SC2064 # this directory
	trap "rm -rf '$new'" EXIT
	python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --root-user-action ignore \
		--target "$new" "nvidia-cuda-nvrtc==$NVRTC_VERSION"
	if ! exists "$new"/nvidia/*/lib/libnvrtc.so.*; then
		say "the package nvidia-cuda-nvrtc $NVRTC_VERSION has no libnvrtc"
		exit 1
	fi
	chmod 755 "$new"
	rm -rf "$NVRTC_DIR"
	mv "$new" "$NVRTC_DIR"
}

case ${1:-all} in
build) setup_packages find_missing ;;
bench) setup_packages find_missing_bench ;;
nvrtc) setup_nvrtc ;;
all) setup_packages find_missing && setup_nvrtc ;;
*)
	say "usage: tests/setup.sh [build|bench|nvrtc]"
	exit 2
	;;
esac
