/* A world without a network for the implementation: the sockets of libzmq and of the system, the
 * files and the clock are played here, out of bytes that the fuzzer chose. What is not played
 * (messages, Z85, words) is libzmq's own. Everything is single-threaded and the same each time. */
#ifndef WORLD_H
#define WORLD_H

#include <zmq.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "emyzelium.h" /* the types; found by -I, so that a mutant can take its place */

#define check(good)                                                              \
    do {                                                                         \
        if (!(good)) {                                                           \
            fprintf(stderr, "broken at %s:%d: %s\n", __FILE__, __LINE__, #good); \
            abort();                                                             \
        }                                                                        \
    } while (0)

/* ---- what the fuzzer sends, taken from its front ---- */

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static unsigned take(input *in) {
    return in->left ? in->left--, *in->at++ : 0;
}

static const uint8_t *take_bytes(input *in, size_t *size) {
    const uint8_t *at = in->at;
    *size = *size < in->left ? *size : in->left;
    in->at += *size;
    in->left -= *size;
    return at;
}

/* A copy that ends where its memory does, so that a read beyond is seen. */
static void *copy_of(const void *data, size_t size) {
    void *copy = malloc(size ? size : 1);
    check(copy);
    if (size) {
        memcpy(copy, data, size);
    }
    return copy;
}

/* ---- sockets: each is a place in this table, its file descriptor the place's number ---- */

#define FDS        96
#define FIRST_FD   1000 /* not to be mistaken for a real one */
#define PACKETS    1024
#define SYSTEM     (-2) /* the type of a system socket; libzmq's are ZMQ_PUB ... */
#define PORT_OF(t) (40000 + (int)((t)-things))

typedef struct thing {
    int open, type;
    uint32_t wanted; /* by epoll */
    void *source;
    /* a system socket: what the other side sends, how much of it has arrived and is read */
    const uint8_t *script;
    size_t size, arrived, read;
    int ends;           /* the other side closes after that */
    uint8_t sent[8192]; /* what was sent to it */
    size_t sents, room; /* and how much of that it can take now */
    int caller[8];      /* ports of those who wait to be accepted */
    int callers;
    int full, nodrop, begun; /* a publisher: its queues are full, it says so, within a message */
} thing;

typedef struct packet { /* a frame in either direction, or an option */
    thing *of;
    int option; /* 0: a frame */
    int more, gone;
    uint8_t *data;
    size_t size;
} packet;

static thing things[FDS];
static packet to_us[PACKETS], by_us[PACKETS]; /* what arrives; what was done */
static size_t arriving, done;
static int has_more;  /* of the frame that was received last */
static int in_place;  /* small messages hold their own bytes, as libzmq has it */
static int no_manual; /* option 98 is unknown */
static const char *user_id;
static const uint8_t *file;
static size_t file_size;
static int64_t clock_us;
static long live;  /* allocations */
static int mutant; /* which of the planted bugs is there, in a header that has them */
static char last_log[600];

static thing *thing_at(int fd) {
    check(fd >= FIRST_FD && fd < FIRST_FD + FDS && things[fd - FIRST_FD].open);
    return &things[fd - FIRST_FD];
}

static thing *thing_of(void *socket) {
    thing *t = (thing *)socket;
    check(t >= things && t < things + FDS && t->open && t->type != SYSTEM);
    return t;
}

static thing *thing_new(int type) {
    thing *t = things;
    while (t->open) {
        check(++t < things + FDS);
    }
    memset(t, 0, sizeof *t);
    t->open = 1;
    t->type = type;
    return t;
}

static void note(packet *list, size_t *count, thing *of, int option, const void *data, size_t size,
                 int more) {
    packet *p = &list[(*count)++];
    check(*count <= PACKETS);
    p->of = of;
    p->option = option;
    p->more = more;
    p->gone = 0;
    p->data = (uint8_t *)copy_of(data, size);
    p->size = size;
}

/* A frame arrives at a socket of ours. */
static void arrive(void *socket, const void *data, size_t size, int more) {
    while (arriving && to_us[arriving - 1].gone) {
        free(to_us[--arriving].data);
    }
    note(to_us, &arriving, thing_of(socket), 0, data, size, more);
}

static packet *next_packet(thing *of) {
    size_t i;
    for (i = 0; i < arriving; i++) {
        if (to_us[i].of == of && !to_us[i].gone) {
            return &to_us[i];
        }
    }
    return NULL;
}

static void thing_close(thing *t) {
    packet *p;
    while ((p = next_packet(t)) != NULL) {
        p->gone = 1;
    }
    check(!t->wanted); /* epoll would report a pointer that is dead */
    t->open = 0;
}

static void forget_what_was_done(void) {
    while (done) {
        free(by_us[--done].data);
    }
}

/* Begin anew; what the last input left open is a leak. */
static void world_end(void) {
    int i;
    for (i = 0; i < FDS; i++) {
        check(!things[i].open);
    }
    check(!live);
    forget_what_was_done();
    while (arriving) {
        free(to_us[--arriving].data);
    }
    has_more = in_place = no_manual = 0;
    user_id = NULL;
    clock_us = 0;
    *last_log = 0;
}

/* Nothing but printable ASCII may come out, whoever wrote what is in it. */
static void my_log(void *user, emz_log_level level, const char *message) {
    const char *c;
    (void)user;
    check(level >= EMZ_LOG_ERROR && level <= EMZ_LOG_INFO);
    for (c = message; *c; c++) {
        check(*c >= ' ' && *c <= '~');
    }
    check(c - message < (int)sizeof last_log);
    memcpy(last_log, message, (size_t)(c - message) + 1);
}

/* ---- what the implementation calls instead ---- */

static void *my_malloc(size_t size) {
    void *p = malloc(size);
    if (p) {
        memset(p, 0xA5, size);
    }
    live += p != NULL;
    return p;
}
static void *my_realloc(void *p, size_t size) {
    void *q = realloc(p, size);
    live += q && !p;
    return q;
}
static void my_free(void *p) {
    live -= p != NULL;
    free(p);
}

static int good(int dummy, ...) {
    return dummy;
}

static const char *const our_public = "(>?aRHs!hJ2ykb?B}t6iGgo3-5xooFh@9F/4C:DW";
static const char *const our_secret = "gbMF0ZKztI28i6}ax!&Yw/US<CCA9PLs.Osr3APc";
static int my_curve_keypair(char *public_, char *secret) {
    memcpy(public_, our_public, 41);
    memcpy(secret, our_secret, 41);
    return 0;
}
static int my_curve_public(char *public_) {
    memcpy(public_, our_public, 41);
    return 0;
}
static void *my_socket_new(int type) {
    return thing_new(type);
}
static int my_socket_close(void *socket) {
    thing_close(thing_of(socket));
    return 0;
}
static int my_set(void *socket, int option, const void *value, size_t size) {
    thing *t = thing_of(socket);
    if (option == 98 && no_manual) {
        errno = EINVAL;
        return -1;
    }
    if (option == ZMQ_XPUB_NODROP) {
        memcpy(&t->nodrop, value, sizeof t->nodrop);
    }
    if (option == ZMQ_SUBSCRIBE || option == ZMQ_UNSUBSCRIBE) {
        note(by_us, &done, t, option, value, size, 0);
    }
    return 0;
}
static int my_get(void *socket, int option, void *value, size_t *size) {
    thing *t = thing_of(socket);
    if (option == ZMQ_FD) {
        *(zmq_fd_t *)value = FIRST_FD + (int)(t - things);
    } else if (option == ZMQ_EVENTS) {
        *(int *)value = next_packet(t) ? ZMQ_POLLIN : 0;
    } else {
        check(option == ZMQ_LAST_ENDPOINT);
        *size = 1 + (size_t)snprintf((char *)value, *size, "tcp://127.0.0.1:%d", PORT_OF(t));
    }
    return 0;
}
static int my_zmq_send(void *socket, const void *data, size_t size, int flags) {
    thing *t = thing_of(socket);
    if (t->full && t->nodrop && !t->begun) {
        errno = EAGAIN;
        return -1;
    }
    t->begun = flags & ZMQ_SNDMORE;
    note(by_us, &done, t, 0, data, size, t->begun);
    return (int)size;
}
static int my_zmq_recv(void *socket, void *data, size_t size) {
    packet *p = next_packet(thing_of(socket));
    if (!p) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(data, p->data, p->size < size ? p->size : size);
    p->gone = 1;
    has_more = p->more;
    return (int)p->size;
}
static void free_data(void *data, void *hint) {
    (void)hint;
    free(data);
}
static int my_msg_recv(zmq_msg_t *m, void *socket) {
    packet *p = next_packet(thing_of(socket));
    if (!p) {
        errno = EAGAIN;
        return -1;
    }
    zmq_msg_close(m);
    if (in_place) {
        zmq_msg_init_size(m, p->size);
        memcpy(zmq_msg_data(m), p->data, p->size);
    } else {
        zmq_msg_init_data(m, copy_of(p->data, p->size), p->size, free_data, NULL);
    }
    p->gone = 1;
    has_more = p->more;
    return (int)p->size;
}
static int my_msg_send(zmq_msg_t *m, void *socket, int flags) {
    int rc = my_zmq_send(socket, zmq_msg_data(m), zmq_msg_size(m), flags);
    if (rc >= 0) {
        zmq_msg_close(m);
    }
    return rc;
}

static int my_socket(void) {
    return FIRST_FD + (int)(thing_new(SYSTEM) - things);
}
static int my_fcntl(int fd, int command) {
    (void)thing_at(fd);
    return command == F_DUPFD ? my_socket() : 0;
}
static int my_getsockname(int fd, struct sockaddr *at) {
    struct sockaddr_in in;
    memcpy(&in, at, sizeof in);
    in.sin_port = htons((uint16_t)PORT_OF(thing_at(fd)));
    memcpy(at, &in, sizeof in);
    return 0;
}
static int my_accept(int fd, struct sockaddr *from) {
    thing *t = thing_at(fd);
    struct sockaddr_in in;
    if (!t->callers) {
        errno = EAGAIN;
        return -1;
    }
    memset(&in, 0, sizeof in);
    in.sin_family = AF_INET;
    in.sin_port = htons((uint16_t)t->caller[0]);
    memcpy(from, &in, sizeof in);
    memmove(t->caller, t->caller + 1, (size_t)--t->callers * sizeof *t->caller);
    fd = my_socket();
    thing_at(fd)->caller[0] = ntohs(in.sin_port);
    return fd;
}
static int my_connect(int fd) {
    (void)thing_at(fd);
    errno = EINPROGRESS;
    return -1;
}
static int my_getsockopt(int fd, void *value) {
    (void)thing_at(fd);
    memset(value, 0, sizeof(int));
    return 0;
}
static ssize_t my_send(int fd, const void *data, size_t size) {
    thing *t = thing_at(fd);
    size_t n = size < t->room ? size : t->room;
    if (!n) {
        errno = EAGAIN;
        return -1;
    }
    check(t->sents + n <= sizeof t->sent);
    memcpy(t->sent + t->sents, data, n);
    t->sents += n;
    t->room -= n;
    return (ssize_t)n;
}
static ssize_t my_recv(int fd, void *data, size_t size) {
    thing *t = thing_at(fd);
    size_t n = t->arrived - t->read;
    if (!n && t->ends && t->read == t->size) {
        return 0;
    }
    n = n < size ? n : size;
    if (!n) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(data, t->script + t->read, n);
    t->read += n;
    return (ssize_t)n;
}
static int my_close(int fd) {
    thing_close(thing_at(fd));
    return 0;
}
static int my_epoll_ctl(int what, int fd, const struct epoll_event *e) {
    thing *t = thing_at(fd);
    check(!t->wanted == (what == EPOLL_CTL_ADD));
    t->wanted = what == EPOLL_CTL_DEL ? 0 : e->events;
    t->source = e->data.ptr;
    return 0;
}
static int my_epoll_wait(struct epoll_event *e, int room) {
    int i, n = 0;
    for (i = 0; i < FDS && n < room; i++) {
        thing *t = &things[i];
        int in = t->type == SYSTEM
                     ? t->callers || t->read < t->arrived || (t->ends && t->read == t->size)
                     : next_packet(t) != NULL;
        if (t->open && ((t->wanted & EPOLLIN && in) || (t->wanted & EPOLLOUT && t->room))) {
            e[n++].data.ptr = t->source;
        }
    }
    return n;
}
static FILE *my_fopen(void) {
    return fmemopen((void *)(size_t)file, file_size, "rb");
}
static int my_gettimeofday(struct timeval *t) {
    t->tv_sec = 1700000000 + clock_us / 1000000;
    t->tv_usec = clock_us % 1000000;
    return 0;
}

#define EMZ_MALLOC(size)                           my_malloc(size)
#define EMZ_REALLOC(ptr, size)                     my_realloc(ptr, size)
#define EMZ_FREE(ptr)                              my_free(ptr)
#define zmq_has(what)                              1
#define zmq_curve_keypair(public_, secret)         my_curve_keypair(public_, secret)
#define zmq_curve_public(public_, secret)          my_curve_public(public_)
#define zmq_ctx_new()                              ((void *)things)
#define zmq_ctx_set(context, option, value)        good(0, context, option, value)
#define zmq_ctx_get(context, option)               1023
#define zmq_ctx_term(context)                      good(0, context)
#define zmq_socket(context, type)                  my_socket_new(type)
#define zmq_close(s)                               my_socket_close(s)
#define zmq_setsockopt(s, option, value, size)     my_set(s, option, value, size)
#define zmq_getsockopt(s, option, value, size)     my_get(s, option, value, size)
#define zmq_bind(s, endpoint)                      good(0, s, endpoint)
#define zmq_unbind(s, endpoint)                    good(0, s, endpoint)
#define zmq_connect(s, endpoint)                   good(0, s, endpoint)
#define zmq_disconnect(s, endpoint)                good(0, s, endpoint)
#define zmq_socket_monitor(s, endpoint, events)    good(0, s, endpoint, events)
#define zmq_send(s, data, size, flags)             my_zmq_send(s, data, size, flags)
#define zmq_recv(s, data, size, flags)             my_zmq_recv(s, data, size)
#define zmq_msg_gets(m, name)                      user_id
#define zmq_msg_send(m, s, flags)                  my_msg_send(m, s, flags)
#define zmq_msg_recv(m, s, flags)                  my_msg_recv(m, s)
#define zmq_msg_more(m)                            has_more
#define zmq_stopwatch_start()                      ((void *)things)
#define zmq_stopwatch_intermediate(watch)          ((unsigned long)clock_us)
#define zmq_stopwatch_stop(watch)                  good(0, watch)
#define socket(family, type, protocol)             my_socket()
#define fcntl(fd, command, value)                  my_fcntl(fd, command)
#define setsockopt(fd, level, option, value, size) good(0, fd, level, option, value, size)
#define bind(fd, at, size)                         good(0, fd, at, size)
#define getsockname(fd, at, size)                  (good(0, size), my_getsockname(fd, at))
#define listen(fd, backlog)                        good(0, fd, backlog)
#define accept(fd, from, size)                     (good(0, size), my_accept(fd, from))
#define connect(fd, to, size)                      (good(0, to, size), my_connect(fd))
#define getsockopt(fd, level, option, value, size) (good(0, size), my_getsockopt(fd, value))
#define send(fd, data, size, flags)                my_send(fd, data, size)
#define recv(fd, data, size, flags)                my_recv(fd, data, size)
#define close(fd)                                  my_close(fd)
#define epoll_create1(flags)                       my_socket()
#define epoll_ctl(epoll, what, fd, e)              (good(0, epoll), my_epoll_ctl(what, fd, e))
#define epoll_wait(epoll, e, room, timeout)        (good(0, epoll, timeout), my_epoll_wait(e, room))
#define fopen(path, mode)                          my_fopen()
#define gettimeofday(t, zone)                      my_gettimeofday(t)

#endif
