#!/bin/sh
# The demo without a terminal: three realms exchange; and with foreign realms in their places.
. tests/tap.sh
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT
build/demo </dev/null >"$dir/log" 2>&1
ok $? "make demo, piped: every realm received"
[ "$(grep -c '^\(Alien\|John\|Mary\)' "$dir/log")" -eq 3 ]
ok $? "a line a realm"
! grep -q "$(printf '\033')" "$dir/log"
ok $? "no escape sequences"
for bad in "Nobody" "--peers /nonexistent Alien" "--port 70000 Alien" "--nonsense"; do
    # shellcheck disable=SC2086
    ! build/demo $bad </dev/null >"$dir/log" 2>&1 && [ -s "$dir/log" ]
    ok $? "demo $bad: says what is wrong"
done

# Alien in C; John and Mary in another language, on ports of the system's choice.
# shellcheck disable=SC2046
set -- $("${PYTHON:-python3}" -c '
import socket
s = [socket.create_server(("127.0.0.1", 0)) for i in range(3)]
print(*(x.getsockname()[1] for x in s))')
if "${PYTHON:-python3}" -c 'import zmq' 2>"$dir/log"; then
    printf '# name address port\nJohn 127.0.0.1 %s\nMary %s 127.0.0.1 %s # with its key\n' "$2" \
        'WR)%3-d9dw)%3VQ@O37dVe<09FuNzI{vh}Vfi+]0' "$3" >"$dir/peers"
    for who in "John $2 Mary $3" "Mary $3 John $2"; do
        # shellcheck disable=SC2086
        set -- "$1" $who
        "${PYTHON:-python3}" tests/foreign.py realm "$2" --port "$3" --peer "Alien=127.0.0.1:$1" \
            --peer "$4=127.0.0.1:$5" --every 0.3 --seconds 8 --ignore-stdin >"$dir/$2" &
        eval "$2=$!"
    done
    build/demo Alien --port "$1" --peers "$dir/peers" --seconds 8 </dev/null >"$dir/log" 2>&1
    ok $? "Alien in C has received from John and Mary in another language"
    for who in John Mary; do
        eval "wait \$$who"
        status=$?
        cat "$dir/$who" >"$dir/log"
        ok $status "$who in another language has received, and nothing was wrong"
    done
else
    lacks "PyZMQ (Debian: python3-zmq)"
fi
end
