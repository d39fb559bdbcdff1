/* A realm that is driven by lines on stdin, for tests with many processes (tests/tor.t, soak.py).
 *
 *     realm SOCKS-PORT [PORT [SECRET-KEY]]     PORT 0: chosen by the system
 *
 * commands, each answered by OK [...] or ERR <sentence>:
 *     ehypha NAME KEY ADDRESS PORT    through Tor if the address ends in .onion
 *     del NAME
 *     etale NAME TITLE
 *     emit TITLE TEXT
 *     permit KEY, forbid KEY          whom the whitelist holds
 *     count                           OK fds threads kilobytes
 * lines of its own:
 *     READY <public key> <port>
 *     LINK <name> <number> <sentence>     when it changes
 *     VALUE <name> <title> <text> <age in microseconds>      when one has come
 */
#define _POSIX_C_SOURCE          200809L
#define EMZ_HEARTBEAT_MS         2000
#define EMZ_HEARTBEAT_TIMEOUT_MS 6000
#define EMZ_RETRY_PERCENT        30
#define EMYZELIUM_IMPLEMENTATION
#include "../../emyzelium.h"
#include "../tap.h"

#define PEERS 32
#define WORD  256

typedef struct peer {
    char name[WORD];
    emz_ehypha *eh;
    int link;
    const char *why;
    int64_t t_in[PEERS]; /* of its etales, by index */
} peer;

static peer peers[PEERS];
static emz_efunguz *ef;

static peer *find(const char *name) {
    int i;
    for (i = 0; i < PEERS; i++) {
        if (peers[i].eh && !strcmp(peers[i].name, name)) {
            return &peers[i];
        }
    }
    return NULL;
}

static void answer(emz_result r) {
    printf(r ? "ERR %s\n" : "OK\n", emz_result_str(r));
}

static long kilobytes(void) {
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &size, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void obey(const char *line) {
    char word[5][WORD] = {"", "", "", "", ""};
    peer *p;
    (void)!sscanf(line, "%255s %255s %255s %255s %255s", word[0], word[1], word[2], word[3],
                  word[4]);
    p = find(word[1]);
    if (!strcmp(word[0], "ehypha")) {
        size_t n = strlen(word[3]);
        int onion = n > 6 && !strcmp(word[3] + n - 6, ".onion");
        emz_result r;
        for (p = peers; p < peers + PEERS - 1 && p->eh;) {
            p++;
        }
        memset(p, 0, sizeof *p);
        strcpy(p->name, word[1]);
        p->link = 99;
        r = (onion ? emz_efunguz_add_ehypha : emz_efunguz_add_ehypha_direct)(ef, word[2], word[3],
                                                                             atoi(word[4]), &p->eh);
        answer(r);
    } else if (!strcmp(word[0], "del") && p) {
        answer(emz_efunguz_del_ehypha(ef, emz_ehypha_publickey(p->eh)));
        p->eh = NULL;
    } else if (!strcmp(word[0], "etale") && p) {
        answer(emz_ehypha_add_etale(p->eh, word[2], NULL));
    } else if (!strcmp(word[0], "emit")) {
        answer(emit_text(ef, word[1], word[2]));
    } else if (!strcmp(word[0], "permit") || !strcmp(word[0], "forbid")) {
        const char *key = word[1];
        answer((*word[0] == 'p' ? emz_efunguz_add_whitelist_publickeys
                                : emz_efunguz_del_whitelist_publickeys)(ef, &key, 1));
    } else if (!strcmp(word[0], "count")) {
        printf("OK %d %d %ld\n", fds(), threads(), kilobytes());
    } else {
        printf("ERR what? %s\n", line);
    }
}

static void tell(void) {
    peer *p;
    size_t i, count;
    for (p = peers; p < peers + PEERS; p++) {
        if (!p->eh) {
            continue;
        }
        for (i = 0; i < emz_ehypha_etale_count(p->eh) && i < PEERS; i++) {
            const emz_etale *et = emz_ehypha_etale_at(p->eh, i);
            const emz_part *parts = emz_etale_parts(et, &count);
            if (emz_etale_t_in(et) >= 0 && emz_etale_t_in(et) != p->t_in[i]) {
                p->t_in[i] = emz_etale_t_in(et);
                printf("VALUE %s %s %.*s %lld\n", p->name, emz_etale_title(et),
                       count ? (int)parts[0].size : 0, count ? (const char *)parts[0].data : "",
                       (long long)(emz_etale_t_in(et) - emz_etale_t_out(et)));
            }
        }
        if (p->link != (int)emz_ehypha_link(p->eh) || p->why != emz_ehypha_link_str(p->eh)) {
            p->link = (int)emz_ehypha_link(p->eh);
            p->why = emz_ehypha_link_str(p->eh);
            printf("LINK %s %d %s\n", p->name, p->link, p->why);
        }
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    emz_config c;
    child input; /* only to read lines from stdin without blocking */
    emz_result r;
    char publickey[EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE];
    int got = 0;
    memset(&c, 0, sizeof c);
    memset(&input, 0, sizeof input);
    c.torproxy_port = argc > 1 ? atoi(argv[1]) : 0;
    c.pubsub_port = argc > 2 && atoi(argv[2]) ? atoi(argv[2]) : EMZ_ANY_PORT;
    c.log = getenv("EMZ_TEST_LOG") ? emz_log_stderr : NULL;
    if ((r = argc > 3 ? EMZ_OK : emz_keypair(publickey, secretkey)) ||
        (r = emz_efunguz_new(&ef, argc > 3 ? argv[3] : secretkey, &c))) {
        fprintf(stderr, "realm: %s\n", emz_result_str(r));
        return 1;
    }
    printf("READY %s %d\n", emz_efunguz_publickey(ef), emz_efunguz_port(ef));
    while (got >= 0) {
        emz_efunguz_update(ef);
        tell();
        while ((got = child_line(&input, 0)) > 0) {
            obey(input.line);
        }
        emz_efunguz_wait(ef, 10);
    }
    emz_efunguz_free(ef);
    return 0;
}
