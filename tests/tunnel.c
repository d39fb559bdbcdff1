/* The way through a SOCKS5 proxy, against stand-ins for Tor (tests/socks.py) that work, hang, refuse,
 * close and talk nonsense. The limits are short here, so that every reason shows soon. */
#define _POSIX_C_SOURCE          200809L
#define EMZ_PROXY_TIMEOUT_MS     1500
#define EMZ_ONION_TIMEOUT_MS     1500
#define EMZ_HANDSHAKE_TIMEOUT_MS 3000
#define EMZ_HEARTBEAT_MS         300
#define EMZ_HEARTBEAT_TIMEOUT_MS 2000
#define EMZ_RETRY_PERCENT        10
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "tap.h"

#define ONION "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

static child proxy;
static int proxy_port;
static emz_efunguz *target; /* the peer behind the proxy */

static void proxy_is(const char *mode) {
    char line[200];
    snprintf(line, sizeof line, "mode %s", mode);
    child_tell(&proxy, line);
    ok(child_says(&proxy, "OK"), "the proxy is now: %s", mode);
}

static int proxy_start(void) {
    char map[64];
    const char *argv[6] = {getenv("PYTHON") ? getenv("PYTHON") : "python3",
                           "tests/socks.py",
                           "working",
                           "--map",
                           NULL,
                           NULL};
    snprintf(map, sizeof map, "*=127.0.0.1:%d", emz_efunguz_port(target));
    argv[4] = map;
    if (child_start(&proxy, argv) || !child_says(&proxy, "READY")) {
        return -1;
    }
    proxy_port = atoi(proxy.line + 6);
    return 0;
}

static emz_efunguz *client_new(int port) {
    emz_config c;
    memset(&c, 0, sizeof c);
    c.torproxy_port = port;
    return realm_new(NULL, &c);
}

static emz_ehypha *client_connect(emz_efunguz *ef, const emz_etale **et) {
    emz_ehypha *eh = NULL;
    if (emz_efunguz_add_ehypha(ef, emz_efunguz_publickey(target), ONION, 60847, &eh) == EMZ_OK) {
        emz_ehypha_add_etale(eh, "t", et);
    }
    return eh;
}

/* Each way to work: the value arrives, whole, also a large one. */
static void test_working(void) {
    static const char *modes[] = {"working",         "slow --delay 1",
                                  "long-reply",      "long-reply --atyp 4",
                                  "working --merge", "long-reply --length 0"};
    static char big[3000000];
    emz_part part;
    size_t i, k;
    for (k = 0; k < sizeof big; k++) {
        big[k] = (char)(k * k >> 7);
    }
    part.data = big;
    part.size = sizeof big;
    for (i = 0; i < sizeof modes / sizeof *modes; i++) {
        const emz_etale *et;
        emz_efunguz *ef = client_new(proxy_port);
        emz_ehypha *eh;
        proxy_is(modes[i]);
        emit_text(target, "t", modes[i]);
        eh = client_connect(ef, &et);
        until("a value through the proxy", holds(et, modes[i]));
        is(emz_ehypha_link(eh), EMZ_LINK_UP, "link: up");
        emz_efunguz_emit_etale(target, "t", &part, 1);
        until("3 MB through the proxy", emz_etale_parts(et, NULL)[0].size == sizeof big);
        ok(!memcmp(emz_etale_parts(et, NULL)[0].data, big, sizeof big), "... unharmed");
        realm_free(ef);
    }
}

/* Each way to fail: the reason is told; and when the proxy works again, so does everything. */
static void test_failing(void) {
    static const struct {
        const char *mode;
        emz_link link;
        const char *word; /* in the sentence */
    } modes[] = {
        {"hang", EMZ_LINK_NO_PROXY, "Tor"},
        {"hang-after-greeting", EMZ_LINK_UNREACHABLE, "wait"},
        {"hang-at 6", EMZ_LINK_UNREACHABLE, "wait"},
        {"hang-at 12", EMZ_LINK_SILENT, "answer"},
        {"no-method", EMZ_LINK_NO_PROXY, "Tor"},
        {"no-method --keep", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at -1", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 0", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 1", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 2", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 3", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 6", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 7", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 11", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 12", EMZ_LINK_UNREACHABLE, "reached"},
        {"close-at 0 --rst", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 5 --rst", EMZ_LINK_NO_PROXY, "Tor"},
        {"close-at 12 --rst", EMZ_LINK_UNREACHABLE, "reached"},
        {"garbage", EMZ_LINK_NO_PROXY, "Tor"},
        {"garbage --endless", EMZ_LINK_NO_PROXY, "Tor"},
        {"garbage --after 4", EMZ_LINK_NO_PROXY, "Tor"},
        {"garbage --after 12", EMZ_LINK_WRONG_KEY, "key"},
        {"refuse --code 1", EMZ_LINK_UNREACHABLE, "listens"},
        {"refuse --code 2", EMZ_LINK_UNREACHABLE, "allow"},
        {"refuse --code 3", EMZ_LINK_UNREACHABLE, "online"},
        {"refuse --code 4", EMZ_LINK_UNREACHABLE, "no such onion"},
        {"refuse --code 5", EMZ_LINK_UNREACHABLE, "port"},
        {"refuse --code 6", EMZ_LINK_UNREACHABLE, "wait"},
        {"refuse --code 7", EMZ_LINK_UNREACHABLE, "no Tor"},
        {"refuse --code 8", EMZ_LINK_UNREACHABLE, "no Tor"},
        {"refuse --code 240", EMZ_LINK_UNREACHABLE, "no descriptor"},
        {"refuse --code 241", EMZ_LINK_UNREACHABLE, "invalid descriptor"},
        {"refuse --code 242", EMZ_LINK_UNREACHABLE, "introduction"},
        {"refuse --code 243", EMZ_LINK_UNREACHABLE, "rendezvous"},
        {"refuse --code 244", EMZ_LINK_UNREACHABLE, "authorization"},
        {"refuse --code 245", EMZ_LINK_UNREACHABLE, "authorization"},
        {"refuse --code 246", EMZ_LINK_UNREACHABLE, "no onion address"},
        {"refuse --code 247", EMZ_LINK_UNREACHABLE, "introduction"},
        {"refuse --code 99 --keep", EMZ_LINK_UNREACHABLE, "RFC 1928"},
    };
    size_t i;
    for (i = 0; i < sizeof modes / sizeof *modes; i++) {
        const emz_etale *et;
        emz_efunguz *ef = client_new(proxy_port);
        emz_ehypha *eh;
        proxy_is(modes[i].mode);
        emit_text(target, "t", modes[i].mode);
        eh = client_connect(ef, &et);
        until("the reason shows", emz_ehypha_link(eh) < 0);
        is(emz_ehypha_link(eh), modes[i].link, "%s: %s", modes[i].mode, emz_ehypha_link_str(eh));
        ok(strstr(emz_ehypha_link_str(eh), modes[i].word) != NULL, "... names: %s", modes[i].word);
        ok(emz_etale_t_in(et) < 0, "nothing has arrived");
        proxy_is("working");
        until("the proxy works again: the value is there", holds(et, modes[i].mode));
        realm_free(ef);
    }
}

/* A connection that was up, and how it ends: the value stays, it comes back by itself. */
static void test_losing(void) {
    const emz_etale *et;
    emz_efunguz *ef = client_new(proxy_port);
    emz_ehypha *eh;
    proxy_is("working");
    emit_text(target, "t", "1");
    eh = client_connect(ef, &et);
    until("connected", holds(et, "1"));
    child_tell(&proxy, "drop");
    until("the proxy drops it: LOST", emz_ehypha_link(eh) == EMZ_LINK_LOST);
    ok(holds(et, "1"), "the value stays");
    emit_text(target, "t", "2");
    until("it is back", holds(et, "2") && emz_ehypha_link(eh) == EMZ_LINK_UP);
    child_tell(&proxy, "freeze");
    until("the proxy is frozen: noticed by heartbeats", emz_ehypha_link(eh) < 0);
    ok(holds(et, "2"), "the value stays");
    emit_text(target, "t", "3");
    child_tell(&proxy, "thaw");
    until("thawed, it is back", holds(et, "3") && emz_ehypha_link(eh) == EMZ_LINK_UP);
    child_tell(&proxy, "stop");
    child_tell(&proxy, "drop");
    until("no proxy: NO_PROXY", emz_ehypha_link(eh) == EMZ_LINK_NO_PROXY);
    emit_text(target, "t", "4");
    child_tell(&proxy, "start");
    until("the proxy is back, so is everything", holds(et, "4"));
    realm_free(ef);
}

static void small_buffer(zmq_fd_t fd) {
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
}

/* Neither side takes bytes as fast as the other gives them: what is held is neither lost nor torn. */
static void test_holding(void) {
    enum { TITLES = 5000 };
    static char big[3000000];
    char title[200];
    emz_part part;
    const emz_etale *et, *last = NULL;
    emz_efunguz *ef = client_new(proxy_port);
    emz_ehypha *eh;
    int i, held = 0, held_up = 0;
    size_t k;
    proxy_is("working");
    emit_text(target, "t", "1");
    eh = client_connect(ef, &et);
    until("connected", holds(et, "1"));
    small_buffer(eh->tunnel->local.fd);
    small_buffer(eh->tunnel->proxy.fd);
    for (k = 0; k < sizeof big; k++) {
        big[k] = (char)(k * k >> 5);
    }
    part.data = big;
    part.size = sizeof big;
    emz_efunguz_emit_etale(target, "t", &part, 1);
    until("3 MB through a narrow tunnel",
          (held |= eh->tunnel->down.data != NULL, emz_etale_parts(et, NULL)[0].size == sizeof big));
    ok(!memcmp(emz_etale_parts(et, NULL)[0].data, big, sizeof big), "... unharmed");
    ok(held, "... some was held on the way");
    child_tell(&proxy, "freeze");
    child_says(&proxy, "OK");
    for (i = 0; i < TITLES; i++) {
        snprintf(title, sizeof title, "%0180d", i);
        emz_ehypha_add_etale(eh, title, &last);
    }
    until("a megabyte of subscriptions is held on the way up", eh->tunnel->up.data != NULL);
    held_up = eh->tunnel->up.data != NULL;
    child_tell(&proxy, "thaw");
    child_says(&proxy, "OK");
    emit_text(target, title, "last");
    until("it arrives: the last title has its value", holds(last, "last"));
    ok(held_up && !eh->tunnel->up.data && emz_ehypha_link(eh) == EMZ_LINK_UP,
       "nothing is held any more, on the same connection");
    realm_free(ef);
}

/* Others on this machine knock at the tunnel's port, before our own socket and after it. */
static void test_strangers(void) {
    int round, tries = 0, knocked = 0;
    proxy_is("working");
    emit_text(target, "t", "1");
    for (round = 0; round < 30; round++) {
        const emz_etale *et;
        emz_efunguz *ef = client_new(proxy_port);
        emz_ehypha *eh = client_connect(ef, &et);
        zmq_fd_t fd[8];
        int n = 0, port = 0;
        int64_t end = emz_now() + 60000000;
        while (!holds(et, "1") && emz_now() < end) {
            struct sockaddr_in at;
            socklen_t size = sizeof at;
            pump();
            if (n < 8 && eh->tunnel->listener.fd != EMZ_I_NO_FD &&
                !getsockname(eh->tunnel->listener.fd, (struct sockaddr *)&at, &size)) {
                for (; n < 8; n++, knocked++) {
                    fd[n] = socket(AF_INET, SOCK_STREAM, 0);
                    (void)!connect(fd[n], (struct sockaddr *)&at, size);
                }
                port = ntohs(at.sin_port);
            }
            emz_efunguz_wait(ef, 1);
        }
        tries += holds(et, "1") && port;
        while (n) {
            close(fd[--n]);
        }
        realm_free(ef);
    }
    is(tries, 30, "30 connections, none disturbed");
    is(knocked, 240, "by 240 strangers");
}

/* Realms that come and go at any moment of a connection's life. */
static void test_rounds(void) {
    static const char *modes[] = {"working", "hang",       "hang-after-greeting", "refuse --code 4",
                                  "garbage", "close-at 0", "close-at 7",          "slow --delay 1"};
    size_t i;
    int round, fds_before = fds(), threads_before = threads();
    unsigned seed = 1;
    for (i = 0; i <= sizeof modes / sizeof *modes; i++) {
        int none = i == sizeof modes / sizeof *modes;
        if (!none) {
            proxy_is(modes[i]);
        } else {
            child_tell(&proxy, "stop");
            child_says(&proxy, "OK");
        }
        for (round = 0; round < 20; round++) {
            const emz_etale *et;
            emz_efunguz *ef = client_new(proxy_port);
            int steps;
            client_connect(ef, &et);
            seed = seed * 1103515245 + 12345;
            for (steps = (int)(seed >> 16) % 12; steps; steps--) {
                emz_efunguz_wait(ef, 1);
                pump();
            }
            realm_free(ef);
        }
        ok(1, "20 realms came and went: %s", none ? "no proxy" : modes[i]);
    }
    child_tell(&proxy, "start");
    until("all file descriptors are back", fds() <= fds_before);
    until("all threads have ended", threads() <= threads_before);
}

int main(void) {
    target = realm_new(NULL, NULL);
    if (proxy_start()) {
        return tap_lacks("python3, for tests/socks.py,");
    }
    test_working();
    test_failing();
    test_losing();
    test_holding();
    test_strangers();
    test_rounds();
    child_end(&proxy);
    realm_free(target);
    return tap_end();
}
