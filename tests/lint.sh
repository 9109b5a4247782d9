#!/bin/sh
# What the compiler does not see (`make lint` runs this): headers that do not stand alone, includes against the
# table of docs/design.md, functions that nobody should call, man pages; with codespell and ShellCheck
# where they are installed, and clang-tidy with TIDY=1. Every finding is printed; the exit status
# says whether there was any, but for those of clang-tidy.
set -u
cd "$(dirname "$0")/.." || exit 2
CC=${CC:-gcc} CXX=${CXX:-g++}
FLAGS=${FLAGS:--std=gnu11 -D_GNU_SOURCE -I. -Iproto -Iclient -Ikernels -Wall -Wextra}
findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
# shellcheck disable=SC2089 # the quotes are part of the macro
FLAGS="$FLAGS -DNTC_VERSION=\"lint\""

have() { command -v "$1" >/dev/null 2>&1; }
report() { # heading; findings on stdin
	sed "s|^|$1: |" >>"$findings"
}
files() { # pathspec...: ours, also those not yet committed
	git ls-files -co --exclude-standard -- "$@" 2>/dev/null | while read -r f; do [ -e "$f" ] && printf '%s\n' "$f"; done
}

# --- headers: each compiles alone; the public ones also in other dialects --------------------------
for h in $(files '*.h'); do
	# shellcheck disable=SC2086,SC2090 # words are meant
	$CC $FLAGS -Werror -fsyntax-only -x c -include "$h" /dev/null 2>&1 | report "header alone"
done
for h in client/ntcache.h kernels/ntcache_cuda.h; do
	$CC -std=c99 -pedantic -Wall -Wextra -Werror -Iclient -Iproto -fsyntax-only -x c -include "$h" /dev/null 2>&1 |
		report "as C99"
	$CXX -std=c++11 -pedantic -Wall -Wextra -Werror -Iclient -Iproto -fsyntax-only -x c++ -include "$h" /dev/null 2>&1 |
		report "as C++11"
done

# --- layers: the table of docs/design.md ------------------------------------------------------------
includes() { # files...: lines "file:line:name in brackets or quotes"
	grep -nHE '^[[:space:]]*#[[:space:]]*include' "$@" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*/\1:/'
}
# allow <room> <what it may include of ours, a pattern of quoted names> <files...>
allow() {
	room=$1 pattern=$2
	shift 2
	[ $# -eq 0 ] || includes "$@" | grep '":\|:"' | grep -vE ":\"($pattern)\"" | report "$room may not include"
}
name='[A-Za-z0-9_]+\.h'
# shellcheck disable=SC2046 # file names here have no spaces
{
	allow base/ "base/$name" $(files 'base/*.[ch]')
	allow proto/ "(base|proto)/$name|ntcache_types\.h" $(files 'proto/*.[ch]')
	allow store/ "(base|proto|store)/$name" $(files 'store/*.[ch]')
	allow daemon/ "(base|proto|store|daemon)/$name" $(files 'daemon/*.[ch]')
	allow client/ "(base|proto)/$name|client/[a-z0-9_]+\.h|ntcache\.h|ntcache_types\.h" \
		$(files 'client/*.[ch]' ':!client/ctl/*')
	allow client/ctl/ "client/ctl/$name|proto/bundle\.h|$name" $(files 'client/ctl/*.[ch]')
	allow kernels/ "(base|kernels)/$name|client/ntcache\.h|ntcache\.h|ntcache_cuda\.h" $(files 'kernels/*.[ch]')

	# The public headers alone, and nothing that is found beside them by -I.
	includes $(files 'client/ctl/*.[ch]') | grep -E ':[<"](proto|base|store|daemon|kernels)/|:[<"]client/[a-z0-9_]+\.h' |
		grep -v ':"proto/bundle\.h"' |
		report "client/ctl/ may not include"

	# One room for each library.
	only() { # header pattern, room
		pattern=$1
		shift
		includes $(files '*.[ch]' ':!tests' ':!bench' "$@") | grep -E ":<($pattern)" | report "only elsewhere"
	}
	only 'sqlite3\.h' ':!store'
	only 'event2/|event\.h|systemd/' ':!daemon'
	only 'jansson\.h|zstd\.h' ':!client/ctl'
	only 'nettle/' ':!client' ':!kernels'
	only 'libelf|gelf|nvrtc|cuda' ':!kernels'
	only 'xxhash\.h' ':!proto'

	# --- functions that overflow, race or cannot fail visibly ------------------------------------
	banned='strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok|tmpnam|tempnam|mktemp|asctime|ctime'
	banned="$banned|gmtime|localtime|atol|atoll|atof|scanf|rand|srand|random|strerror_r|alloca|usleep|sleep|system|popen"
	grep -nHE "(^|[^A-Za-z0-9_.>\"])($banned)[[:space:]]*\(" $(files '*.[ch]' ':!tests') /dev/null |
		grep -vE ':[0-9]+:[[:space:]]*(/?\*|//)' | report "banned function"
	grep -nHE '(^|[^A-Za-z0-9_.>"])(gets|tmpnam|tempnam|mktemp|sleep|usleep)[[:space:]]*\(' $(files 'tests/*.[ch]') /dev/null |
		grep -vE ':[0-9]+:[[:space:]]*(/?\*|//)' | report "banned function"
	grep -nHE '(TODO|FIXME)([^A-Za-z]|$)' $(files '*.[ch]' '*.sh' Makefile '*.md' ':!tests/lint.sh') /dev/null | report "unfinished"
	grep -nHE '[[:space:]]+$' $(files '*.[ch]' '*.sh' '*.md' Makefile) /dev/null | report "space at the end"

	# --- tools ---------------------------------------------------------------------------------
	if have mandoc; then
		for m in $(files 'docs/man/*.[1-8]'); do
			mandoc -T lint -W warning "$m" 2>&1 | report "mandoc"
		done
	fi
	if have codespell; then
		codespell -q 3 --skip 'tests/fuzz/corpus,tests/vectors' --ignore-words-list inout,te,ths,statics,nd,addd $(files '*.[ch]' '*.md' '*.sh' 'docs/man/*') \
			2>&1 | report "codespell"
	fi
	if have shellcheck; then
		shellcheck -f gcc $(files '*.sh' .ci/run) 2>&1 | report "shellcheck"
	fi
	if [ "${TIDY:-0}" = 1 ] && have clang-tidy; then
		# Advice: it guesses wrong too often to decide.
		# shellcheck disable=SC2086,SC2090
		clang-tidy --quiet $(files '*.c') -- $FLAGS 2>/dev/null | grep -E '(warning|error):' |
			sed 's/^/clang-tidy (advice): /'
	fi
}

if [ -s "$findings" ]; then
	cat "$findings"
	printf '%d findings\n' "$(wc -l <"$findings")"
	exit 1
fi
echo "lint: nothing found"
