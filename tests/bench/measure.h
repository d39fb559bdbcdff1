/* What the rows of the benchmark share: time, processors, memory, statistics, child processes, and
 * how a figure gets from a row's process into the table. */
#ifndef MEASURE_H
#define MEASURE_H

#include <math.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#ifdef __GNUC__
#define HELPER static __attribute__((unused))
#define APART  static __attribute__((noinline)) /* a function that callgrind can find */
#else
#define HELPER static
#define APART  static
#endif

#define NONE ((double)NAN) /* no such figure */

static int quick; /* --quick: a fifth of the time, smaller numbers; for a first look */

HELPER void fail(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

#define must(condition)       \
    do {                      \
        if (!(condition)) {   \
            fail(#condition); \
        }                     \
    } while (0)

/* ---- time: seconds ---- */

HELPER double clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

HELPER double now(void) {
    return clock_of(CLOCK_MONOTONIC);
}

HELPER void pause_ms(int ms) {
    zmq_poll(NULL, 0, ms);
}

/* ---- processors: threads inherit where their creator may run. So a row makes its peers while it
 * is on the processor of the I/O threads, and goes to its own then. ---- */

enum { CPU_CALLER, CPU_IO, CPU_ANY };

HELPER void run_on(int where) {
#ifdef __linux__
    static cpu_set_t any;
    static int known;
    cpu_set_t one;
    int nth = 0;
    size_t i;
    if (!known) {
        known = 1;
        must(!sched_getaffinity(0, sizeof any, &any));
    }
    if (where == CPU_ANY || CPU_COUNT(&any) < 2) {
        sched_setaffinity(0, sizeof any, &any);
        return;
    }
    CPU_ZERO(&one);
    for (i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &any) && nth++ == where) {
            CPU_SET(i, &one);
        }
    }
    sched_setaffinity(0, sizeof one, &one);
#else
    (void)where;
#endif
}

/* Linux acknowledges each message that is read, or each second one, by what a connection has gone
 * through before: that makes latencies differ by 5 us. So let all of this process begin alike. */
HELPER void acknowledge_alike(void) {
#ifdef __linux__
    int fd, one = 1;
    for (fd = 0; fd < 1024; fd++) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    }
#endif
}

/* ---- memory: kilobytes of this process; 0 where the system does not tell ---- */

HELPER double memory_kb(const char *field) { /* "VmRSS:", "VmHWM:" */
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (!strncmp(line, field, strlen(field))) {
            kb = strtod(line + strlen(field), NULL);
        }
    }
    if (f) {
        fclose(f);
    }
    return kb;
}

/* As many file descriptors as we may have. */
HELPER long descriptors(void) {
    struct rlimit r;
    must(!getrlimit(RLIMIT_NOFILE, &r));
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    return r.rlim_cur > 100000 ? 100000 : (long)r.rlim_cur;
}

/* ---- statistics ---- */

typedef struct samples {
    double *at;
    size_t count, room;
} samples;

HELPER void add(samples *s, double value) {
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->at = (double *)realloc(s->at, s->room * sizeof *s->at);
        must(s->at);
    }
    s->at[s->count++] = value;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Sorts. */
HELPER double quantile(samples *s, double q) {
    if (!s->count) {
        return NONE;
    }
    qsort(s->at, s->count, sizeof *s->at, by_value);
    return s->at[(size_t)(q * (double)(s->count - 1) + 0.5)];
}

HELPER double median(samples *s) {
    return quantile(s, 0.5);
}

/* Ours and raw in turn, ABBA, for some seconds and at least so many pairs. A pair's ratio compares
 * two neighbours of a few milliseconds at most: so what else this machine does hits both, and the
 * median of the ratios holds still where the two medians do not. The same for processor time, all
 * threads of this process: where a machine is short of processors it is the steadier figure. */
typedef struct pairs {
    samples ours, raw, ratio, cpu;
} pairs;

typedef double (*measure)(void *with);

HELPER void alternate(pairs *p, measure ours, measure raw, void *with, double seconds,
                      size_t least) {
    double end;
    size_t i;
    memset(p, 0, sizeof *p);
    for (i = 0; i < 2; i++) { /* warm-up */
        ours(with);
        raw(with);
    }
    end = now() + (quick ? seconds / 5 : seconds);
    for (i = 0; i < least || now() < end; i++) {
        double wall[2], cpu[2]; /* of ours, of raw */
        size_t k;
        for (k = 0; k < 2; k++) {
            size_t is_raw = (i + k) % 2;
            cpu[is_raw] = -clock_of(CLOCK_PROCESS_CPUTIME_ID);
            wall[is_raw] = is_raw ? raw(with) : ours(with);
            cpu[is_raw] += clock_of(CLOCK_PROCESS_CPUTIME_ID);
        }
        add(&p->ours, wall[0]);
        add(&p->raw, wall[1]);
        add(&p->ratio, wall[0] / wall[1]);
        add(&p->cpu, cpu[0] / cpu[1]);
    }
}

/* ---- results: a row runs in a process of its own and writes them into a pipe ---- */

typedef enum goal { NO_GOAL, RATIO_AT_LEAST, RATIO_AT_MOST, OURS_AT_MOST, GROWTH_AT_MOST } goal;

typedef struct result {
    char row[24], what[64], unit[12];
    double ours, raw, ratio, noise, cpu; /* NONE: does not apply; cpu: ratio of processor times */
    goal goal;
    double bound;
    double n, exponent; /* of a growth row: of how many, and the growth since the line before */
} result;

static int result_fd = -1;
static const char *result_row = "";

HELPER void report_result(result *r) {
    snprintf(r->row, sizeof r->row, "%s", result_row);
    must(write(result_fd, r, sizeof *r) == (ssize_t)sizeof *r);
}

HELPER void report(const char *what, const char *unit, double ours, double raw, double ratio,
                   double noise, goal g, double bound) {
    result r;
    memset(&r, 0, sizeof r);
    snprintf(r.what, sizeof r.what, "%s", what);
    snprintf(r.unit, sizeof r.unit, "%s", unit);
    r.ours = ours;
    r.raw = raw;
    r.ratio = ratio;
    r.noise = noise;
    r.cpu = NONE;
    r.goal = g;
    r.bound = bound;
    r.exponent = NONE;
    report_result(&r);
}

HELPER int result_met(const result *r) {
    switch (r->goal) {
    case RATIO_AT_LEAST:
        return r->ratio >= r->bound;
    case RATIO_AT_MOST:
        return r->ratio <= r->bound;
    case OURS_AT_MOST:
        return r->ours <= r->bound;
    case GROWTH_AT_MOST:
        return r->exponent <= r->bound;
    case NO_GOAL:
        break;
    }
    return 1;
}

/* ---- growth: a cost (seconds) at n = 1, 10, 100 ...; the exponent tells how it grows. The goal is
 * linear, with a little for caches and noise, or what raw does itself. ---- */

typedef struct growth {
    const char *what;
    double n, ours, raw;
} growth;

HELPER void report_growth(growth *g, double n, double ours, double raw, double ratio,
                          const char *unit, double scale) {
    const double linear = 1.1;
    double step = log(n / g->n), raw_exponent = log(raw / g->raw) / step;
    result r;
    memset(&r, 0, sizeof r);
    snprintf(r.what, sizeof r.what, "%s", g->what);
    snprintf(r.unit, sizeof r.unit, "%s", unit);
    r.ours = ours * scale;
    r.raw = raw * scale;
    r.ratio = ratio;
    r.noise = r.cpu = NONE;
    r.n = n;
    r.exponent = g->n > 0 ? log(ours / g->ours) / step : NONE;
    r.goal = g->n > 0 ? GROWTH_AT_MOST : NO_GOAL;
    r.bound = raw_exponent + 0.05 > linear ? raw_exponent + 0.05 : linear;
    g->n = n;
    g->ours = ours;
    g->raw = raw;
    report_result(&r);
}

/* ---- child processes, all to be started before the row starts a thread ---- */

static pid_t helper_pid[64];
static int helpers;

HELPER void *shared(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(p != MAP_FAILED);
    return p;
}

HELPER void helper(void (*run)(void *), void *with) {
    pid_t pid = fork();
    must(pid >= 0 && helpers < 64);
    if (pid == 0) {
        helpers = 0;
        run(with);
        _exit(0);
    }
    helper_pid[helpers++] = pid;
}

HELPER void helpers_end(void) {
    while (helpers) {
        kill(helper_pid[--helpers], SIGKILL);
        waitpid(helper_pid[helpers], NULL, 0);
    }
}

/* Wait for a helper's word; helpers ask the same of each other. */
HELPER void until(volatile int *value, int wanted) {
    double end = now() + 60;
    while (*value < wanted) {
        if (now() > end) {
            fprintf(stderr, "bench: %s: a helper does not answer\n", result_row);
            exit(1);
        }
        pause_ms(1);
    }
}

HELPER int orphaned(pid_t parent) {
    return getppid() != parent;
}

/* What a piece of work returns when a process of its own does it, several times: the median. For
 * memory, where one measurement would spoil the next. */
HELPER double in_child(double (*work)(void *with), void *with, int times) {
    double *value = (double *)shared(sizeof *value);
    samples s;
    double m;
    memset(&s, 0, sizeof s);
    while (times--) {
        int status = 0;
        pid_t pid = fork();
        must(pid >= 0);
        if (pid == 0) {
            helpers = 0; /* they are our parent's */
            *value = work(with);
            helpers_end();
            _exit(0);
        }
        waitpid(pid, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            fprintf(stderr, "bench: %s: a child failed\n", result_row);
            exit(1);
        }
        add(&s, *value);
    }
    m = median(&s);
    free(s.at);
    munmap(value, sizeof *value);
    return m;
}

/* A comparison, run several times in fresh processes: where memory and threads come to lie makes a
 * difference of some per cent that no averaging within one process takes away. work() measures and
 * tells; compare() leaves the medians here. */
typedef struct told {
    double (*work)(void *told);
    measure measure_ours, measure_raw;
    double seconds; /* of all runs together */
    size_t size;    /* of a part; how many at once; which proxy; how many of what grows: */
    int batch, tunnel, n;
    double ours, raw, ratio, cpu;
    double noise; /* half of what lies between the best and the worst run's ratio */
    int runs;
} told;

HELPER void tell(told *t, void *with) {
    pairs p;
    alternate(&p, t->measure_ours, t->measure_raw, with, t->seconds / t->runs, 3);
    t->ours = median(&p.ours);
    t->raw = median(&p.raw);
    t->ratio = median(&p.ratio);
    t->cpu = median(&p.cpu);
}

HELPER told *told_new(double (*work)(void *), measure ours, measure raw, double seconds, int runs) {
    told *t = (told *)shared(sizeof *t);
    t->work = work;
    t->measure_ours = ours;
    t->measure_raw = raw;
    t->seconds = seconds;
    t->runs = runs;
    return t;
}

HELPER void compare(told *t) {
    samples ours, raw, ratio, cpu;
    int i;
    memset(&ours, 0, sizeof ours);
    raw = ratio = cpu = ours;
    for (i = 0; i < t->runs; i++) {
        in_child(t->work, t, 1);
        add(&ours, t->ours);
        add(&raw, t->raw);
        add(&ratio, t->ratio);
        add(&cpu, t->cpu);
    }
    t->ours = median(&ours);
    t->raw = median(&raw);
    t->ratio = median(&ratio);
    t->cpu = median(&cpu);
    t->noise = t->runs > 1 ? (quantile(&ratio, 1) - quantile(&ratio, 0)) / 2 / t->ratio : NONE;
}

/* Seconds: as count / seconds, or (count 0) as microseconds. */
HELPER void report_told(const char *what, const char *unit, double count, const told *t, goal g,
                        double bound) {
    result r;
    memset(&r, 0, sizeof r);
    snprintf(r.what, sizeof r.what, "%s", what);
    snprintf(r.unit, sizeof r.unit, "%s", unit);
    r.ours = count > 0 ? count / t->ours : t->ours * 1e6;
    r.raw = count > 0 ? count / t->raw : t->raw * 1e6;
    r.ratio = count > 0 ? 1 / t->ratio : t->ratio;
    r.noise = t->noise;
    r.cpu = t->cpu;
    r.goal = g;
    r.bound = bound;
    r.exponent = NONE;
    report_result(&r);
}

#endif
