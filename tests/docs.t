#!/bin/sh
# What the manuals say, done: the quick start of the header and of README.md, as they stand.
# shellcheck disable=SC2016,SC2086 # ``` is no command; flags are words
. tests/tap.sh
libs=$(pkg-config --libs libzmq 2>/dev/null || echo -lzmq)
cp emyzelium.h "$dir"
sed -n '/>>start: save/,/Over Tor/s/^ \*     //p' emyzelium.h >"$dir/start.c"
sed -n '/^```c$/,/^```$/p' README.md | sed '/^```/d' >"$dir/readme.c"
for name in start readme; do
    lines=$(wc -l <"$dir/$name.c")
    [ "$lines" -gt 20 ] && [ "$lines" -le 40 ]
    ok $? "$name.c: $lines lines, at most 40"
    (cd "$dir" && ${CC:-cc} -std=c99 -Wall -Wextra -Wpedantic -Werror $name.c $libs -o $name) >"$dir/log" 2>&1
    ok $? "$name.c compiles without a warning"
    (cd "$dir" && g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -x c++ -c $name.c -o $name.o) >"$dir/log" 2>&1
    ok $? "also as C++"
    [ "$("$dir/$name" 2>"$dir/log")" = 'Hello!' ]
    ok $? "$name.c says hello"
done
diff "$dir/start.c" "$dir/readme.c" >"$dir/log"
ok $? "both are the same program"
[ "$(wc -l <examples/hello.c)" -lt 60 ]
ok $? "hello.c is under 60 lines"
[ "$(wc -l <examples/tanks.c)" -lt 400 ]
ok $? "tanks.c is under 400 lines"
[ "$(build/hello 2>"$dir/log")" = 'Hello, Bob! (Connected.)' ]
ok $? "hello.c says hello"
build/genkeypair >"$dir/pair" 2>"$dir/log"
ok $? "genkeypair"
build/genkeypair "$(sed -n 's/^secret key: //p' "$dir/pair")" >"$dir/log" && head -1 "$dir/pair" | cmp - "$dir/log"
ok $? "genkeypair with a secret key gives its public key"
! build/genkeypair nonsense >"$dir/log" 2>&1 && grep -q '40 characters' "$dir/log"
ok $? "with nonsense, it says what is wrong"
make help >"$dir/log"
for target in demo play examples test lint format install uninstall clean; do
    grep -q "^  make $target:" "$dir/log"
    ok $? "make help names $target"
done
make -s install DESTDIR="$dir/stage" PREFIX=/usr >"$dir/log" 2>&1 && cmp emyzelium.h "$dir/stage/usr/include/emyzelium.h"
ok $? "make install"
grep -qx 'prefix=/usr' "$dir/stage/usr/share/pkgconfig/emyzelium.pc"
ok $? "... its emyzelium.pc knows PREFIX, not DESTDIR"
make -s uninstall DESTDIR="$dir/stage" PREFIX=/usr >"$dir/log" 2>&1 && [ -z "$(find "$dir/stage" -type f)" ]
ok $? "make uninstall leaves no file"
make -s install PREFIX="$dir/prefix" >"$dir/log" 2>&1
pc() { PKG_CONFIG_PATH="$dir/prefix/share/pkgconfig" pkg-config "$@" emyzelium; }
if ! command -v pkg-config >"$dir/log"; then lacks pkg-config; else
    [ "EMZ_VERSION \"$(pc --modversion)\"" = "$(sed -n 's/^#define \(EMZ_VERSION\)  *"/\1 "/p' emyzelium.h)" ]
    ok $? "pkg-config tells the header's version"
    sed 's,"../emyzelium.h",<emyzelium.h>,' examples/hello.c >"$dir/installed.c"
    flags=$(pc --cflags --libs)
    ${CC:-cc} "$dir/installed.c" $flags -o "$dir/installed" >"$dir/log" 2>&1 &&
        [ "$("$dir/installed")" = 'Hello, Bob! (Connected.)' ]
    ok $? "hello.c, built with what pkg-config says"
fi
end
