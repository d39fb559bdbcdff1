/* The gate: who may subscribe, what a new subscriber gets, whitelist changes, the counters; and the
 * wire contract byte by byte, against peers on bare libzmq. */
#define _POSIX_C_SOURCE   200809L
#define EMZ_RETRY_PERCENT 10
#include <zmq.h>

/* Every zmq_bind of the implementation goes through here, so that a test may take the port first. */
static int bind_hook(void *socket, const char *endpoint);
#define zmq_bind bind_hook
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#undef zmq_bind
#include "tap.h"

static int thief = -1, thief_wanted; /* a foreign socket on our port; what to do at the next bind */

/* Take a port as soon as it is free. */
static int socket_listening(const struct sockaddr_in *at) {
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    while (bind(fd, (const struct sockaddr *)at, sizeof *at)) {
        zmq_poll(NULL, 0, 1);
    }
    listen(fd, 1);
    return fd;
}

static int bind_hook(void *socket, const char *endpoint) {
    if (thief_wanted && strncmp(endpoint, "tcp:", 4) == 0) {
        struct sockaddr_in at;
        memset(&at, 0, sizeof at);
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        at.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
        thief = socket_listening(&at);
        thief_wanted = 0;
    }
    return zmq_bind(socket, endpoint);
}

static char pub_[8][EMZ_KEY_Z85_SIZE], sec_[8][EMZ_KEY_Z85_SIZE]; /* key pairs */
static const char *key[8] = {pub_[0], pub_[1], pub_[2], pub_[3],
                             pub_[4], pub_[5], pub_[6], pub_[7]};
static char scratch[64] = "/tmp/emz-gate-XXXXXX";

/* ---- a subscriber on bare libzmq ---- */

typedef struct bare {
    void *context, *socket;
    zmq_msg_t frame[16];
    int frames;
} bare;

static int bare_room; /* messages that the next one takes in before they are read; 0: the default */

static void bare_open(bare *b, int type, const char *serverkey, int who, int port) {
    char endpoint[64];
    int zero = 0, buffer = 4096;
    memset(b, 0, sizeof *b);
    b->context = zmq_ctx_new();
    b->socket = zmq_socket(b->context, type);
    zmq_setsockopt(b->socket, ZMQ_LINGER, &zero, sizeof zero);
    if (bare_room) {
        zmq_setsockopt(b->socket, ZMQ_RCVHWM, &bare_room, sizeof bare_room);
        zmq_setsockopt(b->socket, ZMQ_RCVBUF, &buffer, sizeof buffer);
    }
    zmq_setsockopt(b->socket, ZMQ_CURVE_SERVERKEY, serverkey, EMZ_KEY_Z85_SIZE);
    zmq_setsockopt(b->socket, ZMQ_CURVE_PUBLICKEY, pub_[who], EMZ_KEY_Z85_SIZE);
    zmq_setsockopt(b->socket, ZMQ_CURVE_SECRETKEY, sec_[who], EMZ_KEY_Z85_SIZE);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", port);
    zmq_connect(b->socket, endpoint);
}

static void bare_forget(bare *b) {
    while (b->frames) {
        zmq_msg_close(&b->frame[--b->frames]);
    }
}

/* The next message, if there is one now. */
static int bare_got(bare *b) {
    int more = 1;
    bare_forget(b);
    while (more && b->frames < 16) {
        zmq_msg_init(&b->frame[b->frames]);
        if (zmq_msg_recv(&b->frame[b->frames], b->socket, ZMQ_DONTWAIT) < 0) {
            return 0;
        }
        more = zmq_msg_more(&b->frame[b->frames++]);
    }
    return 1;
}

static int bare_is(bare *b, int i, const void *data, size_t size) {
    return i < b->frames && zmq_msg_size(&b->frame[i]) == size &&
           !memcmp(zmq_msg_data(&b->frame[i]), data, size);
}

static void bare_close(bare *b) {
    bare_forget(b);
    zmq_close(b->socket);
    zmq_ctx_term(b->context);
}

/* ---- tests ---- */

static void test_wire(void) {
    emz_efunguz *a = realm_new(sec_[0], NULL);
    emz_part parts[3] = {{"AB", 2}, {NULL, 0}, {"\0\1", 2}};
    int64_t before = emz_now(), after;
    const unsigned char *t;
    bare b;
    bare_open(&b, ZMQ_SUB, pub_[0], 1, emz_efunguz_port(a));
    zmq_setsockopt(b.socket, ZMQ_SUBSCRIBE, "title", 6);
    until("a bare subscriber is in", emz_efunguz_in_absorbing_num(a) == 1);
    until("and subscribed", !emz_efunguz_wait(a, 50));
    emz_efunguz_emit_etale(a, "other", parts, 1);
    emz_efunguz_emit_etale(a, "titl", parts, 1);
    emz_efunguz_emit_etale(a, "title2", parts, 1);
    emz_efunguz_emit_etale(a, "title", parts, 3);
    after = emz_now();
    until("it gets a message", bare_got(&b));
    is(b.frames, 5, "wire: title, time, three parts");
    ok(bare_is(&b, 0, "title", 6), "wire: the title and one NUL");
    t = (const unsigned char *)zmq_msg_data(&b.frame[1]);
    is(zmq_msg_size(&b.frame[1]), 8, "wire: 8 bytes of time");
    ok(emz_i_wire_get_time(t) >= before && emz_i_wire_get_time(t) <= after + 4,
       "wire: microseconds since the epoch");
    ok(bare_is(&b, 2, "AB", 2) && bare_is(&b, 3, "", 0) && bare_is(&b, 4, "\0\1", 2),
       "wire: the parts, an empty one too");
    emz_efunguz_emit_etale(a, "title", NULL, 0);
    until("it gets the next", bare_got(&b));
    is(b.frames, 2, "wire: no parts, two frames");
    zmq_setsockopt(b.socket, ZMQ_SUBSCRIBE, "", 1);
    until("subscribed to the empty title", !emz_efunguz_wait(a, 50));
    emz_efunguz_emit_etale(a, "", parts, 1);
    until("it gets that", bare_got(&b));
    ok(b.frames == 3 && bare_is(&b, 0, "", 1), "wire: the empty title is one NUL");
    bare_close(&b);
    realm_free(a);
}

static void test_malformed(void) {
    /* A hostile publisher: everything that a receiver ignores, then a good message. */
    static const struct {
        int frames;
        const char *data[4];
        size_t size[4];
    } bad[] = {
        {1, {"t"}, {2}},
        {1, {""}, {0}},
        {2, {"", "12345678"}, {0, 8}},
        {2, {"t\0t", "12345678"}, {4, 8}},
        {2, {"t\0", "12345678"}, {3, 8}},
        {3, {"t", "1234567", "x"}, {2, 7, 1}},
        {3, {"t", "123456789", "x"}, {2, 9, 1}},
        {3, {"t", "", "x"}, {2, 0, 1}},
    };
    void *context = zmq_ctx_new(), *pub = zmq_socket(context, ZMQ_XPUB);
    int one = 1, zero = 0, verbose = 1, port, n = 0;
    size_t i, size = 64;
    char endpoint[64], sub[16];
    emz_efunguz *b = realm_new(NULL, NULL);
    emz_ehypha *eh;
    const emz_etale *et;
    const unsigned char good[8] = {1, 2, 0, 0, 0, 0, 0, 0x80};
    zmq_setsockopt(pub, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(pub, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(pub, ZMQ_XPUB_VERBOSE, &verbose, sizeof verbose);
    zmq_setsockopt(pub, ZMQ_CURVE_SECRETKEY, sec_[0], EMZ_KEY_Z85_SIZE);
    zmq_bind(pub, "tcp://127.0.0.1:*");
    zmq_getsockopt(pub, ZMQ_LAST_ENDPOINT, endpoint, &size);
    port = atoi(strrchr(endpoint, ':') + 1);
    emz_efunguz_add_ehypha_direct(b, pub_[0], "127.0.0.1", port, &eh);
    emz_ehypha_add_etale(eh, "t", &et);
    until("a bare publisher is subscribed to",
          (n = zmq_recv(pub, sub, sizeof sub, ZMQ_DONTWAIT)) > 0);
    ok(n == 3 && !memcmp(sub, "\1t", 3), "wire: a subscription is the title and one NUL");
    updated = 0;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        int k;
        for (k = 0; k < bad[i].frames; k++) {
            zmq_send(pub, bad[i].data[k], bad[i].size[k], k + 1 < bad[i].frames ? ZMQ_SNDMORE : 0);
        }
    }
    zmq_send(pub, "t", 2, ZMQ_SNDMORE);
    zmq_send(pub, good, 8, ZMQ_SNDMORE);
    zmq_send(pub, "ok", 2, 0);
    until("a good message behind malformed ones", holds(et, "ok"));
    is(updated, 1, "the malformed ones had no effect");
    is(emz_etale_t_out(et), INT64_MIN + 513, "time is signed and little-endian");
    zmq_send(pub, "t", 2, ZMQ_SNDMORE);
    zmq_send(pub, good, 8, ZMQ_SNDMORE);
    zmq_send(pub, "ok", 2, 0);
    zmq_send(pub, "t", 2, ZMQ_SNDMORE);
    zmq_send(pub, good, 8, ZMQ_SNDMORE);
    zmq_send(pub, "new", 3, 0);
    until("a value of the same time is newer if it differs", holds(et, "new"));
    is(updated, 2, "... and is recognised as received again if not");
    emz_ehypha_del_etale(eh, "t");
    until("wire: an unsubscription", zmq_recv(pub, sub, sizeof sub, ZMQ_DONTWAIT) == 3 && !*sub);
    realm_free(b);
    zmq_close(pub);
    zmq_ctx_term(context);
}

/* Does libzmq wait for somebody to use the gate, so that it can take note of who came and went? */
static int gate_is_kept_waiting(const emz_efunguz *ef) {
    zmq_pollitem_t item = {NULL, 0, ZMQ_POLLIN, 0};
    size_t size = sizeof item.fd;
    zmq_getsockopt(ef->gate.socket, ZMQ_FD, &item.fd, &size);
    return zmq_poll(&item, 1, 0) != 0;
}

/* The last value: for a late subscriber, and for it alone. */
static void test_retain(int no_retain) {
    emz_config c;
    emz_efunguz *a, *b, *late;
    emz_ehypha *ba, *late_a;
    const emz_etale *et, *et2;
    memset(&c, 0, sizeof c);
    c.no_retain = no_retain;
    a = realm_new(NULL, &c);
    b = realm_new(NULL, NULL);
    emit_text(a, "t", "1");
    emit_text(a, "t", "2");
    emit_text(a, "other", "x");
    ba = connect_realm(b, a);
    emz_ehypha_add_etale(ba, "t", &et);
    until("connected", emz_ehypha_link(ba) == EMZ_LINK_UP);
    if (no_retain) {
        until("all is quiet", !emz_efunguz_wait(a, 20) && !emz_efunguz_wait(b, 100));
        until("nothing piles up without an emit", !gate_is_kept_waiting(a));
        ok(emz_etale_t_in(et) < 0, "no_retain: nothing for a late subscriber");
        until("but the next value", (emit_text(a, "t", "3"), holds(et, "3")));
    } else {
        until("a late subscriber gets the last value", holds(et, "2"));
        late = realm_new(NULL, NULL);
        late_a = connect_realm(late, a);
        emz_ehypha_add_etale(late_a, "t", &et2);
        updated = 0;
        until("a later one, too", holds(et2, "2"));
        until("all is quiet", !emz_efunguz_wait(a, 20) && !emz_efunguz_wait(b, 50));
        is(updated, 1, "the first one did not get it again");
        until("all is quiet", !emz_efunguz_wait(b, 0));
        emit_text(a, "t", "3");
        until("the next value reaches both", holds(et, "3") && holds(et2, "3"));
        emz_efunguz_forget_etale(a, "t");
        emz_ehypha_add_etale(ba, "none", NULL);
        realm_free(late);
        late = realm_new(NULL, NULL);
        late_a = connect_realm(late, a);
        emz_ehypha_add_etale(late_a, "t", &et2);
        emz_ehypha_add_etale(late_a, "other", &et);
        until("other titles are kept", holds(et, "x"));
        ok(emz_etale_t_in(et2) < 0, "a forgotten one is not handed out");
        until("all is quiet", !emz_efunguz_wait(a, 20));
        emit_text(a, "t", "4");
        until("but emitted again", holds(et2, "4"));
        realm_free(late);
    }
    realm_free(a);
    realm_free(b);
}

static emz_efunguz *closed(const char *const *keys, size_t count, int only) {
    emz_config c;
    memset(&c, 0, sizeof c);
    c.whitelist = keys;
    c.whitelist_size = count;
    c.whitelist_only = only;
    return realm_new(sec_[0], &c);
}

static size_t received(const emz_ehypha *eh) {
    size_t i, n = 0;
    for (i = 0; i < emz_ehypha_etale_count(eh); i++) {
        n += emz_etale_t_in(emz_ehypha_etale_at(eh, i)) >= 0;
    }
    return n;
}

static size_t held_up(const emz_efunguz *ef) {
    size_t i, n = 0;
    for (i = 0; i < ef->retained.count; i++) {
        n += ((const emz_i_retained *)ef->retained.at[i])->past != 0;
    }
    return n;
}

/* More kept values than a queue holds. */
static void test_many_titles(void) {
    enum { TITLES = 3000 };
    static char data[5000];
    emz_efunguz *a = realm_new(NULL, NULL), *b = realm_new(NULL, NULL);
    emz_ehypha *eh = connect_realm(b, a);
    emz_part part;
    char title[16];
    int i, failed = 0;
    part.data = data;
    part.size = sizeof data;
    for (i = 0; i < TITLES; i++) {
        snprintf(title, sizeof title, "%d", i);
        failed |= emz_ehypha_add_etale(eh, title, NULL) != EMZ_OK;
        failed |= emz_efunguz_emit_etale(a, title, &part, 1) != EMZ_OK;
    }
    ok(!failed, "3,000 titles, kept before anybody reads them");
    until("a new reader gets all of them", received(eh) == TITLES);
    for (i = 0; i < TITLES; i++) {
        failed |= ((const emz_etale *)eh->etales.at[i])->asked;
    }
    ok(!failed && !eh->streamed, "and has none to ask for once more");
    realm_free(b);
    realm_free(a);
}

/* How many of the titles "0" and so on has it got, now too? */
static int bare_titles(bare *b, char *got, int titles) {
    int i, n = 0;
    while (bare_got(b)) {
        i = atoi((const char *)zmq_msg_data(&b->frame[0]));
        got[i] = 1;
    }
    for (i = 0; i < titles; i++) {
        n += got[i];
    }
    return n;
}

/* Who asks for more than his queue holds and then stands still: what he has no room for is due to
 * him, but others get it all the same; and he too, once he reads. */
static void test_standstill(int emits) {
    enum { TITLES = 100 };
    char got[TITLES] = {0};
    static char data[100000];
    emz_config c;
    emz_efunguz *a, *b;
    emz_ehypha *eh;
    emz_part part;
    char title[16];
    bare still;
    int i;
    memset(&c, 0, sizeof c);
    c.queue_size = 20;
    a = realm_new(sec_[0], &c);
    b = realm_new(sec_[1], NULL);
    part.data = data;
    part.size = sizeof data;
    bare_room = 1;
    bare_open(&still, ZMQ_SUB, pub_[0], 2, emz_efunguz_port(a));
    bare_room = 0;
    for (i = 0; i < TITLES; i++) {
        snprintf(title, sizeof title, "%d", i);
        emz_efunguz_emit_etale(a, title, &part, 1);
        zmq_setsockopt(still.socket, ZMQ_SUBSCRIBE, title, strlen(title) + 1);
    }
    until("somebody stands still, and half of the titles are due to him", held_up(a) > TITLES / 2);
    if (emits) { /* libzmq sends past him now, until he has read half of his queue */
        emz_efunguz_emit_etale(a, "0", &part, 1);
        until("... and nothing waits for him", !held_up(a));
    } else {
        eh = connect_realm(b, a);
        for (i = 0; i < TITLES; i++) {
            snprintf(title, sizeof title, "%d", i);
            emz_ehypha_add_etale(eh, title, NULL);
        }
        until("another one gets all of them", received(eh) == TITLES);
    }
    until("when he reads, he gets all of them, too", bare_titles(&still, got, TITLES) == TITLES);
    bare_close(&still);
    realm_free(b);
    realm_free(a);
}

/* Let time pass until each kept value is to be repeated, then look once. How many were not? */
static size_t left_over(emz_efunguz *ef, uint64_t pause) {
    uint64_t now = emz_i_ms(ef);
    size_t i, n = 0;
    for (i = 0; i < ef->retained.count; i++) {
        emz_i_retained *kept = (emz_i_retained *)ef->retained.at[i];
        kept->due = ef->gate.due = ef->due = now;
        kept->pause = pause;
    }
    emz_efunguz_update(ef);
    for (i = 0; i < ef->retained.count; i++) {
        n += ((emz_i_retained *)ef->retained.at[i])->due == now;
    }
    return n;
}

/* When somebody had no room a moment ago, what is emitted is repeated. */
static void test_repeats(void) {
    enum { TITLES = 10 };
    emz_efunguz *a = realm_new(sec_[0], NULL);
    char title[16];
    int i;
    a->gate.lossy = emz_i_ms(a) + EMZ_I_REPEAT_MAX;
    for (i = 0; i < TITLES; i++) {
        snprintf(title, sizeof title, "%d", i);
        emit_text(a, title, "");
    }
    a->gate.lossy -= 1000;
    a->gate.repeated = 1000000;
    is(left_over(a, EMZ_I_REPEAT_MS), TITLES, "enough was repeated: now the queues are read");
    a->gate.repeated = 0;
    is(left_over(a, EMZ_I_REPEAT_MS), 0, "else, a second after it, all are repeated");
    is(left_over(a, 2 * EMZ_I_REPEAT_MAX), 0, "and after two minutes");
    is(a->gate.due, EMZ_I_NEVER, "but then no more");
    a->gate.lossy = emz_i_ms(a) + EMZ_I_REPEAT_MAX;
    emit_text(a, "0", "");
    ok(a->gate.due != EMZ_I_NEVER, "what is emitted then is, once more");
    a->gate.must_rebuild = 1;
    emz_efunguz_update(a);
    emit_text(a, "1", "");
    a->gate.due = a->due = emz_i_ms(a);
    emz_efunguz_update(a);
    is(a->gate.due, EMZ_I_NEVER, "not when the gate, and with it each queue, is new");
    realm_free(a);
}

static void test_whitelist(void) {
    emz_efunguz *a = closed(key + 1, 1, 0), *b = realm_new(sec_[1], NULL),
                *m = realm_new(sec_[2], NULL);
    emz_ehypha *ba = connect_realm(b, a), *ma = connect_realm(m, a);
    const emz_etale *eb, *em;
    const char *bad[2] = {NULL, "bad"};
    int port = emz_efunguz_port(a);
    bad[0] = key[3];
    emz_ehypha_add_etale(ba, "t", &eb);
    emz_ehypha_add_etale(ma, "t", &em);
    emit_text(a, "t", "1");
    until("who is in the whitelist gets in", holds(eb, "1"));
    until("who is not is denied", emz_ehypha_link(ma) == EMZ_LINK_DENIED);
    ok(strstr(emz_ehypha_link_str(ma), "whitelist") != NULL, "... and told so");
    is(emz_efunguz_in_absorbing_num(a), 1, "one absorbs");
    is(emz_efunguz_in_permitted_num(a), 1, "one was permitted");
    ok(emz_efunguz_in_attempted_num(a) > 1, "more attempted");

    is(emz_efunguz_add_whitelist_publickeys(a, bad, 2), EMZ_ERR_KEY, "add with a bad key");
    is(emz_efunguz_whitelist_size(a), 1, "... adds none");
    is(emz_efunguz_del_whitelist_publickeys(a, bad, 2), EMZ_ERR_KEY, "delete with a bad key");
    is(emz_efunguz_add_whitelist_publickeys(a, NULL, 1), EMZ_ERR_ARGUMENT, "add NULL");
    is(emz_efunguz_add_whitelist_publickeys(NULL, key, 1), EMZ_ERR_ARGUMENT, "to NULL");
    is(emz_efunguz_del_whitelist_publickeys(a, NULL, 1), EMZ_ERR_ARGUMENT, "delete NULL");
    is(emz_efunguz_del_whitelist_publickeys(NULL, key, 1), EMZ_ERR_ARGUMENT, "from NULL");
    is(emz_efunguz_add_whitelist_publickeys(a, NULL, 0), EMZ_OK, "add nothing");
    bad[1] = NULL;
    is(emz_efunguz_add_whitelist_publickeys(a, bad, 2), EMZ_ERR_ARGUMENT, "a key that is NULL");

    is(emz_efunguz_add_whitelist_publickeys(a, key + 1, 2), EMZ_OK, "add two, one is there");
    is(emz_efunguz_whitelist_size(a), 2, "two are there");
    ok(emz_ehypha_link(ba) == EMZ_LINK_UP, "that disturbs nobody");
    until("who was refused gets in by itself", holds(em, "1"));
    until("two absorb", emz_efunguz_in_absorbing_num(a) == 2);

    is(emz_efunguz_del_whitelist_publickeys(a, key + 2, 1), EMZ_OK, "delete it again");
    is(emz_efunguz_port(a), port, "the port is the same");
    emit_text(a, "t", "2");
    until("it is disconnected and denied", emz_ehypha_link(ma) == EMZ_LINK_DENIED);
    until("the permitted one is back", holds(eb, "2"));
    until("one absorbs", emz_efunguz_in_absorbing_num(a) == 1);
    ok(holds(em, "1"), "the deleted one got nothing more");
    is(emz_efunguz_del_whitelist_publickeys(a, key + 2, 1), EMZ_OK, "delete what is not there");
    ok(emz_ehypha_link(ba) == EMZ_LINK_UP, "that disturbs nobody");

    emz_efunguz_clear_whitelist_publickeys(a);
    is(emz_efunguz_whitelist_size(a), 0, "cleared");
    until("an empty whitelist lets everybody in", holds(em, "2"));
    is(emz_efunguz_add_whitelist_publickeys(a, key + 2, 1), EMZ_OK, "one key: closed again");
    emit_text(a, "t", "3");
    until("the other one is denied", emz_ehypha_link(ba) == EMZ_LINK_DENIED);
    until("the permitted one is back", holds(em, "3"));
    ok(holds(eb, "2"), "the denied one got nothing more");
    realm_free(a);

    a = closed(key + 1, 1, 1);
    emz_efunguz_del_ehypha(b, pub_[0]);
    ba = connect_realm(b, a);
    until("whitelist_only: permitted", emz_ehypha_link(ba) == EMZ_LINK_UP);
    emz_efunguz_clear_whitelist_publickeys(a);
    until("cleared, it lets nobody in", emz_ehypha_link(ba) == EMZ_LINK_DENIED);
    until("nobody absorbs", emz_efunguz_in_absorbing_num(a) == 0);
    realm_free(a);
    realm_free(b);
    realm_free(m);
}

/* While the gate is rebuilt, another program takes its port: the publisher says so until it has it
 * back, and nothing is lost. */
static void test_port_taken(void) {
    emz_efunguz *a = closed(key + 1, 3, 1), *b = realm_new(sec_[1], NULL),
                *m = realm_new(sec_[2], NULL);
    emz_ehypha *ba = connect_realm(b, a), *ma = connect_realm(m, a);
    const emz_etale *eb, *em;
    int port = emz_efunguz_port(a);
    emz_ehypha_add_etale(ba, "t", &eb);
    emz_ehypha_add_etale(ma, "t", &em);
    emit_text(a, "t", "1");
    until("two subscribers", holds(eb, "1") && holds(em, "1"));
    thief_wanted = 1;
    is(emz_efunguz_del_whitelist_publickeys(a, key + 2, 1), EMZ_OK, "delete one");
    ok(thief >= 0, "another program has taken the port");
    is(emz_efunguz_whitelist_size(a), 2, "the key is deleted all the same");
    errno = 0;
    is(emit_text(a, "t", "2"), EMZ_ERR_BIND, "emit says that nobody can subscribe");
    is(errno, EADDRINUSE, "... and why");
    until("both are cut off",
          emz_ehypha_link(ba) != EMZ_LINK_UP && emz_ehypha_link(ma) != EMZ_LINK_UP);
    is(emz_efunguz_in_absorbing_num(a), 0, "nobody absorbs");
    is(emz_efunguz_add_whitelist_publickeys(a, key + 4, 1), EMZ_OK, "the whitelist can be changed");
    is(emz_efunguz_del_whitelist_publickeys(a, key + 3, 1), EMZ_OK, "... both ways");
    is(emit_text(a, "t", "2"), EMZ_ERR_BIND, "emit still says so");
    close(thief);
    thief = -1;
    until("with the port free, emit works again", emit_text(a, "t", "3") == EMZ_OK);
    is(emz_efunguz_port(a), port, "it is the same port");
    until("the permitted one is back and has the last value", holds(eb, "3"));
    until("the deleted one is denied", emz_ehypha_link(ma) == EMZ_LINK_DENIED);
    ok(holds(em, "1"), "and got nothing");
    until("one absorbs", emz_efunguz_in_absorbing_num(a) == 1);
    is(emz_efunguz_in_permitted_num(a), 3, "three connections were permitted in all");
    realm_free(a);
    realm_free(b);
    realm_free(m);
}

/* Who may come changes again and again: all links follow, and the counters are exact. */
static void test_changes(void) {
    enum { peers = 4, rounds = 8 };
    emz_efunguz *a = closed(key, 0, 1), *b[peers];
    emz_ehypha *eh[peers];
    const emz_etale *et[peers];
    uint64_t ups = 0;
    int round, i, in[peers] = {0};
    for (i = 0; i < peers; i++) {
        b[i] = realm_new(sec_[i + 1], NULL);
        eh[i] = connect_realm(b[i], a);
        emz_ehypha_add_etale(eh[i], "t", &et[i]);
    }
    for (round = 1; round <= rounds; round++) {
        int64_t begin = emz_now(), out = 0, back = 0;
        char text[16];
        int rebuilt = 0, settled = 0;
        uint64_t wanted = 0;
        snprintf(text, sizeof text, "%d", round);
        if (round % 4 == 0) { /* replace the whole list */
            emz_efunguz_clear_whitelist_publickeys(a);
        }
        for (i = 0; i < peers; i++) {
            int want = round >> i % 3 & 1;
            is(want ? emz_efunguz_add_whitelist_publickeys(a, key + i + 1, 1)
                    : emz_efunguz_del_whitelist_publickeys(a, key + i + 1, 1),
               EMZ_OK, "round %d: %s %d", round, want ? "let in" : "put out", i);
            rebuilt |= in[i] && (!want || round % 4 == 0);
            wanted += (uint64_t)want;
        }
        emit_text(a, "t", text); /* before anybody is back */
        while (!settled && emz_now() - begin < 60000000) {
            int gone = 1;
            pump();
            zmq_poll(NULL, 0, 1);
            settled = emz_efunguz_in_absorbing_num(a) == wanted;
            for (i = 0; i < peers; i++) {
                int want = round >> i % 3 & 1;
                settled &= want ? holds(et[i], text) : emz_ehypha_link(eh[i]) == EMZ_LINK_DENIED;
                gone &= want || emz_ehypha_link(eh[i]) == EMZ_LINK_DENIED;
            }
            out = gone && !out ? emz_now() : out;
        }
        back = emz_now();
        ok(settled, "round %d: who may has the value, who may not is denied", round);
        printf("# put out after %.3f s, all as it must be after %.3f s (retries at a tenth of the "
               "usual pause)\n",
               (double)(out - begin) / 1e6, (double)(back - begin) / 1e6);
        for (i = 0; i < peers; i++) {
            int want = round >> i % 3 & 1;
            ups += (uint64_t)(want && (!in[i] || rebuilt));
            in[i] = want;
        }
        is(emz_efunguz_in_permitted_num(a), ups, "round %d: each permission was counted once",
           round);
    }
    realm_free(a);
    for (i = 0; i < peers; i++) {
        realm_free(b[i]);
    }
}

static void file_is(const char *text) {
    FILE *f = fopen(scratch, "wb");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static void test_file(void) {
    emz_efunguz *a = realm_new(sec_[0], NULL);
    char text[1024];
    size_t line = 99;
    snprintf(text, sizeof text, "# friends\n\n%s Bob, my friend\r\n   \n\t%s\n# no more\n%s",
             key[1], key[2], key[3]);
    file_is(text);
    is(emz_efunguz_read_whitelist_publickeys(a, scratch, &line), EMZ_OK, "read a file");
    is(line, 0, "no bad line");
    is(emz_efunguz_whitelist_size(a), 3, "three keys");
    is(emz_efunguz_read_whitelist_publickeys(a, scratch, NULL), EMZ_OK, "read it again");
    is(emz_efunguz_whitelist_size(a), 3, "still three");
    snprintf(text, sizeof text, "%s\n%.39s\n%s\n", key[4], key[5], key[6]);
    file_is(text);
    is(emz_efunguz_read_whitelist_publickeys(a, scratch, &line), EMZ_ERR_KEY, "a short key");
    is(line, 2, "in line 2");
    is(emz_efunguz_whitelist_size(a), 3, "no key was added");
    snprintf(text, sizeof text, "%s\n\n\nnonsense", key[4]);
    file_is(text);
    is(emz_efunguz_read_whitelist_publickeys(a, scratch, &line), EMZ_ERR_KEY, "no key at all");
    is(line, 4, "in line 4");
    file_is("");
    is(emz_efunguz_read_whitelist_publickeys(a, scratch, &line), EMZ_OK, "an empty file");
    is(emz_efunguz_whitelist_size(a), 3, "adds nothing");
    remove(scratch);
    errno = 0;
    is(emz_efunguz_read_whitelist_publickeys(a, scratch, &line), EMZ_ERR_FILE, "no file");
    is(errno, ENOENT, "errno says so");
    is(line, 0, "no bad line");
    is(emz_efunguz_read_whitelist_publickeys(a, "/", &line), EMZ_ERR_FILE, "a folder");
    is(emz_efunguz_read_whitelist_publickeys(a, NULL, &line), EMZ_ERR_ARGUMENT, "NULL");
    is(emz_efunguz_read_whitelist_publickeys(NULL, scratch, &line), EMZ_ERR_ARGUMENT, "to NULL");
    realm_free(a);
}

/* A subscriber that was let in and sends what no subscriber may. */
static void test_upstream(void) {
    emz_efunguz *a = realm_new(sec_[0], NULL), *b = realm_new(sec_[1], NULL);
    emz_ehypha *ba = connect_realm(b, a);
    const emz_etale *et;
    bare hostile;
    int i;
    emz_ehypha_add_etale(ba, "t", &et);
    emit_text(a, "t", "1");
    until("a good subscriber", holds(et, "1"));
    bare_open(&hostile, ZMQ_XSUB, pub_[0], 2, emz_efunguz_port(a));
    until("a hostile one is in", emz_efunguz_in_absorbing_num(a) == 2);
    for (i = 0; i < 100; i++) {
        zmq_send(hostile.socket, "\2no subscription", 15, ZMQ_DONTWAIT);
    }
    until("it is put out", a->banned.count == 1);
    emit_text(a, "t", "2");
    until("the good one goes on", holds(et, "2"));
    until("alone", emz_efunguz_in_absorbing_num(a) == 1);
    bare_close(&hostile);
    realm_free(a);
    realm_free(b);
}

/* Connections that never authenticate are not counted as such. */
static void test_strangers(void) {
    static const char *said[] = {"", "GET / HTTP/1.1\r\n\r\n", "\1\0",
                                 "\xff\0\0\0\0\0\0\0\1\x7f\1"};
    emz_efunguz *a = realm_new(sec_[0], NULL), *b = realm_new(sec_[1], NULL);
    emz_ehypha *ba = connect_realm(b, a);
    struct sockaddr_storage to;
    socklen_t size;
    zmq_fd_t fd[40];
    int i;
    until("a subscriber", emz_efunguz_in_absorbing_num(a) == 1);
    emz_i_net_address(&to, &size, "127.0.0.1", emz_efunguz_port(a));
    for (i = 0; i < 40; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM, 0);
        ok(!connect(fd[i], (struct sockaddr *)&to, size), "stranger %d", i);
        (void)!write(fd[i], said[i % 4], strlen(said[i % 4]));
    }
    until("those that say nothing stay", a->gate.visits.count == 21);
    is(emz_efunguz_in_absorbing_num(a), 1, "but only one is authenticated");
    for (i = 0; i < 40; i++) {
        close(fd[i]);
    }
    until("all have gone", a->gate.visits.count == 1);
    is(emz_efunguz_in_absorbing_num(a), 1, "still one");
    is(emz_efunguz_in_attempted_num(a), 1, "and one attempt");
    emz_efunguz_del_ehypha(b, pub_[0]);
    until("none, when it leaves", emz_efunguz_in_absorbing_num(a) == 0);
    (void)ba;
    realm_free(a);
    realm_free(b);
}

int main(void) {
    int i, fd;
    for (i = 0; i < 8; i++) {
        emz_keypair(pub_[i], sec_[i]);
    }
    fd = mkstemp(scratch);
    close(fd);
    test_wire();
    test_malformed();
    test_retain(0);
    test_retain(1);
    test_many_titles();
    test_standstill(0);
    test_standstill(1);
    test_repeats();
    test_whitelist();
    test_port_taken();
    test_changes();
    test_file();
    test_upstream();
    test_strangers();
    remove(scratch);
    return tap_end();
}
