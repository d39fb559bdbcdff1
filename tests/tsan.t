#!/bin/sh
# Sixteen threads with a realm each under ThreadSanitizer (what it must overlook, and why, is in
# tests/tsan.supp); and that it would find a race in our code.
# shellcheck disable=SC2086 # several words
. tests/tap.sh
libs=$(pkg-config --libs libzmq 2>/dev/null || echo -lzmq)
aslr= # some kernels spread memory more widely than the sanitizer can bear

build() { # build SOURCE PROGRAM
    ${CC:-cc} -std=c99 -O1 -g -fsanitize=thread "$1" -o "$2" $libs >"$dir/log" 2>&1
}
run() { # run PROGRAM: with threads, three rounds
    TSAN_OPTIONS="suppressions=tests/tsan.supp" $aslr "$1" 32 1 threads >"$dir/log" 2>&1
}

echo 'int main(void) { return 0; }' >"$dir/try.c"
build "$dir/try.c" "$dir/try"
if ! "$dir/try" 2>"$dir/log"; then
    aslr="setarch -R"
    if ! $aslr "$dir/try" 2>"$dir/log"; then
        lacks "ThreadSanitizer (or a kernel that it can run on)"
        end
    fi
fi

build tests/storm.c "$dir/storm" && run "$dir/storm"
ok $? "16 threads, 3 rounds: no race"
grep -q '^ok 1 - storm threads: 16 threads, 3 rounds' "$dir/log"
ok $? "they got each other's values"

mkdir "$dir/tests"
cp tests/storm.c tests/tap.h "$dir/tests"
sed 's/^    ef->update++;$/    { static int calls; calls++; }\n&/' emyzelium.h >"$dir/emyzelium.h"
! cmp -s emyzelium.h "$dir/emyzelium.h" && build "$dir/tests/storm.c" "$dir/broken"
ok $? "a header with a counter that all efungi share"
! run "$dir/broken" && grep -q 'data race .* in emz_efunguz_update' "$dir/log"
ok $? "its race is found"
end
