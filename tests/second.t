#!/bin/sh
# Second opinions: SHA3-256 against hashlib's, and which onion addresses are valid against their
# specification written down in Python.
. tests/tap.sh
libs=$(pkg-config --libs libzmq 2>/dev/null || echo -lzmq)
cat >"$dir/second.c" <<'E'
#define EMYZELIUM_EXTERN
#define EMYZELIUM_IMPLEMENTATION
#include "emyzelium.h"
void sha3_256(unsigned char digest[32], const unsigned char *data, size_t size);
void sha3_256(unsigned char digest[32], const unsigned char *data, size_t size) {
    emz_i_sha3_256(digest, data, size);
}
E
second() { # second FOLDER WHAT: the header in that folder, against the second opinion
    # shellcheck disable=SC2086
    { [ -e "$1/second.so" ] || ${CC:-cc} -O2 -shared -fPIC "-I$1" "$dir/second.c" $libs -o "$1/second.so"; } &&
        "${PYTHON:-python3}" tests/fuzz/second.py "$1/second.so" "$2"
} >"$dir/log" 2>&1
mkdir "$dir/right" "$dir/wrong"
cp emyzelium.h "$dir/right"
sed 's/0x171/0x173/' emyzelium.h >"$dir/wrong/emyzelium.h" # a bit of Keccak's round constants
for what in sha3 onion; do
    second "$dir/right" $what
    ok $? "$what: $(head -1 "$dir/log")"
    ! second "$dir/wrong" $what && grep -q '^seed' "$dir/log"
    ok $? "$what: a wrong Keccak is noticed"
done
end
