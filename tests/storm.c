/* Storms: realms that come and go at random moments, against every kind of SOCKS proxy
 * (tests/socks.py); three that add and delete connections, titles and whitelist keys while they talk;
 * sixteen threads with a realm each.
 *
 *     storm [ROUNDS [SEED [NAME]]]     NAME: of one storm only
 */
#define _POSIX_C_SOURCE          200809L
#define EMZ_RETRY_PERCENT        1   /* many attempts in a short life */
#define EMZ_HEARTBEAT_MS         100 /* and probes */
#define EMZ_HEARTBEAT_TIMEOUT_MS 10000
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "tap.h"
#include <limits.h>
#include <pthread.h>

#define ONION "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

static int rounds = 200;
static unsigned long seed;
static const char *only; /* the one storm that is wanted; NULL: all */

static child proxy;
static int proxy_port;

/* AddressSanitizer keeps what was freed for a while: little of it, so that growth shows. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "quarantine_size_mb=1:thread_local_quarantine_size_kb=16";
}

/* ---- what storms are made of ---- */

static uint64_t next_chance(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 16;
}

static uint64_t random_state;
static int chance(int below) {
    return (int)(next_chance(&random_state) % (uint64_t)below);
}

/* Each storm starts from the seed, so that it can be repeated alone. */
static int begins(const char *name) {
    int i;
    random_state = seed * 2 + 1;
    for (i = 0; i < 8; i++) {
        chance(2);
    }
    return !only || !strcmp(only, name);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double resident(void) {
    double pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%*s %lf", &pages) != 1) {
            pages = 0;
        }
        fclose(f);
    }
    return pages;
}

/* What must not change however often something is done: memory, descriptors, threads. */
typedef struct toll {
    int fds, threads, count, total;
    double first, last; /* resident pages, summed over a third of the rounds */
} toll;

static toll toll_start(int total) {
    toll t;
    memset(&t, 0, sizeof t);
    t.total = total;
    t.fds = fds();
    t.threads = threads();
    return t;
}

static void toll_round(toll *t) {
    int third = t->total / 3, i = t->count++;
    if (i < third) {
        t->first += resident();
    } else if (i >= t->total - third) {
        t->last += resident();
    }
}

static void toll_judge(toll *t) {
    double ratio = t->last / t->first;
    int64_t end = emz_now() + 60000000;
    int now_fds, now_threads;
    while (now_fds = fds(), now_threads = threads(),
           (now_fds > t->fds || now_threads > t->threads) && emz_now() < end) {
        pump(); /* what the others still hold for those who have gone */
        zmq_poll(NULL, 0, 2);
    }
    ok(now_fds <= t->fds && now_threads <= t->threads,
       "... descriptors %d, before %d; threads %d, %d", now_fds, t->fds, now_threads, t->threads);
    ok(!(ratio >= 1.5), "... memory, last third of the rounds to the first: %.3f", ratio);
}

/* A port on which nobody listens, and will not. */
static int closed_port(void) {
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)!bind(fd, (struct sockaddr *)&at, size);
    getsockname(fd, (struct sockaddr *)&at, &size);
    return ntohs(at.sin_port); /* fd stays open: so the port is nobody else's */
}

static int proxy_start(void) {
    const char *argv[] = {NULL,    "tests/socks.py", "working", "--quiet",
                          "--map", "*=127.0.0.1",    NULL};
    argv[0] = getenv("PYTHON") ? getenv("PYTHON") : "python3";
    if (child_start(&proxy, argv) || !child_says(&proxy, "READY")) {
        return -1;
    }
    proxy_port = atoi(proxy.line + 6);
    return 0;
}

static int proxy_is(const char *mode) {
    char line[200];
    snprintf(line, sizeof line, "mode %s", mode);
    child_tell(&proxy, line);
    return child_says(&proxy, "OK");
}

/* ---- realms that come and go ---- */

static const struct storm {
    const char *name, *mode; /* of the proxy; NULL: there is none */
    int nobody;              /* behind it */
    emz_i_stage reached;     /* what some live to see: else the storm is not what it says */
} storms[] = {
    {"none", NULL, 0, EMZ_I_WAITING},
    {"hanging", "hang", 0, EMZ_I_GREETING},
    {"hanging-greeted", "hang-after-greeting", 0, EMZ_I_REQUESTING},
    {"refusing", "refuse --code 4", 0, EMZ_I_WAITING},
    {"closing", "close-at", 0, EMZ_I_WAITING},
    {"garbage", "garbage", 0, EMZ_I_WAITING},
    {"garbage-behind", "garbage --after 12", 0, EMZ_I_WAITING},
    {"slow", "slow --delay 1", 0, EMZ_I_TALKING},
    {"nobody", "working", 1, EMZ_I_WAITING},
    {"peer", "working", 0, EMZ_I_TALKING},
};

/* Is one of a realm's connections so far? */
static int is_at(emz_efunguz *ef, emz_i_stage stage) {
    size_t i;
    for (i = 0; i < emz_efunguz_ehypha_count(ef); i++) {
        emz_ehypha *eh = emz_efunguz_ehypha_at(ef, i);
        if (eh->stage == stage &&
            (stage != EMZ_I_TALKING || emz_etale_t_in(emz_ehypha_get_etale(eh, "t")) >= 0)) {
            return 1;
        }
    }
    return 0;
}

static void test_storm(const struct storm *s) {
    enum { PEERS = 3, STAGES = EMZ_I_TALKING + 1 };
    static const char *stage_name[STAGES] = {"waiting",    "dialing", "greeting", "requesting",
                                             "connecting", "shaking", "talking"};
    emz_efunguz *target = realm_new(NULL, NULL);
    char key[PEERS][EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE];
    int ended[STAGES] = {0}, closed = closed_port(), over = 0, values = 0, made = 0, i, k;
    double worst = 0;
    toll t;
    memcpy(key[0], emz_efunguz_publickey(target), EMZ_KEY_Z85_SIZE);
    for (k = 1; k < PEERS; k++) {
        emz_keypair(key[k], secretkey);
    }
    emit_text(target, "t", "value");
    if (s->mode && strcmp(s->mode, "close-at")) {
        proxy_is(s->mode);
    }
    t = toll_start(rounds);
    for (i = 0; i < rounds; i++) {
        emz_config c;
        emz_efunguz *ef;
        int peers = 1 + chance(PEERS), steps = chance(6), lives = i % 20 == 0;
        double began = seconds(), limit = began + 60,
               moment =
                   began + 0.001 * (chance(2) ? chance(s->reached == EMZ_I_TALKING ? 40 : 10) : 0);
        memset(&c, 0, sizeof c);
        c.torproxy_port = s->mode ? proxy_port : closed;
        if (s->mode && !strcmp(s->mode, "close-at") && i % (rounds / 28 + 1) == 0) {
            char mode[40]; /* each of the 14 places, ended and reset */
            int n = i / (rounds / 28 + 1);
            snprintf(mode, sizeof mode, "close-at %d%s", n % 14 - 1, n < 14 ? "" : " --rst");
            proxy_is(mode);
        }
        ef = realm_new(NULL, &c);
        for (k = 0; k < peers && ef; k++) {
            emz_ehypha *eh = NULL;
            made += emz_efunguz_add_ehypha(ef, key[k], ONION,
                                           s->nobody ? closed : emz_efunguz_port(target),
                                           &eh) == EMZ_OK;
            emz_ehypha_add_etale(eh, "t", NULL);
        }
        for (; steps > 0 || seconds() < moment ||
               (lives && !is_at(ef, s->reached) && seconds() < limit);
             steps--) {
            emz_efunguz_wait(ef, chance(3));
            pump();
            if (!chance(20)) {
                emit_text(target, "t", "another value");
            }
            if (!lives && !chance(100)) {
                emz_efunguz_del_ehypha(ef, key[chance(PEERS)]);
            }
        }
        for (k = 0; k < (int)emz_efunguz_ehypha_count(ef); k++) {
            emz_ehypha *eh = emz_efunguz_ehypha_at(ef, (size_t)k);
            ended[eh->stage]++;
            values += emz_etale_t_in(emz_ehypha_get_etale(eh, "t")) >= 0;
        }
        began = seconds();
        realm_free(ef);
        began = seconds() - began;
        worst = began > worst ? began : worst;
        over += began > 1;
        toll_round(&t);
    }
    ok(made >= rounds, "storm %s: %d realms with %d connections came and went", s->name, rounds,
       made);
    printf("# they ended while");
    for (k = 0; k < STAGES; k++) {
        printf(" %s %d%s", stage_name[k], ended[k], k + 1 < STAGES ? "," : "");
    }
    printf("; %d had a value\n", values);
    ok(ended[s->reached] && (s->reached != EMZ_I_TALKING || values), "... some got as far as %s",
       stage_name[s->reached]);
    /* A machine that has much else to do may hold some up: that is not ours. */
    ok(over <= rounds / 20, "... the longest emz_efunguz_free took %.3f s, %d over a second", worst,
       over);
    toll_judge(&t);
    realm_free(target);
}

/* ---- changes while they talk: what three realms do, and what must come of it ---- */

enum { SIDES = 3, TITLES = 4, ABSENT = 0, ASKED, PAUSED };
static const char *const titles[TITLES] = {"", "a", "ab", "b"};

typedef struct side {
    emz_efunguz *ef;
    const char *key;
    int listed[SIDES];         /* in its whitelist */
    int limit[SIDES];          /* the last value that this one may have; INT_MAX: permitted */
    int newest[TITLES];        /* value; 0: none yet */
    int reads[SIDES];          /* has an ehypha to */
    int asks[SIDES][TITLES];   /* has an etale: ABSENT, ASKED, PAUSED */
    int paused[SIDES][TITLES]; /* the value that it had then */
} side;

static side sides[SIDES];
static int serial; /* of values */

static int permitted(const side *s, int reader) {
    int k, size = 0;
    for (k = 0; k < SIDES; k++) {
        size += s->listed[k];
    }
    return s->listed[reader] || (!size && !s->ef->whitelist_only);
}

static void limits(side *s) {
    int k;
    for (k = 0; k < SIDES; k++) {
        if (permitted(s, k)) {
            s->limit[k] = INT_MAX;
        } else if (s->limit[k] == INT_MAX) {
            s->limit[k] = serial;
        }
    }
}

static int held(const emz_etale *et) {
    size_t count;
    const emz_part *parts = emz_etale_parts(et, &count);
    char text[16] = "";
    if (count == 1 && parts[0].size < sizeof text) {
        memcpy(text, parts[0].data, parts[0].size);
    }
    return atoi(text);
}

/* One random change; 0 if it went as it must. */
static int change(void) {
    int from = chance(SIDES), to = (from + 1 + chance(SIDES - 1)) % SIDES, t = chance(TITLES);
    side *s = &sides[from], *other = &sides[to];
    emz_ehypha *eh = emz_efunguz_get_ehypha(s->ef, other->key);
    int *asks = &s->asks[to][t];
    emz_result r = EMZ_OK, wanted = EMZ_OK;
    char text[16];
    switch (chance(8)) {
    case 0: /* connect or disconnect */
        if (chance(3)) {
            break;
        }
        if (s->reads[to]) {
            r = emz_efunguz_del_ehypha(s->ef, other->key);
            memset(s->asks[to], 0, sizeof s->asks[to]);
        } else if (chance(2)) {
            r = emz_efunguz_add_ehypha(s->ef, other->key, ONION, emz_efunguz_port(other->ef), &eh);
        } else {
            r = emz_efunguz_add_ehypha_direct(s->ef, other->key, "127.0.0.1",
                                              emz_efunguz_port(other->ef), &eh);
        }
        s->reads[to] = !s->reads[to];
        break;
    case 1: /* ask for a title, or no longer */
        if (!s->reads[to]) {
            wanted = EMZ_ERR_ARGUMENT;
        }
        if (*asks == ABSENT) {
            r = emz_ehypha_add_etale(eh, titles[t], NULL);
            *asks = s->reads[to] ? ASKED : ABSENT;
        } else {
            r = emz_ehypha_del_etale(eh, titles[t]);
            *asks = ABSENT;
        }
        break;
    case 2: /* pause or resume one */
        wanted = !s->reads[to] ? EMZ_ERR_ARGUMENT : *asks == ABSENT ? EMZ_ABSENT : EMZ_OK;
        if (*asks == PAUSED) {
            r = emz_ehypha_resume_etale(eh, titles[t]);
            *asks = ASKED;
        } else {
            r = emz_ehypha_pause_etale(eh, titles[t]);
            if (*asks == ASKED) {
                s->paused[to][t] = held(emz_ehypha_get_etale(eh, titles[t]));
                *asks = PAUSED;
            }
        }
        break;
    case 3: /* let in or keep out */
        if (chance(3)) {
            break;
        }
        if (s->listed[to]) {
            r = emz_efunguz_del_whitelist_publickeys(s->ef, &other->key, 1);
        } else {
            r = emz_efunguz_add_whitelist_publickeys(s->ef, &other->key, 1);
        }
        s->listed[to] = !s->listed[to];
        break;
    case 4:
        if (!chance(20)) {
            emz_efunguz_clear_whitelist_publickeys(s->ef);
            memset(s->listed, 0, sizeof s->listed);
        }
        break;
    default: /* traffic */
        snprintf(text, sizeof text, "%d", ++serial);
        r = emit_text(s->ef, titles[t], text);
        s->newest[t] = r ? s->newest[t] : serial;
        wanted = r == EMZ_ERR_BIND ? r : wanted; /* the port was not to be had again at once */
        break;
    }
    limits(s);
    return r != wanted;
}

/* Is all as it must be? NULL, or what is not. */
static const char *amiss(void) {
    static char words[160];
    int from, to, t;
    for (to = 0; to < SIDES; to++) {
        uint64_t absorbing = 0;
        for (from = 0; from < SIDES; from++) {
            emz_ehypha *eh = emz_efunguz_get_ehypha(sides[from].ef, sides[to].key);
            int open = permitted(&sides[to], from);
            if (!sides[from].reads[to]) {
                if (eh) {
                    return "an ehypha was deleted and is there";
                }
                continue;
            }
            absorbing += (uint64_t)open;
            if (emz_ehypha_link(eh) != (open ? EMZ_LINK_UP : EMZ_LINK_DENIED)) {
                snprintf(words, sizeof words, "%d to %d, %s: %s", from, to,
                         open ? "permitted" : "denied", emz_ehypha_link_str(eh));
                return words;
            }
            for (t = 0; t < TITLES; t++) {
                const emz_etale *et = emz_ehypha_get_etale(eh, titles[t]);
                int asks = sides[from].asks[to][t], has = held(et);
                if (!et != (asks == ABSENT) || emz_etale_paused(et) != (asks == PAUSED) ||
                    has > sides[to].limit[from] ||
                    (asks == PAUSED && has != sides[from].paused[to][t]) ||
                    (asks == ASKED && open && has != sides[to].newest[t])) {
                    snprintf(words, sizeof words, "%d has %d of %d, title %d, asks %d, limit %d",
                             from, has, to, t, asks, sides[to].limit[from]);
                    return words;
                }
            }
        }
        if (emz_efunguz_in_absorbing_num(sides[to].ef) != absorbing) {
            snprintf(words, sizeof words, "%d absorbs %d, not %d", to,
                     (int)emz_efunguz_in_absorbing_num(sides[to].ef), (int)absorbing);
            return words;
        }
    }
    return NULL;
}

static void test_changes(void) {
    const int every = 20;
    int i, k, changes = 0, failed = 0, checks = 0, quiet = 0, got;
    toll t = toll_start(rounds);
    proxy_is("working");
    memset(sides, 0, sizeof sides);
    for (k = 0; k < SIDES; k++) {
        emz_config c;
        memset(&c, 0, sizeof c);
        c.torproxy_port = proxy_port;
        c.whitelist_only = k == 0;
        sides[k].ef = realm_new(NULL, &c);
        sides[k].key = emz_efunguz_publickey(sides[k].ef);
        for (i = 0; i < SIDES; i++) {
            sides[k].limit[i] = INT_MAX;
        }
        limits(&sides[k]);
    }
    got = updated;
    for (i = 0; i < rounds && checks == quiet; i++) {
        for (k = chance(20); k >= 0; k--, changes++) {
            failed += change();
            pump();
            zmq_poll(NULL, 0, chance(3));
        }
        if (i % every == every - 1) {
            int64_t end = emz_now() + INT64_C(60000000);
            while (amiss() && emz_now() < end) {
                pump();
                zmq_poll(NULL, 0, 1);
            }
            checks++;
            quiet += !amiss();
        }
        toll_round(&t);
    }
    ok(checks && checks == quiet, "storm changes: %d changes; %d of %d times all came right",
       changes, quiet, checks);
    if (amiss()) {
        printf("# %s\n", amiss());
    }
    ok(!failed, "... each call returned what it must");
    ok(updated - got > rounds / 10, "... meanwhile %d new values came", updated - got);
    for (k = 0; k < SIDES; k++) {
        realm_free(sides[k].ef);
    }
    toll_judge(&t);
}

/* ---- peers that end while we do not look: libzmq aborts the process at the next probe of a
 * connection that has ended while its queue was full ---- */

static void test_unread(void) {
    enum { MANY = 5000 };
    const int while_probed = 10 * EMZ_HEARTBEAT_MS;
    int through_proxy, i;
    char text[16];
    emz_config c;
    emz_efunguz *a, *b;
    emz_ehypha *eh;
    const emz_etale *et;
    memset(&c, 0, sizeof c);
    c.torproxy_port = proxy_port;
    c.queue_size = MANY + 1;
    proxy_is("working");
    for (through_proxy = 0; through_proxy < 2; through_proxy++) {
        const char *how = through_proxy ? "through the proxy" : "directly";
        a = realm_new(NULL, &c);
        c.queue_size = 10;
        b = realm_new(NULL, &c);
        c.queue_size = MANY + 1;
        if (through_proxy) {
            emz_efunguz_add_ehypha(b, emz_efunguz_publickey(a), ONION, emz_efunguz_port(a), &eh);
        } else {
            eh = connect_realm(b, a);
        }
        emz_ehypha_add_etale(eh, "t", &et);
        emit_text(a, "t", "0");
        until(how, holds(et, "0"));
        for (i = 1; i <= MANY; i++) {
            snprintf(text, sizeof text, "%d", i);
            emit_text(a, "t", text);
        }
        realm_free(a);
        zmq_poll(NULL, 0, while_probed); /* the danger passes unseen */
        until("a publisher that has ended, unread, is read: more than one update() takes",
              held(et) > EMZ_UPDATE_MESSAGES);
        until("... and lost",
              emz_ehypha_link(eh) == EMZ_LINK_LOST || emz_ehypha_link(eh) == EMZ_LINK_UNREACHABLE);
        realm_free(b);
    }
    a = realm_new(NULL, NULL);
    b = realm_new(NULL, NULL);
    eh = connect_realm(b, a);
    emz_ehypha_add_etale(eh, "t", &et);
    emit_text(a, "t", "0");
    until("directly", holds(et, "0"));
    for (i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%d", i);
        emz_ehypha_add_etale(eh, text, NULL);
    }
    zmq_poll(NULL, 0, 100);
    realm_free(b);
    zmq_poll(NULL, 0, while_probed);
    until("a subscriber that has ended, its wishes unread, is no longer counted",
          emz_efunguz_in_absorbing_num(a) == 0);
    realm_free(a);
}

/* One that is refused and stays, while another one that was let in goes: who was it? libzmq does
 * not say. */
static void test_refused(void) {
    emz_efunguz *a = realm_new(NULL, NULL), *b = realm_new(NULL, NULL), *c;
    const char *key = emz_efunguz_publickey(b);
    emz_config config;
    emz_ehypha *eh;
    zmq_pollitem_t asked;
    memset(&config, 0, sizeof config);
    memset(&asked, 0, sizeof asked);
    config.torproxy_port = proxy_port;
    proxy_is("working");
    emz_efunguz_add_whitelist_publickeys(a, &key, 1);
    connect_realm(b, a);
    until("one is let in", emz_efunguz_in_absorbing_num(a) == 1);
    c = realm_new(NULL, &config);
    emz_efunguz_add_ehypha(c, emz_efunguz_publickey(a), ONION, emz_efunguz_port(a), &eh);
    asked.socket = a->zap.socket;
    asked.events = ZMQ_POLLIN;
    while (zmq_poll(&asked, 1, 2) <= 0 || !(asked.revents & ZMQ_POLLIN)) {
        emz_efunguz_update(c);
    }
    child_tell(&proxy, "freeze"); /* before anybody answers */
    while (child_line(&proxy, -1) > 0 && strcmp(proxy.line, "OK")) {
    }
    emz_i_ready(&a->poller, &a->zap); /* we have used its socket */
    until("another one is refused, and does not hear of it", a->gate.refused == 1);
    realm_free(b);
    until("the first one goes", a->gate.visits.count == 1);
    child_tell(&proxy, "thaw");
    child_says(&proxy, "OK");
    until("the other one goes", emz_ehypha_link(eh) == EMZ_LINK_DENIED);
    realm_free(c);
    until("nobody is counted as let in", emz_efunguz_in_absorbing_num(a) == 0);
    realm_free(a);
}

/* ---- threads with a realm each: sixteen in a ring ---- */

enum { THREADS = 16 };

static struct {
    pthread_mutex_t lock;
    char key[THREADS][EMZ_KEY_Z85_SIZE];
    int port[THREADS];
    int ready, satisfied, failed; /* threads, over all rounds */
    int values;
} ring;

static int ring_count(int *what, int more) {
    int value;
    pthread_mutex_lock(&ring.lock);
    value = *what += more;
    pthread_mutex_unlock(&ring.lock);
    return value;
}

/* The neighbour that is so far ahead, directly or through the proxy. */
static void ring_read(emz_efunguz *ef, int me, int ahead, int through_proxy,
                      const emz_etale **etale) {
    char key[EMZ_KEY_Z85_SIZE];
    int port, i = (me + ahead) % THREADS;
    emz_ehypha *eh = NULL;
    pthread_mutex_lock(&ring.lock);
    memcpy(key, ring.key[i], sizeof key);
    port = ring.port[i];
    pthread_mutex_unlock(&ring.lock);
    emz_efunguz_del_ehypha(ef, key);
    if (through_proxy) {
        emz_efunguz_add_ehypha(ef, key, ONION, port, &eh);
    } else {
        emz_efunguz_add_ehypha_direct(ef, key, "127.0.0.1", port, &eh);
    }
    emz_ehypha_add_etale(eh, "t", etale);
}

static void *ring_run(void *number) {
    const int me = *(int *)number, enough = 10, emit_every = 10000; /* microseconds */
    uint64_t state = seed * 2 + 1 + (uint64_t)me;
    int64_t end = emz_now() + INT64_C(1000000) * (60 + rounds);
    int round;
    for (round = 1; round <= rounds && emz_now() < end; round++) {
        char key[EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE];
        const emz_etale *etale[2] = {NULL, NULL};
        emz_config c;
        emz_efunguz *ef = NULL;
        int64_t emitted = 0;
        int values = 0, satisfied = 0, changes = (int)(next_chance(&state) % 4);
        memset(&c, 0, sizeof c);
        c.pubsub_port = EMZ_ANY_PORT;
        c.torproxy_port = proxy_port;
        if (emz_keypair(key, secretkey) || emz_efunguz_new(&ef, secretkey, &c)) {
            break;
        }
        pthread_mutex_lock(&ring.lock);
        memcpy(ring.key[me], key, sizeof key);
        ring.port[me] = emz_efunguz_port(ef);
        ring.ready++;
        pthread_mutex_unlock(&ring.lock);
        while (ring_count(&ring.ready, 0) < round * THREADS && emz_now() < end) {
            emz_efunguz_wait(ef, 2);
            emz_efunguz_update(ef);
        }
        ring_read(ef, me, 1, 0, &etale[0]);
        ring_read(ef, me, 2, 1, &etale[1]);
        while (ring_count(&ring.satisfied, 0) < round * THREADS && emz_now() < end) {
            if (emz_now() > emitted + emit_every) {
                emitted = emz_now();
                emit_text(ef, "t", key);
            }
            values += emz_efunguz_update(ef);
            emz_efunguz_wait(ef, 2);
            if (changes && values >= changes) {
                changes--;
                ring_read(ef, me, 2, changes % 2, &etale[1]);
            }
            if (!satisfied && values >= enough && emz_etale_t_in(etale[0]) >= 0 &&
                emz_etale_t_in(etale[1]) >= 0) {
                satisfied = ring_count(&ring.satisfied, 1) > 0;
            }
        }
        ring_count(&ring.values, values);
        emz_efunguz_free(ef);
    }
    ring_count(&ring.failed, round <= rounds);
    return NULL;
}

static void *nothing(void *with) {
    return with;
}

static void test_threads(void) {
    pthread_t thread[THREADS];
    int number[THREADS], i, all = rounds, fds_before, threads_before;
    pthread_create(&thread[0], NULL, nothing,
                   NULL); /* with the first, a sanitizer starts its own */
    pthread_join(thread[0], NULL);
    fds_before = fds();
    threads_before = threads();
    rounds = rounds / THREADS + 1; /* so that there are as many realms as in other storms */
    proxy_is("working");
    memset(&ring, 0, sizeof ring);
    pthread_mutex_init(&ring.lock, NULL);
    for (i = 0; i < THREADS; i++) {
        number[i] = i;
        pthread_create(&thread[i], NULL, ring_run, &number[i]);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    ok(!ring.failed && ring.satisfied == rounds * THREADS,
       "storm threads: %d threads, %d rounds, each got values of two others; %d values", THREADS,
       rounds, ring.values);
    until("... all descriptors are back", fds() <= fds_before);
    until("... all threads have ended", threads() <= threads_before);
    rounds = all;
}

int main(int argc, char **argv) {
    size_t i;
    rounds = argc > 1 ? atoi(argv[1]) : rounds;
    seed = argc > 2 ? strtoul(argv[2], NULL, 10) : (unsigned long)(emz_now() % 1000000007);
    only = argc > 3 ? argv[3] : NULL;
    if (rounds < 1) {
        fprintf(stderr, "storm [ROUNDS [SEED [NAME]]]\n");
        return 1;
    }
    printf("# %d rounds, seed %lu\n", rounds, seed);
    if (proxy_start()) {
        return tap_lacks("python3, for tests/socks.py,");
    }
    for (i = 0; i < sizeof storms / sizeof *storms; i++) {
        if (begins(storms[i].name)) {
            test_storm(&storms[i]);
        }
    }
    if (begins("changes")) {
        test_changes();
    }
    if (begins("unread")) {
        test_unread();
    }
    if (begins("refused")) {
        test_refused();
    }
    if (begins("threads")) {
        test_threads();
    }
    child_end(&proxy);
    return tap_end();
}
