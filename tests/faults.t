#!/bin/sh
# Does tests/faults.c let everything fail that the header calls? The linker knows what that is.
. tests/tap.sh
export LC_ALL=C # one order for sort and comm
{
    echo '#define EMYZELIUM_EXTERN'
    echo '#define EMYZELIUM_IMPLEMENTATION'
    echo '#include "emyzelium.h"'
} >"$dir/all.c"
# shellcheck disable=SC2046
${CC:-cc} -std=c99 -I. $(pkg-config --cflags libzmq 2>/dev/null) -c "$dir/all.c" -o "$dir/all.o" \
    >"$dir/log" 2>&1 && nm -u "$dir/all.o" | sed 's/.* //; s/@.*//' | sort >"$dir/called"
ok $? "the header calls $(wc -l <"$dir/called") functions of others"

# What fails: the list of calls there; EMZ_MALLOC and EMZ_REALLOC are the header's switches.
{
    echo malloc
    echo realloc
    sed -n '/^#define CALLS(CALL)/,/clang-format on/s/.*CALL(\([a-z_0-9]*\),.*/\1/p' tests/faults.c
} | sort >"$dir/failing"

# What cannot fail, as the header calls it: it computes, reads what is there, or ends something so
# that its result does not matter.
echo __errno_location atoi fclose ferror fprintf free gettimeofday htonl htons inet_pton memchr \
    memcmp memcpy memset ntohs snprintf stderr strchr strcmp strcspn strlen strpbrk strrchr sysconf vsnprintf \
    zmq_errno zmq_msg_close zmq_msg_data zmq_msg_init zmq_msg_more zmq_msg_move zmq_msg_size \
    zmq_stopwatch_intermediate zmq_stopwatch_start zmq_stopwatch_stop zmq_strerror zmq_version |
    tr ' ' '\n' >"$dir/safe"

sort "$dir/failing" "$dir/safe" | comm -23 "$dir/called" - >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "each of them fails in the sweep, or cannot fail"
comm -13 "$dir/called" "$dir/failing" >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "what fails in the sweep, the header calls"
end
