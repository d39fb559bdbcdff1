#!/bin/sh
# The parsers under libFuzzer with ASan and UBSan. Each target first gets its seeds, then new inputs
# for 6 seconds, or EMZ_FUZZ_SECONDS; and each finds the bugs that are planted for it. What was
# interesting is kept in build/tests/fuzz, so that the next run goes on from there.
# fuzz.t [SECONDS [TARGET ...]]
. tests/tap.sh
seconds=${1:-${EMZ_FUZZ_SECONDS:-6}}
[ $# -eq 0 ] || shift
top=build/tests/fuzz

fuzz() { # fuzz PROGRAM TARGET ARGUMENTS: into $dir/log, in short
    program=$1 target=$2
    shift 2
    "$top/$program" --target="$target" -max_len=2048 -timeout=120 -artifact_prefix="$dir/" "$@" >"$dir/out" 2>&1
    code=$?
    grep -a '^Running\|broken at\|runtime error\|ERROR:\|^SUMMARY\|^Base64' "$dir/out" | tail >"$dir/log"
    return $code
}

if ! echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
    clang -fsanitize=fuzzer,address -x c - -o "$dir/probe" 2>/dev/null; then
    lacks "clang with libFuzzer (libclang-rt-dev)"
    end
fi
make -s "$top/fuzz" "$top/mutants" >"$dir/log" 2>&1
ok $? "build"
"$top/fuzz" 2>"$dir/log"
[ $? -eq 2 ]
ok $? "without a target, it names them"
targets=${*:-$(sed 's/.*--target=//; s/|/ /g' "$dir/log")}

# The seeds, each in a file named after its line.
grep -n '^[a-z]' tests/fuzz/seeds | while IFS= read -r seed; do
    line=${seed%%:*} seed=${seed#*:}
    mkdir -p "$dir/seeds/${seed%% *}"
    printf '%b' "${seed#* }" >"$dir/seeds/${seed%% *}/$line"
done
for target in $targets; do
    fuzz fuzz "$target" "$dir/seeds/$target"/*
    ok $? "$target: $(grep -c '^Executed' "$dir/out") seeds"
    mkdir -p "$top/corpus/$target"
    fuzz fuzz "$target" -print_final_stats=1 -max_total_time="$seconds" "$top/corpus/$target" "$dir/seeds/$target"
    ok $? "$target: $seconds seconds of anything, $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/out") inputs"
    echo "# $(grep -a '^#.*DONE' "$dir/out")"
done

grep -v '^#' tests/fuzz/mutants | {
    k=0
    while IFS= read -r mutant; do
        k=$((k + 1))
        target=${mutant%% *}
        case " $targets " in *" $target "*) ;; *) continue ;; esac
        ! fuzz mutants "$target" --mutant=$k -max_total_time=120 "$dir/seeds/$target" &&
            grep -q 'ERROR:\|runtime error' "$dir/log"
        ok $? "found: $mutant"
    done
    echo "$n $failed" >"$dir/count"
}
read -r n failed <"$dir/count"
end
