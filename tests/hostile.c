/* Peers that attack, each against realms that others keep using. Those that libzmq itself would not
 * be are made by hand (tests/zmtp.py). */
#define _POSIX_C_SOURCE          200809L
#define EMZ_HANDSHAKE_TIMEOUT_MS 3000
#define EMZ_RETRY_PERCENT        10
#define EMZ_MESSAGE_MAX          20000000
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "tap.h"
#include <sys/resource.h>

static const char *self;       /* this program */
static int strangers_num = 50; /* at once; hostile N: so many */

static int zmtp(child *c, const char *const *more) {
    const char *argv[16] = {getenv("PYTHON") ? getenv("PYTHON") : "python3", "tests/zmtp.py"};
    int i;
    for (i = 0; more[i]; i++) {
        argv[i + 2] = more[i];
    }
    return child_start(c, argv) || !child_says(c, "READY");
}

/* ---- what libzmq does not survive, in a process of its own ---- */

/* hostile victim KEY PORT: read a peer until its connection fails; say how. */
static int victim(const char *publickey, const char *port) {
    emz_efunguz *ef = realm_new(NULL, NULL);
    emz_ehypha *eh = NULL;
    emz_efunguz_add_ehypha_direct(ef, publickey, "127.0.0.1", atoi(port), &eh);
    while (emz_ehypha_link(eh) >= 0) {
        pump();
        emz_efunguz_wait(ef, 10);
    }
    printf("SURVIVED %d\n", (int)emz_ehypha_link(eh));
    realm_free(ef);
    return 0;
}

/* hostile publisher: each line of standard input is the next value of "t"; answered by how many
 * subscribers there are. Small stacks everywhere, as other systems have them. */
static int publisher(void) {
    emz_efunguz *ef = realm_new(NULL, NULL);
    static child parent; /* too large for a small stack */
    int got;
    printf("READY %s %d\n", emz_efunguz_publickey(ef), emz_efunguz_port(ef));
    fflush(stdout);
    while ((got = child_line(&parent, 0)) >= 0) {
        if (got) {
            emit_text(ef, "t", parent.line);
            printf("EMITTED %d\n", (int)emz_efunguz_in_absorbing_num(ef));
            fflush(stdout);
        }
        pump();
        emz_efunguz_wait(ef, 10);
    }
    realm_free(ef);
    printf("ENDED\n");
    return 0;
}

/* A publisher whose short-term key is a point of low order: libzmq 4.3.4 on libsodium aborts the
 * process of who reads it (see >>security); a libzmq that is mended refuses it. */
static void test_low_order_publisher(void) {
    static const char *which[] = {"0", "1", "2", "6", "7"};
    size_t i;
    printf("# libzmq reports its failed assertions itself\n");
    for (i = 0; i < sizeof which / sizeof *which; i++) {
        const char *argv[] = {"pub", "low_order", NULL, NULL}, *argv_victim[5];
        char publickey[64] = "", port[16] = "";
        child pub, v;
        int status = 0, survived;
        argv[2] = which[i];
        if (!ok(!zmtp(&pub, argv) && sscanf(pub.line, "READY %63s %15s", publickey, port) == 2,
                "a publisher with key %s of low order", which[i])) {
            return;
        }
        argv_victim[0] = self;
        argv_victim[1] = "victim";
        argv_victim[2] = publickey;
        argv_victim[3] = port;
        argv_victim[4] = NULL;
        ok(!child_start(&v, argv_victim), "a process that reads it");
        survived = child_line(&v, 60000) == 1;
        if (!survived) {
            waitpid(v.pid, &status, 0);
            ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
               "as documented: libzmq aborts it, nothing else ends it");
        } else {
            ok(!strcmp(v.line, "SURVIVED -5"), "this libzmq refuses it: %s", v.line);
            child_end(&v);
        }
        child_end(&pub);
    }
}

/* The same from a subscriber, who may be anybody: refused, also with keys of low order in places
 * where nothing was encrypted to them. */
static void test_low_order_subscriber(void) {
    emz_efunguz *a = realm_new(NULL, NULL), *b = realm_new(NULL, NULL);
    const char *argv[] = {"sub", NULL, NULL, "low_order", NULL};
    const emz_etale *et = NULL;
    char port[16];
    child sub;
    snprintf(port, sizeof port, "%d", emz_efunguz_port(a));
    argv[1] = emz_efunguz_publickey(a);
    argv[2] = port;
    emz_ehypha_add_etale(connect_realm(b, a), "t", &et);
    emit_text(a, "t", "1");
    until("a good subscriber", holds(et, "1"));
    ok(!zmtp(&sub, argv), "one with keys of low order");
    ok(child_says(&sub, "REFUSED"), "it has tried");
    is_str(sub.line, "REFUSED 28 ACCEPTED 0", "it was refused each time");
    is(emz_efunguz_in_attempted_num(a), 2, "... before the whitelist was asked");
    emit_text(a, "t", "2");
    until("the good one goes on", holds(et, "2"));
    child_end(&sub);
    realm_free(a);
    realm_free(b);
}

/* libzmq keeps titles in trees, a level for each byte: that must not take stack. */
static void test_long_titles(void) {
    const char *argv_pub[] = {self, "publisher", NULL};
    const char *argv_sub[] = {"sub", NULL, NULL, "long", NULL, "2000", "30000", "65535", NULL};
    char publickey[64] = "", port[16] = "", longest[16];
    emz_efunguz *b = realm_new(NULL, NULL);
    emz_ehypha *eh = NULL;
    const emz_etale *et = NULL;
    struct rlimit usual, small;
    child pub, sub;
    int i;
    getrlimit(RLIMIT_STACK, &usual);
    small = usual;
    small.rlim_cur = 128 * 1024;
    setrlimit(RLIMIT_STACK, &small);
    i = child_start(&pub, argv_pub);
    setrlimit(RLIMIT_STACK, &usual); /* at once: this process may have more in use */
    ok(!i && child_says(&pub, "READY") && sscanf(pub.line, "READY %63s %15s", publickey, port) == 2,
       "a publisher in a process with stacks of 128 kB");
    emz_efunguz_add_ehypha_direct(b, publickey, "127.0.0.1", atoi(port), &eh);
    emz_ehypha_add_etale(eh, "t", &et);
    child_tell(&pub, "1");
    until("a good subscriber", holds(et, "1"));
    snprintf(longest, sizeof longest, "%d", EMZ_TITLE_MAX);
    argv_sub[1] = publickey;
    argv_sub[2] = port;
    argv_sub[4] = longest;
    ok(!zmtp(&sub, argv_sub), "a subscriber to long titles");
    for (i = 4; argv_sub[i]; i++) {
        ok(child_says(&sub, "LENGTH"), "it asks for a title of %s bytes, and cancels it",
           argv_sub[i]);
        is_str(strrchr(sub.line, ' '), " served", "... and gets others");
    }
    child_tell(&pub, "2");
    until("the good one goes on", holds(et, "2"));
    close(pub.in);
    ok(child_says(&pub, "ENDED"), "the publisher ends as it should");
    child_end(&pub);
    child_end(&sub);
    realm_free(b);
}

/* Every way to be a bad publisher, all at once and read by one realm; good ones among them. */
static void test_publishers(void) {
    enum { most = 100, deaf = 9 }; /* of zmtp.py */
    static struct {
        char key[64], value[16], name[64];
        int port, link;
        emz_ehypha *eh;
        const emz_etale *et;
    } bad[most];
    const char *argv[] = {"pubs", NULL};
    emz_config c;
    emz_efunguz *a[3], *b;
    const emz_etale *et[3];
    char text[16] = "0";
    child pubs;
    int i, n, count = 0, value = 0;
    memset(&c, 0, sizeof c);
    c.max_part_size = 1000000;
    b = realm_new(NULL, &c);
    for (i = 0; i < 3; i++) {
        a[i] = realm_new(NULL, NULL);
        emit_text(a[i], "t", text);
        emz_ehypha_add_etale(connect_realm(b, a[i]), "t", &et[i]);
    }
    ok(!zmtp(&pubs, argv) && sscanf(pubs.line, "READY %d", &count) == 1 && count > 50 &&
           count < most,
       "%d bad publishers", count);
    for (n = 0; n < count && child_says(&pubs, "AT"); n++) {
        sscanf(pubs.line, "AT %63s %d %d %15s %63[^\n]", bad[n].key, &bad[n].port, &bad[n].link,
               bad[n].value, bad[n].name);
        emz_efunguz_add_ehypha_direct(b, bad[n].key, "127.0.0.1", bad[n].port, &bad[n].eh);
        emz_ehypha_add_etale(bad[n].eh, "t", &bad[n].et);
    }
    for (n = 0; n < count; n++) {
        int64_t end = emz_now() + 60000000;
        int good = 0, link;
        while (!good && emz_now() < end) {
            if (holds(et[0], text) && holds(et[1], text) && holds(et[2], text)) {
                snprintf(text, sizeof text, "%d", ++value);
                for (i = 0; i < 3; i++) {
                    emit_text(a[i], "t", text);
                }
            }
            pump();
            emz_efunguz_wait(b, 1);
            link = (int)emz_ehypha_link(bad[n].eh);
            good = (link == bad[n].link ||
                    (bad[n].link == deaf && (link == EMZ_LINK_LOST || link == EMZ_LINK_UP))) &&
                   (strcmp(bad[n].value, "-") ? holds(bad[n].et, bad[n].value)
                                              : emz_etale_t_in(bad[n].et) < 0);
        }
        if (!ok(good, "%s", bad[n].name)) {
            printf("# link %d instead of %d, %d\n", (int)emz_ehypha_link(bad[n].eh), bad[n].link,
                   emz_etale_t_in(bad[n].et) >= 0);
        }
    }
    printf("# the good ones got %d values through meanwhile\n", value);
    for (n = i = 0; n < count; n++) {
        i += strcmp(bad[n].value, "end") && holds(bad[n].et, "end");
    }
    is(i, 0, "nothing came behind what ends a connection");
    until("the good ones go on", holds(et[0], text) && holds(et[1], text) && holds(et[2], text));
    child_end(&pubs);
    realm_free(b);
    for (i = 0; i < 3; i++) {
        realm_free(a[i]);
    }
}

/* What a process has in memory, in kB; 0: this one. */
static long memory(pid_t pid) {
    char path[64] = "/proc/self/statm";
    long pages = 0;
    FILE *f;
    if (pid) {
        snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    }
    f = fopen(path, "r");
    if (f) {
        (void)!fscanf(f, "%*d %ld", &pages);
        fclose(f);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int sub_start(child *c, emz_efunguz *of, const char *attack, int count) {
    const char *argv[6] = {"sub"};
    char port[16], number[16];
    snprintf(port, sizeof port, "%d", emz_efunguz_port(of));
    snprintf(number, sizeof number, "%d", count);
    argv[1] = emz_efunguz_publickey(of);
    argv[2] = port;
    argv[3] = attack;
    argv[4] = number;
    argv[5] = NULL;
    return zmtp(c, argv);
}

/* Strangers who stop half way, talk something else, or come with keys that nobody wants: all go
 * again, cost nothing that stays, and are counted to the last one. */
static void test_strangers(void) {
    emz_efunguz *b = realm_new(NULL, NULL), *a;
    const char *friends[1];
    emz_config c;
    const emz_etale *et;
    long used[4] = {0, 0, 0, 0};
    int round, before, n = strangers_num, most = 0;
    memset(&c, 0, sizeof c);
    friends[0] = emz_efunguz_publickey(b);
    c.whitelist = friends;
    c.whitelist_size = 1;
    a = realm_new(NULL, &c);
    emz_ehypha_add_etale(connect_realm(b, a), "t", &et);
    emit_text(a, "t", "0");
    until("a good subscriber", holds(et, "0"));
    before = fds();
    for (round = 1; round <= 3; round++) {
        child half, keys;
        char text[16];
        int64_t begin = emz_now(), took;
        snprintf(text, sizeof text, "%d", round);
        ok(!sub_start(&half, a, "half", n) && child_says(&half, "HALF"),
           "%d strangers that stop half way", n);
        most = fds() > most ? fds() : most;
        emit_text(a, "t", text);
        until("the good one goes on", holds(et, text));
        ok(!sub_start(&keys, a, "keys", n) && child_says(&keys, "IN"), "%d with keys of their own",
           n);
        snprintf(text, sizeof text, "IN 0 OF %d", n);
        is_str(keys.line, text, "nobody gets in");
        ok(child_says(&half, "CLOSED"), "who stopped is put out");
        took = emz_now() - begin;
        child_end(&half);
        child_end(&keys);
        until("all have gone", a->gate.visits.count == 1);
        is(emz_efunguz_in_absorbing_num(a), 1, "one absorbs");
        is(emz_efunguz_in_permitted_num(a), 1, "one was permitted");
        is(emz_efunguz_in_attempted_num(a), 1 + round * n, "each key was counted");
        until("the file descriptors are back", fds() <= before);
        used[round] = memory(0);
        printf("# round %d: %.1f s; %d fds, %d at most; %ld kB\n", round, (double)took / 1e6, fds(),
               most, used[round]);
    }
#ifndef __SANITIZE_ADDRESS__ /* it keeps freed memory for a while, and looks for leaks itself */
    ok(used[3] - used[1] < 4096, "and memory does not grow with the rounds");
#endif
    realm_free(a);
    realm_free(b);
}

/* More strangers than the publisher has file descriptors: those inside stay, and afterwards others
 * come in again. */
static void test_exhaustion(void) {
    const char *argv_pub[] = {self, "publisher", NULL};
    const char *argv_sub[] = {"sub", NULL, NULL, "half", "200", NULL};
    char publickey[64] = "", port[16] = "";
    emz_efunguz *b = realm_new(NULL, NULL), *late = realm_new(NULL, NULL);
    emz_ehypha *eh = NULL;
    const emz_etale *et = NULL, *et_late = NULL;
    struct rlimit usual, few;
    child pub, half;
    getrlimit(RLIMIT_NOFILE, &usual);
    few = usual;
    few.rlim_cur = 100;
    setrlimit(RLIMIT_NOFILE, &few);
    ok(!child_start(&pub, argv_pub) && child_says(&pub, "READY") &&
           sscanf(pub.line, "READY %63s %15s", publickey, port) == 2,
       "a publisher with at most 100 file descriptors");
    setrlimit(RLIMIT_NOFILE, &usual);
    emz_efunguz_add_ehypha_direct(b, publickey, "127.0.0.1", atoi(port), &eh);
    emz_ehypha_add_etale(eh, "t", &et);
    child_tell(&pub, "1");
    until("a good subscriber", holds(et, "1"));
    argv_sub[1] = publickey;
    argv_sub[2] = port;
    ok(!zmtp(&half, argv_sub) && child_says(&half, "HALF"), "200 strangers");
    child_tell(&pub, "2");
    until("who is inside goes on", holds(et, "2"));
    emz_efunguz_add_ehypha_direct(late, publickey, "127.0.0.1", atoi(port), &eh);
    emz_ehypha_add_etale(eh, "t", &et_late);
    until("somebody else gets in after them", holds(et_late, "2"));
    close(pub.in);
    ok(child_says(&pub, "ENDED"), "the publisher ends as it should");
    child_end(&half);
    child_end(&pub);
    realm_free(b);
    realm_free(late);
}

/* Subscriptions of every length, more than anybody needs: libzmq keeps them all, see >>security; the
 * others are served meanwhile and afterwards. */
static void test_subscriptions(void) {
    static const char *const many[][2] = {{"20000", "8"}, {"1000", "1000"}};
    const char *argv_pub[] = {self, "publisher", NULL};
    const char *argv_sub[] = {"sub", NULL, NULL, "many", NULL, NULL, NULL};
    char publickey[64] = "", port[16] = "", text[16] = "0";
    emz_efunguz *b = realm_new(NULL, NULL);
    emz_ehypha *eh = NULL;
    const emz_etale *et = NULL;
    child pub, sub;
    size_t i;
    ok(!child_start(&pub, argv_pub) && child_says(&pub, "READY") &&
           sscanf(pub.line, "READY %63s %15s", publickey, port) == 2,
       "a publisher");
    emz_efunguz_add_ehypha_direct(b, publickey, "127.0.0.1", atoi(port), &eh);
    emz_ehypha_add_etale(eh, "t", &et);
    child_tell(&pub, text);
    until("a good subscriber", holds(et, text));
    argv_sub[1] = publickey;
    argv_sub[2] = port;
    for (i = 0; i < sizeof many / sizeof *many; i++) {
        long before = memory(pub.pid);
        argv_sub[4] = many[i][0];
        argv_sub[5] = many[i][1];
        ok(!zmtp(&sub, argv_sub), "one who subscribes to %s titles of %s bytes", many[i][0],
           many[i][1]);
        ok(child_says(&sub, "MANY") && strstr(sub.line, "served"), "it is served");
        printf("# they take %.1f MB more memory\n", (double)(memory(pub.pid) - before) / 1e3);
        snprintf(text, sizeof text, "%d", (int)i + 1);
        child_tell(&pub, text);
        until("the good one goes on", holds(et, text));
        child_end(&sub);
        do { /* its subscriptions are forgotten */
            child_tell(&pub, text);
        } while (child_says(&pub, "EMITTED ") && strcmp(pub.line, "EMITTED 1"));
        ok(!strcmp(pub.line, "EMITTED 1"), "it has gone");
    }
    child_end(&pub);
    realm_free(b);
}

/* A message that never ends, through the proxy: given up at EMZ_MESSAGE_MAX, and its memory with it.
 * One that does end, of nearly that size, arrives. */
static void test_endless(void) {
    static const char *onion[] = {"pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion",
                                  "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"};
    const char *argv_pub[] = {"pub", "endless", "60000", NULL};
    const char *argv_proxy[] = {getenv("PYTHON") ? getenv("PYTHON") : "python3",
                                "tests/socks.py",
                                "working",
                                "--map",
                                NULL,
                                "--map",
                                NULL,
                                NULL};
    char publickey[64] = "", port[16] = "", map[2][100];
    emz_efunguz *a = realm_new(NULL, NULL), *b;
    emz_ehypha *eh = NULL, *good = NULL;
    const emz_etale *et = NULL, *et_good = NULL;
    emz_part part = {NULL, 19000000};
    emz_config c;
    child pub, proxy;
    void *large = calloc(1, part.size);
    long before, peak = 0;
    int sent = 0;
    part.data = large;
    memset(&c, 0, sizeof c);
    if (!ok(!zmtp(&pub, argv_pub) && sscanf(pub.line, "READY %63s %15s", publickey, port) == 2,
            "a publisher of a message that never ends")) {
        return;
    }
    snprintf(map[0], sizeof map[0], "%s=127.0.0.1:%s", onion[0], port);
    snprintf(map[1], sizeof map[1], "%s=127.0.0.1:%d", onion[1], emz_efunguz_port(a));
    argv_proxy[4] = map[0];
    argv_proxy[6] = map[1];
    ok(!child_start(&proxy, argv_proxy) && child_says(&proxy, "READY"), "a proxy");
    c.torproxy_port = atoi(proxy.line + 6);
    b = realm_new(NULL, &c);
    emz_efunguz_emit_etale(a, "t", &part, 1);
    emz_efunguz_add_ehypha(b, emz_efunguz_publickey(a), onion[1], 60847, &good);
    emz_ehypha_add_etale(good, "t", &et_good);
    until("a message of 19 MB arrives", emz_etale_t_in(et_good) >= 0);
    emit_text(a, "t", "1");
    until("and a small one", holds(et_good, "1"));
    before = memory(0);
    emz_efunguz_add_ehypha(b, publickey, onion[0], 60847, &eh);
    emz_ehypha_add_etale(eh, "t", &et);
    until("the endless one is given up",
          (peak = memory(0) > peak ? memory(0) : peak, emz_ehypha_link(eh) == EMZ_LINK_LOST));
    ok(child_says(&pub, "SENT") && sscanf(pub.line, "SENT %d", &sent) == 1 && sent < 100000000,
       "its publisher did not get rid of it");
    printf("# %d MB of it were sent\n", sent / 1000000);
    printf("# %ld MB before, %ld MB at most\n", before / 1000, peak / 1000);
    ok(emz_etale_t_in(et) < 0, "nothing of it is seen");
    emit_text(a, "t", "2");
    until("the good one goes on", holds(et_good, "2"));
    child_end(&pub);
    child_end(&proxy);
    realm_free(a);
    realm_free(b);
    free(large);
}

int main(int argc, char **argv) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    self = argv[0];
    if (argc == 4 && !strcmp(argv[1], "victim")) {
        return victim(argv[2], argv[3]);
    }
    if (argc == 2 && !strcmp(argv[1], "publisher")) {
        return publisher();
    }
    strangers_num = argc == 2 ? atoi(argv[1]) : strangers_num;
    test_low_order_publisher();
    test_low_order_subscriber();
    test_long_titles();
    test_publishers();
    test_strangers();
    test_exhaustion();
    test_subscriptions();
    test_endless();
    return tap_end();
}
