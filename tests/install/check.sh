#!/bin/sh
# `make check-install`: install into an empty folder, look at what is there, build a C and a C++ program
# with nothing but that (pkg-config, shared and static), let them talk to the installed daemon, uninstall, and see
# that nothing is left.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
MAKE=${MAKE:-make} CC=${CC:-gcc} CXX=${CXX:-g++}
work=$(mktemp -d)
daemon=
finish() {
	[ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
fail() {
	printf 'check-install: %s\n' "$*" >&2
	exit 1
}

dest=$work/dest prefix=/opt/ntcached
mkdir "$dest"
$MAKE --no-print-directory install DESTDIR="$dest" PREFIX=$prefix >/dev/null
root=$dest$prefix

for f in bin/ntcached bin/ntcache-ctl include/ntcache.h include/ntcache_types.h include/ntcache_cuda.h \
	lib/libntcache.a lib/libntcache.so lib/libntcache.so.0 lib/libntcache_cuda.a lib/libntcache_cuda.so \
	lib/pkgconfig/libntcache.pc lib/pkgconfig/libntcache_cuda.pc; do
	[ -e "$root/$f" ] || fail "$f was not installed"
done
[ "$(find "$dest" -type f -perm /022 | wc -l)" = 0 ] || fail "something is writable for others"
if grep -rIl -e "$dest" -e '@[A-Z]*@' "$root"; then
	fail "these files name the wrong place"
fi
for unit in "$root"/lib/systemd/*/*.service; do
	[ -e "$unit" ] || continue
	grep -q "^ExecStart=$prefix/bin/ntcached" "$unit" || fail "$unit starts another daemon"
done
objdump -p "$root/lib/libntcache.so" | grep -q 'SONAME.*libntcache\.so\.0$' || fail "libntcache.so has another soname"
# Only what the headers declare is exported.
nm -D --defined-only "$root/lib/libntcache.so" "$root/lib/libntcache_cuda.so" | awk 'NF == 3 && $2 != "A" { print $3 }' |
	sed 's/@.*//' | sort -u | while read -r symbol; do
	grep -qw "$symbol" "$root"/include/*.h || fail "$symbol is exported and in no header"
done

# Outside the source tree, with nothing of it in reach.
export PKG_CONFIG_PATH="$root/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$dest"
cp "$here/client.c" "$work/client.c"
cp "$here/client.c" "$work/client.cc"
cd "$work"
flags="-Wall -Wextra -Werror"
# shellcheck disable=SC2046,SC2086 # words are meant
{
	$CC -std=c99 $flags $(pkg-config --cflags libntcache_cuda) -o c client.c $(pkg-config --libs libntcache_cuda)
	$CXX -std=c++11 $flags $(pkg-config --cflags libntcache_cuda) -o cc client.cc $(pkg-config --libs libntcache_cuda)
	static=$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --static --libs libntcache_cuda |
		sed -E "s#-L$prefix/lib#-L$root/lib#g; s#-l(ntcache|ntcache_cuda)( |$)#-l:lib\1.a\2#g")
	$CC -std=c99 $flags $(pkg-config --cflags libntcache_cuda) -o static client.c $static
}

# One daemon, started by the first client.
mkdir -m 700 run home
export HOME="$work/home" XDG_RUNTIME_DIR="$work/run" XDG_CACHE_HOME="$work/home/.cache"
export LD_LIBRARY_PATH="$root/lib" PATH="$root/bin:$PATH" NTCACHE_AUTOSTART=1
unset NTCACHE NTCACHE_SOCKET NTCACHE_DIR NTCACHE_LOG NTCACHE_DAEMON NTCACHE_PARTS 2>/dev/null || true
daemon=$(./c make) || fail "the C program failed"
[ "$(readlink "/proc/$daemon/exe")" = "$root/bin/ntcached" ] || fail "another daemon answered"
[ "$(./cc known)" = "$daemon" ] || fail "the C++ program failed"
[ "$(LD_LIBRARY_PATH='' ./static known)" = "$daemon" ] || fail "the static program failed"
LD_LIBRARY_PATH='' ntcache-ctl ping >/dev/null || fail "ntcache-ctl ping failed"
kill -TERM "$daemon"
timeout 20 tail --pid="$daemon" -f /dev/null || fail "the daemon does not stop"
daemon=

cd "$here/../.."
$MAKE --no-print-directory uninstall DESTDIR="$dest" PREFIX=$prefix >/dev/null
[ ! -e "$dest" ] || [ -z "$(find "$dest" -mindepth 1)" ] || fail "uninstall left: $(find "$dest" -mindepth 1 | tr '\n' ' ')"
echo "check-install: C, C++ and static programs work with what is installed; nothing is left"
