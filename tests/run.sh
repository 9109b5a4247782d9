#!/bin/sh
# Run the test programs of one build: unit, replay of the fuzz corpora, system, and a sample of the fault
# campaigns. With an argument, only those whose name has it. Each program has a time limit; its output is shown
# if it fails. The last line counts programs.
set -u
cd "$(dirname "$0")/.." || exit 2
build=${BUILD:?"the build folder"}
only=${1:-}
passed=0 failed=0 names=
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() { # name limit command...
	name=$1 limit=$2
	shift 2
	case $name in *"$only"*) ;; *) return ;; esac
	if timeout -k 10 "$limit" "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf 'ok    %-28s %s\n' "$name" "$(grep -E '^[0-9]+(%: Checks| passed, )' "$log" | tail -n 1)"
	else
		failed=$((failed + 1)) names="$names $name"
		printf 'FAIL  %s\n' "$name"
		sed 's/^/      /' "$log"
	fi
}

export NTC_TEST_BUILD="$PWD/$build" NTC_TEST_ROOT="$PWD"
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
unset NTCACHE NTCACHE_SOCKET NTCACHE_DIR NTCACHE_LOG NTCACHE_AUTOSTART NTCACHE_PARTS NTCACHE_DAEMON

for program in "$build"/unit/check_*; do
	case $program in *'*') continue ;; esac
	run "${program##*/}" 120 "$program"
done
for program in "$build"/replay/fuzz_*; do
	case $program in *'*') continue ;; esac
	run "${program##*/}" 60 "$program" "tests/fuzz/corpus/${program##*/fuzz_}"
done
for program in "$build"/system/check_*; do
	case $program in *'*') continue ;; esac
	run "${program##*/}" 240 "$program"
done
# A few seconds each: a sample of what `make check-fault` does.
for program in "$build"/fault/*; do
	case $program in *'*') continue ;; esac
	NTC_FAULT_SECONDS=${NTC_FAULT_SECONDS:-4} run "${program##*/}" 240 "$program"
done
[ -z "$names" ] || printf 'failed:%s\n' "$names"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
