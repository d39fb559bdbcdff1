#!/bin/sh
# The header in every way that it can be compiled: languages, compilers, linkage; without a warning,
# and each time proving that the implementation was there.
# shellcheck disable=SC2086 # flags are words
. tests/tap.sh
top=$(pwd)
libs=$(pkg-config --libs libzmq 2>/dev/null || echo -lzmq)
strict="-O2 -Werror -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef
 -Wcast-qual -Wcast-align -Wformat=2 -Wvla -Wwrite-strings -Wdouble-promotion -Wswitch-enum"
only_c="-Wstrict-prototypes -Wmissing-prototypes"

cd "$dir" || exit 1
cat >one.c <<'E'
#define EMYZELIUM_IMPLEMENTATION
#include "emyzelium.h"
#include <stdio.h>
int main(void) {
    emz_efunguz *ef = NULL;
    char pub[EMZ_KEY_Z85_SIZE], sec[EMZ_KEY_Z85_SIZE];
    emz_config config;
    emz_result r;
    memset(&config, 0, sizeof config);
    config.pubsub_port = EMZ_ANY_PORT;
    r = emz_keypair(pub, sec);
    if (!r) {
        r = emz_efunguz_new(&ef, sec, &config);
    }
    printf("%s %d\n", emz_version(), (int)r);
    emz_efunguz_free(ef);
    return r != EMZ_OK;
}
E
# Two files, each with an implementation of its own, that hand each other a pointer.
cat >two_a.c <<'E'
#define EMYZELIUM_IMPLEMENTATION
#include "emyzelium.h"
int other(emz_efunguz *ef);
int main(void) {
    emz_efunguz *ef = NULL;
    char pub[EMZ_KEY_Z85_SIZE], sec[EMZ_KEY_Z85_SIZE];
    emz_config config;
    int rc;
    memset(&config, 0, sizeof config);
    config.pubsub_port = EMZ_ANY_PORT;
    if (emz_keypair(pub, sec) || emz_efunguz_new(&ef, sec, &config)) {
        return 1;
    }
    rc = other(ef);
    emz_efunguz_free(ef);
    return rc;
}
E
cat >two_b.c <<'E'
#define EMYZELIUM_IMPLEMENTATION
#include "emyzelium.h"
int other(emz_efunguz *ef);
int other(emz_efunguz *ef) {
    return emz_efunguz_emit_etale(ef, "t", NULL, 0) != EMZ_OK || emz_efunguz_update(ef) != 0;
}
E
sed 's/^#define EMYZELIUM_IMPLEMENTATION/#define EMYZELIUM_EXTERN\n#include <string.h>/' two_a.c >ext_a.c
sed 's/^#define EMYZELIUM_IMPLEMENTATION/#define EMYZELIUM_EXTERN\n&/' two_b.c >ext_b.c
# For the types first, as another header would; then the implementation.
for kind in one ext_b; do
    { echo '#include "emyzelium.h"'; echo 'extern emz_efunguz *from_a_header;'; cat $kind.c; } >late_$kind.c
done
sed -i '1i #define EMYZELIUM_EXTERN' late_ext_b.c
sed -i 's/^#define EMYZELIUM_EXTERN$/#ifndef EMYZELIUM_EXTERN\n&\n#endif/' late_ext_b.c
printf '#include "emyzelium.h"\n#include "emyzelium.h"\nemz_efunguz *ef;\nemz_part part;\n' >types.c

for pair in gcc/g++ clang/clang++; do
    for std in c99 c11 c17 c2x gnu17 c++11 c++14 c++17 c++20; do
        case $std in
        *++*) cc=${pair#*/} x="-x c++" more= ;;
        *) cc=${pair%/*} x="-x c" more=$only_c
            [ $cc = clang ] || more="$more -Wc++-compat" ;;
        esac
        if ! command -v $cc >/dev/null; then lacks $cc; continue; fi
        build="$cc $x -std=$std $strict $more -I$top"
        { $build -c one.c -o one.o && $cc one.o $libs -o one && ./one >out && grep -q '^[0-9.]* 0$' out; } >log 2>&1
        ok $? "$cc -std=$std: one file"
        case $std in c11 | c17 | gnu17 | c++14 | c++17) continue ;; esac # all else for the oldest and newest
        { $build -c two_a.c -o a.o && $build -c two_b.c -o b.o && $cc a.o b.o $libs -o two && ./two; } >log 2>&1
        ok $? "$cc -std=$std: two files, static"
        { $build -c ext_a.c -o a.o && $build -c ext_b.c -o b.o && $cc a.o b.o $libs -o ext && ./ext; } >log 2>&1
        ok $? "$cc -std=$std: two files, EMYZELIUM_EXTERN"
        { nm a.o | grep -q ' U emz_efunguz_new$' && nm b.o | grep -q ' T emz_efunguz_new$'; } >log 2>&1
        ok $? "$cc -std=$std: ... one has the implementation"
        { $build -c late_one.c -o one.o && $cc one.o $libs -o one && ./one >out && grep -q ' 0$' out; } >log 2>&1
        ok $? "$cc -std=$std: types first, then the implementation"
        { $build -c late_ext_b.c -o b.o && $cc a.o b.o $libs -o ext && ./ext; } >log 2>&1
        ok $? "$cc -std=$std: the same, EMYZELIUM_EXTERN"
        { $build -c types.c -o types.o && ! nm types.o | grep -q emz_efunguz_new; } >log 2>&1
        ok $? "$cc -std=$std: types alone, included twice"
        printf '#include "emyzelium.h"\nint main(void) { return (int)emz_now(); }\n' >call.c
        ! $cc $x -std=$std -I"$top" -c call.c -o call.o >out 2>&1
        ok $? "$cc -std=$std: a call without an implementation is an error"
        grep -q 'define_EMYZELIUM_IMPLEMENTATION_or_EMYZELIUM_EXTERN' out
        ok $? "$cc -std=$std: ... that says what to define"
        printf '#include "emyzelium.h"\n#define EMZ_NO_EPOLL\n#define EMYZELIUM_IMPLEMENTATION\n' >poll.c
        printf '#include "emyzelium.h"\n' >>poll.c
        $build -c poll.c -o poll.o >log 2>&1
        ok $? "$cc -std=$std: EMZ_NO_EPOLL"
    done
done

cd "$top" || exit 1
functions=$(sed '/Stop reading here/,$d' emyzelium.h | sed -n '/^EMZ_API/,/;/p' |
    grep -o '\bemz_[a-z0-9_]*(' | tr -d '(' | sort)
[ "$(echo "$functions" | wc -l)" -gt 40 ]
ok $? "$(echo "$functions" | wc -l) public functions"
for way in define undef; do
    sed -n "s/^#$way \(emz_[a-z0-9_]*\).*/\1/p" emyzelium.h | sort >"$dir/$way"
    echo "$functions" | diff - "$dir/$way" >"$dir/log"
    ok $? "each has its signpost: #$way"
done

sed '/Stop reading here/,$d' emyzelium.h | grep '^ *# *include' | grep -v 'stddef.h>\|stdint.h>' >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "the declarations include stddef.h and stdint.h alone"
gcc -E -dD -I. "$dir/one.c" | awk '
    /^# [0-9]+ "/ { ours = $3 ~ /emyzelium\.h"$/ }
    ours && $1 == "#define" && $2 !~ /^(EMZ_|EMYZELIUM_)/' >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "no macro is left behind that does not start with EMZ_ or EMYZELIUM_"
sed '/>>licence: choose/,$d' emyzelium.h | sed 's,/\*.*\*/,,; s/"[^"]*"//g' | grep -v '^ \*' |
    grep -no '\b_[A-Za-z_][A-Za-z0-9_]*\|\b[A-Za-z][A-Za-z0-9]*__[A-Za-z0-9_]*' |
    grep -v ':__\(GNUC\|TINYC\|attribute\|cplusplus\|linux\)__$\|:__cplusplus$\|:_WIN32$\|:_SC_OPEN_MAX$' >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "no reserved identifier"
mkdir "$dir/old"
{ echo '#define ZMQ_MAKE_VERSION(a, b, c) ((a) * 10000 + (b) * 100 + (c))'
    echo '#define ZMQ_VERSION ZMQ_MAKE_VERSION(4, 3, 2)'; } >"$dir/old/zmq.h"
! gcc -I"$dir/old" -I. -c "$dir/one.c" -o "$dir/old.o" >"$dir/out" 2>&1 && grep -q 'error.*needs libzmq 4.3.3' "$dir/out"
ok $? "an older libzmq is an error that says which is needed"
gcc -shared -fPIC -fvisibility=hidden -I. "$dir/ext_b.c" $libs -o "$dir/lib.so" >"$dir/log" 2>&1
ok $? "a shared library with EMYZELIUM_EXTERN"
nm -D --defined-only "$dir/lib.so" | sed -n 's/.* T //p' | grep -v '^other$\|^_' | sort >"$dir/exported"
echo "$functions" | diff - "$dir/exported" >"$dir/log"
ok $? "... exports exactly the public functions, also with -fvisibility=hidden"
sed -n '/>>licence: choose/,$p' emyzelium.h | sed '1,2d; $d; s/^ \* \{0,1\}//' | diff - LICENSE >"$dir/log"
ok $? "the licence at its end is LICENSE"
end
