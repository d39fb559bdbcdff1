#!/bin/sh
# Static analysis of the header and the examples by four tools: they find nothing that has no reason in
# tests/analyze.reasons, each reason is needed, and each tool finds a bug that is planted in a copy.
# Only `make analyze` (the argument "deep") has clang look at a function for as long as it takes, and
# gcc at the examples; here clang gives a function up after 20,000 states.
# shellcheck disable=SC2086 # flags are words
. tests/tap.sh
LC_ALL=C
export LC_ALL
cflags="-std=c99 $(pkg-config --cflags libzmq 2>/dev/null)"
all="-DEMYZELIUM_EXTERN -DEMYZELIUM_IMPLEMENTATION"
states="-Xclang -analyzer-config -Xclang max-nodes"
mode=$1
[ "$mode" = deep ] || limit=$states=20000

# The header as a source file: of an included one clang and clang-tidy skip the functions. The examples
# without the header's implementation, which is looked at once.
mkdir "$dir/examples"
cp emyzelium.h "$dir"
cp emyzelium.h "$dir/emyzelium.c"
cp examples/*.h "$dir/examples"
for example in examples/*.c; do
    sed 's/^#define EMYZELIUM_IMPLEMENTATION/#define EMYZELIUM_EXTERN/' "$example" >"$dir/$example"
done
# A second free of the same memory, and a memset with its arguments exchanged.
sed 's/^            EMZ_FREE(et);/& EMZ_FREE(et);/
    s/memset(p, 0, size)/memset(p, (int)size, 0)/' emyzelium.h >"$dir/planted.c"

analyze() { # analyze TOOL FILE FLAGS: FILE:LINE:COLUMN: warning: what is found [check]
    case $1 in
    gcc) gcc $cflags $3 -O2 -fanalyzer -c "$2" -o "$dir/o" ;;
    clang) clang $cflags $3 --analyze --analyzer-output text $limit "$2" ;;
    cppcheck)
        for system in "-D__linux__ -D__GNUC__" -D__APPLE__ -D_WIN32; do # none is defined by itself
            cppcheck -q --std=c99 $3 $system --enable=warning,style,performance,portability \
                --template='{file}:{line}:{column}: warning: {message} [{id}]' "$2" || return
        done
        ;;
    clang-tidy) clang-tidy --quiet --config-file=.clang-tidy "$2" -- $cflags $3 ;;
    esac >>"$dir/out" 2>&1 || echo "$2:0:0: error: $1 ends with status $? [status]" >>"$dir/out"
}

judge() { # judge TOOL: what of $dir/out has no reason, and the reasons that nothing in it needs
    awk -F '\t' -v tool="$1" -v mode="$mode" -v dir="$dir/" '
        FNR == NR {
            if ($1 == tool || $1 == tool " " mode) { check[++reasons] = $2; piece[reasons] = $3 }
            next
        }
        match($0, /^[^ :]+:[0-9]+:[0-9]+: (warning|error|fatal error): /) && !seen[$0]++ {
            split($0, at, ":")
            text = ""
            for (i = 0; i < at[2]; i++) getline text <at[1]
            close(at[1])
            sub(/^ */, "", text)
            if (index($0, dir) == 1) $0 = substr($0, length(dir) + 1)
            text = substr($0, 1, index($0, ":")) " " text
            because = 0
            for (i = 1; i <= reasons; i++)
                if (index($0, check[i]) && (piece[i] == "*" || index(text, piece[i]))) {
                    because = used[i] = 1
                    break
                }
            if (!because) print $0 "\n    " text
        }
        END {
            for (i = 1; i <= reasons; i++)
                if (!used[i]) print "a reason for what is not found: " check[i] ", " piece[i]
        }' tests/analyze.reasons "$dir/out" >"$dir/log"
}

look() { # look TOOL VERSION SIGN: the reasons are those of that version; SIGN is how it tells a planted bug
    if ! $1 --version 2>&1 | grep -q "[ -]$2\."; then lacks "$1 $2" && return; fi
    : >"$dir/out"
    analyze "$1" "$dir/emyzelium.c" "$all"
    for example in "$dir"/examples/*.c; do
        if [ "$1" != gcc ] || [ -z "$limit" ]; then analyze "$1" "$example"; fi
    done
    judge "$1"
    ! [ -s "$dir/log" ]
    ok $? "$1: nothing without a reason"
    : >"$dir/out"
    (limit=$states=2000 && analyze "$1" "$dir/planted.c" "$all")
    judge "$1"
    grep -q "^planted\.c:.*$3" "$dir/log"
    ok $? "$1 finds the bug that is planted for it"
}
look gcc 12 Wanalyzer-double-free
look clang 14 'free released memory'
look cppcheck 2 doubleFree
look clang-tidy 14 bugprone-suspicious-memset-usage
: >"$dir/out"
judge gcc
grep -q 'double-free, #define EMZ_REALLOC$' "$dir/log"
ok $? "a reason that is not needed is a failure"
grep -v '^#' tests/analyze.reasons | awk -F '\t' 'NF != 4 || $1 !~ /^(gcc|clang|cppcheck|clang-tidy)( deep)?$/' >"$dir/log"
! [ -s "$dir/log" ]
ok $? "each line of reasons is whole, and for a tool that there is"
end
