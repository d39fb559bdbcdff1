/* What the C tests share: TAP, waiting for events, realms that are pumped, child processes.
 * Include after the implementation. TAP: https://testanything.org */
#ifndef TAP_H
#define TAP_H

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define HELPER static __attribute__((unused)) /* not every test uses all */

static int tap_count, tap_failed;

HELPER int tap_ok(int good, const char *file, int line, const char *format, ...) {
    va_list args;
    printf("%sok %d - ", good ? "" : "not ", ++tap_count);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    if (!good) {
        tap_failed++;
        printf("# failed at %s:%d\n", file, line);
    }
    fflush(stdout);
    return good;
}

#define ok(good, ...) tap_ok(!!(good), __FILE__, __LINE__, __VA_ARGS__)
#define is(got, wanted, ...)                                              \
    do {                                                                  \
        long long got_ = (long long)(got), wanted_ = (long long)(wanted); \
        if (!ok(got_ == wanted_, __VA_ARGS__)) {                          \
            printf("# got %lld, wanted %lld\n", got_, wanted_);           \
        }                                                                 \
    } while (0)
#define is_str(got, wanted, ...)                                            \
    do {                                                                    \
        const char *got_ = (got), *wanted_ = (wanted);                      \
        if (!ok(got_ && !strcmp(got_, wanted_), __VA_ARGS__)) {             \
            printf("# got %s, wanted %s\n", got_ ? got_ : "NULL", wanted_); \
        }                                                                   \
    } while (0)

HELPER int tap_end(void) {
    printf("1..%d\n", tap_count);
    return tap_failed != 0;
}

/* Where something is missing: a skip, or a failure where CI promised that all is there. */
HELPER int tap_lacks(const char *what) {
    if (getenv("EMZ_TEST_NO_SKIP")) {
        return !ok(0, "%s is missing, and EMZ_TEST_NO_SKIP is set", what);
    }
    printf("1..0 # SKIP %s is missing\n", what);
    exit(0);
}

/* The realms of this test: until() keeps them going. */
static emz_efunguz *realm[64];
static int realms;
static int updated; /* what their update() returned, summed up */

HELPER void pump(void) {
    int i;
    for (i = 0; i < realms; i++) {
        updated += emz_efunguz_update(realm[i]);
    }
}

/* Keep all realms going until something holds, at most a minute; ok if it does. */
#define until(what, condition)                                 \
    do {                                                       \
        int64_t end_ = emz_now() + INT64_C(60000000);          \
        int held_ = 0;                                         \
        while (!(held_ = !!(condition)) && emz_now() < end_) { \
            pump();                                            \
            zmq_poll(NULL, 0, 2);                              \
        }                                                      \
        ok(held_, "%s", what);                                 \
    } while (0)

/* A realm on a port of the system's choice. */
HELPER emz_efunguz *realm_new(const char *secretkey, emz_config *config) {
    emz_config defaults;
    char publickey[EMZ_KEY_Z85_SIZE], fresh[EMZ_KEY_Z85_SIZE];
    emz_efunguz *ef = NULL;
    memset(&defaults, 0, sizeof defaults);
    config = config ? config : &defaults;
    config->pubsub_port = config->pubsub_port ? config->pubsub_port : EMZ_ANY_PORT;
    config->log = getenv("EMZ_TEST_LOG") ? emz_log_stderr : config->log;
    if (!secretkey) {
        emz_keypair(publickey, fresh);
        secretkey = fresh;
    }
    if (emz_efunguz_new(&ef, secretkey, config) == EMZ_OK) {
        realm[realms++] = ef;
    }
    return ef;
}

HELPER void realm_free(emz_efunguz *ef) {
    int i;
    for (i = 0; i < realms; i++) {
        if (realm[i] == ef) {
            realm[i--] = realm[--realms];
        }
    }
    emz_efunguz_free(ef);
}

HELPER emz_ehypha *connect_realm(emz_efunguz *from, emz_efunguz *to) {
    emz_ehypha *eh = NULL;
    emz_efunguz_add_ehypha_direct(from, emz_efunguz_publickey(to), "127.0.0.1",
                                  emz_efunguz_port(to), &eh);
    return eh;
}

HELPER emz_result emit_text(emz_efunguz *ef, const char *title, const char *text) {
    emz_part part;
    part.data = text;
    part.size = strlen(text);
    return emz_efunguz_emit_etale(ef, title, &part, 1);
}

/* Does an etale hold exactly this one part? */
HELPER int holds(const emz_etale *et, const char *text) {
    size_t count;
    const emz_part *parts = emz_etale_parts(et, &count);
    return count == 1 && parts[0].size == strlen(text) &&
           !memcmp(parts[0].data, text, parts[0].size);
}

/* How many file descriptors this process has; and threads. */
HELPER int entries(const char *path) {
    DIR *dir = opendir(path);
    int n = 0;
    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}
HELPER int fds(void) {
    return entries("/proc/self/fd");
}
HELPER int threads(void) {
    return entries("/proc/self/task");
}

/* A child with its standard input and output in our hands; it ends when its input does. */
typedef struct child {
    pid_t pid;
    int in, out;
    char line[65536];
    char held[65536];
    size_t size;
} child;

HELPER int child_start(child *c, const char *const *argv) {
    int in[2], out[2];
    memset(c, 0, sizeof *c);
    if (pipe(in) || pipe(out)) {
        return -1;
    }
    c->pid = fork();
    if (c->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        execvp(argv[0], (char *const *)(size_t)argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    fcntl(in[1], F_SETFD, FD_CLOEXEC);
    fcntl(out[0], F_SETFD, FD_CLOEXEC);
    c->in = in[1];
    c->out = out[0];
    return c->pid > 0 ? 0 : -1;
}

/* The next line into c->line: 1; 0 after timeout_ms; -1 when there will be none. */
HELPER int child_line(child *c, int timeout_ms) {
    for (;;) {
        char *newline = (char *)memchr(c->held, '\n', c->size);
        struct pollfd p;
        ssize_t got;
        if (newline) {
            size_t n = (size_t)(newline - c->held);
            memcpy(c->line, c->held, n);
            c->line[n] = 0;
            c->size -= n + 1;
            memmove(c->held, newline + 1, c->size);
            return 1;
        }
        p.fd = c->out;
        p.events = POLLIN;
        if (poll(&p, 1, timeout_ms) <= 0) {
            return 0;
        }
        got = read(c->out, c->held + c->size, sizeof c->held - c->size);
        if (got <= 0) { /* its end, or a line that is too long */
            return -1;
        }
        c->size += (size_t)got;
    }
}

/* Keep the realms going until a line starts like this: 1, or 0 after a minute. */
HELPER int child_says(child *c, const char *start) {
    int64_t end = emz_now() + INT64_C(60000000);
    int got = 0;
    while (emz_now() < end && got >= 0) {
        pump();
        while ((got = child_line(c, 2)) > 0) {
            if (!strncmp(c->line, start, strlen(start))) {
                return 1;
            }
        }
    }
    printf("# waited in vain for: %s\n", start);
    return 0;
}

HELPER void child_tell(child *c, const char *line) {
    size_t size = strlen(line);
    if (write(c->in, line, size) != (ssize_t)size || write(c->in, "\n", 1) != 1) {
        printf("# cannot write to the child\n");
    }
}

HELPER void child_end(child *c) {
    close(c->in);
    close(c->out);
    kill(c->pid, SIGTERM);
    waitpid(c->pid, NULL, 0);
}

#endif
