/* The parsers of emyzelium.h, fed with anything, in a world of its own (world.h). A target is one
 * of them: fuzz --target=NAME [libFuzzer's options] [folders of inputs]. Besides crashes and what the
 * sanitizers see, each target checks what must hold whatever comes in: against a second opinion
 * (libzmq's Z85, the contract read in another way, the same bytes in other pieces) or a law. */
#define _GNU_SOURCE /* fmemopen, memmem */
#include "world.h"
#define EMYZELIUM_IMPLEMENTATION
#define EMZ_MESSAGE_MAX 200 /* small enough to be reached */
#include "emyzelium.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static emz_efunguz *efunguz(emz_config *config) {
    emz_config defaults;
    emz_efunguz *ef = NULL;
    memset(&defaults, 0, sizeof defaults);
    config = config ? config : &defaults;
    config->log = my_log;
    check(emz_efunguz_new(&ef, our_secret, config) == EMZ_OK);
    return ef;
}

static char *text_of(input *in) {
    char *text = (char *)copy_of(in->at, in->left + 1 > in->left ? in->left : 0);
    text = (char *)realloc(text, in->left + 1);
    check(text);
    text[in->left] = 0;
    text = (char *)realloc(text, strlen(text) + 1);
    check(text);
    return text;
}

/* ---- Z85: as libzmq's, both ways, and nothing written when refused ---- */

static void target_z85(input in) {
    size_t size = in.left / 4 * 4, length, groups, i;
    void *data = copy_of(in.at, size);
    char *text = (char *)malloc(size / 4 * 5 + 1), *other = (char *)malloc(size / 4 * 5 + 1);
    uint8_t *back = (uint8_t *)malloc(size + 1), *theirs;
    check(text && other && back);
    check(emz_z85_encode(text, size / 4 * 5, data, size) == EMZ_ERR_ARGUMENT);
    check(emz_z85_encode(text, size / 4 * 5 + 1, data, size) == EMZ_OK);
    check(strlen(text) == size / 4 * 5);
    check(!size || (zmq_z85_encode(other, (uint8_t *)data, size) && !strcmp(text, other)));
    check(emz_z85_decode(back, size, text) == EMZ_OK && !memcmp(back, data, size));
    free(data);
    free(text);
    free(other);
    free(back);

    text = text_of(&in);
    length = strlen(text);
    groups = length / 5;
    back = (uint8_t *)malloc(groups * 4 + 4);
    theirs = (uint8_t *)malloc(groups * 4 + 1);
    check(back && theirs);
    memset(back, 0x5A, groups * 4 + 4);
    if (!emz_z85_decode(back, groups * 4, text)) {
        check(length == groups * 5);
        check(!groups || (zmq_z85_decode(theirs, text) && !memcmp(back, theirs, groups * 4)));
        other = (char *)malloc(length + 1);
        check(other && !emz_z85_encode(other, length + 1, back, groups * 4));
        check(!strcmp(text, other)); /* only what would be encoded is accepted */
        free(other);
    } else {
        for (i = 0; i < groups * 4; i++) {
            check(back[i] == 0x5A);
        }
        check(!length || length % 5 || !zmq_z85_decode(theirs, text));
    }
    check(emz_z85_decode(back, groups * 4 + 4, text) == EMZ_ERR_ARGUMENT);
    check(!groups || emz_z85_decode(back, groups * 4 - 4, text) == EMZ_ERR_ARGUMENT);
    check((emz_i_key(theirs, text) == EMZ_OK) ==
          (length == 40 && !emz_z85_decode(back, groups * 4, text)));
    free(text);
    free(back);
    free(theirs);
}

/* ---- onion: what is accepted is an address made of what is in it; see also second.py ---- */

/* The address of a service with these 32 bytes as its public key. */
static void onion_of(char name[57], const uint8_t key[32], unsigned version) {
    uint8_t text[48], digest[32], bytes[35];
    size_t bit, i;
    memcpy(text, ".onion checksum", 15);
    memcpy(text + 15, key, 32);
    text[47] = (uint8_t)version;
    emz_i_sha3_256(digest, text, sizeof text);
    memcpy(bytes, key, 32);
    memcpy(bytes + 32, digest, 2);
    bytes[34] = (uint8_t)version;
    for (i = 0; i < 56; i++) {
        unsigned value = 0;
        for (bit = 5 * i; bit < 5 * i + 5; bit++) {
            value = value << 1 | (bytes[bit / 8] >> (7 - bit % 8) & 1);
        }
        name[i] = "abcdefghijklmnopqrstuvwxyz234567"[value];
    }
    name[56] = 0;
}

static void target_onion(input in) {
    char *text = text_of(&in), name[57], wanted[57], lower[57] = "", tail[8], digits;
    size_t i, length = strlen(text), value;
    uint8_t key[32] = {0};
    /* as it comes */
    if (emz_i_onion(name, text) == EMZ_OK) {
        name[56] = 0;
        for (i = 0; i < 56; i++) {
            lower[i] = (char)(text[i] | (text[i] >= 'A' && text[i] <= 'Z' ? 32 : 0));
            value = (size_t)(strchr("abcdefghijklmnopqrstuvwxyz234567", name[i]) -
                             "abcdefghijklmnopqrstuvwxyz234567");
            check(name[i] && value < 32);
            if (i < 51) { /* back into the key's bytes; its last digit is shared */
                key[i * 5 / 8] |= (uint8_t)(value << 3 >> (i * 5 % 8));
                if (i * 5 % 8 > 3 && i * 5 / 8 < 31) {
                    key[i * 5 / 8 + 1] |= (uint8_t)(value << (11 - i * 5 % 8));
                }
            } else if (i == 51) {
                key[31] |= (uint8_t)(value >> 4);
            }
        }
        check(!strcmp(name, lower));
        check(length == 56 || (length == 62 && !strcasecmp(text + 56, ".onion")));
        onion_of(wanted, key, 3);
        check(!strcmp(name, wanted));
    } else {
        onion_of(name, (const uint8_t *)"0123456789abcdefghijklmnopqrstuv", 3);
        check(length != 56 || strcasecmp(text, name));
    }
    free(text);
    /* its bytes as a key, with the right checksum; then one character or the version changed */
    i = sizeof key;
    memset(key, 0, sizeof key);
    memcpy(key, take_bytes(&in, &i), i);
    onion_of(wanted, key, 3);
    text = (char *)copy_of(wanted, 57);
    check(emz_i_onion(name, text) == EMZ_OK && !memcmp(name, wanted, 56));
    i = 52 + take(&in) % 4; /* within the checksum and the version */
    text[i] = (char)(text[i] == 'a' ? 'b' : 'a');
    check(emz_onion_check(text) == EMZ_ERR_ONION);
    memcpy(text, wanted, 57);
    text[i] = digits = (char)take(&in);
    check((emz_onion_check(text) == EMZ_OK) ==
          ((text[i] | (text[i] >= 'A' && text[i] <= 'Z' ? 32 : 0)) == wanted[i]));
    for (i = 0; i < 56; i++) { /* what is not of the alphabet is refused everywhere */
        memcpy(text, wanted, 57);
        text[i] = digits;
        check(strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ234567", digits) ||
              emz_onion_check(text) == EMZ_ERR_ONION);
    }
    onion_of(text, key, 2);
    check(emz_onion_check(text) == EMZ_ERR_ONION);
    /* and with something behind */
    i = 7;
    memset(tail, 0, sizeof tail);
    memcpy(tail, take_bytes(&in, &i), i);
    text = (char *)realloc(text, 56 + strlen(tail) + 1);
    check(text);
    memcpy(text, wanted, 56);
    memcpy(text + 56, tail, strlen(tail) + 1);
    check((emz_onion_check(text) == EMZ_OK) == (!*tail || !strcasecmp(tail, ".onion")));
    free(text);
}

/* ---- whitelist: all keys of a file, or none and the first bad line ---- */

/* The second opinion: lines split by memchr, keys read by libzmq. The number of the first bad line,
 * or 0; keys are counted, each once. */
static size_t whitelist_read(const uint8_t *data, size_t size, size_t *count) {
    char keys[64][41];
    size_t line = 0, i;
    *count = 0;
    while (size) {
        const uint8_t *end = (const uint8_t *)memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size, rest = size - length - (end != NULL);
        char text[41] = "";
        uint8_t key[32];
        line++;
        while (length && strchr(" \t\r", *data ? *data : '.')) {
            data++;
            length--;
        }
        memcpy(text, data, length < 40 ? length : 40);
        data = end ? end + 1 : data;
        size = rest;
        if (!length || *text == '#') {
            continue;
        }
        if (strlen(text) != 40 || !zmq_z85_decode(key, text)) {
            return line;
        }
        for (i = 0; i < *count && strcmp(keys[i], text); i++) {
        }
        if (i == *count) {
            memcpy(keys[(*count)++], text, 41);
            check(*count < 64);
        }
    }
    return 0;
}

static void target_whitelist(input in) {
    static const char *const before[2] = {"iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R",
                                          "WR)%3-d9dw)%3VQ@O37dVe<09FuNzI{vh}Vfi+]0"};
    emz_efunguz *ef = efunguz(NULL);
    size_t line = 77, wanted, count, had;
    emz_result result;
    in.left = in.left < 2400 ? in.left : 2400; /* 60 keys */
    had = take(&in) % 3;
    check(!emz_efunguz_add_whitelist_publickeys(ef, before, had));
    file = in.at;
    file_size = in.left;
    wanted = whitelist_read(file, file_size, &count);
    result = emz_efunguz_read_whitelist_publickeys(ef, "", &line);
    check(result == (wanted ? EMZ_ERR_KEY : EMZ_OK) && line == wanted);
    if (result) {
        check(emz_efunguz_whitelist_size(ef) == had);
    } else {
        size_t known = 0, i;
        for (i = 0; i < had; i++) {
            known += memmem(file, file_size, before[i], 40) != NULL;
        }
        check(emz_efunguz_whitelist_size(ef) <= had + count);
        check(emz_efunguz_whitelist_size(ef) + known >= had + count);
        check(!emz_efunguz_read_whitelist_publickeys(ef, "", &line));
        check(emz_efunguz_del_whitelist_publickeys(ef, before, had) == EMZ_OK);
        check(emz_efunguz_whitelist_size(ef) <= count);
    }
    emz_efunguz_free(ef);
}

/* ---- frames, as the fuzzer writes them ---- */

typedef struct message {
    uint8_t *data[12];
    size_t size[12], count;
} message;

/* A byte tells a frame's size; FF: the next two do, and the frame is filled with one more byte,
 * but for its last. FE: what the target has prepared. */
static void message_take(input *in, message *m, const void *ready, size_t ready_size) {
    size_t i, size;
    m->count = take(in) % 13;
    for (i = 0; i < m->count; i++) {
        size = take(in);
        if (size == 254 && ready) {
            m->data[i] = (uint8_t *)copy_of(ready, size = ready_size);
        } else if (size == 255) {
            unsigned last;
            size = take(in);
            size |= (size_t)take(in) << 8;
            size = size * 2 + 1;
            m->data[i] = (uint8_t *)malloc(size);
            check(m->data[i]);
            memset(m->data[i], (int)take(in), size);
            last = take(in);
            m->data[i][size - 1] = (uint8_t)last;
        } else {
            const uint8_t *at = take_bytes(in, &size);
            m->data[i] = (uint8_t *)copy_of(at, size);
        }
        m->size[i] = size;
    }
}

static void message_free(message *m) {
    while (m->count) {
        free(m->data[--m->count]);
    }
}

static void message_arrive(const message *m, void *socket) {
    size_t i;
    for (i = 0; i < m->count; i++) {
        arrive(socket, m->data[i], m->size[i], i + 1 < m->count);
    }
}

/* An event that libzmq reports. */
static void event_arrive(emz_i_monitor *m, unsigned event, uint32_t value) {
    uint8_t frame[6];
    uint16_t number = (uint16_t)event;
    memcpy(frame, &number, 2);
    memcpy(frame + 2, &value, 4);
    arrive(m->source.socket, frame, sizeof frame, 1);
    arrive(m->source.socket, "tcp://127.0.0.1:1", 17, 0);
}

/* ---- wire: what an ehypha receives ---- */

#define ETALES 4
typedef struct expected {    /* of an etale */
    int held, paused, asked; /* asked: for its value, and nothing has come since */
    message value;           /* count 0: none yet */
    int changed;
} expected;

/* The contract in other words: does this message concern this title, and is it valid? */
static int concerns(const message *m, const char *title, size_t max_part_size) {
    size_t i;
    for (i = 2; i < m->count; i++) {
        if (m->size[i] > max_part_size) {
            return 0;
        }
    }
    return m->count >= 2 && m->size[1] == 8 && m->size[0] == strlen(title) + 1 &&
           !memcmp(m->data[0], title, m->size[0]);
}

static int equal(const message *a, const message *b) {
    size_t i;
    int same = a->count == b->count;
    for (i = 0; same && i < a->count; i++) {
        same = a->size[i] == b->size[i] && !memcmp(a->data[i], b->data[i], a->size[i]);
    }
    return same;
}

static void wire_compare(const emz_ehypha *eh, const char *title, const expected *e) {
    const emz_etale *et = emz_ehypha_get_etale(eh, title);
    const emz_part *parts;
    size_t count, i;
    int64_t t = 0;
    check(e->held == (et != NULL));
    if (!et) {
        return;
    }
    parts = emz_etale_parts(et, &count);
    check(emz_etale_paused(et) == e->paused && !strcmp(emz_etale_title(et), title));
    if (!e->value.count) {
        check(!parts && !count && emz_etale_t_in(et) == -1 && emz_etale_t_out(et) == -1);
        return;
    }
    check(count == e->value.count - 2 && (count > 0) == (parts != NULL));
    for (i = 0; i < count; i++) {
        check(parts[i].size == e->value.size[i + 2]);
        check(!memcmp(parts[i].data, e->value.data[i + 2], parts[i].size));
    }
    memcpy(&t, e->value.data[1], 8); /* this machine is little-endian */
    check(emz_etale_t_out(et) == t && emz_etale_t_in(et) >= 0);
}

/* When a backlog lets an ehypha ask again: in numbers that hold every time there is. */
typedef struct backlog {
    __int128 lag;
    int64_t came[80], begun, due, newest, asked; /* asked: when */
    int count, streamed, vain; /* times running that asking brought nothing that had been missed */
} backlog;

static __int128 clamped(__int128 t) {
    return t > INT64_MAX ? INT64_MAX : t < INT64_MIN ? INT64_MIN : t;
}

static void backlog_begin(backlog *b) {
    b->lag = b->due = INT64_MAX;
    b->newest = INT64_MIN;
}

/* Each unanswered value is asked for again, or each at all behind a stream, until that is in vain. */
static void backlog_asked(backlog *b, int wanted) {
    b->asked = b->begun = clock_us / 1000;
    b->due = INT64_MAX;
    b->streamed = 0;
    if (wanted && b->vain < EMZ_I_VAIN_MAX) {
        b->due = b->asked + (EMZ_I_QUIET_MS << ++b->vain);
    } else if (wanted) {
        b->lag = INT64_MAX;
    }
}

/* While answers come, it waits. */
static void backlog_answered(backlog *b, int *asked, int talking) {
    if (*asked && talking && b->due != INT64_MAX) {
        b->due = clock_us / 1000 + (EMZ_I_QUIET_MS << b->vain);
    }
    *asked = 0;
}

/* A value with this time has come: was it emitted when the one before, so many before, came? Of
 * many, only each 8th is asked. */
static void backlog_count(backlog *b, int64_t t_out, int many, int talking, int answer) {
    const int64_t now = clock_us / 1000, t_in = emz_now();
    const int asked = many < 64 || b->count % 8 == 0;
    const int64_t before = b->count >= many ? b->came[b->count - many] : 0;
    const __int128 lag = clamped((__int128)t_in - t_out);
    b->lag = lag < b->lag ? lag : b->lag;
    check(b->count < 80);
    b->came[b->count++] = t_in;
    b->vain = t_out < b->newest ? 0 : b->vain;
    b->newest = t_out > b->newest ? t_out : b->newest;
    if (asked && talking && clamped(before + EMZ_I_SLACK_MS * 1000 - b->lag) >= t_out) {
        b->streamed |= !answer || now - b->asked > EMZ_I_REPEAT_MAX;
        b->begun = b->due == INT64_MAX ? now : b->begun;
        b->due = now + (EMZ_I_QUIET_MS << b->vain);
        if (b->due > b->begun + (EMZ_I_ASK_MS << b->vain)) {
            b->due = b->begun + (EMZ_I_ASK_MS << b->vain);
        }
    }
}

/* Who is subscribed to after what was done; asked: how many titles were taken. */
static void subscriptions(const char *const *title, int *subscribed, int *asked) {
    size_t i, k;
    for (k = 0; k < done; k++) {
        int on = by_us[k].option == ZMQ_SUBSCRIBE;
        for (i = 0; i < ETALES && strcmp(title[i], (const char *)by_us[k].data); i++) {
        }
        check(i < ETALES && by_us[k].size == strlen(title[i]) + 1 && by_us[k].option);
        subscribed[i] += on ? 1 : -1;
        check(subscribed[i] >= 0);
        *asked += on;
    }
    forget_what_was_done();
}

static void target_wire(input in) {
    static const char *const title[ETALES] = {"", "a", "zone",
                                              "a title of more than 33 characters"};
    expected e[ETALES];
    emz_config config;
    emz_efunguz *ef;
    emz_ehypha *eh;
    unsigned flags = take(&in);
    int subscribed[ETALES] = {0}, talking = (flags & 8) != 0;
    size_t i, messages = 0;
    backlog late = {0};
    backlog_begin(&late);
    memset(e, 0, sizeof e);
    memset(&config, 0, sizeof config);
    config.max_part_size = flags & 1 ? 8 : 0;
    config.queue_size = flags & 4 ? 4 : 0;
    in_place = (flags & 2) != 0;
    ef = efunguz(&config);
    check(!emz_efunguz_add_ehypha_direct(ef, "iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R", "::1", 1,
                                         &eh));
    if (talking) {
        event_arrive(&eh->monitor, ZMQ_EVENT_CONNECTED, 0);
        event_arrive(&eh->monitor, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        check(!emz_efunguz_update(ef) && eh->link == EMZ_LINK_UP);
    }
    while (in.left && messages < 80) {
        unsigned action = take(&in), which = action / 8 % ETALES;
        expected *x = &e[which];
        message m;
        int changed = 0, asked = 0, wanted = 0, before = subscribed[which];
        switch (action % 8) {
        case 0:
            check(emz_ehypha_add_etale(eh, title[which], NULL) ==
                  (x->held ? EMZ_ALREADY_PRESENT : EMZ_OK));
            x->asked = x->held ? x->asked : 1;
            x->held = 1;
            break;
        case 1:
            check(emz_ehypha_del_etale(eh, title[which]) ==
                  (x->held ? EMZ_OK : EMZ_ALREADY_ABSENT));
            message_free(&x->value);
            memset(x, 0, sizeof *x);
            break;
        case 2:
            if (x->held) {
                x->paused = !x->paused;
                x->asked = 1;
                check(!(x->paused ? emz_ehypha_pause_etale(eh, title[which])
                                  : emz_ehypha_resume_etale(eh, title[which])));
            }
            break;
        case 7: /* a while without a message; while it connects, not so long that it gives up */
            clock_us += talking ? 10000 * (int64_t)take(&in) : 0;
            break;
        default: /* one message, or several before the update that takes them */
            do {
                message_take(&in, &m, title[which], strlen(title[which]) + 1);
                messages++;
                message_arrive(&m, eh->source.socket);
                for (i = 0; i < ETALES; i++) {
                    if (!e[i].held || e[i].paused ||
                        !concerns(&m, title[i], config.max_part_size ? 8 : EMZ_DEF_MAX_PART_SIZE)) {
                        continue;
                    }
                    if (!equal(&m, &e[i].value)) {
                        int64_t t_out;
                        memcpy(&t_out, m.data[1], 8); /* this machine is little-endian */
                        late.vain = e[i].value.count ? late.vain : 0;
                        backlog_count(&late, t_out, config.queue_size ? 3 : 501, talking,
                                      e[i].asked);
                        message_free(&e[i].value);
                        e[i].value = m;
                        e[i].changed = 1;
                        m.count = 0;
                    }
                    backlog_answered(&late, &e[i].asked, talking);
                }
                message_free(&m);
            } while (action & 128 && take(&in) & 1 && messages < 80);
        }
        subscriptions(title, subscribed, &asked);
        check(asked == (!before && subscribed[which]));
        for (asked = 0, i = 0; i < ETALES; i++) {
            check(subscribed[i] == (e[i].held && !e[i].paused));
            wanted += subscribed[i] && (e[i].asked || late.streamed);
            changed += e[i].changed;
            e[i].changed = 0;
        }
        check(emz_efunguz_update(ef) == changed);
        subscriptions(title, subscribed, &asked);
        check(asked == (clock_us / 1000 >= late.due ? wanted : 0)); /* for each last value again */
        if (clock_us / 1000 >= late.due) {
            for (i = 0; i < ETALES; i++) {
                e[i].asked |= subscribed[i] && late.streamed;
            }
            backlog_asked(&late, wanted);
        }
        for (i = 0; i < ETALES; i++) {
            check(subscribed[i] == (e[i].held && !e[i].paused));
            wire_compare(eh, title[i], &e[i]);
        }
    }
    for (i = 0; i < ETALES; i++) {
        message_free(&e[i].value);
    }
    emz_efunguz_free(ef);
}

/* ---- socks: a proxy's answers and then the peer's bytes, whole and in pieces ---- */

typedef struct outcome {
    emz_i_stage stage;
    emz_link link;
    int reply;
    size_t read; /* of the proxy's bytes, when the tunnel was about to open */
    uint8_t up[4096], down[4096];
    size_t ups, downs;
} outcome;

/* pieces: how many bytes come, and go, at a time, again and again; NULL: all at once. heard: with
 * each of them, the subscribing socket has a message. */
static void socks_run(outcome *o, input script, int ends, const uint8_t *pieces, size_t count,
                      unsigned strangers, int heard) {
    static const uint8_t ours[] = "what our subscribing socket sends through the tunnel";
    const char *onion = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd";
    emz_config config;
    emz_efunguz *ef;
    emz_ehypha *eh;
    emz_i_tunnel *t;
    int subscriber = my_socket(); /* the end of ours that libzmq connects to the listener */
    unsigned n, quiet = 0;
    memset(&config, 0, sizeof config);
    memset(o, 0, sizeof *o);
    ef = efunguz(&config);
    check(
        !emz_efunguz_add_ehypha(ef, "iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R", onion, 60847, &eh));
    t = eh->tunnel;
    check(eh->stage == EMZ_I_DIALING);
    thing_at(t->proxy.fd)->script = script.at;
    thing_at(t->proxy.fd)->size = script.left;
    thing_at(t->proxy.fd)->ends = ends;
    thing_at(t->proxy.fd)->room = 72; /* the greeting and the request */
    for (n = 0; quiet < 4 && n < 20000; n++) {
        size_t piece = pieces && count ? 1 + pieces[n % count] % 16u : SIZE_MAX, before;
        thing *proxy = t->proxy.fd == EMZ_I_NO_FD ? NULL : thing_at(t->proxy.fd);
        thing *local = t->local.fd == EMZ_I_NO_FD ? NULL : thing_at(t->local.fd);
        before = o->ups + o->downs + (proxy ? proxy->arrived : 0) + (unsigned)eh->stage * 100000u;
        if (proxy) {
            size_t left = proxy->size - proxy->arrived;
            proxy->arrived += left < piece ? left : piece;
            if (local) {
                proxy->room = piece < 4000 ? piece : 4000;
            }
        }
        if (local) {
            size_t left = local->size - local->arrived;
            check(local->caller[0] == PORT_OF(thing_at(subscriber))); /* nobody else is let in */
            if (!local->script) {
                local->script = ours;
                left = local->size = sizeof ours;
            }
            local->arrived += left < piece ? left : piece;
            local->room = piece < 4000 ? piece : 4000;
        }
        if (t->listener.fd != EMZ_I_NO_FD && !thing_at(t->listener.fd)->callers) {
            thing *listener = thing_at(t->listener.fd);
            unsigned s;
            o->read = proxy ? proxy->read : 0;
            event_arrive(&eh->monitor, ZMQ_EVENT_CONNECTED, (uint32_t)subscriber);
            for (s = 0; s < strangers % 7; s++) { /* from any port but ours */
                listener->caller[listener->callers++] = 1 + (int)s;
            }
            listener->caller[listener->callers++] = PORT_OF(thing_at(subscriber));
        }
        if (heard) {
            arrive(eh->source.socket, "", 0, 0);
        }
        (void)emz_efunguz_update(ef);
        if (proxy && t->proxy.fd != EMZ_I_NO_FD) {
            o->ups = proxy->sents;
            check(o->ups <= sizeof o->up);
            memcpy(o->up, proxy->sent, o->ups);
        }
        if (local && t->local.fd != EMZ_I_NO_FD) {
            o->downs = local->sents;
            check(o->downs <= sizeof o->down);
            memcpy(o->down, local->sent, o->downs);
        }
        quiet = before == o->ups + o->downs +
                              (t->proxy.fd == EMZ_I_NO_FD ? 0 : thing_at(t->proxy.fd)->arrived) +
                              (unsigned)eh->stage * 100000u
                    ? quiet + 1
                    : 0;
    }
    check(n < 20000);
    o->stage = eh->stage;
    o->link = eh->link;
    o->reply = eh->reply;
    check(emz_link_str(emz_ehypha_link(eh)) && *emz_ehypha_link_str(eh));
    check((o->stage == EMZ_I_WAITING) == (o->link < 0));
    emz_efunguz_free(ef);
    my_close(subscriber);
}

/* RFC 1928 read at leisure, with all bytes there. */
static void socks_expect(outcome *o, const uint8_t *b, size_t size, int ends) {
    size_t length = 0;
    memset(o, 0, sizeof *o);
    o->stage = EMZ_I_WAITING;
    o->link = EMZ_LINK_NO_PROXY;
    if ((size > 0 && b[0] != 5) || (size > 1 && b[1] != 0)) {
        return;
    }
    if (size < 2) {
        o->stage = ends ? EMZ_I_WAITING : EMZ_I_GREETING;
        o->link = ends ? EMZ_LINK_NO_PROXY : EMZ_LINK_CONNECTING;
        return;
    }
    b += 2;
    size -= 2;
    if (size > 0 && b[0] != 5) {
        return;
    }
    if (size > 1 && b[1]) {
        o->link = EMZ_LINK_UNREACHABLE;
        o->reply = b[1];
        return;
    }
    if (size > 2 && b[2]) {
        return;
    }
    if (size > 4) {
        length = b[3] == 1 ? 10 : b[3] == 3 ? 7u + b[4] : b[3] == 4 ? 22 : 0;
        if (!length) {
            return;
        }
    }
    if (!length || size < length) {
        o->stage = ends ? EMZ_I_WAITING : EMZ_I_REQUESTING;
        o->link = ends ? EMZ_LINK_NO_PROXY : EMZ_LINK_CONNECTING;
        return;
    }
    o->stage = EMZ_I_SHAKING;
    o->link = EMZ_LINK_CONNECTING;
    o->read = 2 + length;
}

static void target_socks(input in) {
    unsigned flags = take(&in);
    size_t count = take(&in) % 16;
    const uint8_t *pieces = take_bytes(&in, &count);
    static outcome whole, split, wanted;
    outcome *o[2];
    int i, ends = flags & 1, heard = flags >> 7 & 1;
    in.left = in.left < 3000 ? in.left : 3000;
    socks_expect(&wanted, in.at, in.left, ends);
    socks_run(&whole, in, ends, NULL, 0, flags / 2, heard);
    socks_run(&split, in, ends, pieces, count, flags / 2, heard);
    o[0] = &whole;
    o[1] = &split;
    for (i = 0; i < 2; i++) {
        /* of a message without an end so much is let through, and what was read with it */
        int endless =
            wanted.read && in.left - wanted.read > EMZ_MESSAGE_MAX && !(heard && i == 1 && count);
        if (endless && (!ends || o[i]->link == EMZ_LINK_LOST)) {
            check(o[i]->stage == EMZ_I_WAITING && o[i]->link == EMZ_LINK_LOST && !o[i]->reply);
            check(o[i]->downs <= (i == 1 && count ? EMZ_MESSAGE_MAX : in.left - wanted.read));
            check(!memcmp(o[i]->down, in.at + wanted.read, o[i]->downs));
            continue;
        }
        check(o[i]->stage == wanted.stage && o[i]->link == wanted.link);
        check(o[i]->reply == wanted.reply && o[i]->read == wanted.read);
        check(o[i]->ups <= 3 || !memcmp(o[i]->up, "\5\1\0\5\1\0\3", 7));
        if (wanted.read) { /* then every byte passes, in order, and none that was not meant to */
            check(o[i]->downs <= in.left - wanted.read);
            check(!memcmp(o[i]->down, in.at + wanted.read, o[i]->downs));
            check(ends || o[i]->downs == in.left - wanted.read);
            check(ends || o[i]->ups == 3 + 69 + 53);
            check(o[i]->ups < 72 + 53 || !memcmp(o[i]->up + 72, "what our", 8));
        } else {
            check(!o[i]->downs);
        }
    }
}

/* ---- subscription: what the publishing socket hands up, and what goes out for it ---- */

#define TITLES 3
static const char *const title_of[TITLES] = {"", "a", "a title of more than 33 characters"};

/* Read one message off what was done, from at on: the title whose value it is, or -1: it is one
 * empty frame. Title i's value has i parts. */
static int value_sent(const thing *gate, size_t *at) {
    int i, which = -1;
    size_t first = *at, frames = 1;
    check(first < done);
    for (i = 0; i < TITLES; i++) {
        if (by_us[first].size == strlen(title_of[i]) + 1) {
            check(!memcmp(by_us[first].data, title_of[i], by_us[first].size));
            which = i;
            frames = 2 + (size_t)i;
        }
    }
    check(which >= 0 || !by_us[first].size);
    for (; *at < first + frames; (*at)++) {
        check(*at < done && !by_us[*at].option && by_us[*at].of == gate);
        check(!by_us[*at].more == (*at + 1 == first + frames));
    }
    check(which < 0 || by_us[first + 1].size == 8);
    return which;
}

/* The value of a title goes to all who have room for it, and fails for nobody who has none. */
static void subscription_emit(emz_efunguz *ef, unsigned which) {
    emz_part part[TITLES];
    thing *gate = thing_of(ef->gate.socket);
    size_t i, at = 0;
    for (i = 0; i < which; i++) {
        part[i].data = title_of;
        part[i].size = i;
    }
    forget_what_was_done();
    check(!emz_efunguz_emit_etale(ef, title_of[which], part, which));
    check(value_sent(gate, &at) == (int)which && at == done);
    check(ef->gate.socket == gate && gate->nodrop);
}

static void target_subscription(input in) {
    unsigned flags = take(&in), emitted = take(&in);
    emz_efunguz *ef;
    size_t messages = 0, bad = 0;
    int64_t due[TITLES], pause[TITLES] = {0}; /* milliseconds: when to send it again, and then */
    int64_t held[TITLES] = {0};               /* so long only for lack of room, or 0 */
    int64_t lossy = 0;                        /* until then, what is emitted may be lost */
    int64_t moved = 0;                        /* and until then, since one of them got through */
    int64_t look = INT64_MAX;                 /* and then, what is due is sent, */
    int64_t repeated = 0;                     /* since a queue was full so often */
    unsigned order[TITLES], kinds = 0, turn = 0;
    unsigned i, n, first;
    in_place = flags & 1;
    no_manual = (flags & 2) != 0;
    ef = efunguz(NULL);
    for (i = 0; i < TITLES; i++) {
        due[i] = INT64_MAX;
        if (emitted >> i & 1) {
            subscription_emit(ef, i);
            order[kinds++] = i;
        }
    }
    check(ef->gate.manual == !no_manual);
    while (in.left && messages < 200) {
        unsigned action = take(&in), which = action % 3, again = 0;
        thing *gate = thing_of(ef->gate.socket);
        uint8_t ready[64];
        message m;
        size_t at = 0;
        int valid, full = (action & 64) != 0, kept = -1;
        int64_t now, since, room;
        gate->full = full;
        clock_us += action & 128 ? INT64_C(1000) << take(&in) % 18 : 0;
        now = clock_us / 1000;
        if (action & 4) {
            subscription_emit(ef, which);
            if (!(emitted >> which & 1)) {
                order[kinds++] = which;
                emitted |= 1u << which;
            }
            lossy = full ? now + EMZ_I_REPEAT_MAX : lossy;
            repeated = full ? 0 : repeated;
            if (now >= lossy) {
                due[which] = INT64_MAX;
            } else if (due[which] > now + EMZ_I_REPEAT_MS) {
                due[which] = now + EMZ_I_REPEAT_MS;
                look = due[which] < look ? due[which] : look;
            }
            pause[which] = now < lossy ? 2 * EMZ_I_REPEAT_MS : 0;
            held[which] = 0;
        }
        ready[0] = action & 8 ? 1 : 0;
        memcpy(ready + 1, title_of[which], strlen(title_of[which]) + 1);
        user_id = action & 16   ? "iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R"
                  : action & 32 ? "no key"
                                : NULL;
        message_take(&in, &m, ready, strlen(title_of[which]) + 2);
        forget_what_was_done();
        message_arrive(&m, gate);
        messages++;
        (void)emz_efunguz_update(ef);
        valid = m.count == 1 && m.size[0] && m.data[0][0] <= 1;
        if (valid) {
            check(gate->open && ef->gate.socket == gate);
            for (i = 0; i < TITLES; i++) {
                if (emitted >> i & 1 && m.data[0][0] && m.size[0] == strlen(title_of[i]) + 2 &&
                    !memcmp(m.data[0] + 1, title_of[i], m.size[0] - 1)) {
                    kept = (int)i;
                }
            }
            if (ef->gate.manual) { /* it is said yes to */
                check(done > at && by_us[at].of == gate);
                check(by_us[at].option == (m.data[0][0] ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE));
                check(by_us[at].size == m.size[0] - 1);
                check(!memcmp(by_us[at].data, m.data[0] + 1, m.size[0] - 1));
                at++;
            }
        }
        if (kept >= 0 && now < lossy) { /* it may be for one whose queue is full */
            if (due[kept] > now + EMZ_I_REPEAT_MS) {
                due[kept] = now + EMZ_I_REPEAT_MS;
                look = due[kept] < look ? due[kept] : look;
            }
            pause[kept] = 2 * EMZ_I_REPEAT_MS;
        }
        if (m.count && !full && (kept >= 0 || ef->gate.manual)) { /* one message follows */
            check(value_sent(gate, &at) == kept);
        } else if (kept >= 0) {
            due[kept] = now + EMZ_I_OWED_MS;
            look = due[kept] < look ? due[kept] : look;
            held[kept] = held[kept] ? held[kept] : now + EMZ_I_HELD_MS;
        }
        while (at < done) { /* then what is due, each once */
            int value = value_sent(gate, &at);
            check(value >= 0 && !(again >> value & 1));
            again |= 1u << value;
        }
        since = now + EMZ_I_REPEAT_MAX - lossy;
        room = now < lossy ? EMZ_I_REPEAT_RATE * (since + since * since / 1000) / 1000 - repeated
                           : TITLES;
        for (n = 0, first = turn; now >= look && n < kinds; n++) { /* in turn, so many */
            int past;
            i = order[(first + n) % kinds];
            if (now < due[i] || room-- <= 0) {
                continue;
            }
            turn = (first + n + 1) % kinds;
            /* past who stands still, and once more for him */
            past = full && held[i] && now >= held[i] && now >= moved;
            check((again >> i & 1) == (!full || past));
            if (again >> i & 1) {
                again ^= 1u << i;
                moved = held[i] && !past ? now + EMZ_I_HELD_MS : moved;
                lossy = past ? now + EMZ_I_REPEAT_MAX : lossy;
                repeated = past ? 0 : repeated + 1;
                pause[i] = now < lossy && !pause[i] ? EMZ_I_REPEAT_MS : pause[i];
                due[i] = pause[i] && pause[i] <= EMZ_I_REPEAT_MAX ? now + pause[i] : INT64_MAX;
                pause[i] = pause[i] <= EMZ_I_REPEAT_MAX ? 2 * pause[i] : 0;
                held[i] = 0;
            } else {
                due[i] = now + EMZ_I_OWED_MS;
                held[i] = held[i] ? held[i] : now + EMZ_I_HELD_MS;
            }
        }
        check(!again);
        if (now >= look) {
            for (look = INT64_MAX, i = 0; i < kinds; i++) {
                look = due[order[i]] < look ? due[order[i]] : look;
            }
            look = look <= now ? now + EMZ_I_OWED_MS : look;
        }
        if (m.count && !valid) { /* the connections end, and the sender's key does not come again */
            bad += action & 16;
            check(ef->gate.socket && !ef->gate.must_rebuild);
            lossy = moved = repeated = 0; /* and so does all that was due */
            for (i = 0; i < TITLES; i++) {
                due[i] = INT64_MAX;
                pause[i] = held[i] = 0;
            }
        }
        check(ef->banned.count == (bad > 0));
        message_free(&m);
    }
    emz_efunguz_free(ef);
}

/* ---- monitor: events of libzmq's sockets, lawful ones and garbage ---- */

/* Connections as libzmq reports them: each comes, shakes hands or not, ends. */
static void monitor_lawful(emz_efunguz *ef, input in) {
    enum { N = 8 };
    enum { NONE, SHAKING, IN, REFUSED } state[N] = {NONE};
    int events = 0, i, in_now, open, refused;
    while (in.left && events++ < 250) {
        unsigned action = take(&in);
        uint32_t c = action % N;
        emz_i_monitor *m = &ef->gate.monitor;
        unsigned end =
            action & 8 ? ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL : ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
        switch (state[c]) {
        case NONE:
            event_arrive(m, ZMQ_EVENT_ACCEPTED, c);
            state[c] = SHAKING;
            break;
        case SHAKING:
            if (action & 64) {
                event_arrive(m, end, 0);
                event_arrive(m, ZMQ_EVENT_DISCONNECTED, c);
                state[c] = NONE;
            } else {
                state[c] = action & 32 ? REFUSED : IN;
                event_arrive(m,
                             action & 32 ? ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
                                         : ZMQ_EVENT_HANDSHAKE_SUCCEEDED,
                             400);
            }
            break;
        case IN:
        case REFUSED:
            event_arrive(m, ZMQ_EVENT_DISCONNECTED, c);
            state[c] = NONE;
            break;
        }
        if (action & 128) {
            (void)emz_efunguz_update(ef);
        }
    }
    (void)emz_efunguz_update(ef);
    for (i = in_now = open = refused = 0; i < N; i++) {
        open += state[i] != NONE;
        in_now += state[i] == IN;
        refused += state[i] == REFUSED;
    }
    check(ef->gate.visits.count == (size_t)open);
    check(emz_efunguz_in_absorbing_num(ef) + ef->gate.refused == (uint64_t)(in_now + refused));
    check(refused || emz_efunguz_in_absorbing_num(ef) == (uint64_t)in_now);
}

static void monitor_garbage(emz_efunguz *ef, input in) {
    uint64_t successes = 0;
    emz_ehypha *eh;
    int events = 0;
    check(!emz_efunguz_add_ehypha_direct(ef, "iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R", "::1", 1,
                                         &eh));
    while (in.left && events++ < 250) {
        unsigned action = take(&in);
        emz_i_monitor *m = action & 1 ? &eh->monitor : &ef->gate.monitor;
        size_t size = 6;
        if (action & 2) { /* any frames at all */
            message raw;
            message_take(&in, &raw, NULL, 0);
            message_arrive(&raw, m->source.socket);
            successes += raw.count; /* at most */
            message_free(&raw);
            events += 12;
        } else if (action & 4) { /* any event */
            const uint8_t *frame = take_bytes(&in, &size);
            arrive(m->source.socket, frame, size, 1);
            arrive(m->source.socket, "", 0, 0);
            successes++;
        } else {
            unsigned event = 1u << (action >> 4);
            event_arrive(m, event, take(&in) % 8);
            successes += event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        }
        if (action & 8) {
            clock_us += 1000 * (int64_t)take(&in) * 256;
            (void)emz_efunguz_update(ef);
            check(emz_efunguz_in_absorbing_num(ef) <= successes);
            check(ef->gate.visits.count <= (size_t)events);
            check(eh->link >= EMZ_LINK_EXHAUSTED && eh->link <= EMZ_LINK_UP);
            check((eh->link == EMZ_LINK_UP) == (eh->stage == EMZ_I_TALKING));
            check((eh->stage == EMZ_I_WAITING) == !*eh->endpoint);
            check(strncmp(emz_ehypha_link_str(eh), "Unknown", 7));
        }
    }
    (void)emz_efunguz_update(ef);
}

static void target_monitor(input in) {
    emz_efunguz *ef = efunguz(NULL);
    if (take(&in) & 1) {
        monitor_garbage(ef, in);
    } else {
        monitor_lawful(ef, in);
    }
    emz_efunguz_free(ef);
}

/* ---- zap: who may come in; nobody does who is not on the list, whatever the request ---- */

static void target_zap(input in) {
    static const char *const listed = "iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R";
    unsigned flags = take(&in);
    emz_config config;
    emz_efunguz *ef;
    uint8_t key[32];
    uint64_t attempted = 0, permitted = 0;
    size_t messages = 0, i;
    memset(&config, 0, sizeof config);
    config.whitelist = &listed;
    config.whitelist_size = flags & 1;
    config.whitelist_only = flags >> 1 & 1;
    in_place = (flags & 4) != 0;
    ef = efunguz(&config);
    check(zmq_z85_decode(key, listed));
    while (in.left && messages++ < 80) {
        unsigned action = take(&in);
        message m;
        if (action & 1) { /* any frames */
            message_take(&in, &m, ef->session, sizeof ef->session);
        } else { /* libzmq's nine, some of them replaced */
            static const char *const text[9] = {"peer",      "", "1.0",   "1", "emyz",
                                                "127.0.0.1", "", "CURVE", ""};
            for (m.count = 0; m.count < 9; m.count++) {
                const void *data = m.count == 6   ? (const void *)ef->session
                                   : m.count == 8 ? (const void *)key
                                                  : (const void *)text[m.count];
                size_t size = m.count == 6 || m.count == 8 ? 32 : strlen(text[m.count]);
                if (action >> 1 == m.count) {
                    size = take(&in);
                    data = take_bytes(&in, &size);
                }
                m.data[m.count] = (uint8_t *)copy_of(data, size);
                m.size[m.count] = size;
            }
        }
        forget_what_was_done();
        message_arrive(&m, ef->zap.socket);
        (void)emz_efunguz_update(ef);
        if (m.count < 4) {
            check(!done);
        } else {
            int good_one = m.count == 9 && m.size[7] == 5 && !memcmp(m.data[7], "CURVE", 5) &&
                           m.size[6] == 32 && !memcmp(m.data[6], ef->session, 32) &&
                           m.size[8] == 32 &&
                           (flags & 1 ? !memcmp(m.data[8], key, 32) : !(flags & 2));
            char user[41] = "";
            if (good_one) {
                zmq_z85_encode(user, m.data[8], 32);
            }
            attempted++;
            permitted += (uint64_t)good_one;
            check(done == 8);
            for (i = 0; i < done; i++) {
                static const char *const said[2][8] = {{0, "", "1.0", 0, "400", "FAILED", "", ""},
                                                       {0, "", "1.0", 0, "200", "OK", 0, ""}};
                const char *wanted = said[good_one][i];
                const void *data = i == 0   ? (const void *)m.data[0]
                                   : i == 3 ? (const void *)m.data[3]
                                   : wanted ? (const void *)wanted
                                            : (const void *)user;
                size_t size = i == 0   ? m.size[0]
                              : i == 3 ? m.size[3]
                                       : strlen(wanted ? wanted : user);
                check(by_us[i].of == ef->zap.socket && !by_us[i].more == (i == 7));
                check(by_us[i].size == size && !memcmp(by_us[i].data, data, size));
            }
        }
        check(emz_efunguz_in_attempted_num(ef) == attempted);
        check(emz_efunguz_in_permitted_num(ef) == permitted);
        message_free(&m);
    }
    emz_efunguz_free(ef);
}

/* ---- which one ---- */

static const struct {
    const char *name;
    void (*run)(input in);
} targets[] = {
    {"z85", target_z85},         {"onion", target_onion}, {"whitelist", target_whitelist},
    {"wire", target_wire},       {"socks", target_socks}, {"subscription", target_subscription},
    {"monitor", target_monitor}, {"zap", target_zap}};
static void (*target)(input in);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    int a;
    size_t i;
    for (a = 1; a < *argc; a++) {
        const char *text = (*argv)[a];
        mutant = strncmp(text, "--mutant=", 9) ? mutant : atoi(text + 9);
        for (i = 0; i < sizeof targets / sizeof *targets; i++) {
            if (!strncmp(text, "--target=", 9) && !strcmp(text + 9, targets[i].name)) {
                target = targets[i].run;
            }
        }
    }
    if (!target) {
        fprintf(stderr, "an argument is missing: --target=");
        for (i = 0; i < sizeof targets / sizeof *targets; i++) {
            fprintf(stderr, "%s%s", i ? "|" : "", targets[i].name);
        }
        fprintf(stderr, "\n");
        exit(2);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in;
    in.at = data;
    in.left = size;
    target(in);
    world_end();
    return 0;
}
