/* The benchmark: what emyzelium.h costs beside libzmq alone. `make bench`, or
 *
 *     bench [--quick] [--json FILE] [--svg FILE] [ROW ...]     the table; ROW: how its name begins
 *     bench --list                                             the rows
 *     bench --calls emit|receive|receive1|idle N [raw]         for instructions.sh
 *
 * Each row runs in a process of its own. Ours and raw libzmq (raw.h: the same frames, CURVE, ZAP
 * answers and options, nothing else) take turns of a few milliseconds at most; the ratio is the
 * median of the ratios of neighbouring turns, so that what else the machine does hits both. All that
 * several times in fresh processes: the figures are their medians, noise is half of what lies
 * between the lowest and the highest ratio, cpu is the ratio of the processor times. The row "noise"
 * is raw against raw: what a ratio of 1 looks like. The caller's thread is pinned to one processor,
 * the I/O threads to another. */
#define _GNU_SOURCE /* sched_setaffinity */
#define EMYZELIUM_IMPLEMENTATION
#include "../../emyzelium.h"
#include "measure.h"
#include "raw.h"
#include "proxy.h"
#include "farm.h"

#define ONION "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

/* ---- two pairs of peers, ours and raw, each a publisher and a subscriber ---- */

typedef struct bed {
    emz_efunguz *a, *b; /* a publishes */
    emz_ehypha *eh;
    const emz_etale *et;
    raw_peer ra, rb;
    void *sub;
    raw_message last;
    unsigned char *data;
    size_t size;
    uint64_t number; /* of the newest message */
    int batch;
} bed;

static emz_efunguz *efunguz_new(int queue, int proxy_port) {
    char publickey[EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE];
    emz_config config;
    emz_efunguz *ef = NULL;
    memset(&config, 0, sizeof config);
    config.pubsub_port = EMZ_ANY_PORT;
    config.queue_size = queue;
    config.torproxy_port = proxy_port;
    config.log = getenv("EMZ_BENCH_LOG") ? emz_log_stderr : NULL;
    must(!emz_keypair(publickey, secretkey) && !emz_efunguz_new(&ef, secretkey, &config));
    return ef;
}

static emz_ehypha *ehypha_new(emz_efunguz *ef, const char *publickey, int port, int proxy_port) {
    emz_ehypha *eh = NULL;
    must(!(proxy_port ? emz_efunguz_add_ehypha(ef, publickey, ONION, port, &eh)
                      : emz_efunguz_add_ehypha_direct(ef, publickey, "127.0.0.1", port, &eh)));
    return eh;
}

static uint64_t etale_number(const emz_etale *et) {
    size_t count;
    const emz_part *parts = emz_etale_parts(et, &count);
    uint64_t n = 0;
    if (count && parts[0].size >= sizeof n) {
        memcpy(&n, parts[0].data, sizeof n);
    }
    return n;
}

static void bed_count(bed *b) {
    b->number++;
    memcpy(b->data, &b->number, sizeof b->number);
}

static void emit(bed *b) {
    emz_part part;
    part.data = b->data;
    part.size = b->size;
    must(!emz_efunguz_emit_etale(b->a, "t", &part, 1));
}

/* Everything connected, and one value through. proxy_port: 0, or both go through it. */
static void bed_open(bed *b, size_t size, int batch, int proxy_port) {
    memset(b, 0, sizeof *b);
    b->size = size;
    b->batch = batch;
    b->data = (unsigned char *)malloc(size);
    must(b->data);
    memset(b->data, 1, size);
    run_on(CPU_IO);
    b->a = efunguz_new(0, 0);
    b->b = efunguz_new(0, proxy_port);
    raw_open(&b->ra, 1000);
    raw_open(&b->rb, 1000);
    b->sub = raw_subscribe(&b->rb, b->ra.publickey, b->ra.port, proxy_port, "t", 1000);
    raw_set(b->sub, ZMQ_RCVTIMEO, 1000);
    run_on(CPU_CALLER);
    b->eh = ehypha_new(b->b, emz_efunguz_publickey(b->a), emz_efunguz_port(b->a), proxy_port);
    must(!emz_ehypha_add_etale(b->eh, "t", &b->et));
    bed_count(b);
    emit(b);
    raw_message_init(&b->last);
    while (etale_number(b->et) != b->number || raw_number(&b->last) != b->number) {
        emz_efunguz_update(b->a);
        emz_efunguz_update(b->b);
        raw_serve(&b->ra);
        raw_serve(&b->rb);
        raw_send(b->ra.pub, "t", b->data, b->size);
        raw_receive(b->sub, &b->last, ZMQ_DONTWAIT);
        pause_ms(2);
    }
    while (pause_ms(20), !raw_receive(b->sub, &b->last, ZMQ_DONTWAIT)) {
    }
    acknowledge_alike();
}

/* ---- throughput: batches, sent and then received. A batch is a fifth of what the queues hold:
 * libzmq learns in steps of half a queue, and up to a millisecond late, that there is room again;
 * of a batch of half a queue it loses some now and then. ---- */

/* Something is lost: better no figure than a wrong one. */
static void patience(double since) {
    if (now() > since + 30) {
        fprintf(stderr, "bench: %s: nothing comes\n", result_row);
        exit(1);
    }
}

static double ours_batch(void *with) {
    bed *b = (bed *)with;
    double t = now();
    int i;
    for (i = 0; i < b->batch; i++) {
        bed_count(b);
        emit(b);
    }
    do {
        emz_efunguz_wait(b->b, 1000);
        patience(t);
        emz_efunguz_update(b->b);
    } while (etale_number(b->et) != b->number);
    emz_efunguz_update(b->a);
    return now() - t;
}

static double raw_batch(void *with) {
    bed *b = (bed *)with;
    double t = now();
    int i;
    for (i = 0; i < b->batch; i++) {
        bed_count(b);
        raw_send(b->ra.pub, "t", b->data, b->size);
    }
    do {
        if (raw_receive(b->sub, &b->last, 0)) {
            patience(t);
        }
    } while (raw_number(&b->last) != b->number);
    raw_serve(&b->ra);
    return now() - t;
}

static double bed_work(void *with) {
    told *t = (told *)with;
    bed b;
    bed_open(&b, t->size, t->batch, t->tunnel ? proxy_start(0)->port : 0);
    tell(t, &b);
    return 0;
}

static void throughput(const char *what, size_t size, int batch, double seconds, int tunnel,
                       double bound) {
    told *t = told_new(bed_work, ours_batch, raw_batch, seconds, 5);
    t->size = size;
    t->batch = batch;
    t->tunnel = tunnel;
    compare(t);
    report_told(what, "etales/s", batch, t, RATIO_AT_LEAST, bound);
}

static void row_noise(void) {
    told *t = told_new(bed_work, raw_batch, raw_batch, 5, 5);
    t->size = 100;
    t->batch = 200;
    compare(t);
    report_told("100 B, raw against raw", "etales/s", t->batch, t, NO_GOAL, 0);
}

static void row_direct_100(void) {
    throughput("100 B, emit to received", 100, 200, 8, 0, 0.97);
}

static void row_direct_10k(void) {
    throughput("10 kB", 10000, 200, 8, 0, 0.97);
}

static void row_direct_1m(void) {
    throughput("1 MB", 1000000, 4, 10, 0, 0.97);
}

static void row_direct_64m(void) {
    throughput("64 MB", RAW_MAX_PART, 1, 25, 0, 0.97);
}

/* The bare SOCKS path is libzmq's own client (ZMQ_SOCKS_PROXY) through the same stand-in: what who
 * dropped to libzmq would use. The difference is the hop through update(). */
static void row_tunnel_100(void) {
    throughput("100 B, tunnel", 100, 200, 8, 1, 0.9);
}

static void row_tunnel_10k(void) {
    throughput("10 kB, tunnel", 10000, 200, 8, 1, 0.9);
}

static void row_tunnel_1m(void) {
    throughput("1 MB, tunnel", 1000000, 4, 10, 1, 0.7);
}

static void row_tunnel_64m(void) {
    throughput("64 MB, tunnel", RAW_MAX_PART, 1, 25, 1, 0.7);
}

/* ---- latency: from emit until the value can be read; a turn is one ---- */

static double ours_latency(void *with) {
    bed *b = (bed *)with;
    double t;
    emz_efunguz_update(b->a);
    t = now();
    bed_count(b);
    emit(b);
    do {
        emz_efunguz_wait(b->b, 1000);
    } while (!emz_efunguz_update(b->b));
    return now() - t;
}

static double raw_latency(void *with) {
    bed *b = (bed *)with;
    zmq_pollitem_t item;
    double t;
    memset(&item, 0, sizeof item);
    item.socket = b->sub;
    item.events = ZMQ_POLLIN;
    raw_serve(&b->ra);
    t = now();
    bed_count(b);
    raw_send(b->ra.pub, "t", b->data, b->size);
    do {
        zmq_poll(&item, 1, 1000);
    } while (raw_receive(b->sub, &b->last, ZMQ_DONTWAIT));
    return now() - t;
}

static void row_latency(void) {
    told *t = told_new(bed_work, ours_latency, raw_latency, 10, 10);
    t->size = 100;
    t->batch = 1;
    compare(t);
    report_told("100 B, emit to readable, wait()", "us", 0, t, RATIO_AT_MOST, 1.05);
    t->tunnel = 1;
    compare(t);
    report_told("... through the tunnel, against bare SOCKS", "us", 0, t, NO_GOAL, 0);
    report("... added by the tunnel", "us", (t->ours - t->raw) * 1e6, NONE, NONE, NONE,
           OURS_AT_MOST, 100);
}

/* ---- memory ---- */

/* One etale of 64 MB, both ends in this process; what the program holds itself is not counted. */
typedef struct peak {
    int raw, rounds;
} peak;

static double peak_work(void *with) {
    const peak *how = (const peak *)with;
    const size_t size = RAW_MAX_PART;
    unsigned char *data = (unsigned char *)malloc(size);
    double before;
    int i;
    must(data);
    memset(data, 1, size);
    if (how->raw) {
        raw_peer a, b;
        raw_message m;
        void *sub;
        raw_message_init(&m);
        raw_open(&a, 1000);
        raw_open(&b, 1000);
        sub = raw_subscribe(&b, a.publickey, a.port, 0, "t", 1000);
        while (raw_receive(sub, &m, ZMQ_DONTWAIT)) {
            raw_serve(&a);
            raw_send(a.pub, "t", "small", 5);
            pause_ms(2);
        }
        before = memory_kb("VmRSS:");
        for (i = 0; i < how->rounds; i++) {
            raw_send(a.pub, "t", data, size);
            do {
                raw_receive(sub, &m, 0);
            } while (zmq_msg_size(&m.part) != size);
        }
    } else {
        emz_efunguz *a = efunguz_new(0, 0), *b = efunguz_new(0, 0);
        emz_ehypha *eh = ehypha_new(b, emz_efunguz_publickey(a), emz_efunguz_port(a), 0);
        const emz_etale *et;
        emz_part part;
        must(!emz_ehypha_add_etale(eh, "t", &et));
        part.data = "small";
        part.size = 5;
        must(!emz_efunguz_emit_etale(a, "t", &part, 1));
        while (emz_etale_t_in(et) < 0) {
            emz_efunguz_update(a);
            emz_efunguz_update(b);
            pause_ms(2);
        }
        before = memory_kb("VmRSS:");
        part.data = data;
        part.size = size;
        for (i = 0; i < how->rounds; i++) {
            must(!emz_efunguz_emit_etale(a, "t", &part, 1));
            do {
                emz_efunguz_wait(b, 1000);
            } while (!emz_efunguz_update(b));
        }
    }
    return memory_kb("VmHWM:") - before;
}

static void peak_report(const char *what, int rounds, goal g) {
    peak how;
    double ours, raw;
    int times = quick ? 1 : 5;
    how.rounds = rounds;
    how.raw = 0;
    ours = in_child(peak_work, &how, times);
    how.raw = 1;
    raw = in_child(peak_work, &how, times);
    report(what, "MB", ours / 1024, raw / 1024, ours / raw, NONE, g, 1.1);
}

static void row_memory_peak(void) {
    peak_report("peak for a 64 MB etale, both ends", 1, RATIO_AT_MOST);
    peak_report("five in a row", 5, NO_GOAL);
}

/* What one more costs: the growth of a process's memory from 0 to count, by count. */
typedef enum idle_kind { OURS, RAW, RAW_MONITORED } idle_kind;

typedef struct idle {
    idle_kind kind;
    farm *farm;
    crowd *crowd;
    int count, proxy_port;
} idle;

/* As many as file descriptors allow. */
static int most(int wanted, int descriptors_each) {
    int n = (int)((descriptors() - 100) / descriptors_each);
    wanted = quick && wanted > 200 ? 200 : wanted;
    return n < wanted ? n : wanted;
}

static void monitor_open(raw_peer *p, void *watched, int i) {
    char endpoint[40];
    void *monitor = zmq_socket(p->context, ZMQ_PAIR);
    snprintf(endpoint, sizeof endpoint, "inproc://monitor-%d", i);
    must(monitor && !zmq_socket_monitor(watched, endpoint,
                                        ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED |
                                            ZMQ_EVENT_HANDSHAKE_SUCCEEDED));
    must(!zmq_connect(monitor, endpoint));
}

static double idle_work(void *with) {
    const idle *how = (const idle *)with;
    farm *f = how->farm;
    double before, end = now() + 60;
    int i, subscribed = how->count;
    farm_empty(f);
    if (how->kind == OURS) {
        emz_efunguz *ef = efunguz_new(0, how->proxy_port);
        emz_efunguz_update(ef);
        before = memory_kb("VmRSS:");
        for (i = 0; i < how->count; i++) {
            emz_ehypha *eh = ehypha_new(ef, f->publickey[i], f->port[i], how->proxy_port);
            must(!emz_ehypha_add_etale(eh, "t", NULL));
            emz_efunguz_update(ef);
        }
        while (f->subscribed < subscribed && now() < end) {
            emz_efunguz_wait(ef, 10);
            emz_efunguz_update(ef);
        }
        for (i = 0; i < 50; i++) {
            emz_efunguz_wait(ef, 10);
            emz_efunguz_update(ef);
        }
    } else {
        raw_peer p;
        raw_open(&p, 1000);
        before = memory_kb("VmRSS:");
        for (i = 0; i < how->count; i++) {
            void *sub = raw_subscribe(&p, f->publickey[i], f->port[i], how->proxy_port, "t", 1000);
            if (how->kind == RAW_MONITORED) {
                monitor_open(&p, sub, i);
            }
        }
        while (f->subscribed < subscribed && now() < end) {
            pause_ms(10);
        }
        pause_ms(500);
    }
    must(f->subscribed >= subscribed);
    return (memory_kb("VmRSS:") - before) / how->count;
}

static double idle_cost(farm *f, idle_kind kind, int count, int proxy_port) {
    idle how;
    memset(&how, 0, sizeof how);
    how.farm = f;
    how.kind = kind;
    how.count = count;
    how.proxy_port = proxy_port;
    return in_child(idle_work, &how, 3);
}

static void row_memory_ehypha(void) {
    int count = most(FARM_MOST, 12);
    farm *f = farm_start(count, "t");
    int proxy_port = proxy_start(0)->port;
    double raw = idle_cost(f, RAW, count, 0), ours = idle_cost(f, OURS, count, 0);
    double monitored = idle_cost(f, RAW_MONITORED, count, 0);
    report("per idle ehypha, against SUB", "kB", ours, raw, ours / raw, NONE, RATIO_AT_MOST, 1.3);
    report("... against SUB with monitor", "kB", ours, monitored, ours / monitored, NONE, NO_GOAL,
           0);
    raw = idle_cost(f, RAW, count, proxy_port);
    ours = idle_cost(f, OURS, count, proxy_port);
    report("per idle ehypha through Tor", "kB", ours, raw, ours / raw, NONE, NO_GOAL, 0);
}

/* The publisher's side of a subscriber that has one title and one value. */
static double subscriber_work(void *with) {
    const idle *how = (const idle *)with;
    crowd *c = crowd_start(how->count);
    double before, end = now() + 60;
    if (how->kind == OURS) {
        emz_efunguz *ef = efunguz_new(0, 0);
        emz_part part;
        part.data = "small";
        part.size = 5;
        must(!emz_efunguz_emit_etale(ef, "t", &part, 1));
        before = memory_kb("VmRSS:");
        crowd_go(c, emz_efunguz_publickey(ef), emz_efunguz_port(ef));
        while (c->received < how->count && now() < end) {
            emz_efunguz_wait(ef, 10);
            emz_efunguz_update(ef);
        }
    } else {
        raw_peer p;
        raw_open(&p, 1000);
        before = memory_kb("VmRSS:");
        crowd_go(c, p.publickey, p.port);
        while (c->received < how->count && now() < end) {
            raw_serve(&p);
            c->received = 0;
            raw_send(p.pub, "t", "small", 5);
            pause_ms(100);
        }
    }
    must(c->received >= how->count);
    pause_ms(200);
    return (memory_kb("VmRSS:") - before) / how->count;
}

static void row_memory_subscriber(void) {
    idle how;
    double ours, raw;
    memset(&how, 0, sizeof how);
    how.count = most(1000, 4);
    how.kind = RAW;
    raw = in_child(subscriber_work, &how, 3);
    how.kind = OURS;
    ours = in_child(subscriber_work, &how, 3);
    report("per subscriber, the publisher's side", "kB", ours, raw, ours / raw, NONE, NO_GOAL, 0);
}

/* A held etale of one part of 100 bytes; raw: the subscription, and the three frames in an array.
 * The publisher is in another process. */
enum { ETALES = 10000 };

typedef struct store {
    char publickey[41];
    volatile int port, go, gone; /* go: values wanted, gone: sent */
    int ours;                    /* the publisher */
    pid_t parent;
} store;

static void etale_title(char title[24], int i) {
    snprintf(title, 24, "title-%d", i);
}

static void store_run(void *with) {
    static unsigned char data[100];
    store *s = (store *)with;
    raw_peer p;
    char title[24];
    raw_open(&p, 1000);
    memcpy(s->publickey, p.publickey, sizeof s->publickey);
    s->port = p.port;
    while (!orphaned(s->parent)) {
        raw_serve(&p);
        if (s->gone < s->go) { /* as many at once as the receiver said */
            while (s->gone < s->go) {
                etale_title(title, s->gone % ETALES);
                raw_send(p.pub, title, data, sizeof data);
                s->gone++;
            }
        } else {
            pause_ms(1);
        }
    }
}

static double held_work(void *with) {
    const idle *how = (const idle *)with;
    store *s = (store *)shared(sizeof *s);
    char title[24];
    double before, end = now() + 60;
    int i, got = 0;
    s->parent = getpid();
    helper(store_run, s);
    until(&s->port, 1);
    if (how->kind == OURS) {
        emz_efunguz *ef = efunguz_new(0, 0);
        emz_ehypha *eh = ehypha_new(ef, s->publickey, s->port, 0);
        const emz_etale *et = NULL;
        while (emz_ehypha_link(eh) != EMZ_LINK_UP) {
            emz_efunguz_update(ef);
            pause_ms(1);
        }
        before = memory_kb("VmRSS:");
        for (i = 0; i < ETALES; i++) {
            etale_title(title, i);
            must(!emz_ehypha_add_etale(eh, title, &et));
        }
        pause_ms(300); /* the subscriptions arrive */
        while (got < ETALES && now() < end) {
            if (got == s->go) {
                s->go += 200;
            }
            emz_efunguz_wait(ef, 10);
            got += emz_efunguz_update(ef);
        }
    } else {
        static raw_message held[ETALES];
        raw_peer me;
        void *sub;
        raw_open(&me, 1000);
        sub = raw_subscribe(&me, s->publickey, s->port, 0, "title-0", 1000);
        pause_ms(300);
        before = memory_kb("VmRSS:");
        for (i = 1; i < ETALES; i++) {
            etale_title(title, i);
            must(!zmq_setsockopt(sub, ZMQ_SUBSCRIBE, title, strlen(title) + 1));
        }
        pause_ms(300);
        while (got < ETALES && now() < end) {
            if (got == s->go) {
                s->go += 200;
            }
            raw_message_init(&held[got]);
            got += !raw_receive(sub, &held[got], 0);
        }
    }
    must(got == ETALES);
    return (memory_kb("VmRSS:") - before) * 1024 / ETALES;
}

/* The publisher's side of a title: its kept value of 100 bytes. Nobody subscribes. */
static double kept_work(void *with) {
    static unsigned char data[100];
    emz_efunguz *ef = efunguz_new(0, 0);
    double before = memory_kb("VmRSS:");
    char title[24];
    emz_part part;
    int i;
    (void)with;
    part.data = data;
    part.size = sizeof data;
    for (i = 0; i < ETALES; i++) {
        etale_title(title, i);
        must(!emz_efunguz_emit_etale(ef, title, &part, 1));
    }
    return (memory_kb("VmRSS:") - before) * 1024 / ETALES;
}

static void row_memory_etale(void) {
    idle how;
    double ours, raw;
    memset(&how, 0, sizeof how);
    how.kind = RAW;
    raw = in_child(held_work, &how, 3);
    how.kind = OURS;
    ours = in_child(held_work, &how, 3);
    report("per held etale of 100 B", "B", ours, raw, ours / raw, NONE, NO_GOAL, 0);
    report("per kept title of 100 B, the publisher's side", "B", in_child(kept_work, NULL, 3), NONE,
           NONE, NONE, NO_GOAL, 0);
}

/* ---- the whitelist ---- */

enum { KEYS = 100000 };

static char (*random_keys(int count))[41] {
    char(*keys)[41] = (char(*)[41])malloc((size_t)count * sizeof *keys);
    uint64_t x = 88172645463325252u;
    int i, k;
    must(keys);
    for (i = 0; i < count; i++) {
        uint8_t key[32];
        for (k = 0; k < 32; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            key[k] = (uint8_t)(x >> 24);
        }
        zmq_z85_encode(keys[i], key, sizeof key);
    }
    return keys;
}

typedef struct guests {
    int what, count; /* what: 'm' bytes per key, 'a' seconds to add, 'r' to read, 'l' a look-up */
} guests;

static double guests_work(void *with) {
    const guests *g = (const guests *)with;
    char(*keys)[41] = random_keys(g->count);
    const char **list = (const char **)malloc((size_t)g->count * sizeof *list);
    emz_efunguz *ef = efunguz_new(0, 0);
    double t, before;
    int i;
    must(list);
    for (i = 0; i < g->count; i++) {
        list[i] = keys[i];
    }
    if (g->what == 'r') {
        char path[] = "/tmp/bench-keys-XXXXXX";
        int fd = mkstemp(path);
        FILE *f = fdopen(fd, "w");
        must(f);
        for (i = 0; i < g->count; i++) {
            fprintf(f, "%s guest %d\n", keys[i], i);
        }
        fclose(f);
        t = now();
        must(!emz_efunguz_read_whitelist_publickeys(ef, path, NULL));
        t = now() - t;
        unlink(path);
        return t;
    }
    before = memory_kb("VmRSS:");
    t = now();
    must(!emz_efunguz_add_whitelist_publickeys(ef, list, (size_t)g->count));
    t = now() - t;
    if (g->what == 'm') {
        return (memory_kb("VmRSS:") - before) * 1024 / g->count;
    }
    if (g->what == 'l') { /* they are there already: all that is done is to look */
        const char *few[1000];
        int rounds = 200;
        for (i = 0; i < 1000; i++) {
            few[i] = keys[(int)((unsigned)i * 7919u % (unsigned)g->count)];
        }
        t = clock_of(CLOCK_THREAD_CPUTIME_ID);
        for (i = 0; i < rounds; i++) {
            must(!emz_efunguz_add_whitelist_publickeys(ef, few, 1000));
        }
        return (clock_of(CLOCK_THREAD_CPUTIME_ID) - t) / rounds / 1000;
    }
    return t;
}

static void row_whitelist(void) {
    guests g;
    growth grow;
    g.count = KEYS;
    g.what = 'a';
    report("add 100,000 keys", "ms", 1e3 * in_child(guests_work, &g, 5), NONE, NONE, NONE,
           OURS_AT_MOST, 50);
    g.what = 'r';
    report("read 100,000 keys from a file", "ms", 1e3 * in_child(guests_work, &g, 5), NONE, NONE,
           NONE, OURS_AT_MOST, 50);
    g.what = 'm';
    report("per key", "B", in_child(guests_work, &g, 3), NONE, NONE, NONE, NO_GOAL, 0);
    g.what = 'l';
    memset(&grow, 0, sizeof grow);
    grow.what = "look-up of a key, among n";
    for (g.count = 10; g.count <= KEYS; g.count *= 100) {
        report_growth(&grow, g.count, in_child(guests_work, &g, 3), NONE, NONE, "ns", 1e9);
    }
}

/* ---- many ehyphae: idle, and with a value waiting in each. One efunguz has ours, a context the
 * raw ones; each side subscribes to a title of its own of the same publishers ---- */

typedef struct many {
    farm *farm;
    int count;
    emz_efunguz *ef;
    raw_peer peer;
    void **sub;
    zmq_pollitem_t *items;
} many;

static void many_open(many *m, int count) {
    int i;
    double end = now() + 60;
    memset(m, 0, sizeof *m);
    m->count = count;
    m->farm = farm_start(count, "t");
    m->sub = (void **)calloc((size_t)count, sizeof *m->sub);
    m->items = (zmq_pollitem_t *)calloc((size_t)count, sizeof *m->items);
    must(m->sub && m->items);
    run_on(CPU_IO);
    m->ef = efunguz_new(0, 0);
    raw_open(&m->peer, 1000);
    for (i = 0; i < count; i++) {
        m->sub[i] =
            raw_subscribe(&m->peer, m->farm->publickey[i], m->farm->port[i], 0, "raw", 1000);
        m->items[i].socket = m->sub[i];
        m->items[i].events = ZMQ_POLLIN;
    }
    run_on(CPU_CALLER);
    for (i = 0; i < count; i++) {
        emz_ehypha *eh = ehypha_new(m->ef, m->farm->publickey[i], m->farm->port[i], 0);
        must(!emz_ehypha_add_etale(eh, "ours", NULL));
        emz_efunguz_update(m->ef);
    }
    while (m->farm->subscribed < 2 * count && now() < end) {
        emz_efunguz_wait(m->ef, 10);
        emz_efunguz_update(m->ef);
    }
    must(m->farm->subscribed >= 2 * count);
    for (i = 0; i < 50; i++) {
        emz_efunguz_wait(m->ef, 10);
        emz_efunguz_update(m->ef);
    }
}

static double ours_idle(void *with) {
    many *m = (many *)with;
    int i, calls = 2000;
    double t = clock_of(CLOCK_THREAD_CPUTIME_ID);
    for (i = 0; i < calls; i++) {
        emz_efunguz_update(m->ef);
    }
    return (clock_of(CLOCK_THREAD_CPUTIME_ID) - t) / calls;
}

static double raw_idle(void *with) {
    many *m = (many *)with;
    int i, calls = 1 + 2000 / m->count;
    double t = clock_of(CLOCK_THREAD_CPUTIME_ID);
    for (i = 0; i < calls; i++) {
        zmq_poll(m->items, m->count, 0);
    }
    return (clock_of(CLOCK_THREAD_CPUTIME_ID) - t) / calls;
}

/* Let one value arrive at each, wait until all are there, then take them. */
static void farm_emit(many *m, const char *title) {
    snprintf(m->farm->title, sizeof m->farm->title, "%s", title);
    m->farm->wanted++;
    until(&m->farm->emitted, m->farm->wanted);
    pause_ms(20 + m->count / 10);
}

static double ours_waiting(void *with) {
    many *m = (many *)with;
    double t;
    int got = 0;
    farm_emit(m, "ours");
    t = clock_of(CLOCK_THREAD_CPUTIME_ID);
    while (got < m->count) {
        got += emz_efunguz_update(m->ef);
    }
    return clock_of(CLOCK_THREAD_CPUTIME_ID) - t;
}

static double raw_waiting(void *with) {
    many *m = (many *)with;
    raw_message last;
    double t;
    int i, got = 0;
    raw_message_init(&last);
    farm_emit(m, "raw");
    t = clock_of(CLOCK_THREAD_CPUTIME_ID);
    while (got < m->count) {
        zmq_poll(m->items, m->count, -1);
        for (i = 0; i < m->count; i++) {
            while (m->items[i].revents && !raw_receive(m->sub[i], &last, ZMQ_DONTWAIT)) {
                got++;
            }
        }
    }
    return clock_of(CLOCK_THREAD_CPUTIME_ID) - t;
}

static double many_work(void *with) {
    told *t = (told *)with;
    many m;
    many_open(&m, t->n);
    tell(t, &m);
    return 0;
}

static void row_idle(void) {
    told *t = told_new(many_work, ours_idle, raw_idle, 2, 3);
    double one = 0;
    char what[64];
    for (t->n = 1; t->n <= most(FARM_MOST, 14); t->n *= 10) {
        compare(t);
        one = one > 0 ? one : t->ours;
        snprintf(what, sizeof what, "idle update(), %d ehyphae, against zmq_poll", t->n);
        report_told(what, "us", 0, t, NO_GOAL, 0);
    }
    report("... most against 1", "us", t->ours * 1e6, one * 1e6, t->ours / one, NONE, RATIO_AT_MOST,
           2);
}

/* n = 1, 10, 100 ... most. */
static void grow(told *t, const char *what, int largest) {
    growth g;
    memset(&g, 0, sizeof g);
    g.what = what;
    for (t->n = 1; t->n <= largest; t->n *= 10) {
        compare(t);
        report_growth(&g, t->n, t->ours, t->raw, t->ratio, "us", 1e6);
    }
}

static void row_grow_ehyphae(void) {
    grow(told_new(many_work, ours_waiting, raw_waiting, 3, 3),
         "update() with a value in each of n ehyphae", most(FARM_MOST, 14));
}

/* ---- growth: subscribers of one efunguz. The cost of an emit is what it takes this process, all
 * threads, until all have it. ---- */

typedef struct fan {
    crowd *ours_crowd, *raw_crowd;
    emz_efunguz *ef;
    raw_peer peer;
    int caller_only; /* the time of the caller's thread */
} fan;

static double ours_fan(void *with) {
    fan *f = (fan *)with;
    emz_part part;
    int i, emits = 20, wanted = f->ours_crowd->received + emits * f->ours_crowd->count;
    double all = clock_of(CLOCK_PROCESS_CPUTIME_ID), caller = clock_of(CLOCK_THREAD_CPUTIME_ID);
    part.data = "0123456789012345678901234567890123456789";
    part.size = 40;
    for (i = 0; i < emits; i++) {
        must(!emz_efunguz_emit_etale(f->ef, "t", &part, 1));
    }
    emz_efunguz_update(f->ef);
    caller = clock_of(CLOCK_THREAD_CPUTIME_ID) - caller;
    until(&f->ours_crowd->received, wanted);
    all = clock_of(CLOCK_PROCESS_CPUTIME_ID) - all;
    return (f->caller_only ? caller : all) / emits;
}

static double raw_fan(void *with) {
    fan *f = (fan *)with;
    int i, emits = 20, wanted = f->raw_crowd->received + emits * f->raw_crowd->count;
    double all = clock_of(CLOCK_PROCESS_CPUTIME_ID), caller = clock_of(CLOCK_THREAD_CPUTIME_ID);
    for (i = 0; i < emits; i++) {
        raw_send(f->peer.pub, "t", "0123456789012345678901234567890123456789", 40);
    }
    raw_serve(&f->peer);
    caller = clock_of(CLOCK_THREAD_CPUTIME_ID) - caller;
    until(&f->raw_crowd->received, wanted);
    all = clock_of(CLOCK_PROCESS_CPUTIME_ID) - all;
    return (f->caller_only ? caller : all) / emits;
}

/* Until what is sent once arrives at all. */
static void fan_settle(fan *f, crowd *c, int ours) {
    emz_part part;
    int before, i;
    part.data = "small";
    part.size = 5;
    do {
        for (i = 0; i < 50; i++) {
            emz_efunguz_update(f->ef);
            raw_serve(&f->peer);
            pause_ms(2);
        }
        before = c->received;
        if (ours) {
            must(!emz_efunguz_emit_etale(f->ef, "t", &part, 1));
        } else {
            raw_send(f->peer.pub, "t", "small", 5);
        }
        for (i = 0; i < 50 && c->received < before + c->count; i++) {
            emz_efunguz_update(f->ef);
            raw_serve(&f->peer);
            pause_ms(2);
        }
        pause_ms(50);
    } while (c->received != before + c->count);
}

static double fan_work(void *with) {
    told *t = (told *)with;
    fan f;
    memset(&f, 0, sizeof f);
    f.ours_crowd = crowd_start(t->n);
    f.raw_crowd = crowd_start(t->n);
    f.caller_only = t->batch;
    run_on(CPU_IO);
    f.ef = efunguz_new(0, 0);
    raw_open(&f.peer, 1000);
    run_on(CPU_CALLER);
    crowd_go(f.ours_crowd, emz_efunguz_publickey(f.ef), emz_efunguz_port(f.ef));
    crowd_go(f.raw_crowd, f.peer.publickey, f.peer.port);
    fan_settle(&f, f.ours_crowd, 1);
    fan_settle(&f, f.raw_crowd, 0);
    tell(t, &f);
    return 0;
}

static void row_grow_subscribers(void) {
    told *t = told_new(fan_work, ours_fan, raw_fan, 3, 3);
    grow(t, "an emit to n subscribers, all threads", most(1000, 6));
    t->batch = 1;
    grow(t, "... the caller's thread", most(1000, 6));
}

/* ---- growth: etales of one ehypha, parts of one etale; both ends in this process ---- */

typedef struct series {
    int n;
    emz_efunguz *a, *b;
    raw_peer ra, rb;
    void *sub;
    emz_part *parts;
    zmq_msg_t *frames;
} series;

static void series_open(series *s, int n) {
    memset(s, 0, sizeof *s);
    s->n = n;
    run_on(CPU_IO);
    s->a = efunguz_new(0, 0);
    s->b = efunguz_new(0, 0);
    raw_open(&s->ra, 1000);
    raw_open(&s->rb, 1000);
    s->sub = raw_subscribe(&s->rb, s->ra.publickey, s->ra.port, 0, "t", 1000);
    run_on(CPU_CALLER);
}

static void series_pump(series *s) {
    emz_efunguz_update(s->a);
    emz_efunguz_update(s->b);
    raw_serve(&s->ra);
}

/* A round of all etales, fewer at once than the queue holds. */
static double ours_round(void *with) {
    series *s = (series *)with;
    char title[24];
    emz_part part;
    double t = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    int sent = 0, got = 0;
    part.data = "0123456789";
    part.size = 10;
    while (got < s->n) {
        for (; sent < s->n && sent < got + 200; sent++) {
            etale_title(title, sent);
            must(!emz_efunguz_emit_etale(s->a, title, &part, 1));
        }
        emz_efunguz_wait(s->b, 1000);
        got += emz_efunguz_update(s->b);
    }
    emz_efunguz_update(s->a);
    return clock_of(CLOCK_PROCESS_CPUTIME_ID) - t;
}

static double raw_round(void *with) {
    series *s = (series *)with;
    raw_message last;
    char title[24];
    double t = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    int sent = 0, got = 0;
    raw_message_init(&last);
    while (got < s->n) {
        for (; sent < s->n && sent < got + 200; sent++) {
            etale_title(title, sent);
            raw_send(s->ra.pub, title, "0123456789", 10);
        }
        got += !raw_receive(s->sub, &last, 0);
        while (!raw_receive(s->sub, &last, ZMQ_DONTWAIT)) {
            got++;
        }
    }
    raw_serve(&s->ra);
    return clock_of(CLOCK_PROCESS_CPUTIME_ID) - t;
}

static double etales_work(void *with) {
    told *t = (told *)with;
    series s;
    emz_ehypha *eh;
    char title[24];
    int i;
    series_open(&s, t->n);
    eh = ehypha_new(s.b, emz_efunguz_publickey(s.a), emz_efunguz_port(s.a), 0);
    for (i = 0; i < t->n; i++) {
        etale_title(title, i);
        must(!emz_ehypha_add_etale(eh, title, NULL));
        must(!zmq_setsockopt(s.sub, ZMQ_SUBSCRIBE, title, strlen(title) + 1));
    }
    for (i = 0; i < 300; i++) {
        series_pump(&s);
        pause_ms(2);
    }
    tell(t, &s);
    return 0;
}

/* Who comes late asks for n titles and gets n kept values: how many, after how much work. */
static double late_work(void *with) {
    told *t = (told *)with;
    series s;
    emz_part part;
    emz_ehypha *eh;
    char title[24];
    double began, progress;
    int i, got = 0;
    part.data = "0123456789";
    part.size = 10;
    series_open(&s, t->n);
    for (i = 0; i < t->n; i++) {
        etale_title(title, i);
        must(!emz_efunguz_emit_etale(s.a, title, &part, 1));
    }
    eh = ehypha_new(s.b, emz_efunguz_publickey(s.a), emz_efunguz_port(s.a), 0);
    began = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    for (i = 0; i < t->n; i++) {
        etale_title(title, i);
        must(!emz_ehypha_add_etale(eh, title, NULL));
    }
    progress = now();
    while (got < t->n && now() < progress + 2) {
        int more;
        emz_efunguz_update(s.a);
        emz_efunguz_wait(s.b, 1);
        more = emz_efunguz_update(s.b);
        got += more;
        if (more) {
            progress = now();
            t->ours = clock_of(CLOCK_PROCESS_CPUTIME_ID) - began;
        }
    }
    t->raw = got; /* not a time here */
    return 0;
}

static void row_grow_etales(void) {
    told *t = told_new(late_work, NULL, NULL, 0, 3);
    growth late;
    grow(told_new(etales_work, ours_round, raw_round, 3, 3), "a round of n etales, both ends",
         10000);
    memset(&late, 0, sizeof late);
    late.what = "n kept values to who comes late, both ends";
    for (t->n = 1; t->n <= 10000; t->n *= 10) {
        compare(t);
        report_growth(&late, t->n, t->ours, NONE, NONE, "us", 1e6);
        if (t->raw < t->n) {
            report("... but so many did not arrive", "etales", t->n - t->raw, NONE, NONE, NONE,
                   OURS_AT_MOST, 0);
        }
    }
}

static double ours_parts(void *with) {
    series *s = (series *)with;
    int i, rounds = 1 + 200 / s->n;
    double t = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    for (i = 0; i < rounds; i++) {
        must(!emz_efunguz_emit_etale(s->a, "t", s->parts, (size_t)s->n));
        do {
            emz_efunguz_wait(s->b, 1000);
        } while (!emz_efunguz_update(s->b));
    }
    emz_efunguz_update(s->a);
    return (clock_of(CLOCK_PROCESS_CPUTIME_ID) - t) / rounds;
}

static double raw_parts(void *with) {
    series *s = (series *)with;
    int i, k, rounds = 1 + 200 / s->n;
    double t = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    for (i = 0; i < rounds; i++) {
        int64_t time = emz_now();
        zmq_send(s->ra.pub, "t", 2, ZMQ_SNDMORE);
        zmq_send(s->ra.pub, &time, sizeof time, ZMQ_SNDMORE);
        for (k = 0; k < s->n; k++) {
            zmq_send(s->ra.pub, s->parts[k].data, s->parts[k].size, k + 1 < s->n ? ZMQ_SNDMORE : 0);
        }
        for (k = 0; k < s->n + 2; k++) {
            must(zmq_msg_recv(&s->frames[k], s->sub, 0) >= 0);
        }
    }
    raw_serve(&s->ra);
    return (clock_of(CLOCK_PROCESS_CPUTIME_ID) - t) / rounds;
}

static double parts_work(void *with) {
    told *t = (told *)with;
    series s;
    emz_ehypha *eh;
    int i;
    series_open(&s, t->n);
    s.parts = (emz_part *)calloc((size_t)t->n, sizeof *s.parts);
    s.frames = (zmq_msg_t *)calloc((size_t)t->n + 2, sizeof *s.frames);
    must(s.parts && s.frames);
    for (i = 0; i < t->n; i++) {
        s.parts[i].data = "0123456789012345678901234567890123456789";
        s.parts[i].size = 40;
        zmq_msg_init(&s.frames[i]);
    }
    zmq_msg_init(&s.frames[t->n]);
    zmq_msg_init(&s.frames[t->n + 1]);
    eh = ehypha_new(s.b, emz_efunguz_publickey(s.a), emz_efunguz_port(s.a), 0);
    must(!emz_ehypha_add_etale(eh, "t", NULL));
    for (i = 0; i < 100; i++) {
        series_pump(&s);
        pause_ms(2);
    }
    tell(t, &s);
    return 0;
}

static void row_grow_parts(void) {
    grow(told_new(parts_work, ours_parts, raw_parts, 3, 3),
         "an etale of n parts of 40 B, both ends", 1000);
}

/* ---- a flood from 10 ehyphae: a program of 60 frames a second that calls update() in each, and
 * once a second is away for 300 ms. Raw reads each socket until it is empty. ---- */

enum { FLOODERS = 10 };

typedef struct flood {
    int raw;
    farm *farm;
    double longest, longest_away, longest_cpu, age, age_worst; /* seconds */
    double rate;                                               /* messages a second, raw */
} flood;

static double flood_work(void *with) {
    flood *f = (flood *)with;
    emz_efunguz *ef = NULL;
    const emz_etale *et[FLOODERS];
    raw_peer peer;
    void *sub[FLOODERS];
    raw_message last[FLOODERS];
    samples calls, away, cpu, ages;
    double start, end, next;
    int i, frame, was_away = 0;
    uint64_t messages = 0;
    memset(&calls, 0, sizeof calls);
    memset(&away, 0, sizeof away);
    memset(&cpu, 0, sizeof cpu);
    memset(&ages, 0, sizeof ages);
    farm_empty(f->farm);
    run_on(CPU_IO);
    if (f->raw) {
        raw_open(&peer, 1000);
    } else {
        ef = efunguz_new(0, 0);
    }
    for (i = 0; i < FLOODERS; i++) {
        const char *key = f->farm->publickey[i];
        if (f->raw) {
            sub[i] = raw_subscribe(&peer, key, f->farm->port[i], 0, "t", 1000);
            raw_message_init(&last[i]);
        } else {
            must(!emz_ehypha_add_etale(ehypha_new(ef, key, f->farm->port[i], 0), "t", &et[i]));
        }
    }
    run_on(CPU_CALLER);
    end = now() + 30;
    while (f->farm->subscribed < FLOODERS && now() < end) {
        emz_efunguz_update(ef);
        pause_ms(5);
    }
    must(f->farm->subscribed >= FLOODERS);
    f->farm->flood = 1;
    pause_ms(200);
    start = next = now();
    end = start + (quick ? 2 : 5);
    for (frame = 0; now() < end; frame++) {
        double t = now(), c = clock_of(CLOCK_THREAD_CPUTIME_ID);
        if (f->raw) {
            for (i = 0; i < FLOODERS; i++) {
                while (now() < t + 1 && !raw_receive(sub[i], &last[i], ZMQ_DONTWAIT)) {
                    messages++;
                }
            }
        } else {
            emz_efunguz_update(ef);
        }
        add(was_away ? &away : &calls, now() - t);
        add(&cpu, clock_of(CLOCK_THREAD_CPUTIME_ID) - c);
        for (i = 0; i < FLOODERS && frame; i++) {
            int64_t out = !f->raw                            ? emz_etale_t_out(et[i])
                          : zmq_msg_size(&last[i].time) == 8 ? raw_time(&last[i])
                                                             : -1;
            if (out > 0 && !was_away) {
                add(&ages, (double)(emz_now() - out) * 1e-6);
            }
        }
        was_away = frame % 60 == 59;
        next = was_away ? now() + 0.3 : next + 1.0 / 60;
        next = next < now() ? now() : next;
        pause_ms((int)((next - now()) * 1000));
    }
    f->farm->flood = 0;
    f->longest = quantile(&calls, 1);
    f->longest_away = quantile(&away, 1);
    f->longest_cpu = quantile(&cpu, 1);
    f->age = median(&ages);
    f->age_worst = quantile(&ages, 0.99);
    f->rate = (double)messages / (now() - start);
    return 0;
}

static void row_flood(void) {
    enum { FIGURES = 5 };
    static const char *what[FIGURES] = {
        "flood from 10 ehyphae: longest update()", "... after 300 ms away: longest update()",
        "... its processor time", "... age of the newest value", "... 99 % are younger than"};
    flood *f = (flood *)shared(sizeof *f);
    samples s[2][FIGURES];
    int i, k, times = quick ? 1 : 5;
    double rate = 0;
    memset(s, 0, sizeof s);
    f->farm = farm_start(FLOODERS, "t");
    for (i = 0; i < 2 * times; i++) {
        f->raw = i % 2;
        in_child(flood_work, f, 1);
        add(&s[f->raw][0], f->longest);
        add(&s[f->raw][1], f->longest_away);
        add(&s[f->raw][2], f->longest_cpu);
        add(&s[f->raw][3], f->age);
        add(&s[f->raw][4], f->age_worst);
        rate = f->raw ? f->rate : rate;
    }
    for (k = 0; k < FIGURES; k++) {
        double ours = median(&s[0][k]), raw = median(&s[1][k]);
        report(what[k], "ms", ours * 1e3, raw * 1e3, ours / raw, NONE, NO_GOAL, 0);
    }
    report("... raw took", "etales/s", NONE, rate, NONE, NONE, NO_GOAL, 0);
}

/* ---- a slow subscriber: 1 kB, 1000 times a second, through a proxy that lets 200 kB/s pass. How
 * old is what it reads, after a while, with queues of n messages at both ends? ---- */

enum { SLOW = 4 };

static double slow_work(void *with) {
    static const int queue[SLOW] = {1, 10, 100, 1000};
    static unsigned char data[1000];
    double(*told_age)[SLOW] = (double(*)[SLOW])with;
    struct {
        emz_efunguz *a, *b;
        const emz_etale *et;
        raw_peer ra, rb;
        void *sub;
        raw_message last;
        samples ages[2];
    } s[SLOW];
    proxy *way[SLOW][2];
    double start, seconds = quick ? 10 : 40;
    emz_part part;
    int i;
    memset(s, 0, sizeof s);
    for (i = 0; i < 2 * SLOW; i++) {
        way[i / 2][i % 2] = proxy_start(200e3);
    }
    for (i = 0; i < SLOW; i++) {
        int port = way[i][0]->port;
        s[i].a = efunguz_new(queue[i], 0);
        s[i].b = efunguz_new(queue[i], port);
        must(!emz_ehypha_add_etale(
            ehypha_new(s[i].b, emz_efunguz_publickey(s[i].a), emz_efunguz_port(s[i].a), port), "t",
            &s[i].et));
        raw_open(&s[i].ra, queue[i]);
        raw_open(&s[i].rb, queue[i]);
        s[i].sub = raw_subscribe(&s[i].rb, s[i].ra.publickey, s[i].ra.port, way[i][1]->port, "t",
                                 queue[i]);
        raw_message_init(&s[i].last);
    }
    part.data = data;
    part.size = sizeof data;
    start = now();
    while (now() < start + seconds) {
        int late = now() > start + seconds * 2 / 3;
        for (i = 0; i < SLOW; i++) {
            int got = 0;
            emz_efunguz_emit_etale(s[i].a, "t", &part, 1);
            raw_send(s[i].ra.pub, "t", data, sizeof data);
            emz_efunguz_update(s[i].a);
            raw_serve(&s[i].ra);
            if (emz_efunguz_update(s[i].b) && late) {
                add(&s[i].ages[0], (double)(emz_now() - emz_etale_t_out(s[i].et)) * 1e-6);
            }
            while (!raw_receive(s[i].sub, &s[i].last, ZMQ_DONTWAIT)) {
                got++;
            }
            if (got && late) {
                add(&s[i].ages[1], (double)(emz_now() - raw_time(&s[i].last)) * 1e-6);
            }
        }
        pause_ms(1);
    }
    for (i = 0; i < SLOW; i++) {
        told_age[0][i] = median(&s[i].ages[0]);
        told_age[1][i] = median(&s[i].ages[1]);
    }
    return 0;
}

static void row_slow(void) {
    double(*age)[SLOW] = (double(*)[SLOW])shared(2 * sizeof *age);
    int i, n = 1;
    char what[64];
    in_child(slow_work, age, 1);
    for (i = 0; i < SLOW; i++, n *= 10) {
        snprintf(what, sizeof what, "age at 200 kB/s, offered 1 MB/s, queue_size %d", n);
        report(what, "s", age[0][i], age[1][i], age[0][i] / age[1][i], NONE, NO_GOAL, 0);
    }
}

/* ---- Z85 ---- */

enum { Z85_SIZE = 1000000 };
static uint8_t z85_data[Z85_SIZE];
static char z85_text[Z85_SIZE / 4 * 5 + 1];

static double ours_encode(void *with) {
    double t = now();
    (void)with;
    must(!emz_z85_encode(z85_text, sizeof z85_text, z85_data, sizeof z85_data));
    return now() - t;
}

static double raw_encode(void *with) {
    double t = now();
    (void)with;
    must(zmq_z85_encode(z85_text, z85_data, sizeof z85_data));
    return now() - t;
}

static double ours_decode(void *with) {
    double t = now();
    (void)with;
    must(!emz_z85_decode(z85_data, sizeof z85_data, z85_text));
    return now() - t;
}

static double raw_decode(void *with) {
    double t = now();
    (void)with;
    must(zmq_z85_decode(z85_data, z85_text));
    return now() - t;
}

static double z85_work(void *with) {
    uint32_t x = 1;
    size_t i;
    for (i = 0; i < sizeof z85_data; i++) {
        x = x * 1664525 + 1013904223;
        z85_data[i] = (uint8_t)(x >> 24);
    }
    zmq_z85_encode(z85_text, z85_data, sizeof z85_data);
    run_on(CPU_CALLER);
    tell((told *)with, NULL);
    return 0;
}

static void row_z85(void) {
    told *t = told_new(z85_work, ours_encode, raw_encode, 2, 3);
    compare(t);
    report_told("Z85 encode 1 MB", "MB/s", 1e-6 * Z85_SIZE, t, RATIO_AT_LEAST, 3);
    t = told_new(z85_work, ours_decode, raw_decode, 2, 3);
    compare(t);
    report_told("Z85 decode 1 MB", "MB/s", 1e-6 * Z85_SIZE, t, RATIO_AT_LEAST, 3);
}

/* ---- instructions: exactly n operations inside of a function that callgrind can look for ---- */

APART void counted_emit(bed *b, int n, int raw) {
    while (n--) {
        bed_count(b);
        if (raw) {
            raw_send(b->ra.pub, "t", b->data, b->size);
        } else {
            emit(b);
        }
    }
}

APART void counted_receive(bed *b, int raw) {
    do {
        if (raw) {
            while (!raw_receive(b->sub, &b->last, ZMQ_DONTWAIT)) {
            }
        } else {
            emz_efunguz_update(b->b);
        }
    } while ((raw ? raw_number(&b->last) : etale_number(b->et)) != b->number);
}

APART void counted_idle(bed *b, int n, int raw) {
    zmq_pollitem_t item;
    memset(&item, 0, sizeof item);
    item.socket = b->sub;
    item.events = ZMQ_POLLIN;
    while (n--) {
        if (raw) {
            zmq_poll(&item, 1, 0);
        } else {
            emz_efunguz_update(b->b);
        }
    }
}

static int calls(const char *what, int n, int raw) {
    bed b;
    int done, at_once = !strcmp(what, "receive1") ? 1 : 100;
    bed_open(&b, 100, 0, 0);
    run_on(CPU_ANY);
    for (done = 0; done < 100; done++) {
        emz_efunguz_update(b.a);
        emz_efunguz_update(b.b);
    }
    if (!strcmp(what, "idle")) {
        counted_idle(&b, n, raw);
        return 0;
    }
    for (done = 0; done < n; done += at_once) {
        counted_emit(&b, at_once, raw);
        pause_ms(at_once == 1 ? 3 : 30); /* until all have arrived */
        counted_receive(&b, raw);
        emz_efunguz_update(b.a);
    }
    return 0;
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*run)(void);
} rows[] = {
    {"noise", row_noise},
    {"direct-100B", row_direct_100},
    {"direct-10kB", row_direct_10k},
    {"direct-1MB", row_direct_1m},
    {"direct-64MB", row_direct_64m},
    {"tunnel-100B", row_tunnel_100},
    {"tunnel-10kB", row_tunnel_10k},
    {"tunnel-1MB", row_tunnel_1m},
    {"tunnel-64MB", row_tunnel_64m},
    {"latency", row_latency},
    {"memory-peak", row_memory_peak},
    {"memory-ehypha", row_memory_ehypha},
    {"memory-subscriber", row_memory_subscriber},
    {"memory-etale", row_memory_etale},
    {"whitelist", row_whitelist},
    {"idle", row_idle},
    {"grow-subscribers", row_grow_subscribers},
    {"grow-ehyphae", row_grow_ehyphae},
    {"grow-etales", row_grow_etales},
    {"grow-parts", row_grow_parts},
    {"flood", row_flood},
    {"slow", row_slow},
    {"z85", row_z85},
};

/* Three digits that count, thousands apart. */
static void print_figure(double x, int width) {
    char text[32] = "";
    int digits;
    if (x == x) {
        digits = x <= 0 ? 0 : 2 - (int)floor(log10(x));
        snprintf(text, sizeof text, "%.*f", digits < 0 ? 0 : digits > 4 ? 4 : digits, x);
    }
    printf(" %*s", width, text);
}

static void print_result(const result *r) {
    static const char *relation[] = {"", ">=", "<=", "<=", "n^"};
    char what[80];
    if (r->n > 0) {
        snprintf(what, sizeof what, "%.40s: n = %.0f", r->what, r->n);
    } else {
        snprintf(what, sizeof what, "%s", r->what);
    }
    printf("%-52s", what);
    print_figure(r->ours, 9);
    print_figure(r->raw, 9);
    printf(" %-8s", r->unit);
    if (r->ratio == r->ratio) {
        printf(" %7.3f", r->ratio);
    } else {
        printf(" %7s", "");
    }
    if (r->cpu == r->cpu) {
        printf(" +-%4.1f%% %6.3f", 100 * r->noise, r->cpu);
    } else if (r->exponent == r->exponent) {
        printf("  n^%4.2f %6s", r->exponent, "");
    } else {
        printf(" %7s %6s", "", "");
    }
    if (r->goal == GROWTH_AT_MOST) {
        printf(" %s", result_met(r) ? "" : " steeper than linear");
    } else if (r->goal != NO_GOAL) {
        printf("  %s %-5g %s", relation[r->goal], r->bound, result_met(r) ? "" : "NOT MET");
    }
    printf("\n");
    fflush(stdout);
}

static void json_number(FILE *f, const char *name, double value) {
    if (value == value) {
        fprintf(f, ", \"%s\": %.6g", name, value);
    }
}

static void write_json(const char *path, const result *r, int count) {
    static const char *goals[] = {"", "ratio at least", "ratio at most", "ours at most",
                                  "exponent at most"};
    FILE *f = fopen(path, "w");
    int i;
    must(f);
    fprintf(f, "[\n");
    for (i = 0; i < count; i++) {
        fprintf(f, "  {\"row\": \"%s\", \"what\": \"%s\", \"unit\": \"%s\"", r[i].row, r[i].what,
                r[i].unit);
        json_number(f, "ours", r[i].ours);
        json_number(f, "raw", r[i].raw);
        json_number(f, "ratio", r[i].ratio);
        json_number(f, "noise", r[i].noise);
        json_number(f, "cpu_ratio", r[i].cpu);
        json_number(f, "n", r[i].n > 0 ? r[i].n : NONE);
        json_number(f, "exponent", r[i].exponent);
        if (r[i].goal != NO_GOAL) {
            fprintf(f, ", \"goal\": \"%s %g\", \"met\": %s", goals[r[i].goal], r[i].bound,
                    result_met(&r[i]) ? "true" : "false");
        }
        fprintf(f, "}%s\n", i + 1 < count ? "," : "");
    }
    fprintf(f, "]\n");
    fclose(f);
}

/* The growth rows: n across, microseconds up, both by powers of ten; raw dashed. */
static void write_svg(const char *path, const result *r, int count) {
    static const char *colour[] = {"#1b6ca8", "#c0392b", "#2e7d32", "#8e44ad",
                                   "#b9770e", "#444444", "#00838f", "#6d4c41"};
    FILE *f = fopen(path, "w");
    int i, k, curve = -1;
    must(f);
    fprintf(f,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 760 470' font-family='sans-serif'"
            " font-size='12'><rect width='760' height='470' fill='white'/>\n");
    for (k = 0; k <= 4; k++) {
        fprintf(f,
                "<path d='M%d 20V440' stroke='#ddd'/><text x='%d' y='456'>%.0f</text>\n"
                "<path d='M60 %dH460' stroke='#ddd'/><text x='4' y='%d'>%.0f us</text>\n",
                60 + 100 * k, 55 + 100 * k, pow(10, k), 440 - 84 * k, 444 - 84 * k, pow(10, k));
    }
    for (i = 0; i < count; i++) {
        int raw;
        if (!(r[i].n > 0) || strcmp(r[i].unit, "us") ||
            (i && r[i - 1].n > 0 && r[i].n > r[i - 1].n)) {
            continue; /* not the first of a curve */
        }
        curve++;
        for (raw = 0; raw < 2; raw++) {
            fprintf(f, "<path fill='none' stroke='%s' stroke-width='2' %s d='", colour[curve % 8],
                    raw ? "stroke-dasharray='4 4'" : "");
            for (k = i; k < count && r[k].n > 0 && (k == i || r[k].n > r[k - 1].n); k++) {
                double us = raw ? r[k].raw : r[k].ours;
                if (us > 0) {
                    fprintf(f, "%c%.1f %.1f", k == i ? 'M' : 'L', 60 + 100 * log10(r[k].n),
                            440 - 84 * log10(us));
                }
            }
            fprintf(f, "'/>\n");
        }
        fprintf(f, "<text x='470' y='%d' fill='%s'>%s</text>\n", 40 + 18 * curve, colour[curve % 8],
                r[i].what);
    }
    fprintf(f, "<text x='470' y='%d'>dashed: raw libzmq</text></svg>\n", 40 + 18 * (curve + 1));
    fclose(f);
}

/* Run a row in a process of its own; its results go to r. How many. */
static int run_row(size_t i, result *r, int room) {
    int fd[2], status = 0, count = 0;
    pid_t pid;
    must(!pipe(fd));
    fflush(stdout);
    pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        close(fd[0]);
        result_fd = fd[1];
        result_row = rows[i].name;
        alarm(600);
        rows[i].run();
        helpers_end();
        _exit(0);
    }
    close(fd[1]);
    while (count < room && read(fd[0], &r[count], sizeof *r) == (ssize_t)sizeof *r) {
        print_result(&r[count++]);
    }
    close(fd[0]);
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        printf("%-52s failed (%s %d)\n", rows[i].name, WIFSIGNALED(status) ? "signal" : "exit",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    return count;
}

static int usage(void) {
    fprintf(stderr, "bench [--quick] [--json FILE] [--svg FILE] [ROW ...]\n"
                    "bench --list\n"
                    "bench --calls emit|receive|receive1|idle N [raw]\n");
    return 2;
}

int main(int argc, char **argv) {
    static result results[256];
    const char *json = NULL, *svg = NULL;
    int i, count = 0, first, major, minor, patch;
    size_t k;
    for (i = 1; i < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--quick")) {
            quick = 1;
        } else if (!strcmp(argv[i], "--json") && i + 1 < argc) {
            json = argv[++i];
        } else if (!strcmp(argv[i], "--svg") && i + 1 < argc) {
            svg = argv[++i];
        } else if (!strcmp(argv[i], "--list")) {
            for (k = 0; k < sizeof rows / sizeof *rows; k++) {
                printf("%s\n", rows[k].name);
            }
            return 0;
        } else if (!strcmp(argv[i], "--calls") && i + 2 < argc) {
            return calls(argv[i + 1], atoi(argv[i + 2]), i + 3 < argc);
        } else {
            return usage();
        }
    }
    first = i;
    descriptors();
    zmq_version(&major, &minor, &patch);
    printf("emyzelium.h %s, libzmq %d.%d.%d, %ld processors%s\n\n", emz_version(), major, minor,
           patch, sysconf(_SC_NPROCESSORS_ONLN), quick ? ", quick" : "");
    printf("%-52s %9s %9s %-8s %7s %7s %6s  goal\n", "", "this", "raw", "", "ratio", "noise",
           "cpu");
    for (k = 0; k < sizeof rows / sizeof *rows; k++) {
        int wanted = first == argc;
        for (i = first; i < argc; i++) {
            wanted |= !strncmp(rows[k].name, argv[i], strlen(argv[i]));
        }
        if (wanted) {
            count += run_row(k, results + count, 256 - count);
        }
    }
    if (json) {
        write_json(json, results, count);
    }
    if (svg) {
        write_svg(svg, results, count);
    }
    return 0;
}
