#!/bin/sh
# Lines reached by the tests, one row a file of ours, from the counters that a --coverage build left
# in the folder given. Needs gcov, which comes with gcc.
set -eu
cd "$(dirname "$0")/.."
build=${1:?"the build folder"}

find "$build/obj" -name '*.gcda' ! -path '*/tests/*' | sort | while read -r data; do
	gcov -n -s "$PWD" -r "$data" 2>/dev/null
done | awk '
	/^File / { gsub(/\x27/, ""); file = $2 }
	/^Lines executed:/ && file ~ /\.c$/ {
		split($0, part, /[:% ]+/)
		lines = $NF; share = part[3]
		if (!(file in total) || share * lines / 100 > hit[file]) { total[file] = lines; hit[file] = share * lines / 100 }
		file = ""
	}
	END {
		for (f in total) {
			printf "%6.1f%% of %5d  %s\n", 100 * hit[f] / total[f], total[f], f | "sort -k4"
			all += total[f]; reached += hit[f]
		}
		close("sort -k4")
		if (all) printf "%6.1f%% of %5d  all\n", 100 * reached / all, all
	}'
