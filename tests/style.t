#!/bin/sh
# The style of all sources, by the tools that know it: what `make lint` does, one test a tool.
# shellcheck disable=SC2016 # scripts as text
. tests/tap.sh
lint() { # lint TARGET TOOL: one part of `make lint`
    if ! command -v "$2" >"$dir/log"; then lacks "$2"; else
        make "$1" >"$dir/log" 2>&1
        ok $? "make $1: $2"
    fi
}
# Another version formats in other ways.
if clang-format --version 2>"$dir/log" | grep -q 'version 14\.'; then lint lint-c clang-format; else
    lacks "clang-format 14"
fi
lint lint-sh shellcheck
lint lint-py "${PYTHON:-python3}"
! make -n help 2>&1 | grep ': warning:' >"$dir/log"
ok $? "the Makefile is read without a warning"

# Each can fail, and no file escapes it.
mkdir "$dir/tests" "$dir/examples" "$dir/.ci" "$dir/tests/sub"
cp Makefile .clang-format "$dir" && : >"$dir/emyzelium.h"
cp tests/tap.sh "$dir/tests"
fails() { # fails TARGET TOOL FILE TEXT: with such a file
    if command -v "$2" >"$dir/log"; then
        printf '%b' "$4" >"$dir/$3"
        ! make -C "$dir" "$1" >"$dir/log" 2>&1 && grep -q "$(basename "$3")" "$dir/log"
        ok $? "make $1 sees $3"
        rm "$dir/$3"
    fi
}
fails lint-c clang-format tests/sub/a.c 'int  i;\n'
fails lint-c clang-format examples/b.h 'int  i;\n'
fails lint-sh shellcheck tests/c.t '#!/bin/sh\nrm $1\n'
fails lint-sh shellcheck .ci/run '#!/usr/bin/env bash\nrm $1\n'
fails lint-py "${PYTHON:-python3}" tests/sub/d.py 'if\n'
fails lint-py "${PYTHON:-python3}" tests/e.t '#!/usr/bin/env python3\nif\n'
end
