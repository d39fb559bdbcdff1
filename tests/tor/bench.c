/* What our layer adds over Tor: the same through an ehypha and through a bare SOCKS connection to the
 * same onion, in one run, alternating. For `make bench-tor`; see tests/tor/bench.py.
 *
 *     bench SOCKS-PORT ONION PORT BARE-PORT
 *
 * The onion leads its port 60847 to PORT and its port 7 to BARE-PORT, both of this process. */
#define _POSIX_C_SOURCE 200809L
#define EMYZELIUM_IMPLEMENTATION
#include "../../emyzelium.h"
#include "../tap.h"

enum { ROUNDS = 9, PINGS = 21, BULK = 4000000, CHUNK = 10000 };

static int socks_port, bare_listener;
static char onion[EMZ_I_ONION_LENGTH];
static emz_efunguz *from, *to;
static char bytes[CHUNK];

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

static void die(const char *what) {
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void readable(int fd) {
    struct pollfd p;
    p.fd = fd;
    p.events = POLLIN;
    if (poll(&p, 1, 120000) <= 0) {
        die("nothing comes through a bare connection");
    }
}

static void take(int fd, void *data, size_t size) {
    unsigned char *p = (unsigned char *)data;
    while (size) {
        long n = emz_i_net_recv(fd, p, size);
        if (n < 0) {
            die("a bare connection has ended");
        }
        if (n == 0) {
            readable(fd);
        }
        p += n;
        size -= (size_t)n;
    }
}

static void give(int fd, const void *data, size_t size) {
    const unsigned char *p = (const unsigned char *)data;
    while (size) {
        long n = emz_i_net_send(fd, p, size);
        if (n < 0) {
            die("a bare connection has ended");
        }
        p += n;
        size -= (size_t)n;
    }
}

/* A bare connection: our end, and the other one. */
static void bare_open(int end[2]) {
    static const unsigned char hello[3] = {5, 1, 0};
    unsigned char request[EMZ_I_SOCKS_REQUEST_SIZE], reply[10];
    struct sockaddr_storage at;
    socklen_t size;
    int port;
    emz_i_net_address(&at, &size, "127.0.0.1", socks_port);
    end[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(end[0], (struct sockaddr *)&at, size)) {
        die("cannot connect to the proxy");
    }
    end[0] = emz_i_net_prepare(end[0]);
    give(end[0], hello, sizeof hello);
    take(end[0], reply, 2);
    emz_i_socks_request(request, onion, 7);
    give(end[0], request, sizeof request);
    take(end[0], reply, sizeof reply);
    if (reply[1]) {
        die("the proxy refuses");
    }
    readable(bare_listener);
    end[1] = emz_i_net_accept(bare_listener, &port);
}

/* Until something holds, both realms awake at once when there is work. */
#define WHILE_NOT(condition)                      \
    while (!(condition)) {                        \
        emz_efunguz_update(from);                 \
        emz_efunguz_update(to);                   \
        if (!(condition)) {                       \
            struct pollfd p_[2];                  \
            p_[0].fd = from->poller.epoll;        \
            p_[1].fd = to->poller.epoll;          \
            p_[0].events = p_[1].events = POLLIN; \
            poll(p_, 2, 20);                      \
        }                                         \
    }

static double seconds(int64_t since) {
    return (double)(emz_now() - since) / 1e6;
}

int main(int argc, char **argv) {
    double first[2][ROUNDS], ping[2][PINGS], bulk[2][ROUNDS];
    emz_config c;
    emz_ehypha *eh = NULL;
    const emz_etale *et = NULL;
    emz_part part;
    struct sockaddr_in at;
    int round, i, end[2] = {-1, -1};
    char key[EMZ_KEY_Z85_SIZE], secret[EMZ_KEY_Z85_SIZE];
    if (argc != 5 || emz_i_onion(onion, argv[2])) {
        die("usage: bench SOCKS-PORT ONION PORT BARE-PORT");
    }
    socks_port = atoi(argv[1]);
    memset(&c, 0, sizeof c);
    c.torproxy_port = socks_port;
    c.pubsub_port = atoi(argv[3]);
    from = realm_new(NULL, &c);
    c.pubsub_port = EMZ_ANY_PORT;
    to = realm_new(NULL, &c);
    bare_listener = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)atoi(argv[4]));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!from || !to || bind(bare_listener, (struct sockaddr *)&at, sizeof at) ||
        listen(bare_listener, 8)) {
        die("cannot listen");
    }
    part.data = bytes;
    part.size = CHUNK;
    emz_keypair(key, secret);

    for (round = 0; round < ROUNDS; round++) {
        int64_t t = emz_now();
        emit_text(from, "t", "first");
        emz_efunguz_add_ehypha(to, emz_efunguz_publickey(from), argv[2], 60847, &eh);
        emz_ehypha_add_etale(eh, "t", &et);
        WHILE_NOT(emz_etale_t_in(et) >= 0)
        first[0][round] = seconds(t);
        if (round < ROUNDS - 1) {
            emz_efunguz_del_ehypha(to, emz_efunguz_publickey(from));
        }
        if (end[0] >= 0) {
            close(end[0]);
            close(end[1]);
        }
        t = emz_now();
        bare_open(end);
        give(end[1], bytes, 5);
        take(end[0], bytes, 5);
        first[1][round] = seconds(t);
    }
    for (i = 0; i < PINGS; i++) {
        int64_t t = emz_now(), before = emz_etale_t_out(et);
        emz_efunguz_emit_etale(from, "t", &part, 1);
        WHILE_NOT(emz_etale_t_out(et) != before)
        ping[0][i] = seconds(t);
        t = emz_now();
        give(end[1], bytes, CHUNK);
        take(end[0], bytes, CHUNK);
        ping[1][i] = seconds(t);
    }
    for (round = 0; round < ROUNDS; round++) {
        static unsigned char sink[65536];
        int64_t t = emz_now();
        size_t sent = 0, got = 0;
        for (i = 0; i < BULK / CHUNK; i++) {
            emz_efunguz_emit_etale(from, "t", &part, 1);
        }
        WHILE_NOT(emz_etale_t_out(et) == from->t_out)
        bulk[0][round] = BULK / seconds(t) / 1e6;
        for (t = emz_now(); got < BULK;) {
            long n = sent < BULK ? emz_i_net_send(end[1], sink, sizeof sink) : 0;
            sent += n > 0 ? (size_t)n : 0;
            n = emz_i_net_recv(end[0], sink, sizeof sink);
            got += n > 0 ? (size_t)n : 0;
            if (n < 0) {
                die("a bare connection has ended");
            }
            if (!n) {
                struct pollfd p;
                p.fd = end[0];
                p.events = POLLIN;
                poll(&p, 1, 5);
            }
        }
        take(end[0], sink, 0);
        bulk[1][round] = (double)got / seconds(t) / 1e6;
        while (got < sent) { /* what was sent above the measure */
            long n = emz_i_net_recv(end[0], sink, sizeof sink);
            got += n > 0 ? (size_t)n : 0;
            if (!n) {
                readable(end[0]);
            }
        }
    }
#define ROW(name, unit, values, count)                                                \
    do {                                                                              \
        double ours = median(values[0], count), bare = median(values[1], count);      \
        printf("%-44s %9.3f %9.3f %7.2f\n", name ", " unit, ours, bare, ours / bare); \
    } while (0)
    printf("%-44s %9s %9s %7s\n", "over Tor, medians", "ehypha", "bare", "ratio");
    ROW("from nothing to the first value", "s", first, ROUNDS);
    ROW("10 kB, one way", "s", ping, PINGS);
    ROW("4 MB in 10 kB etales", "MB/s", bulk, ROUNDS);
    emz_efunguz_free(to);
    emz_efunguz_free(from);
    return 0;
}
