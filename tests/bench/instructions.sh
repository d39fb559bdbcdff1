#!/bin/sh
# Instructions that an etale of 100 bytes takes on the caller's thread: a figure that no noise
# touches. instructions.sh BENCH [N], BENCH: the built benchmark, N: operations (2000).
bench=${1:?"usage: instructions.sh BENCH [N]"}
n=${2:-2000}
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

# count OPERATION FUNCTION [raw]: instructions in FUNCTION, by N
count() {
	valgrind --quiet --tool=callgrind --callgrind-out-file="$out" --toggle-collect="$2" \
		"$bench" --calls "$1" "$n" ${3:+"$3"} >&2 || exit 1
	awk -v n="$n" '/^(summary|totals):/ { sum = $2 } END { printf "%.0f", sum / n }' "$out"
}

printf '%-44s %8s %8s %7s\n' "instructions on the caller's thread" this raw ratio
while read -r operation function what; do
	ours=$(count "$operation" "$function") || exit 1
	raw=$(count "$operation" "$function" raw) || exit 1
	awk -v w="$what" -v o="$ours" -v r="$raw" \
		'BEGIN { printf "%-44s %8d %8d %7.2f\n", w, o, r, o / r }'
done <<END
emit counted_emit emit
receive counted_receive receive, 100 waiting at each update()
receive1 counted_receive receive, 1 waiting at each update()
idle counted_idle idle update(), against zmq_poll
END
