/* Against a peer of another language, written from the wire contract alone (tests/foreign.py on
 * PyZMQ): both ways, with malformed messages mixed in, whitelists on both sides. */
#define _POSIX_C_SOURCE   200809L
#define EMZ_RETRY_PERCENT 10
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "tap.h"

static char line[4096];
static char words[8][256]; /* of the child's line */

static int split(const char *text) {
    return sscanf(text, "%255s %255s %255s %255s %255s %255s %255s %255s", words[0], words[1],
                  words[2], words[3], words[4], words[5], words[6], words[7]);
}

static int foreign(child *c, const char *const *more) {
    const char *argv[16] = {getenv("PYTHON") ? getenv("PYTHON") : "python3", "tests/foreign.py"};
    int i;
    for (i = 0; more[i]; i++) {
        argv[i + 2] = more[i];
    }
    return child_start(c, argv) || !child_says(c, "READY");
}

static void tell(child *c, const char *text) {
    child_tell(c, text);
    ok(child_says(c, "OK"), "the foreign peer: %s", text);
}

static int test_reading(const char *type) {
    const char *argv[] = {"pub", type, NULL};
    emz_efunguz *ef;
    emz_ehypha *eh;
    const emz_etale *et, *empty;
    const emz_part *parts;
    size_t count;
    child pub;
    if (foreign(&pub, argv)) {
        return -1;
    }
    split(pub.line);
    ef = realm_new(NULL, NULL);
    emz_efunguz_add_ehypha_direct(ef, words[1], "127.0.0.1", atoi(words[2]), &eh);
    emz_ehypha_add_etale(eh, "title", &et);
    emz_ehypha_add_etale(eh, "", &empty);
    until("connected to the foreign publisher", emz_ehypha_link(eh) == EMZ_LINK_UP);
    ok(child_says(&pub, "ZAP accept"), "it has let us in");
    ok(strstr(pub.line, emz_efunguz_publickey(ef)) != NULL, "by our public key");
    until("a value arrives", (child_tell(&pub, "emit 7469746c65 now 4142 - 00"),
                              zmq_poll(NULL, 0, 20), emz_etale_t_in(et) >= 0));
    parts = emz_etale_parts(et, &count);
    ok(count == 3 && parts[0].size == 2 && !memcmp(parts[0].data, "AB", 2) && !parts[1].size &&
           parts[2].size == 1,
       "its three parts");
    ok(emz_now() - emz_etale_t_out(et) < 60000000 && emz_etale_t_out(et) > 0, "its time");
    /* malformed: none of these may have any effect */
    tell(&pub, "raw 7469746c6500");
    tell(&pub, "raw -");
    tell(&pub, "raw 7469746c6500 01020304050607");
    tell(&pub, "raw 7469746c6500 010203040506070809 58");
    tell(&pub, "raw 7469746c6500 - 58");
    tell(&pub, "raw 7469746c650000 0102030405060708 58");
    tell(&pub, "raw 00 0102030405060708*2 58");
    tell(&pub, "emit - 5");
    until("a good message behind malformed ones", emz_etale_t_out(empty) == 5);
    emz_etale_parts(et, &count);
    is(count, 3, "the malformed ones had no effect");
    emz_etale_parts(empty, &count);
    is(count, 0, "a value without parts");
    tell(&pub, "emit 7469746c65 -7 58*3000000");
    until("3 MB", emz_etale_t_out(et) == -7);
    ok(emz_etale_parts(et, NULL)[0].size == 3000000, "whole");
    child_end(&pub);
    until("the foreign publisher has gone", emz_ehypha_link(eh) < 0);
    realm_free(ef);
    return 0;
}

/* A foreign publisher that refuses us, and then does not. */
static void test_refused(void) {
    const char *argv[] = {"pub", "--whitelist-only", NULL};
    emz_efunguz *ef = realm_new(NULL, NULL);
    emz_ehypha *eh;
    child pub;
    foreign(&pub, argv);
    split(pub.line);
    emz_efunguz_add_ehypha_direct(ef, words[1], "127.0.0.1", atoi(words[2]), &eh);
    until("the foreign publisher refuses us", emz_ehypha_link(eh) == EMZ_LINK_DENIED);
    snprintf(line, sizeof line, "allow %s", emz_efunguz_publickey(ef));
    tell(&pub, line);
    until("then it lets us in", emz_ehypha_link(eh) == EMZ_LINK_UP);
    child_end(&pub);
    realm_free(ef);
}

static void test_writing(void) {
    char port[16];
    char pk[EMZ_KEY_Z85_SIZE], sk[EMZ_KEY_Z85_SIZE];
    const char *argv[] = {"sub", "--server", NULL, "--port", port, "--secret", sk, NULL};
    emz_efunguz *ef = realm_new(NULL, NULL);
    emz_part parts[2] = {{"AB", 2}, {NULL, 0}};
    const char *guest = pk;
    uint64_t t_out = 0;
    child sub;
    int i;
    emz_keypair(pk, sk);
    argv[2] = emz_efunguz_publickey(ef);
    snprintf(port, sizeof port, "%d", emz_efunguz_port(ef));
    emz_efunguz_emit_etale(ef, "title", parts, 2);
    is(foreign(&sub, argv), 0, "a foreign subscriber");
    tell(&sub, "sub 7469746c65");
    ok(child_says(&sub, "MSG"), "it gets the last value");
    ok(split(sub.line) == 6 && !strcmp(words[2], "7469746c6500") && strlen(words[3]) == 16 &&
           !strcmp(words[4], "4142") && !strcmp(words[5], "-"),
       "byte by byte: %s", sub.line);
    for (i = 7; i >= 0; i--) {
        unsigned byte = 0;
        sscanf(words[3] + 2 * i, "%2x", &byte);
        t_out = t_out << 8 | byte;
    }
    ok(emz_now() - (int64_t)t_out > 0 && emz_now() - (int64_t)t_out < 60000000,
       "when it was published, little-endian");
    emit_text(ef, "title", "C");
    ok(child_says(&sub, "MSG"), "and the next");
    ok(split(sub.line) == 5 && !strcmp(words[4], "43"), "which is C");
    is(emz_efunguz_in_absorbing_num(ef), 1, "it is counted");
    emz_efunguz_add_whitelist_publickeys(ef, &guest, 1);
    emit_text(ef, "title", "D");
    ok(child_says(&sub, "MSG"), "still permitted");
    emz_efunguz_del_whitelist_publickeys(ef, &guest, 1); /* the last key: everybody again */
    emz_efunguz_add_whitelist_publickeys(ef, &argv[2], 1);
    ok(child_says(&sub, "EVENT DISCONNECTED"), "no longer permitted, it is cut off");
    ok(child_says(&sub, "EVENT HANDSHAKE_FAILED_AUTH 400"), "and refused");
    emz_efunguz_add_whitelist_publickeys(ef, &guest, 1);
    child_tell(&sub, "reconnect");
    ok(child_says(&sub, "MSG"), "permitted again, it has the last value");
    child_end(&sub);
    until("it has gone", emz_efunguz_in_absorbing_num(ef) == 0);
    realm_free(ef);
}

int main(void) {
    if (test_reading("--events")) {
        return tap_lacks("python3 with PyZMQ (Debian: python3-zmq), for tests/foreign.py,");
    }
    test_reading("--xpub");
    test_refused();
    test_writing();
    return tap_end();
}
