/* What really runs out: file descriptors, at each limit from what is open on; the sockets of a
 * libzmq context; memory; space on a disk. Each time in a child of its own, so that an abort or a
 * hang shows. Then: a clear error at once, what exists goes on, and with the limit raised all is as
 * ever. (tests/faults.c makes each single call fail.) */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#define EMZ_RETRY_PERCENT 5 /* nobody wants to wait */
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "tap.h"
#include <sys/mman.h>
#include <sys/resource.h>

#ifdef __GLIBC__
typedef __rlimit_resource_t resource_t;
#else
typedef int resource_t;
#endif

#define PEERS 10
#define CROWD 40
#define AMPLE 1000 /* descriptors */
#define ONION "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

/* What the processes tell each other. */
static struct shared {
    char key[PEERS][EMZ_KEY_Z85_SIZE], secret[PEERS][EMZ_KEY_Z85_SIZE];
    int port[PEERS], proxy_port; /* of the peers; of what stands in for Tor */
    /* The peers shall visit this one: one as a subscriber, and as many plain connections. */
    char visited_key[EMZ_KEY_Z85_SIZE];
    int visited_port, crowd;
    int visit, visit_value; /* its number, and that of the one in which a value has come */
} *volatile shared;

static int alive[2]; /* a pipe: its reading end is at its end when the test is */

static int test_is_over(void) {
    struct pollfd p;
    p.fd = alive[0];
    p.events = POLLIN;
    return poll(&p, 1, 0) != 0;
}

/* ---- the world: peers, and a stand-in for Tor, where every onion is one of the peers ---- */

static int plain_connection(int port) {
    struct sockaddr_in at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)port);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)!connect(fd, (struct sockaddr *)&at, sizeof at);
    return fd;
}

static void be_the_peers(void) {
    const emz_etale *et = NULL;
    int crowd[64], crowded = 0, visit = 0, i;
    for (i = 0; i < PEERS; i++) {
        emz_efunguz *ef = realm_new(shared->secret[i], NULL);
        if (ef) {
            emit_text(ef, "t", "value");
            shared->port[i] = emz_efunguz_port(ef);
        }
    }
    while (!test_is_over()) {
        if (visit != shared->visit) {
            visit = shared->visit;
            while (emz_efunguz_ehypha_count(realm[0])) {
                emz_ehypha *old = emz_efunguz_ehypha_at(realm[0], 0);
                char key[EMZ_KEY_Z85_SIZE];
                memcpy(key, emz_ehypha_publickey(old), sizeof key);
                emz_efunguz_del_ehypha(realm[0], key);
            }
            et = NULL;
            if (shared->visited_port) {
                emz_ehypha *eh = NULL;
                emz_efunguz_add_ehypha_direct(realm[0], shared->visited_key, "127.0.0.1",
                                              shared->visited_port, &eh);
                emz_ehypha_add_etale(eh, "w", &et);
            }
        }
        if (et && emz_etale_t_in(et) >= 0) {
            shared->visit_value = visit;
        }
        while (crowded < shared->crowd) {
            crowd[crowded++] = plain_connection(shared->visited_port);
        }
        while (crowded > shared->crowd) {
            close(crowd[--crowded]);
        }
        pump();
        zmq_poll(NULL, 0, 2);
    }
}

static int all_of(int fd, unsigned char *data, size_t size) {
    while (size) {
        ssize_t n = recv(fd, data, size, 0);
        if (n <= 0) {
            return 0;
        }
        data += n;
        size -= (size_t)n;
    }
    return 1;
}

/* One connection through the stand-in: 5 1 0; 5 1 0 3 62, 62 of name, 2 of port. */
static void be_a_circuit(int client) {
    static const unsigned char yes[10] = {5, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    unsigned char data[65536];
    struct pollfd p[3];
    ssize_t n = 1;
    if (!all_of(client, data, 3) || send(client, yes, 2, MSG_NOSIGNAL) != 2 ||
        !all_of(client, data, 69) || send(client, yes, 10, MSG_NOSIGNAL) != 10) {
        return;
    }
    p[0].fd = client;
    p[1].fd = plain_connection(data[67] << 8 | data[68]);
    p[2].fd = alive[0];
    fcntl(p[1].fd, F_SETFL, 0);
    p[0].events = p[1].events = p[2].events = POLLIN;
    while (n > 0 && poll(p, 3, -1) > 0 && !p[2].revents) {
        int from = p[0].revents ? 0 : 1;
        n = recv(p[from].fd, data, sizeof data, 0);
        n = n > 0 ? send(p[!from].fd, data, (size_t)n, MSG_NOSIGNAL) : n;
    }
}

static void be_the_proxy(void) {
    struct pollfd p[2];
    int port;
    p[0].fd = emz_i_net_loopback(&port);
    p[1].fd = alive[0];
    p[0].events = p[1].events = POLLIN;
    signal(SIGCHLD, SIG_IGN);
    if (listen(p[0].fd, 100)) {
        return;
    }
    shared->proxy_port = port;
    while (poll(p, 2, -1) > 0 && !p[1].revents) {
        int fd = accept(p[0].fd, NULL, NULL);
        if (fd >= 0 && fork() == 0) {
            close(p[0].fd);
            be_a_circuit(fd);
            _exit(0);
        }
        close(fd);
    }
}

static void start(void (*run)(void)) {
    if (fork() == 0) {
        close(alive[1]);
        run();
        _exit(0);
    }
}

/* ---- children in which something runs out ---- */

static char own_secret[EMZ_KEY_Z85_SIZE];
static int wrongs; /* in this child */

static int right(int good, const char *what, long n) {
    if (!good) {
        printf("# %s (%ld), errno %s\n", what, n, strerror(errno));
        fflush(stdout);
        wrongs++;
    }
    return good;
}

static emz_efunguz *own; /* this child's realm */
static const char *doing = "";

/* It hangs: say what is missing. */
static void hung(int number) {
    size_t i;
    printf("# hangs in: %s\n", doing);
    for (i = 0; own && i < emz_efunguz_ehypha_count(own); i++) {
        emz_ehypha *eh = emz_efunguz_ehypha_at(own, i);
        printf("# %s: stage %d, %s, t_in %d\n", eh->tunnel ? "tunnel" : "direct", (int)eh->stage,
               emz_ehypha_link_str(eh), (int)emz_etale_t_in(emz_ehypha_etale_at(eh, 0)));
    }
    fflush(stdout);
    signal(number, SIG_DFL);
    raise(number);
}

/* In a child that has a minute: 1 if all went right. */
static int in_child(void (*run)(int), int n) {
    int status = 0;
    pid_t pid;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        close(alive[1]);
        signal(SIGALRM, hung);
        alarm(60);
        run(n);
        exit(wrongs != 0); /* now LSan looks */
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) {
        printf("# %d: %s\n", n,
               WTERMSIG(status) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status)) {
        printf("# %d: exit status %d\n", n, WEXITSTATUS(status));
    }
    return !status;
}

static void limit(resource_t resource, rlim_t value) {
    struct rlimit r;
    getrlimit(resource, &r);
    r.rlim_cur = value < r.rlim_max ? value : r.rlim_max;
    right(!setrlimit(resource, &r), "setrlimit", (long)value);
}

/* The lowest descriptor that is free. */
static int next_fd(void) {
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

/* Keep the child's realm going until something holds; the child's minute ends it. */
#define wait_until(condition)              \
    do {                                   \
        doing = #condition;                \
        own = ef;                          \
        while (!(condition)) {             \
            emz_efunguz_update(ef);        \
            (void)emz_efunguz_wait(ef, 5); \
        }                                  \
    } while (0)

static int is_exhausted(emz_result r) {
    return r == EMZ_ERR_ZMQ && errno == EMFILE;
}

static emz_efunguz *child_realm(emz_result *r) {
    emz_efunguz *ef = NULL;
    emz_config c;
    memset(&c, 0, sizeof c);
    c.pubsub_port = EMZ_ANY_PORT;
    c.torproxy_port = shared->proxy_port;
    *r = emz_efunguz_new(&ef, own_secret, &c);
    return ef;
}

/* One more ehypha: direct ones and those through the proxy in turn. */
static emz_result add_one(emz_efunguz *ef, size_t i) {
    emz_ehypha *eh = NULL;
    const size_t count = emz_efunguz_ehypha_count(ef);
    emz_result r = i % 2 ? emz_efunguz_add_ehypha(ef, shared->key[i], ONION, shared->port[i], &eh)
                         : emz_efunguz_add_ehypha_direct(ef, shared->key[i], "127.0.0.1",
                                                         shared->port[i], &eh);
    if (r) {
        right(is_exhausted(r), emz_result_str(r), (long)i);
        right(!eh && count == emz_efunguz_ehypha_count(ef), "it has changed something", r);
    } else {
        right(!emz_ehypha_add_etale(eh, "t", NULL), "no etale", 0);
    }
    return r;
}

static void add_all(emz_efunguz *ef) {
    size_t i;
    for (i = 0; i < PEERS; i++) {
        if (!emz_efunguz_get_ehypha(ef, shared->key[i]) && add_one(ef, i)) {
            break;
        }
    }
}

/* How many ehyphae are so; an up one has its value. */
static size_t count_links(emz_efunguz *ef, emz_link link) {
    size_t i, n = 0;
    for (i = 0; i < emz_efunguz_ehypha_count(ef); i++) {
        emz_ehypha *eh = emz_efunguz_ehypha_at(ef, i);
        n += emz_ehypha_link(eh) == link &&
             (link != EMZ_LINK_UP || emz_etale_t_in(emz_ehypha_etale_at(eh, 0)) >= 0);
    }
    return n;
}

/* Each is up or says what is missing. */
#define settle()                                                                     \
    wait_until(count_links(ef, EMZ_LINK_UP) + count_links(ef, EMZ_LINK_EXHAUSTED) == \
               emz_efunguz_ehypha_count(ef))

/* A limit of k descriptors more than are open. */
static void descriptors(int k) {
    const int before = fds(), base = next_fd();
    char first[EMZ_KEY_Z85_SIZE];
    emz_result r;
    emz_efunguz *ef;
    limit(RLIMIT_NOFILE, (rlim_t)(base + k));
    ef = child_realm(&r);
    if (!ef) {
        right(is_exhausted(r), emz_result_str(r), r);
        limit(RLIMIT_NOFILE, AMPLE);
        ef = child_realm(&r);
        if (!right(ef != NULL, emz_result_str(r), r)) {
            return;
        }
        limit(RLIMIT_NOFILE, (rlim_t)(next_fd() + k));
    }
    add_all(ef);
    settle();
    right(!emit_text(ef, "w", "1"), "cannot emit", 0);
    /* Now strangers take all that is left, or at least try. */
    shared->visited_port = emz_efunguz_port(ef);
    shared->crowd = CROWD;
    wait_until(next_fd() < 0 || ef->gate.visits.count >= CROWD);
    right(!emit_text(ef, "w", "2"), "cannot emit", 1);
    if (emz_efunguz_ehypha_count(ef)) {
        memcpy(first, emz_ehypha_publickey(emz_efunguz_ehypha_at(ef, 0)), sizeof first);
        right(!emz_efunguz_del_ehypha(ef, first), "cannot delete", 0);
        (void)add_one(ef, 0);
    }
    settle();
    if (k % 2) { /* it ends while there is nothing left */
        emz_efunguz_free(ef);
        limit(RLIMIT_NOFILE, AMPLE);
        ef = child_realm(&r);
        if (!right(ef != NULL, emz_result_str(r), r)) {
            return;
        }
        right(!emit_text(ef, "w", "2"), "cannot emit", 2);
    }
    limit(RLIMIT_NOFILE, AMPLE);
    add_all(ef);
    right(emz_efunguz_ehypha_count(ef) == PEERS, "not all added", 0);
    wait_until(count_links(ef, EMZ_LINK_UP) == emz_efunguz_ehypha_count(ef));
    shared->crowd = 0;
    shared->visited_port = emz_efunguz_port(ef);
    shared->visit++;
    wait_until(shared->visit_value == shared->visit);
    emz_efunguz_free(ef);
    while (fds() != before) { /* a thread that has been joined may be about to close some */
        zmq_poll(NULL, 0, 1);
    }
}

/* The gate is to be opened again, after a change of the whitelist, with n descriptors left. */
static void rebuild(int n) {
    const int before = fds();
    emz_result r;
    emz_efunguz *ef = child_realm(&r);
    int eaten[100], count = 0, i;
    right(!emit_text(ef, "w", "1"), "cannot emit", 0);
    emz_i_gate_close(ef);
    limit(RLIMIT_NOFILE, (rlim_t)before + 60);
    for (i = 0; i < 20; i++) { /* libzmq returns the gate's a little later */
        while (count < 100 && (eaten[count] = dup(0)) >= 0) {
            count++;
        }
        zmq_poll(NULL, 0, 5);
    }
    for (i = 0; i < n; i++) {
        close(eaten[--count]);
    }
    emz_i_due(ef, &ef->gate.due, 0);
    emz_efunguz_update(ef);
    if (!ef->gate.socket) {
        right(emit_text(ef, "w", "2") == EMZ_ERR_BIND, "emitted without a gate", 0);
    }
    limit(RLIMIT_NOFILE, AMPLE);
    wait_until(ef->gate.socket);
    right(!emit_text(ef, "w", "3"), "cannot emit", 3);
    emz_efunguz_free(ef);
    while (count) {
        close(eaten[--count]);
    }
}

/* A context has 1,023 sockets at first; an ehypha takes three of them. */
static void sockets(int n) {
    char key[EMZ_KEY_Z85_SIZE], secret[EMZ_KEY_Z85_SIZE];
    emz_result r;
    emz_efunguz *ef;
    (void)n;
    limit(RLIMIT_NOFILE, AMPLE);
    ef = child_realm(&r);
    limit(RLIMIT_NOFILE, 8 * AMPLE);
    add_one(ef, 0);
    add_one(ef, 1);
    do {
        emz_efunguz_update(ef);
        emz_keypair(key, secret);
        r = emz_efunguz_add_ehypha_direct(ef, key, "127.0.0.1", 1, NULL);
    } while (!r);
    right(is_exhausted(r), emz_result_str(r), r);
    printf("# %d ehyphae with %d descriptors\n", (int)emz_efunguz_ehypha_count(ef), fds());
    wait_until(count_links(ef, EMZ_LINK_UP) == 2);
    right(!emit_text(ef, "w", "1"), "cannot emit", 0);
    memcpy(key, emz_ehypha_publickey(emz_efunguz_ehypha_at(ef, 2)), sizeof key);
    right(!emz_efunguz_del_ehypha(ef, key), "cannot delete", 0);
    wait_until(!emz_efunguz_add_ehypha_direct(ef, key, "127.0.0.1", 1, NULL));
    emz_efunguz_free(ef);
}

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif

#ifndef ASAN /* which needs all address space for itself */

static char big[1 << 27];

/* So many more megabytes of address space, once threads that start have taken what they take. */
static void limit_memory(int megabytes) {
    unsigned long pages = 0, before;
    int same = 0, i;
    for (i = 0; i < 6000 && same < 20; i++) {
        FILE *f = fopen("/proc/self/statm", "r");
        before = pages;
        right(f && fscanf(f, "%lu", &pages) == 1, "/proc/self/statm", 0);
        if (f) {
            fclose(f);
        }
        same = pages == before ? same + 1 : 0;
        zmq_poll(NULL, 0, 5);
    }
    limit(RLIMIT_AS, (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)megabytes << 20));
}

/* A value for which there is no memory changes nothing. */
static void values(int megabytes) {
    emz_result r;
    emz_efunguz *ef = child_realm(&r);
    emz_part part;
    const emz_i_retained *kept;
    part.data = big;
    limit_memory(megabytes);
    for (part.size = 1 << 16; part.size < sizeof big / 2; part.size *= 2) {
        int64_t t_out = ef->t_out;
        r = emz_efunguz_emit_etale(ef, "big", &part, 1);
        if (r) {
            right(r == EMZ_ERR_MEMORY, emz_result_str(r), r);
            right(ef->t_out == t_out, "it has changed something", 0);
            break;
        }
    }
    right(r == EMZ_ERR_MEMORY, "there is memory enough", r);
    kept = (const emz_i_retained *)ef->retained.at[0];
    right(emz_i_size(&kept->frames, 2) == part.size / 2, "the last value is not kept", 0);
    right(!emit_text(ef, "w", "1"), "cannot emit", 0);
    limit(RLIMIT_AS, RLIM_INFINITY);
    right(!emz_efunguz_emit_etale(ef, "big", &part, 1), "cannot emit", 1);
    add_all(ef);
    wait_until(count_links(ef, EMZ_LINK_UP) == PEERS);
    emz_efunguz_free(ef);
}

#endif

/* The header's manual says that libzmq ends the process where it cannot start a thread: is that
 * still so? */
static void no_thread(int n) {
    emz_result r;
    (void)n;
    if (!freopen("/dev/null", "w", stderr) || (getuid() == 0 && setuid(65534))) {
        return;
    }
    limit(RLIMIT_NPROC, 0);
    emz_efunguz_free(child_realm(&r));
}

/* What can be opened, but has no lines; and a log to a disk that is full. */
static void files(int n) {
    emz_result r;
    emz_efunguz *ef = child_realm(&r);
    size_t line = 0;
    (void)n;
    r = emz_efunguz_read_whitelist_publickeys(ef, "/dev/full", &line);
    right(r == EMZ_ERR_KEY && line == 1, "/dev/full as a whitelist", r);
    r = emz_efunguz_read_whitelist_publickeys(ef, "/", &line);
    right(r == EMZ_ERR_FILE && errno == EISDIR && !line, "a folder as a whitelist", r);
    right(emz_efunguz_whitelist_size(ef) == 0, "it has changed something", 0);
    emz_efunguz_free(ef);
    if (freopen("/dev/full", "w", stderr)) {
        emz_config c;
        memset(&c, 0, sizeof c);
        c.log = emz_log_stderr;
        c.torproxy_port = -1;
        r = emz_efunguz_new(&ef, own_secret, &c);
        right(r == EMZ_ERR_ARGUMENT, "a log that cannot be written", r);
    }
}

int main(void) {
    int k, i, good = 0;
    shared = (struct shared *)mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pipe(alive) || shared == MAP_FAILED) {
        return 1;
    }
    emz_keypair(shared->visited_key, own_secret);
    for (i = 0; i < PEERS; i++) {
        emz_keypair(shared->key[i], shared->secret[i]);
    }
    start(be_the_peers);
    start(be_the_proxy);
    for (i = 0; i < 6000 && !(shared->proxy_port && shared->port[PEERS - 1]); i++) {
        zmq_poll(NULL, 0, 10);
    }
    for (k = 0; k <= 60; k++) {
        good += in_child(descriptors, k);
    }
    is(good, 61, "limits of 0 to 60 descriptors more");
    for (good = k = 0; k < 9; k++) {
        good += in_child(rebuild, k);
    }
    is(good, 9, "the gate opens again with 0 to 8 descriptors");
    ok(in_child(sockets, 0), "no sockets left in the context");
    ok(in_child(files, 0), "endless files, and a full disk");
#ifndef ASAN
    for (good = 0, k = 1; k <= 32; k *= 2) {
        good += in_child(values, k);
    }
    is(good, 6, "memory for values of 1 to 32 MB");
#endif
    printf("# the next one is to abort\n");
    ok(!in_child(no_thread, 0), "no thread can be started: libzmq ends the process");
    return tap_end();
}
