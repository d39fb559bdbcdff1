#!/bin/sh
# Other compilers, systems and processors. What can run here runs: other compilers, the poll() branch
# that BSD and macOS use, and, emulated, a big-endian and a 32-bit machine with their own libzmq.
# Windows is compiled only.
# shellcheck disable=SC2086 # flags are words
. tests/tap.sh
cflags=$(pkg-config --cflags libzmq 2>/dev/null)
libs=$(pkg-config --libs libzmq 2>/dev/null || echo -lzmq)
strict="-O1 -Werror -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef
 -Wcast-qual -Wcast-align -Wformat=2 -Wvla -Wwrite-strings -Wdouble-promotion -Wswitch-enum"
only_c="-Wstrict-prototypes -Wmissing-prototypes"
has() { command -v "$1" >"$dir/log" || { lacks "$1" && false; }; }
passes() { # passes STATUS LOG NAME: a whole test program did
    if grep -q '^1\.\.0 # SKIP' "$2"; then lacks "$(sed -n 's/^1..0 # SKIP \(.*\) is missing/\1/p' "$2")" && return; fi
    count=$(grep -c '^ok ' "$2")
    [ "$1" -eq 0 ] && [ "$count" -gt 0 ] && [ "$(tail -1 "$2")" = "1..$count" ]
    good=$?
    grep -v '^ok ' "$2" | cat - "$dir/err" >"$dir/log"
    ok $good "$3: $count tests pass"
}

# zmq.h alone, for compilers that must not see this system's other headers
mkdir "$dir/zmq"
cp "$(echo '#include <zmq.h>' | ${CC:-cc} $cflags -E - | sed -n 's/^# 1 "\(.*\/zmq\.h\)".*/\1/p')" "$dir/zmq/"
printf '#define EMYZELIUM_EXTERN\n#include "emyzelium.h"\n' >"$dir/declare.c"
{ sed 1q "$dir/declare.c"; printf '#define EMYZELIUM_IMPLEMENTATION\n#include "emyzelium.h"\n'; } >"$dir/all.c"

# Without epoll, as on BSD and macOS. The tunnel's test waits more than it works: it starts first.
if ! gcc -U__linux__ -std=c99 -O1 tests/tunnel.c $libs -o "$dir/poll-tunnel" >"$dir/log" 2>&1; then
    ok 1 "the poll() branch compiles"
else
    "$dir/poll-tunnel" >"$dir/tunnel" 2>&1 &
    tunnel=$!
fi
for test in model gate; do
    { gcc -U__linux__ -std=c99 -O1 tests/$test.c $libs -o "$dir/poll-$test" && "$dir/poll-$test"; } >"$dir/out" 2>"$dir/err"
    passes $? "$dir/out" "poll() instead of epoll: tests/$test.c"
done
! nm "$dir/poll-gate" | grep epoll >"$dir/log"
ok $? "no epoll in it"

if has tcc; then
    tcc -std=c99 -Wall -Werror -I. -c "$dir/all.c" -o "$dir/tcc.o" >"$dir/log" 2>&1
    ok $? "tcc -std=c99"
    for test in unit model gate; do
        { tcc -std=c99 tests/$test.c $libs -o "$dir/tcc-$test" && "$dir/tcc-$test"; } >"$dir/out" 2>"$dir/err"
        passes $? "$dir/out" "tcc: tests/$test.c"
    done
fi

# What is only compiled: zmq.h, but no such library here.
compiles() { # compiles NM COMPILER...: without a warning, and all of it
    nm=$1
    shift
    if has "$1"; then
        { "$@" -I. -I"$dir/zmq" -c "$dir/all.c" -o "$dir/o" && $nm "$dir/o" | grep -q ' T _*emz_efunguz_new$'; } >"$dir/log" 2>&1
        ok $? "$(echo "$*" | sed 's/ -O1.*//'), compiled only"
    fi
}
compiles nm musl-gcc -std=c99 $strict $only_c
compiles i686-w64-mingw32-nm i686-w64-mingw32-gcc -std=c99 $strict $only_c
compiles x86_64-w64-mingw32-nm x86_64-w64-mingw32-gcc -std=c17 $strict $only_c
compiles i686-w64-mingw32-nm clang --target=i686-w64-mingw32 -x c++ -std=c++17 $strict
if has x86_64-w64-mingw32-gcc; then
    for part in declare all; do
        x86_64-w64-mingw32-gcc -E -I. -I"$dir/zmq" "$dir/$part.c" 2>"$dir/log" |
            sed -n 's/^# .*[/"]\(windows\|winsock2\|zmq\)\.h".*/\1/p' | sort -u >"$dir/$part.seen"
    done
    [ "$(cat "$dir/all.seen")" = "$(printf 'windows\nwinsock2\nzmq')" ] && [ ! -s "$dir/declare.seen" ]
    ok $? "Windows: the declarations bring neither windows.h nor zmq.h; the implementation does"
fi

# Another byte order, another word size: s390x is big-endian, i386 has 32 bits. The foreign peer is
# not emulated, so this is also two byte orders on one wire.
for arch in s390x i386; do
    if [ ! -d build/sysroot/$arch ]; then
        lacks "build/sysroot/$arch (make sysroots)"
    elif has qemu-$arch && has clang; then
        for test in unit gate foreign; do
            tests/emulate $arch tests/$test.c >"$dir/out" 2>"$dir/err"
            passes $? "$dir/out" "$arch, emulated: tests/$test.c"
        done
    fi
done
if [ -n "$tunnel" ]; then
    wait $tunnel
    passes $? "$dir/tunnel" "poll() instead of epoll: tests/tunnel.c"
fi
end
