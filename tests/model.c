/* The model: efungi, ehyphae, etales; every public function, and each error it can return. */
#define _POSIX_C_SOURCE 200809L
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "tap.h"

#define GOOD_ONION "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd"
#define SECRET     "gbMF0ZKztI28i6}ax!&Yw/US<CCA9PLs.Osr3APc"
#define PUBLIC     "(>?aRHs!hJ2ykb?B}t6iGgo3-5xooFh@9F/4C:DW"
#define OTHER      "WR)%3-d9dw)%3VQ@O37dVe<09FuNzI{vh}Vfi+]0"

static char logged[512];
static void remember(void *user, emz_log_level level, const char *message) {
    (void)level;
    snprintf((char *)user, 512, "%s", message);
}

static void test_new(void) {
    emz_efunguz *ef = NULL, *untouched = (emz_efunguz *)&ef, *second = untouched;
    const char *keys[2] = {OTHER, "bad"};
    emz_config c;
#define NEW(error, name, ...)                                               \
    do {                                                                    \
        memset(&c, 0, sizeof c);                                            \
        c.pubsub_port = EMZ_ANY_PORT;                                       \
        __VA_ARGS__;                                                        \
        c.log = remember;                                                   \
        c.log_user = logged;                                                \
        *logged = 0;                                                        \
        is(emz_efunguz_new(&second, SECRET, &c), error, "new: " name);      \
        ok((error != EMZ_ERR_KEY) == !!*logged, "... the log: %s", logged); \
        ok(second == untouched, "... and nothing is changed");              \
    } while (0)
    NEW(EMZ_ERR_ARGUMENT, "port -2", c.pubsub_port = -2);
    NEW(EMZ_ERR_ARGUMENT, "port 65536", c.pubsub_port = 65536);
    NEW(EMZ_ERR_ARGUMENT, "proxy port -1", c.torproxy_port = -1);
    NEW(EMZ_ERR_ARGUMENT, "proxy port 65536", c.torproxy_port = 65536);
    NEW(EMZ_ERR_ARGUMENT, "proxy by name", c.torproxy_host = "tor.example");
    NEW(EMZ_ERR_ARGUMENT, "empty proxy", c.torproxy_host = "");
    NEW(EMZ_ERR_ARGUMENT, "empty host", c.bind_host = "");
    NEW(EMZ_ERR_ARGUMENT, "host with a slash", c.bind_host = "127.0.0.1/x");
    NEW(EMZ_ERR_ARGUMENT, "host with a semicolon", c.bind_host = "127.0.0.1;127.0.0.1");
    NEW(EMZ_ERR_ARGUMENT, "negative queue", c.queue_size = -1);
    NEW(EMZ_ERR_ARGUMENT, "negative threads", c.io_threads = -1);
    NEW(EMZ_ERR_ARGUMENT, "too many threads", c.io_threads = 65);
    NEW(EMZ_ERR_ARGUMENT, "enormously many threads", c.io_threads = 0x7fffffff);
    NEW(EMZ_ERR_ARGUMENT, "enormous parts", c.max_part_size = SIZE_MAX);
    NEW(EMZ_ERR_ARGUMENT, "a whitelist that is NULL", c.whitelist_size = 1);
    NEW(EMZ_ERR_KEY, "a bad key in the whitelist", c.whitelist = keys, c.whitelist_size = 2);
    NEW(EMZ_ERR_BIND, "an address of another machine", c.bind_host = "192.0.2.1");
    is(emz_efunguz_new(NULL, SECRET, NULL), EMZ_ERR_ARGUMENT, "new: nowhere to put it");
    is(emz_efunguz_new(&second, NULL, NULL), EMZ_ERR_ARGUMENT, "new: no key");
    is(emz_efunguz_new(&second, "", NULL), EMZ_ERR_KEY, "new: empty key");
    is(emz_efunguz_new(&second, SECRET "0", NULL), EMZ_ERR_KEY, "new: long key");

    memset(&c, 0, sizeof c);
    c.pubsub_port = EMZ_ANY_PORT;
    c.torproxy_host = "localhost";
    is(emz_efunguz_new(&ef, SECRET, &c), EMZ_OK, "new");
    is_str(emz_efunguz_publickey(ef), PUBLIC, "its public key");
    ok(emz_efunguz_port(ef) > 0 && emz_efunguz_port(ef) < 65536, "its port");
    c.pubsub_port = emz_efunguz_port(ef);
    errno = 0;
    is(emz_efunguz_new(&second, SECRET, &c), EMZ_ERR_BIND, "new: a port that is taken");
    is(errno, EADDRINUSE, "... errno says so");
    c.bind_host = "::1";
    c.torproxy_host = "::1";
    is(emz_efunguz_new(&second, SECRET, &c), EMZ_OK, "the same port of ::1 is another");
    emz_efunguz_free(second);
    c.bind_host = "*";
    c.pubsub_port = EMZ_ANY_PORT;
    is(emz_efunguz_new(&second, SECRET, &c), EMZ_OK, "on every interface");
    emz_efunguz_free(second);
    emz_efunguz_free(ef);
    emz_efunguz_free(NULL);
    ok(1, "freed, NULL too");
}

static void test_ehyphae(emz_efunguz *ef) {
    emz_ehypha *eh = NULL, *again = NULL, *direct;
    char host[300];
    is(emz_efunguz_add_ehypha(ef, OTHER, GOOD_ONION, 60847, &eh), EMZ_OK, "add an ehypha");
    is(emz_efunguz_add_ehypha(ef, OTHER, GOOD_ONION, 1, &again), EMZ_ALREADY_PRESENT, "again");
    ok(again == eh, "... gives the same");
    is(emz_efunguz_add_ehypha(ef, OTHER, GOOD_ONION, 1, NULL), EMZ_ALREADY_PRESENT, "no out");
    is(emz_efunguz_add_ehypha_direct(ef, OTHER, "127.0.0.1", 1, NULL), EMZ_ALREADY_PRESENT,
       "directly, with the same key");
    is_str(emz_ehypha_publickey(eh), OTHER, "its key");
    again = NULL;
#define ADD(r, key, onion, port) \
    is(emz_efunguz_add_ehypha(ef, key, onion, port, &again), r, "add_ehypha " #key " " #port)
    ADD(EMZ_ERR_ARGUMENT, PUBLIC, GOOD_ONION, 0);
    ADD(EMZ_ERR_ARGUMENT, PUBLIC, GOOD_ONION, -1);
    ADD(EMZ_ERR_ARGUMENT, PUBLIC, GOOD_ONION, 65536);
    ADD(EMZ_ERR_ARGUMENT, NULL, GOOD_ONION, 1);
    ADD(EMZ_ERR_ARGUMENT, PUBLIC, NULL, 1);
    ADD(EMZ_ERR_ONION, PUBLIC, "a" GOOD_ONION, 1);
    ADD(EMZ_ERR_KEY, "short", GOOD_ONION, 1);
    ADD(EMZ_ERR_KEY, "0000000000000000000000000000000000000000", GOOD_ONION, 1);
    is(emz_efunguz_add_ehypha(NULL, PUBLIC, GOOD_ONION, 1, &again), EMZ_ERR_ARGUMENT, "no ef");
#define DIRECT(r, key, host, port)                                    \
    is(emz_efunguz_add_ehypha_direct(ef, key, host, port, &again), r, \
       "add_ehypha_direct " #key " " #host " " #port)
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "127.0.0.1", 0);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "127.0.0.1", 65536);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, NULL, 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "", 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "a b", 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "*", 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, GOOD_ONION ".onion", 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "short.OniOn.", 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "127.0.0.1:80", 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "a/b", 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "A@B", 1);
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, "{::1}", 1);
    DIRECT(EMZ_ERR_ARGUMENT, NULL, "127.0.0.1", 1);
    DIRECT(EMZ_ERR_KEY, SECRET "x", "127.0.0.1", 1);
    is(emz_efunguz_add_ehypha_direct(ef, PUBLIC, "short.onion%1", 1, &again), EMZ_ERR_ARGUMENT,
       "an onion behind which a zone stands");
    memset(host, 'a', sizeof host);
    host[256] = 0;
    DIRECT(EMZ_ERR_ARGUMENT, PUBLIC, host, 1);
    ok(!again, "none of these has set *out");
    is(emz_efunguz_ehypha_count(ef), 1, "or added any");
    is(emz_efunguz_add_ehypha_direct(ef, PUBLIC, "::1", 1, &direct), EMZ_OK, "a direct one, ::1");
    is(emz_efunguz_ehypha_count(ef), 2, "two");
    ok(emz_efunguz_ehypha_at(ef, 0) == eh && emz_efunguz_ehypha_at(ef, 1) == direct &&
           !emz_efunguz_ehypha_at(ef, 2),
       "in the order of adding");
    ok(emz_efunguz_get_ehypha(ef, OTHER) == eh, "found by key");
    ok(!emz_efunguz_get_ehypha(ef, SECRET) && !emz_efunguz_get_ehypha(ef, "bad") &&
           !emz_efunguz_get_ehypha(ef, NULL) && !emz_efunguz_get_ehypha(NULL, OTHER),
       "not found, bad, NULL");
    is(emz_efunguz_del_ehypha(ef, OTHER), EMZ_OK, "delete it");
    is(emz_efunguz_del_ehypha(ef, OTHER), EMZ_ALREADY_ABSENT, "again");
    is(emz_efunguz_del_ehypha(ef, "bad"), EMZ_ERR_KEY, "a bad key");
    is(emz_efunguz_del_ehypha(ef, NULL), EMZ_ERR_ARGUMENT, "no key");
    is(emz_efunguz_del_ehypha(NULL, OTHER), EMZ_ERR_ARGUMENT, "no ef");
    ok(emz_efunguz_ehypha_at(ef, 0) == direct && emz_efunguz_ehypha_count(ef) == 1,
       "the other one is left");
    is(emz_efunguz_del_ehypha(ef, PUBLIC), EMZ_OK, "delete that");
}

static void test_etales(emz_efunguz *ef) {
    static char title[EMZ_TITLE_MAX + 2];
    emz_ehypha *eh;
    const emz_etale *et = NULL, *again = NULL;
    size_t count = 7;
    int i;
    emz_efunguz_add_ehypha_direct(ef, OTHER, "127.0.0.1", 1, &eh);
    is(emz_ehypha_add_etale(eh, "a", &et), EMZ_OK, "add an etale");
    is(emz_ehypha_add_etale(eh, "a", &again), EMZ_ALREADY_PRESENT, "again");
    ok(et == again, "... gives the same");
    is_str(emz_etale_title(et), "a", "its title");
    ok(emz_etale_t_in(et) == -1 && emz_etale_t_out(et) == -1, "no times yet");
    ok(!emz_etale_parts(et, &count) && count == 0 && !emz_etale_parts(et, NULL), "no parts yet");
    is(emz_etale_paused(et), 0, "not paused");
    is(emz_ehypha_add_etale(eh, "", NULL), EMZ_OK, "the empty title");
    is(emz_ehypha_add_etale(eh, NULL, NULL), EMZ_ERR_ARGUMENT, "no title");
    is(emz_ehypha_add_etale(NULL, "a", NULL), EMZ_ERR_ARGUMENT, "no ehypha");
    memset(title, 't', sizeof title - 1);
    is(emz_ehypha_add_etale(eh, title, NULL), EMZ_ERR_TITLE, "a title that is too long");
    is(emz_efunguz_emit_etale(ef, title, NULL, 0), EMZ_ERR_TITLE, "emit under it");
    is(emz_ehypha_etale_count(eh), 2, "two etales");
    ok(emz_ehypha_etale_at(eh, 0) == et && !emz_ehypha_etale_at(eh, 2), "by index");
    ok(emz_ehypha_get_etale(eh, "a") == et && !emz_ehypha_get_etale(eh, "b") &&
           !emz_ehypha_get_etale(eh, NULL) && !emz_ehypha_get_etale(NULL, "a"),
       "by title");
    is(emz_ehypha_pause_etale(eh, "a"), EMZ_OK, "pause");
    is(emz_ehypha_pause_etale(eh, "a"), EMZ_ALREADY_PAUSED, "again");
    is(emz_etale_paused(et), 1, "paused");
    is(emz_ehypha_pause_etale(eh, "b"), EMZ_ABSENT, "pause what is not there");
    is(emz_ehypha_pause_etale(eh, NULL), EMZ_ERR_ARGUMENT, "pause NULL");
    is(emz_ehypha_pause_etale(NULL, "a"), EMZ_ERR_ARGUMENT, "of NULL");
    is(emz_ehypha_resume_etale(eh, "a"), EMZ_OK, "resume");
    is(emz_ehypha_resume_etale(eh, "a"), EMZ_ALREADY_RESUMED, "again");
    is(emz_ehypha_resume_etale(eh, "b"), EMZ_ABSENT, "resume what is not there");
    is(emz_ehypha_resume_etale(eh, NULL), EMZ_ERR_ARGUMENT, "resume NULL");
    is(emz_ehypha_resume_etale(NULL, "a"), EMZ_ERR_ARGUMENT, "of NULL");
    emz_ehypha_pause_etales(eh);
    ok(emz_etale_paused(emz_ehypha_etale_at(eh, 0)) && emz_etale_paused(emz_ehypha_etale_at(eh, 1)),
       "pause all");
    emz_ehypha_resume_etales(eh);
    ok(!emz_etale_paused(emz_ehypha_etale_at(eh, 0)) &&
           !emz_etale_paused(emz_ehypha_etale_at(eh, 1)),
       "resume all");
    is(emz_ehypha_del_etale(eh, "a"), EMZ_OK, "delete");
    is(emz_ehypha_del_etale(eh, "a"), EMZ_ALREADY_ABSENT, "again");
    is(emz_ehypha_del_etale(eh, NULL), EMZ_ERR_ARGUMENT, "delete NULL");
    is(emz_ehypha_del_etale(NULL, "a"), EMZ_ERR_ARGUMENT, "of NULL");
    for (i = 0; i < 5000; i++) {
        snprintf(title, sizeof title, "%d", i);
        emz_ehypha_add_etale(eh, title, NULL);
    }
    is(emz_ehypha_etale_count(eh), 5001, "5,000 more");
    emz_efunguz_del_ehypha(ef, OTHER);
}

static void test_null(void) {
    emz_ehypha_pause_etales(NULL);
    emz_ehypha_resume_etales(NULL);
    emz_efunguz_clear_whitelist_publickeys(NULL);
    ok(!emz_efunguz_publickey(NULL) && !emz_efunguz_port(NULL) && !emz_efunguz_update(NULL) &&
           !emz_efunguz_wait(NULL, 0) && !emz_efunguz_whitelist_size(NULL) &&
           !emz_efunguz_ehypha_count(NULL) && !emz_efunguz_ehypha_at(NULL, 0) &&
           !emz_efunguz_in_absorbing_num(NULL) && !emz_efunguz_in_permitted_num(NULL) &&
           !emz_efunguz_in_attempted_num(NULL) && !emz_ehypha_publickey(NULL) &&
           !emz_ehypha_link(NULL) && emz_ehypha_link_str(NULL) && !emz_ehypha_etale_count(NULL) &&
           !emz_ehypha_etale_at(NULL, 0) && !emz_etale_title(NULL) &&
           !emz_etale_parts(NULL, NULL) && emz_etale_t_out(NULL) == -1 &&
           emz_etale_t_in(NULL) == -1 && !emz_etale_paused(NULL),
       "NULL is harmless everywhere");
}

static void test_emit(emz_efunguz *ef) {
    emz_part parts[2] = {{"x", 1}, {NULL, 0}};
    int64_t before = ef->t_out;
    is(emz_efunguz_emit_etale(NULL, "a", parts, 1), EMZ_ERR_ARGUMENT, "emit: no ef");
    is(emz_efunguz_emit_etale(ef, NULL, parts, 1), EMZ_ERR_ARGUMENT, "emit: no title");
    is(emz_efunguz_emit_etale(ef, "a", NULL, 1), EMZ_ERR_ARGUMENT, "emit: no parts");
    parts[1].size = 1;
    is(emz_efunguz_emit_etale(ef, "a", parts, 2), EMZ_ERR_ARGUMENT, "emit: a part that is NULL");
    parts[1].data = "y";
    parts[1].size = 1001;
    is(emz_efunguz_emit_etale(ef, "a", parts, 2), EMZ_ERR_TOO_LARGE, "emit: a part too large");
    ok(ef->t_out == before && !ef->retained.count, "nothing was emitted or kept");
    is(emz_efunguz_forget_etale(ef, "a"), EMZ_ALREADY_ABSENT, "nothing to forget");
    is(emz_efunguz_emit_etale(ef, "a", parts, 1), EMZ_OK, "emit one part");
    is(emz_efunguz_emit_etale(ef, "", NULL, 0), EMZ_OK, "emit nothing under the empty title");
    is(emz_efunguz_forget_etale(ef, "a"), EMZ_OK, "forget it");
    is(emz_efunguz_forget_etale(ef, "a"), EMZ_ALREADY_ABSENT, "again");
    is(emz_efunguz_forget_etale(ef, NULL), EMZ_ERR_ARGUMENT, "forget NULL");
    is(emz_efunguz_forget_etale(NULL, "a"), EMZ_ERR_ARGUMENT, "of NULL");
}

/* Two realms, each reading the other. */
static void test_exchange(void) {
    static char big[300000];
    emz_efunguz *a = realm_new(NULL, NULL), *b = realm_new(NULL, NULL);
    emz_ehypha *ab = connect_realm(a, b), *ba = connect_realm(b, a);
    const emz_etale *from_a, *from_b, *none;
    emz_part parts[4];
    const emz_part *got;
    size_t count;
    int64_t last;
    char text[20];
    int i, increases = 1;
    emz_ehypha_add_etale(ba, "one", &from_a);
    emz_ehypha_add_etale(ab, "two", &from_b);
    emz_ehypha_add_etale(ab, "one", &none);
    is(emz_ehypha_link(ab), EMZ_LINK_CONNECTING, "connecting");
    until("a is connected to b", emz_ehypha_link(ab) == EMZ_LINK_UP);
    until("b is connected to a", emz_ehypha_link(ba) == EMZ_LINK_UP);
    until("a counts b", emz_efunguz_in_absorbing_num(a) == 1);
    is(emz_efunguz_in_permitted_num(a), 1, "permitted once");
    is(emz_efunguz_in_attempted_num(a), 1, "attempted once");

    updated = 0;
    emit_text(a, "one", "from a");
    emit_text(b, "two", "from b");
    until("b has a's value", holds(from_a, "from a"));
    until("a has b's value", holds(from_b, "from b"));
    is(updated, 2, "update() has told of two newer values");
    ok(emz_etale_t_in(none) == -1, "a title that nobody emits has no value");
    ok(emz_etale_t_out(from_a) > 0 && emz_etale_t_in(from_a) >= emz_etale_t_out(from_a) &&
           emz_etale_t_in(from_a) - emz_etale_t_out(from_a) < 60000000,
       "both times are about now");

    memset(big, 'b', sizeof big);
    parts[0].data = big;
    parts[0].size = sizeof big;
    parts[1].data = NULL;
    parts[1].size = 0;
    parts[2].data = "\0x";
    parts[2].size = 2;
    parts[3].data = big;
    parts[3].size = 34; /* just beyond what libzmq keeps inside of a message */
    emz_efunguz_emit_etale(a, "one", parts, 4);
    until("a value of four parts", (emz_etale_parts(from_a, &count), count == 4));
    got = emz_etale_parts(from_a, &count);
    ok(got[0].size == sizeof big && !memcmp(got[0].data, big, sizeof big) && got[1].size == 0 &&
           got[2].size == 2 && !memcmp(got[2].data, "\0x", 2) && got[3].size == 34 &&
           !memcmp(got[3].data, big, 34),
       "... each as it was sent");
    emz_efunguz_emit_etale(a, "one", NULL, 0);
    until("a value without parts", (emz_etale_parts(from_a, &count), count == 0));
    ok(!emz_etale_parts(from_a, NULL), "... has none");

    last = emz_etale_t_out(from_a);
    for (i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "%d", i);
        emit_text(a, "one", text);
        increases &= a->t_out > last;
        last = a->t_out;
    }
    ok(increases, "t_out increases strictly, also within a microsecond");
    updated = 0;
    until("of many values, the newest", holds(from_a, "499"));
    ok(updated >= 1 && updated <= 500, "counted once an update(): %d", updated);
    is(emz_etale_t_out(from_a), last, "its time is the publisher's");

    emz_ehypha_pause_etale(ba, "one");
    until("the unsubscription has arrived",
          (emit_text(a, "one", "while paused"), pump(), !emz_efunguz_wait(b, 20)));
    ok(holds(from_a, "499"), "a paused etale keeps its value");
    emz_ehypha_resume_etale(ba, "one");
    until("resumed, it gets the newest", holds(from_a, "while paused"));
    emz_ehypha_del_etale(ba, "one");
    emz_ehypha_add_etale(ba, "one", &from_a);
    until("deleted and added, too", holds(from_a, "while paused"));

    realm_free(a);
    until("b sees that a is gone", emz_ehypha_link(ba) < 0);
    ok(holds(from_a, "while paused"), "the last value stays readable");
    realm_free(b);
}

/* libzmq wakes us again and again, and there is never any work. */
static void test_housekeeping(emz_efunguz *ef) {
    emz_i_source s;
    int ends[2];
    memset(&s, 0, sizeof s);
    if (pipe(ends) || write(ends[1], "x", 1) != 1) {
        ok(0, "a pipe");
        return;
    }
    s.socket = ef->zap.socket;
    s.fd = ends[0];
    emz_i_want(&ef->poller, &s, ZMQ_POLLIN);
    alarm(10); /* a wait that does not end fails the test */
    is(emz_efunguz_wait(ef, 30), 0, "wait() times out also if libzmq keeps waking us");
    is(emz_efunguz_wait(ef, 0), 0, "... with no time at all, too");
    alarm(0);
    emz_i_unwatch(&ef->poller, &s);
    close(ends[0]);
    close(ends[1]);
}

static void test_wait(void) {
    emz_efunguz *a = realm_new(NULL, NULL), *b = realm_new(NULL, NULL);
    emz_ehypha *ba = connect_realm(b, a);
    const emz_etale *et;
    int64_t t;
    emz_ehypha_add_etale(ba, "t", &et);
    until("connected", emz_ehypha_link(ba) == EMZ_LINK_UP && emz_efunguz_in_absorbing_num(a) == 1);
    emit_text(a, "t", "1");
    until("received", holds(et, "1"));
    until("all is quiet", !emz_efunguz_wait(a, 0) && !emz_efunguz_wait(b, 0));
    t = emz_now();
    is(emz_efunguz_wait(b, 50), 0, "wait() times out");
    ok(emz_now() - t >= 49000, "... not before its time");
    emit_text(a, "t", "2");
    is(emz_efunguz_wait(b, 60000), 1, "wait() ends when something comes");
    is(emz_efunguz_update(b), 1, "... update() has work");
    ok(holds(et, "2"), "... the value");
    is(emz_efunguz_wait(a, 50), 0, "having emitted is no work");
    test_housekeeping(b);
    emit_text(a, "t", "3");
    ok(emz_efunguz_wait(b, 60000) == 1 && b->polled,
       "update() need not look again for what wait() saw");
    emz_efunguz_del_ehypha(b, emz_efunguz_publickey(a));
    ok(!emz_efunguz_wait(b, 0) && !b->polled, "... but when that is gone, it does");
    realm_free(a);
    realm_free(b);
}

static void test_limits(void) {
    static char part[70000], title[2000];
    emz_config c;
    emz_efunguz *a, *b;
    emz_ehypha *ba;
    const emz_etale *small, *other;
    emz_part p;
    memset(&c, 0, sizeof c);
    a = realm_new(NULL, &c);
    c.max_part_size = 1000;
    c.pubsub_port = EMZ_ANY_PORT;
    b = realm_new(NULL, &c);
    ba = connect_realm(b, a);
    emz_ehypha_add_etale(ba, "p", &small);
    emz_ehypha_add_etale(ba, "o", &other);
    p.data = part;
    p.size = 1000;
    emz_efunguz_emit_etale(a, "p", &p, 1);
    until("a part as large as allowed", emz_etale_t_in(small) >= 0);
    p.size = 1001;
    emz_efunguz_emit_etale(a, "p", &p, 1);
    memset(title, 't', sizeof title - 1);
    emz_ehypha_add_etale(ba, title, &other);
    emit_text(a, title, "good");
    until("a title may be longer than a part", holds(other, "good"));
    ok(emz_etale_parts(small, NULL)[0].size == 1000, "a larger part is ignored");
    emz_ehypha_add_etale(ba, "o", &other);
    p.size = sizeof part;
    emz_efunguz_emit_etale(a, "p", &p, 1);
    until("one above 64 kB ends the connection", emz_ehypha_link(ba) == EMZ_LINK_LOST);
    ok(emz_etale_parts(small, NULL)[0].size == 1000, "the last good value stays");
    emz_efunguz_forget_etale(a, "p");
    until("it is tried again", emz_ehypha_link(ba) == EMZ_LINK_UP);
    emit_text(a, "o", "good");
    until("other titles go on", holds(other, "good"));
    realm_free(a);
    realm_free(b);
}

/* One update() reads from all who have sent something, however many they are. */
static void test_crowd(void) {
    enum { PEERS = 80 };
    const int one = 1, zero = 0;
    emz_efunguz *b = realm_new(NULL, NULL);
    void *context = zmq_ctx_new(), *pub[PEERS];
    struct pollfd item[PEERS];
    int64_t end = emz_now() + INT64_C(60000000);
    int i, asked = 0, waiting = 0;
    for (i = 0; i < PEERS; i++) {
        char publickey[EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE], endpoint[64];
        size_t size = sizeof endpoint;
        emz_ehypha *eh = NULL;
        pub[i] = zmq_socket(context, ZMQ_XPUB);
        emz_keypair(publickey, secretkey);
        zmq_setsockopt(pub[i], ZMQ_LINGER, &zero, sizeof zero);
        zmq_setsockopt(pub[i], ZMQ_CURVE_SERVER, &one, sizeof one);
        zmq_setsockopt(pub[i], ZMQ_CURVE_SECRETKEY, secretkey, EMZ_KEY_Z85_SIZE);
        zmq_bind(pub[i], "tcp://127.0.0.1:*");
        zmq_getsockopt(pub[i], ZMQ_LAST_ENDPOINT, endpoint, &size);
        emz_efunguz_add_ehypha_direct(b, publickey, "127.0.0.1", atoi(strrchr(endpoint, ':') + 1),
                                      &eh);
        emz_ehypha_add_etale(eh, "t", NULL);
        item[i].fd = eh ? eh->source.fd : -1;
        item[i].events = POLLIN;
    }
    while (asked < PEERS && emz_now() < end) {
        for (i = 0; i < PEERS; i++) {
            char sub[8];
            asked += zmq_recv(pub[i], sub, sizeof sub, ZMQ_DONTWAIT) > 0;
        }
        pump();
    }
    is(asked, PEERS, "80 publishers, and a subscription at each");
    until("nothing else to do", !emz_efunguz_wait(b, 0));
    for (i = 0; i < PEERS; i++) {
        zmq_send(pub[i], "t", 2, ZMQ_SNDMORE);
        zmq_send(pub[i], "12345678", 8, 0);
    }
    while (waiting < PEERS && emz_now() < end) {
        poll(item, PEERS, 10);
        for (waiting = i = 0; i < PEERS; i++) {
            waiting += item[i].revents != 0;
        }
    }
    is(emz_efunguz_update(b), PEERS, "one update() reads from all of them");
    realm_free(b);
    for (i = 0; i < PEERS; i++) {
        zmq_close(pub[i]);
    }
    zmq_ctx_term(context);
}

/* Of a flood, update() takes a bounded piece; the newest value wins. */
static void test_flood(void) {
    emz_config c;
    emz_efunguz *a, *b;
    const emz_etale *et;
    emz_ehypha *ba;
    int64_t end;
    int left = 0, i;
    memset(&c, 0, sizeof c);
    c.queue_size = 5 * EMZ_UPDATE_MESSAGES;
    a = realm_new(NULL, &c);
    b = realm_new(NULL, &c);
    ba = connect_realm(b, a);
    emz_ehypha_add_etale(ba, "f", &et);
    emit_text(a, "f", "first");
    until("a reader", holds(et, "first"));
    for (end = emz_now() + INT64_C(60000000); !left && emz_now() < end;) {
        for (i = 0; i < 3 * EMZ_UPDATE_MESSAGES; i++) {
            emit_text(a, "f", "more");
        }
        zmq_poll(NULL, 0, 10);
        emz_efunguz_update(b);
        left = ba->source.next != NULL;
    }
    ok(left, "update() leaves the rest of a flood to the next");
    is(emz_efunguz_wait(b, 60000), 1, "for which wait() does not wait");
    until("the flood ends", (pump(), !emz_efunguz_wait(b, 0)));
    emit_text(a, "f", "last");
    until("the newest value wins", holds(et, "last"));
    realm_free(a);
    realm_free(b);
}

/* A connection that cannot be: why? */
static void test_links(void) {
    emz_efunguz *a = realm_new(NULL, NULL), *b = realm_new(NULL, NULL);
    zmq_fd_t fd;
    int port;
    emz_ehypha *eh;
    char key[EMZ_KEY_Z85_SIZE], secret[EMZ_KEY_Z85_SIZE];
    fd = emz_i_net_loopback(&port); /* bound, not listening: nobody else takes it */
    emz_keypair(key, secret);
    emz_efunguz_add_ehypha_direct(a, key, "127.0.0.1", port, &eh);
    until("nobody listens: UNREACHABLE", emz_ehypha_link(eh) == EMZ_LINK_UNREACHABLE);
    emz_efunguz_del_ehypha(a, key);
    emz_efunguz_add_ehypha_direct(a, key, "127.0.0.1", emz_efunguz_port(b), &eh);
    until("another key: WRONG_KEY", emz_ehypha_link(eh) == EMZ_LINK_WRONG_KEY);
    ok(strstr(emz_ehypha_link_str(eh), "key") != NULL, "the sentence names the key");
    emz_efunguz_del_ehypha(a, key);
    emz_i_net_close(&fd);
    realm_free(a);
    realm_free(b);
}

static emz_efunguz *realm_with_queue(int size) {
    emz_config c;
    memset(&c, 0, sizeof c);
    c.queue_size = size;
    return realm_new(NULL, &c);
}

/* A reader that was away for so long that the queues overflowed ends with the newest all the same.
 * late: what it had before was published long before it came. */
static void test_behind(int queue, int late) {
    static char data[20000];
    emz_efunguz *a = realm_with_queue(queue), *b = realm_new(NULL, NULL);
    emz_ehypha *eh = connect_realm(b, a);
    const emz_etale *busy, *quiet;
    emz_part part;
    size_t count;
    int i, asked;
    part.data = data;
    part.size = sizeof data;
    emz_ehypha_add_etale(eh, "busy", &busy);
    emz_ehypha_add_etale(eh, "quiet", &quiet);
    emit_text(a, "busy", "");
    until("somebody reads", emz_etale_t_in(busy) >= 0);
    eh->lag = late ? INT64_C(3600000000) : eh->lag;
    for (i = 0; i < 3000; i++) { /* 60 MB: more than the system keeps */
        memcpy(data, &i, sizeof i);
        if (emz_efunguz_emit_etale(a, "busy", &part, 1)) {
            break;
        }
    }
    is(i, 3000, "3,000 values are emitted while the reader is away");
    emit_text(a, "quiet", "at last");
    until("then it gets the last one", holds(quiet, "at last"));
    until("and the newest of the others", emz_etale_parts(busy, &count) && count == 1 &&
                                              emz_etale_parts(busy, NULL)->size == sizeof data &&
                                              !memcmp(emz_etale_parts(busy, NULL)->data, data, 4));
    asked = updated;
    for (i = 0; i < 300; i++) {
        pump();
    }
    is(updated, asked, "what it has already is no news");
    realm_free(b);
    realm_free(a);
}

/* A burst of more titles than a queue holds, to a reader that is there. */
static void test_burst(int queue, int titles) {
    const int bursts = 12;
    emz_efunguz *a = realm_with_queue(queue), *b = realm_new(NULL, NULL);
    emz_ehypha *eh = connect_realm(b, a);
    char title[16], value[16];
    int i, n, lack = 0;
    for (i = 0; i < titles; i++) {
        snprintf(title, sizeof title, "%d", i);
        emz_ehypha_add_etale(eh, title, NULL);
    }
    emit_text(a, "0", "");
    until("somebody reads", emz_etale_t_in(emz_ehypha_etale_at(eh, 0)) >= 0);
    for (n = 0; n < bursts && !lack; n++) {
        int64_t end = emz_now() + INT64_C(20000000);
        snprintf(value, sizeof value, "%d", n);
        for (i = 0; i < titles; i++) {
            snprintf(title, sizeof title, "%d", i);
            emit_text(a, title, value);
        }
        do {
            pump();
            emz_efunguz_wait(b, 1);
            for (lack = i = 0; i < titles; i++) {
                lack += !holds(emz_ehypha_etale_at(eh, (size_t)i), value);
            }
        } while (lack && emz_now() < end);
    }
    is(lack, 0, "a queue of %d: of each burst of %d titles, all arrive", queue, titles);
    realm_free(b);
    realm_free(a);
}

/* A value that was emitted at t_out (s) and comes in at t_in. */
static void comes(emz_ehypha *eh, double t_out, double t_in) {
    static emz_etale et;
    et.t_out = (int64_t)(t_out * 1e6);
    et.t_in = (int64_t)(t_in * 1e6);
    emz_i_backlog(eh, &et);
}

/* When are the last values asked for again? */
static void test_backlog(void) {
    emz_efunguz *a = realm_new(NULL, NULL), *b = realm_new(NULL, NULL);
    emz_ehypha *eh = connect_realm(b, a);
    double t;
    int i;
    until("connected", emz_ehypha_link(eh) == EMZ_LINK_UP);
    emz_ehypha_add_etale(eh, "t", NULL);
    is(eh->due == EMZ_I_NEVER, 1, "at first, nothing is to be asked for");
    for (i = 0; i < 5000; i++) {
        comes(eh, 1 + i * 0.001, 1 + i * 0.001 + (i % 7) * 0.01);
    }
    is(eh->due == EMZ_I_NEVER, 1, "a quick stream: nothing either");
    /* 300 more as the first one arrives, and the queue is full */
    for (i = 0, t = 10; i < 1000; i++) {
        comes(eh, i < 700 ? 10 : 10.01, t += 0.01);
    }
    ok(eh->due < EMZ_I_NEVER, "700 values on their way, then 300 more: asked for again");
    emz_i_ask_again(eh);
    ok(!eh->streamed && eh->due < EMZ_I_NEVER, "once, and then only for what is not answered");
    /* read more quickly than they were emitted */
    for (i = 0; i < 1000; i++) {
        comes(eh, 100 + i * 0.0001, 105 + i * 0.00001);
    }
    ok(eh->due < EMZ_I_NEVER, "back from being away: asked for again");
    emz_i_ask_again(eh);
    for (i = 0, t = 200; i < 700; i++) { /* the publisher's clock goes back */
        comes(eh, 100 + i * 0.01, t += 0.01);
    }
    for (i = 0; i <= EMZ_I_VAIN_MAX; i++) {
        emz_i_ask_again(eh);
    }
    for (i = 0; i < 5000; i++) {
        comes(eh, 107 + i * 0.01, t += 0.01);
    }
    is(eh->due == EMZ_I_NEVER, 1, "a clock that was set is no backlog for ever");
    comes(eh, -9e12, t);
    comes(eh, 9e12, t);
    ok(1, "nor does it harm what the publisher takes for the time");
    realm_free(b);
    realm_free(a);
}

/* Over IPv6, and: what is emitted right before the end still arrives. */
static void test_last_words(void) {
    emz_config c;
    emz_efunguz *a, *b = realm_new(NULL, NULL);
    emz_ehypha *ba;
    const emz_etale *et;
    static char big[5000000];
    emz_part part;
    memset(&c, 0, sizeof c);
    c.bind_host = "::1";
    a = realm_new(NULL, &c);
    is(emz_efunguz_add_ehypha_direct(b, emz_efunguz_publickey(a), "::1", emz_efunguz_port(a), &ba),
       EMZ_OK, "over ::1");
    emz_ehypha_add_etale(ba, "t", &et);
    emit_text(a, "t", "1");
    until("a value over IPv6", holds(et, "1"));
    part.data = big;
    part.size = sizeof big;
    emz_efunguz_emit_etale(a, "t", &part, 1);
    realm_free(a);
    until("5 MB, emitted right before the end", emz_etale_parts(et, NULL)[0].size == sizeof big);
    realm_free(b);
}

static void test_log(void) {
    emz_config c;
    emz_efunguz *a, *b;
    emz_ehypha *ba;
    memset(&c, 0, sizeof c);
    c.log = remember;
    c.log_user = logged;
    a = realm_new(NULL, NULL);
    b = realm_new(NULL, &c);
    ba = connect_realm(b, a);
    until("connected", emz_ehypha_link(ba) == EMZ_LINK_UP);
    ok(strstr(logged, emz_efunguz_publickey(a)) && strstr(logged, "Connected."), "it was logged");
    realm_free(a);
    until("lost", emz_ehypha_link(ba) == EMZ_LINK_LOST);
    ok(strstr(logged, "lost") != NULL, "that too");
    realm_free(b);
    emz_log_stderr(NULL, EMZ_LOG_INFO, "a line of the ready-made log");
}

int main(void) {
    int fds_before = fds(), threads_before = threads();
    emz_config c;
    emz_efunguz *ef;
    memset(&c, 0, sizeof c);
    c.max_part_size = 1000;
    test_null();
    test_new();
    ef = realm_new(NULL, &c);
    test_ehyphae(ef);
    test_etales(ef);
    test_emit(ef);
    realm_free(ef);
    test_exchange();
    test_wait();
    test_limits();
    test_crowd();
    test_flood();
    test_links();
    test_behind(0, 0);
    test_behind(0, 1);
    test_behind(10, 0);
    test_burst(0, 2500);
    test_burst(1, 5);
    test_burst(10, 500);
    test_backlog();
    test_last_words();
    test_log();
    is(fds(), fds_before, "all file descriptors are back");
    is(threads(), threads_before, "all threads have ended");
    return tap_end();
}
