#!/bin/sh
# A Tor-mode ehypha opens connections to its proxy alone (and to itself, on loopback), and looks no
# name up: seen by strace, over the whole life of a connection.
. tests/tap.sh
proxy=
trap 'exec 9>&-; [ -z "$proxy" ] || wait "$proxy"; rm -rf "$dir"' EXIT
if ! strace -f -o "$dir/try" true 2>"$dir/log"; then
    lacks "strace (or the right to use it)"
    end
fi
cat >"$dir/client.c" <<'E'
#define EMYZELIUM_IMPLEMENTATION
#include "emyzelium.h"
int main(int argc, char **argv) {
    char pub[EMZ_KEY_Z85_SIZE], sec[EMZ_KEY_Z85_SIZE];
    emz_config config;
    emz_efunguz *ef;
    emz_ehypha *eh;
    int64_t end = emz_now() + 60000000;
    int reached = 0;
    memset(&config, 0, sizeof config);
    config.pubsub_port = EMZ_ANY_PORT;
    config.torproxy_port = atoi(argv[argc - 1]);
    if (emz_keypair(pub, sec) || emz_efunguz_new(&ef, sec, &config) ||
        emz_efunguz_add_ehypha(ef, pub, "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd",
                               60847, &eh)) {
        return 1;
    }
    /* Led to a port where something listens that is no peer, it must get as far as a handshake. */
    while (reached < 2 && emz_now() < end) {
        emz_efunguz_wait(ef, 20);
        emz_efunguz_update(ef);
        reached += emz_ehypha_link(eh) == EMZ_LINK_WRONG_KEY || emz_ehypha_link(eh) == EMZ_LINK_UNREACHABLE;
    }
    emz_efunguz_free(ef);
    return reached < 2;
}
E
# shellcheck disable=SC2046
${CC:-cc} -I. "$dir/client.c" -o "$dir/client" $(pkg-config --libs libzmq 2>/dev/null || echo -lzmq) || exit 1
mkfifo "$dir/in"
"${PYTHON:-python3}" tests/socks.py garbage --after 12 <"$dir/in" >"$dir/out" &
proxy=$!
exec 9>"$dir/in"
while ! grep -q READY "$dir/out"; do kill -0 $proxy || exit 1; done
port=$(sed -n 's/^READY //p' "$dir/out")

strace -f -e trace=connect,bind,listen,socket,sendto,openat -o "$dir/trace" "$dir/client" "$port"
ok $? "a connection through the proxy"
grep -o 'connect([0-9]*, {sa_family=AF_INET[^}]*}' "$dir/trace" | sort | uniq -c >"$dir/log"
total=$(grep -c 'connect(.*sa_family=AF_INET' "$dir/trace")
own=$(grep 'connect(.*sa_family=AF_INET,' "$dir/trace" | grep -c 'inet_addr("127.0.0.1")')
[ "$total" -gt 1 ] && [ "$total" -eq "$own" ]
ok $? "$total connections, all to 127.0.0.1"
# A connection to another port than the proxy's is the subscribing socket's, to our own listener: it
# comes from a thread of libzmq, never from ours.
main=$(head -1 "$dir/trace" | cut -d' ' -f1)
[ "$(grep "^$main .*connect(.*sa_family=AF_INET" "$dir/trace" | grep -vc "htons($port)")" -eq 0 ]
ok $? "of our own, all to the proxy"
! grep -q 'htons(53)\|resolv.conf\|/etc/hosts\|nscd' "$dir/trace"
ok $? "no name is looked up"
end
