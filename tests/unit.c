/* The parts of the header that need no network: Z85, onion, map, wire, SOCKS, words. */
#define _POSIX_C_SOURCE 200809L
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "tap.h"

static unsigned long long seed = 88172645463325252ull;
static unsigned chance(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 16);
}

/* Much data takes another way than a key: both must agree about every text. */
static void test_z85_ways(void) {
    static const char edges[] = "#$%nSc10,~";
    unsigned char key[8], much[8];
    int i, j, accepted = 0, refused = 0, differ = 0;
    for (i = 0; i < 20000; i++) {
        char text[10];
        for (j = 0; j < 10; j++) {
            unsigned c = chance();
            text[j] = i % 2 ? edges[c % 10] : (char)(c % 3 ? 35 + c / 3 % 91 : c / 3);
        }
        memset(key, 7, sizeof key);
        memset(much, 7, sizeof much);
        accepted += !emz_i_z85_decode(key, text, 2);
        refused += emz_i_z85_decode_much(much, text, 2) != 0;
        differ += accepted + refused != i + 1 || memcmp(key, much, sizeof key);
    }
    is(differ, 0, "20,000 texts: both ways read the same or refuse");
    ok(accepted > 100 && refused > 100, "many of them were read, and many refused");
}

static void test_z85_much(void) {
    static unsigned char data[70000], back[70000];
    static char text[87501], other[87501];
    int same = 1, refused = 1;
    size_t n;
    for (n = 0; n < sizeof data; n++) {
        data[n] = (unsigned char)chance();
    }
    for (n = 65524; n <= 65548; n += 4) {
        size_t size = n / 4 * 5, at = chance() % size;
        same &= !emz_z85_encode(text, size + 1, data, n) && zmq_z85_encode(other, data, n) &&
                !strcmp(text, other) && !emz_z85_decode(back, n, text) && !memcmp(back, data, n);
        memset(back, 7, n);
        text[at] = ' ';
        refused &= emz_z85_decode(back, n, text) == EMZ_ERR_ARGUMENT && back[0] == 7;
        refused &= back[n - 1] == 7;
    }
    ok(same, "64 kB: as libzmq's, and back");
    ok(refused, "one bad character in 64 kB: refused, nothing written");
}

static void test_z85(void) {
    /* RFC 32's own example */
    static const unsigned char bytes[8] = {0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B};
    unsigned char back[64], data[64];
    char text[81], other[81];
    int i, same = 1, strict = 1, kept = 1;
    is(emz_z85_encode(text, 11, bytes, 8), EMZ_OK, "encode RFC 32's example");
    is_str(text, "HelloWorld", "it is HelloWorld");
    is(emz_z85_decode(back, 8, "HelloWorld"), EMZ_OK, "decode it");
    ok(!memcmp(back, bytes, 8), "it is the example's bytes");
    is(emz_z85_encode(text, 1, NULL, 0), EMZ_OK, "encode nothing");
    is_str(text, "", "it is the empty text");
    is(emz_z85_decode(NULL, 0, ""), EMZ_OK, "decode nothing");
    is(emz_z85_encode(text, 10, bytes, 8), EMZ_ERR_ARGUMENT, "no room for the NUL");
    is(emz_z85_encode(text, 81, bytes, 7), EMZ_ERR_ARGUMENT, "not a multiple of 4");
    is(emz_z85_encode(NULL, 81, bytes, 8), EMZ_ERR_ARGUMENT, "no text");
    is(emz_z85_encode(text, 81, NULL, 8), EMZ_ERR_ARGUMENT, "no data");
    is(emz_z85_encode(text, 81, bytes, SIZE_MAX - 3), EMZ_ERR_ARGUMENT, "a size that overflows");
    memset(back, 7, sizeof back);
    is(emz_z85_decode(back, 8, "HelloWorl"), EMZ_ERR_ARGUMENT, "too short");
    is(emz_z85_decode(back, 8, "HelloWorld0"), EMZ_ERR_ARGUMENT, "too long");
    is(emz_z85_decode(back, 8, "HelloWor d"), EMZ_ERR_ARGUMENT, "outside the alphabet");
    is(emz_z85_decode(back, 8, "HelloWor\xC3\xA4"), EMZ_ERR_ARGUMENT, "outside of ASCII");
    is(emz_z85_decode(back, 4, "%nSc0"), EMZ_OK, "a group of 2^32 - 1");
    ok(back[0] == 255 && back[3] == 255, "it is four times 255");
    memset(back, 7, sizeof back);
    is(emz_z85_decode(back, 4, "%nSc1"), EMZ_ERR_ARGUMENT, "a group of 2^32");
    is(emz_z85_decode(back, 4, "#0000"), EMZ_ERR_ARGUMENT, "a group that starts with #");
    is(emz_z85_decode(back, 8, "00000#####"), EMZ_ERR_ARGUMENT, "a bad second group");
    is(emz_z85_decode(back, 6, "HelloWorld"), EMZ_ERR_ARGUMENT, "a size that is no multiple of 4");
    is(emz_z85_decode(back, SIZE_MAX / 5 * 4 + 4, "0000"), EMZ_ERR_ARGUMENT,
       "a size that overflows");
    is(emz_z85_decode(NULL, 8, "HelloWorld"), EMZ_ERR_ARGUMENT, "decode to nowhere");
    is(emz_z85_decode(back, 8, NULL), EMZ_ERR_ARGUMENT, "decode nothing at all");
    for (i = 0; i < 64; i++) {
        kept &= back[i] == 7;
    }
    ok(kept, "a failed decode has written nothing");
    for (i = 0; i < 20000; i++) {
        size_t n = 4 * (chance() % 17), k;
        uint8_t theirs[64];
        for (k = 0; k < n; k++) {
            data[k] = (unsigned char)chance();
        }
        emz_z85_encode(text, sizeof text, data, n);
        same &= !n || (zmq_z85_encode(other, data, n) && !strcmp(text, other));
        same &= !emz_z85_decode(back, n, text) && !memcmp(back, data, n);
        if (n) { /* one character changed: libzmq reads what it reads, we read the same or refuse */
            text[chance() % (n / 4 * 5)] = (char)(33 + chance() % 94);
            if (!emz_z85_decode(back, n, text)) {
                strict &= zmq_z85_decode(theirs, text) && !memcmp(back, theirs, n);
                emz_z85_encode(other, sizeof other, back, n);
                strict &= !strcmp(text, other);
            }
        }
    }
    ok(same, "20,000 random texts: as libzmq's, and back");
    ok(strict, "what is accepted is what would be encoded");
    test_z85_ways();
    test_z85_much();
}

static void test_onion(void) {
    /* Tor's own, from the specification's examples */
    static const char onion[] = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd";
    char text[80];
    int i, j, caught = 1;
    unsigned char digest[32];
    emz_i_sha3_256(digest, (const unsigned char *)"", 0);
    ok(digest[0] == 0xa7 && digest[1] == 0xff && digest[31] == 0x4a, "SHA3-256 of nothing");
    emz_i_sha3_256(digest, (const unsigned char *)"abc", 3);
    ok(digest[0] == 0x3a && digest[1] == 0x98 && digest[31] == 0x32, "SHA3-256 of abc");
    is(emz_onion_check(onion), EMZ_OK, "a real onion address");
    snprintf(text, sizeof text, "%s.onion", onion);
    is(emz_onion_check(text), EMZ_OK, "with .onion");
    snprintf(text, sizeof text, "%s.OniOn", onion);
    text[0] = 'P';
    text[55] = 'D';
    is(emz_onion_check(text), EMZ_OK, "in upper case");
    snprintf(text, sizeof text, "%s.onion.", onion);
    is(emz_onion_check(text), EMZ_ERR_ONION, "something behind .onion");
    snprintf(text, sizeof text, "%s.onio", onion);
    is(emz_onion_check(text), EMZ_ERR_ONION, "half of .onion");
    snprintf(text, sizeof text, "%s.", onion);
    is(emz_onion_check(text), EMZ_ERR_ONION, "a dot behind");
    snprintf(text, sizeof text, "%sa", onion);
    is(emz_onion_check(text), EMZ_ERR_ONION, "57 characters");
    snprintf(text, sizeof text, "%.55s", onion);
    is(emz_onion_check(text), EMZ_ERR_ONION, "55 characters");
    is(emz_onion_check("facebookcorewwwi.onion"), EMZ_ERR_ONION, "a v2 address");
    is(emz_onion_check(""), EMZ_ERR_ONION, "nothing");
    is(emz_onion_check(NULL), EMZ_ERR_ARGUMENT, "NULL");
    for (i = 0; i < 56; i++) {
        for (j = 0; j < 38; j++) {
            strcpy(text, onion);
            text[i] = "abcdefghijklmnopqrstuvwxyz2345671890{-"[j];
            caught &= text[i] == onion[i] || emz_onion_check(text) == EMZ_ERR_ONION;
        }
    }
    ok(caught, "every mistyped single character is noticed");
}

static void test_map(void) {
    enum { N = 3000 };
    emz_i_map map;
    static emz_i_guest guest[N];
    static int in[N];
    size_t count = 0;
    int i, right = 1;
    memset(&map, 0, sizeof map);
    for (i = 0; i < N; i++) {
        memcpy(guest[i].key, &i, sizeof i);
    }
    for (i = 0; i < 200000; i++) {
        unsigned k = chance() % N;
        emz_i_node *node = emz_i_map_find(&map, guest[k].key, EMZ_KEY_SIZE);
        right &= !!node == in[k] && (!node || node == &guest[k].node);
        if (!node) {
            right &= !emz_i_map_reserve(&map, 1);
            emz_i_map_add(&map, &guest[k].node, guest[k].key, EMZ_KEY_SIZE);
        } else {
            emz_i_map_del(&map, node);
        }
        count += (size_t)(in[k] ? -1 : 1);
        in[k] = !in[k];
        right &= map.count == count;
    }
    for (i = 0; i < (int)map.count; i++) {
        right &= map.at[i]->index == (size_t)i;
    }
    ok(right, "map: 200,000 additions and deletions, each found or not as it should");
    right = emz_i_map_reserve(&map, SIZE_MAX / 16) == -1 && map.count == count;
    ok(right, "map: a reservation that no memory can hold fails and changes nothing");
    EMZ_FREE(map.at);
}

static void frames_set(emz_i_frames *f, size_t count, const char *const *data, const size_t *size) {
    size_t i;
    emz_i_frames_clear(f);
    for (i = 0; i < count; i++) {
        emz_i_frames_add_copy(f, data[i], size[i]);
    }
}

static void test_wire(void) {
    static const int64_t times[] = {0, 1, -1, 255, 256, INT64_MAX, INT64_MIN, 1700000000000000};
    static const unsigned char minus2[8] = {254, 255, 255, 255, 255, 255, 255, 255};
    emz_i_frames f;
    unsigned char bytes[8];
    const char *data[4];
    char *title = (char *)calloc(1, EMZ_TITLE_MAX + 2);
    size_t size[4], i;
    int same = 1;
    memset(title, 't', EMZ_TITLE_MAX);
    memset(&f, 0, sizeof f);
    for (i = 0; i < sizeof times / sizeof *times; i++) {
        emz_i_wire_put_time(bytes, times[i]);
        same &= emz_i_wire_get_time(bytes) == times[i];
    }
    ok(same, "times there and back");
    emz_i_wire_put_time(bytes, INT64_C(0x0807060504030201));
    ok(!memcmp(bytes, "\1\2\3\4\5\6\7\10", 8), "little-endian");
    is(emz_i_wire_get_time(minus2), -2, "signed");
    ok(emz_i_apart(5, -3) == 8 && emz_i_apart(-5, 3) == -8, "how far times are apart");
    ok(emz_i_apart(INT64_MAX, -1) == INT64_MAX && emz_i_apart(INT64_MIN, 1) == INT64_MIN,
       "... at most so far");
#define WIRE(n, d0, s0, d1, s1, d2, s2)                                                  \
    (data[0] = d0, size[0] = s0, data[1] = d1, size[1] = s1, data[2] = d2, size[2] = s2, \
     frames_set(&f, n, data, size), emz_i_wire_etale(&f, 5))
    is(WIRE(2, "ab\0", 3, "12345678", 8, "", 0), 2, "a title, a time, no parts");
    is(WIRE(2, "\0", 1, "12345678", 8, "", 0), 0, "the empty title");
    is(WIRE(3, "ab\0", 3, "12345678", 8, "12345", 5), 2, "one part of the largest size");
    is(WIRE(3, "ab\0", 3, "12345678", 8, "123456", 6), -1, "a part too large");
    is(WIRE(1, "ab\0", 3, "", 0, "", 0), -1, "one frame");
    is(WIRE(2, "", 0, "12345678", 8, "", 0), -1, "an empty first frame");
    is(WIRE(2, "ab", 2, "12345678", 8, "", 0), -1, "no NUL");
    is(WIRE(2, "a\0b\0", 4, "12345678", 8, "", 0), -1, "two NULs");
    is(WIRE(2, "ab\0\0", 4, "12345678", 8, "", 0), -1, "two NULs at the end");
    is(WIRE(2, "ab\0", 3, "1234567", 7, "", 0), -1, "a time of 7 bytes");
    is(WIRE(2, "ab\0", 3, "123456789", 9, "", 0), -1, "a time of 9 bytes");
    is(WIRE(0, "", 0, "", 0, "", 0), -1, "no frames");
    is(WIRE(2, title, EMZ_TITLE_MAX + 1, "12345678", 8, "", 0), EMZ_TITLE_MAX, "the longest title");
    is(WIRE(2, title, EMZ_TITLE_MAX + 2, "12345678", 8, "", 0), -1, "a longer one");
    free(title);
#define SUBSCRIPTION(n, d, s)                                                             \
    (data[0] = d, size[0] = s, data[1] = "x", size[1] = 1, frames_set(&f, n, data, size), \
     emz_i_wire_subscription(&f))
    is(SUBSCRIPTION(1, "\1ab\0", 4), 1, "a subscription to a title");
    is(SUBSCRIPTION(1, "\1\0", 2), 1, "a subscription to the empty title");
    is(SUBSCRIPTION(1, "\1ab", 3), 0, "a subscription to a prefix");
    is(SUBSCRIPTION(1, "\1", 1), 0, "a subscription to everything");
    is(SUBSCRIPTION(1, "\0ab\0", 4), 0, "an unsubscription");
    is(SUBSCRIPTION(1, "\2ab\0", 4), -1, "something else");
    is(SUBSCRIPTION(1, "", 0), -1, "nothing");
    is(SUBSCRIPTION(2, "\1ab\0", 4), -1, "two frames");
    emz_i_frames_free(&f);
}

static void test_socks(void) {
    static const unsigned char v4[] = {5, 0, 0, 1, 1, 2, 3, 4, 5, 6};
    static const unsigned char name[] = {5, 0, 0, 3, 2, 'a', 'b', 5, 6};
    static const unsigned char v6[22] = {5, 0, 0, 4};
    static const unsigned char bad[][5] = {
        {4, 0, 0, 1, 1}, {5, 0, 1, 1, 1}, {5, 0, 0, 2, 1}, {5, 0, 0, 0, 1}};
    unsigned char request[EMZ_I_SOCKS_REQUEST_SIZE];
    char onion[57] = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd";
    size_t i;
    int right = 1;
    for (i = 0; i < 5; i++) {
        right &= emz_i_socks_need(v4, i) == 5;
    }
    ok(right, "5 bytes tell how long the reply is");
    is(emz_i_socks_need(v4, 5), 10, "IPv4");
    is(emz_i_socks_need(name, 5), 9, "a name");
    is(emz_i_socks_need(v6, 5), 22, "IPv6");
    for (i = 0; i < 4; i++) {
        is(emz_i_socks_need(bad[i], 5), 0, "not a reply: %d", (int)i);
    }
    is(emz_i_socks_need(bad[0], 1), 0, "noticed at its first byte");
    emz_i_socks_request(request, onion, 60847);
    ok(!memcmp(request, "\5\1\0\3\76", 5) && !memcmp(request + 5, onion, 56) &&
           !memcmp(request + 61, ".onion\xED\xAF", 8) && sizeof request == 69,
       "the request, byte by byte");
}

static void test_words(void) {
    int i, j, all = 1, distinct = 1;
    for (i = -20; i < 40; i++) {
        const char *r = emz_result_str((emz_result)i), *l = emz_link_str((emz_link)i);
        all &= r && *r && l && *l;
    }
    ok(all, "a sentence for every value, known or not");
    for (i = EMZ_ERR_ARGUMENT; i <= EMZ_ERR_ZMQ; i++) {
        for (j = EMZ_ERR_ARGUMENT; j < i; j++) {
            distinct &= strcmp(emz_result_str((emz_result)i), emz_result_str((emz_result)j)) != 0;
        }
    }
    for (i = EMZ_LINK_EXHAUSTED; i <= EMZ_LINK_UP; i++) {
        for (j = EMZ_LINK_EXHAUSTED; j < i; j++) {
            distinct &= strcmp(emz_link_str((emz_link)i), emz_link_str((emz_link)j)) != 0;
        }
    }
    ok(distinct, "each its own");
    for (i = 0; i < 256; i++) {
        const char *s = emz_i_socks_str(i);
        all &= s && strstr(s, "Retrying.") != NULL;
    }
    ok(all, "a sentence for every SOCKS reply");
    is_str(emz_version(), EMZ_VERSION, "the version");
    is(emz_now() > INT64_C(1700000000000000), 1, "now is later than 2023, in microseconds");
}

static void test_keys(void) {
    char pub[EMZ_KEY_Z85_SIZE], sec[EMZ_KEY_Z85_SIZE], again[EMZ_KEY_Z85_SIZE];
    is(emz_keypair(pub, sec), EMZ_OK, "a fresh pair");
    ok(strlen(pub) == 40 && strlen(sec) == 40, "40 characters each");
    is(emz_publickey(again, sec), EMZ_OK, "the public key of a secret one");
    is_str(again, pub, "is the pair's");
    is(emz_publickey(again, "gbMF0ZKztI28i6}ax!&Yw/US<CCA9PLs.Osr3APc"), EMZ_OK, "John's");
    is_str(again, "(>?aRHs!hJ2ykb?B}t6iGgo3-5xooFh@9F/4C:DW", "as DESIGN has it");
    is(emz_keypair(NULL, sec), EMZ_ERR_ARGUMENT, "no room for a public key");
    is(emz_keypair(pub, NULL), EMZ_ERR_ARGUMENT, "no room for a secret key");
    is(emz_publickey(NULL, sec), EMZ_ERR_ARGUMENT, "no room");
    is(emz_publickey(again, NULL), EMZ_ERR_ARGUMENT, "no secret key");
    is(emz_publickey(again, "short"), EMZ_ERR_KEY, "a short key");
    is(emz_publickey(again, "gbMF0ZKztI28i6}ax!&Yw/US<CCA9PLs.Osr3APc0"), EMZ_ERR_KEY,
       "a long one");
    is(emz_publickey(again, "#bMF0ZKztI28i6}ax!&Yw/US<CCA9PLs.Osr3APc"), EMZ_ERR_KEY, "no Z85");
    is_str(again, "(>?aRHs!hJ2ykb?B}t6iGgo3-5xooFh@9F/4C:DW", "a failed call has changed nothing");
}

int main(void) {
    test_words();
    test_z85();
    test_onion();
    test_map();
    test_wire();
    test_socks();
    test_keys();
    return tap_end();
}
