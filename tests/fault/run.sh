#!/bin/sh
# Run the fault campaigns of one build and add up what they counted (`make check-fault` runs this). With an
# argument, only those whose name has it. The last line is the total; the status says whether anything failed.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${BUILD:?"the build folder"}
only=${1:-}
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

export NTC_TEST_BUILD="$PWD/$build" NTC_TEST_ROOT="$PWD"
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
unset NTCACHE NTCACHE_SOCKET NTCACHE_DIR NTCACHE_LOG NTCACHE_AUTOSTART NTCACHE_PARTS NTCACHE_DAEMON

for program in "$build"/fault/*; do
	name=${program##*/}
	case $name in *"$only"*) ;; *) continue ;; esac
	"$program" 2>&1 | tee "$log"
	# A campaign that did not come to its end has failed, whatever it counted.
	totals=$(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log")
	: "${totals:=0 1}"
	passed=$((passed + ${totals% *})) failed=$((failed + ${totals#* }))
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
