/* Every failure injected: whatever emyzelium.h calls (allocation, libzmq, the system) fails once,
 * the n-th time that it is called in a scenario, and then from the n-th time on, for each n; and so
 * with each errno that the call's manual lists. After each: a result that the header lists, errno
 * kept, nothing changed, *out untouched; the same call again, now without failures, succeeds, and
 * the scenario reaches its usual end by itself; at its end no memory, descriptor, thread or libzmq
 * socket is left. At the end of all: has each public function been called, each errno injected?
 *
 * Not injected, since they tell of a program that is broken already or cannot happen here: EAGAIN
 * of receiving when there is something, and of sending in the midst of a message; EFAULT of
 * zmq_msg_close, zmq_msg_move, zmq_ctx_get and zmq_ctx_term. What libzmq calls itself is its own
 * affair.
 *
 * In the environment: FAULTS_STEP=n takes each n-th point only, and each errno of each call once at
 * least; FAULTS_OFFSET says which, else it is by chance, and printed; FAULTS_ALL=1 takes each errno
 * at each point; FAULTS_SCENARIO and FAULTS_CALL take these alone. */
#define _POSIX_C_SOURCE 200809L

#include <zmq.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif

/* ---- what can fail, and how ---- */

#define SHORT  (-1) /* not an error: it does less than was asked for */
#define AT_END (-2) /* not an error: the other side has closed */

/* clang-format off */
#define CALLS(CALL) \
    CALL(EMZ_MALLOC, ENOMEM) \
    CALL(EMZ_REALLOC, ENOMEM) \
    CALL(zmq_has, ENOTSUP) \
    CALL(zmq_curve_keypair, ENOTSUP) \
    CALL(zmq_curve_public, ENOTSUP) \
    CALL(zmq_ctx_new, EMFILE) \
    CALL(zmq_ctx_set, EINVAL) \
    CALL(zmq_ctx_get, EINVAL) \
    CALL(zmq_ctx_term, EINTR) \
    CALL(zmq_socket, EINVAL, EFAULT, EMFILE, ETERM) \
    CALL(zmq_close, ENOTSOCK) \
    CALL(zmq_setsockopt, EINVAL, ETERM, ENOTSOCK, EINTR) \
    CALL(zmq_getsockopt, EINVAL, ETERM, ENOTSOCK, EINTR) \
    CALL(zmq_bind, EINVAL, EPROTONOSUPPORT, ENOCOMPATPROTO, EADDRINUSE, EADDRNOTAVAIL, ENODEV, \
         ETERM, ENOTSOCK, EMTHREAD) \
    CALL(zmq_unbind, EINVAL, ETERM, ENOTSOCK, ENOENT) \
    CALL(zmq_connect, EINVAL, EPROTONOSUPPORT, ENOCOMPATPROTO, ETERM, ENOTSOCK, EMTHREAD, EMFILE) \
    CALL(zmq_disconnect, EINVAL, ETERM, ENOTSOCK, ENOENT) \
    CALL(zmq_socket_monitor, ETERM, EPROTONOSUPPORT, EINVAL, EMFILE) \
    CALL(zmq_send, EAGAIN, ENOTSUP, EINVAL, EFSM, ETERM, ENOTSOCK, EINTR, EHOSTUNREACH, ENOMEM) \
    CALL(zmq_recv, ENOTSUP, EFSM, ETERM, ENOTSOCK, EINTR) \
    CALL(zmq_msg_init_size, ENOMEM) \
    CALL(zmq_msg_copy, EFAULT) \
    CALL(zmq_msg_gets, EINVAL) \
    CALL(zmq_msg_send, EAGAIN, ENOTSUP, EINVAL, EFSM, ETERM, ENOTSOCK, EINTR, EHOSTUNREACH, EFAULT)\
    CALL(zmq_msg_recv, ENOTSUP, EFSM, ETERM, ENOTSOCK, EINTR, EFAULT) \
    CALL(zmq_poll, ETERM, EFAULT, EINTR) \
    CALL(socket, EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES) \
    CALL(fcntl, EMFILE, EBADF) \
    CALL(setsockopt, EINVAL, ENOPROTOOPT) \
    CALL(bind, EADDRINUSE, EACCES, ENOMEM) \
    CALL(getsockname, ENOBUFS) \
    CALL(listen, EADDRINUSE) \
    CALL(accept, EAGAIN, EINTR, ECONNABORTED, EPROTO, EMFILE, ENFILE, ENOBUFS, ENOMEM) \
    CALL(connect, EINTR, ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, ETIMEDOUT, EPERM, EAGAIN) \
    CALL(getsockopt, ENOBUFS, ENOMEM) \
    CALL(send, SHORT, EAGAIN, EINTR, EPIPE, ECONNRESET, ENOBUFS, ENOMEM) \
    CALL(recv, SHORT, AT_END, EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, ENOMEM) \
    CALL(close, EINTR, EIO) \
    CALL(epoll_create1, EMFILE, ENFILE, ENOMEM) \
    CALL(epoll_ctl, ENOMEM, ENOSPC) \
    CALL(epoll_wait, EINTR) \
    CALL(fopen, EMFILE, ENFILE, ENOMEM, ENOENT, EACCES) \
    CALL(fread, EIO, EISDIR, EINTR)
/* clang-format on */

#define CALL_ID(id, ...) call_##id,
enum { CALLS(CALL_ID) calls };
#define CALL_NAME(id, ...) {#id, {__VA_ARGS__}},
static const struct {
    const char *name;
    int error[12];
} call[] = {CALLS(CALL_NAME)};

static int counting;                          /* the scenario is in the part that is swept */
static long seen[calls];                      /* how often each was called in it */
static long reached[calls], tried[calls][12]; /* in all; and how often each of its errors failed */
static int armed = -1;                        /* the one that fails */
static int armed_error;
static long armed_at;  /* the n-th time */
static int armed_rest; /* and from then on, this many times at most; 0: once */
static long injected;  /* how many have failed */

static int errno_of(int error) {
    return error > 0 ? error : EAGAIN;
}

/* Is it this call's turn to fail? */
static int fails(int id) {
    if (!counting) {
        return 0;
    }
    seen[id]++;
    reached[id]++;
    if (id != armed || seen[id] < armed_at || (seen[id] > armed_at && injected > armed_rest)) {
        return 0;
    }
    injected++;
    errno = errno_of(armed_error);
    return 1;
}

static void disarm(void) {
    armed = -1;
}

/* ---- what the implementation calls instead ---- */

static long live;                   /* allocations */
static long live_sockets, contexts; /* of libzmq */

static void *my_malloc(size_t size) {
    void *p = fails(call_EMZ_MALLOC) ? NULL : malloc(size);
    if (p) {
        memset(p, 0xA5, size); /* nobody may rely on zeros */
    }
    live += p != NULL;
    return p;
}

static void *my_realloc(void *p, size_t size) {
    void *q = fails(call_EMZ_REALLOC) ? NULL : realloc(p, size);
    live += q && !p;
    return q;
}

static void my_free(void *p) {
    live -= p != NULL;
    free(p);
    errno = EDOM; /* which free() may do */
}

static int my_has(const char *what) {
    return fails(call_zmq_has) ? 0 : zmq_has(what);
}
static int my_curve_keypair(char *public_, char *secret) {
    return fails(call_zmq_curve_keypair) ? -1 : zmq_curve_keypair(public_, secret);
}
static int my_curve_public(char *public_, const char *secret) {
    return fails(call_zmq_curve_public) ? -1 : zmq_curve_public(public_, secret);
}
static void *my_ctx_new(void) {
    void *p = fails(call_zmq_ctx_new) ? NULL : zmq_ctx_new();
    contexts += p != NULL;
    return p;
}
static int my_ctx_set(void *context, int option, int value) {
    return fails(call_zmq_ctx_set) ? -1 : zmq_ctx_set(context, option, value);
}
static int my_ctx_get(void *context, int option) {
    return fails(call_zmq_ctx_get) ? -1 : zmq_ctx_get(context, option);
}
static int my_ctx_term(void *context) {
    int rc = fails(call_zmq_ctx_term) ? -1 : zmq_ctx_term(context);
    contexts -= rc == 0;
    return rc;
}
static void *my_socket_new(void *context, int type) {
    void *p = fails(call_zmq_socket) ? NULL : zmq_socket(context, type);
    live_sockets += p != NULL;
    return p;
}
static int my_socket_close(void *s) { /* it is closed in any case */
    int rc = zmq_close(s);
    live_sockets -= rc == 0;
    return fails(call_zmq_close) ? -1 : rc;
}
static int my_set(void *s, int option, const void *value, size_t size) {
    return fails(call_zmq_setsockopt) ? -1 : zmq_setsockopt(s, option, value, size);
}
static int my_get(void *s, int option, void *value, size_t *size) {
    return fails(call_zmq_getsockopt) ? -1 : zmq_getsockopt(s, option, value, size);
}
static int port_taken; /* so many times: the socket before is still being closed */
static int my_zmq_bind(void *s, const char *endpoint) {
    if (port_taken) {
        port_taken--;
        errno = EADDRINUSE;
        return -1;
    }
    return fails(call_zmq_bind) ? -1 : zmq_bind(s, endpoint);
}
static int my_zmq_unbind(void *s, const char *endpoint) {
    return fails(call_zmq_unbind) ? -1 : zmq_unbind(s, endpoint);
}
static int my_zmq_connect(void *s, const char *endpoint) {
    return fails(call_zmq_connect) ? -1 : zmq_connect(s, endpoint);
}
static int my_zmq_disconnect(void *s, const char *endpoint) {
    return fails(call_zmq_disconnect) ? -1 : zmq_disconnect(s, endpoint);
}
static int my_monitor(void *s, const char *endpoint, int events) {
    if (!endpoint) { /* to stop needs nothing, so it cannot fail */
        return zmq_socket_monitor(s, endpoint, events);
    }
    return fails(call_zmq_socket_monitor) ? -1 : zmq_socket_monitor(s, endpoint, events);
}
/* libzmq 4.3.4 leaks the frames of a ZAP reply that lacks one, which LSan would report. */
#if defined(__SANITIZE_ADDRESS__)
#define LEAK_CHECK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAK_CHECK 1
#endif
#endif
#ifndef LEAK_CHECK
#define LEAK_CHECK 0
#else
#include <sanitizer/lsan_interface.h>
#endif
static int begun_sending; /* a message */
static int my_zmq_send(void *s, const void *data, size_t size, int flags) {
    int rc;
    if (!(LEAK_CHECK && begun_sending && armed_error != EINTR) && fails(call_zmq_send)) {
        return -1;
    }
    rc = zmq_send(s, data, size, flags);
    begun_sending = rc < 0 ? begun_sending : flags & ZMQ_SNDMORE;
    return rc;
}
/* The rest of a message is there when its first part is: libzmq promises it, but for EINTR. */
static int inside; /* of a message */
static int my_zmq_recv(void *s, void *data, size_t size, int flags) {
    size_t more_size = sizeof inside;
    int rc;
    if ((!inside || armed_error == EINTR) && fails(call_zmq_recv)) {
        return -1;
    }
    rc = zmq_recv(s, data, size, flags);
    if (rc >= 0) {
        (void)zmq_getsockopt(s, ZMQ_RCVMORE, &inside, &more_size);
    }
    return rc;
}
static int my_msg_init_size(zmq_msg_t *m, size_t size) {
    return fails(call_zmq_msg_init_size) ? -1 : zmq_msg_init_size(m, size);
}
static int my_msg_copy(zmq_msg_t *to, zmq_msg_t *from) {
    return fails(call_zmq_msg_copy) ? -1 : zmq_msg_copy(to, from);
}
static const char *my_msg_gets(const zmq_msg_t *m, const char *name) {
    return fails(call_zmq_msg_gets) ? NULL : zmq_msg_gets(m, name);
}
/* Whether a queue has room is looked at before a message, not in its midst. */
static int begun_frames; /* a message */
static int my_msg_send(zmq_msg_t *m, void *s, int flags) {
    int rc;
    if (!(begun_frames && armed_error == EAGAIN) && fails(call_zmq_msg_send)) {
        return -1;
    }
    rc = zmq_msg_send(m, s, flags);
    begun_frames = rc < 0 ? begun_frames : flags & ZMQ_SNDMORE;
    return rc;
}
static int my_msg_recv(zmq_msg_t *m, void *s, int flags) {
    int rc;
    if ((!inside || armed_error == EINTR) && fails(call_zmq_msg_recv)) {
        return -1;
    }
    rc = zmq_msg_recv(m, s, flags);
    inside = rc >= 0 ? zmq_msg_more(m) : inside;
    return rc;
}
static int my_poll(zmq_pollitem_t *items, int count, long timeout) {
    return fails(call_zmq_poll) ? -1 : zmq_poll(items, count, timeout);
}

/* The implementation's clock can be put forward, so that nobody has to wait for a retry. */
static unsigned long forward;
static unsigned long my_stopwatch(void *watch) {
    return zmq_stopwatch_intermediate(watch) + forward;
}

static int my_socket(int family, int type, int protocol) {
    return fails(call_socket) ? -1 : socket(family, type, protocol);
}
static int my_fcntl(int fd, int command, int value) {
    return fails(call_fcntl) ? -1 : fcntl(fd, command, value);
}
static int my_setsockopt(int fd, int level, int option, const char *value, socklen_t size) {
    return fails(call_setsockopt) ? -1 : setsockopt(fd, level, option, value, size);
}
static int my_bind(int fd, const struct sockaddr *at, socklen_t size) {
    return fails(call_bind) ? -1 : bind(fd, at, size);
}
static int my_getsockname(int fd, struct sockaddr *at, socklen_t *size) {
    return fails(call_getsockname) ? -1 : getsockname(fd, at, size);
}
static int my_listen(int fd, int backlog) {
    return fails(call_listen) ? -1 : listen(fd, backlog);
}
static int my_accept(int fd, struct sockaddr *from, socklen_t *size) {
    return fails(call_accept) ? -1 : accept(fd, from, size);
}
static int my_connect(int fd, const struct sockaddr *to, socklen_t size) {
    if (fails(call_connect)) {
        if (errno == EINTR) { /* then it goes on all the same */
            (void)!connect(fd, to, size);
            errno = EINTR;
        }
        return -1;
    }
    return connect(fd, to, size);
}
static int my_getsockopt(int fd, int level, int option, char *value, socklen_t *size) {
    return fails(call_getsockopt) ? -1 : getsockopt(fd, level, option, value, size);
}
static ssize_t my_send(int fd, const char *data, size_t size, int flags) {
    if (fails(call_send)) {
        return armed_error == SHORT ? send(fd, data, (size + 1) / 2, flags) : -1;
    }
    return send(fd, data, size, flags);
}
static ssize_t my_recv(int fd, char *data, size_t size, int flags) {
    if (fails(call_recv)) {
        return armed_error == SHORT    ? recv(fd, data, size ? 1 : 0, flags)
               : armed_error == AT_END ? 0
                                       : -1;
    }
    return recv(fd, data, size, flags);
}
static int my_close(int fd) { /* it is closed in any case */
    int rc = close(fd);
    return fails(call_close) ? -1 : rc;
}
#if defined(__linux__) && !defined(EMZ_NO_EPOLL)
static int my_epoll_create1(int flags) {
    return fails(call_epoll_create1) ? -1 : epoll_create1(flags);
}
static int my_epoll_ctl(int epoll, int what, int fd, struct epoll_event *e) {
    if (what == EPOLL_CTL_DEL) { /* takes nothing, so it cannot want for anything */
        return epoll_ctl(epoll, what, fd, e);
    }
    return fails(call_epoll_ctl) ? -1 : epoll_ctl(epoll, what, fd, e);
}
static int my_epoll_wait(int epoll, struct epoll_event *e, int room, int timeout) {
    return fails(call_epoll_wait) ? -1 : epoll_wait(epoll, e, room, timeout);
}
#endif
static int file_failed;
static FILE *my_fopen(const char *path, const char *mode) {
    file_failed = 0;
    return fails(call_fopen) ? NULL : fopen(path, mode);
}
static size_t my_fread(void *data, size_t size, size_t count, FILE *file) {
    if (fails(call_fread)) {
        file_failed = 1;
        return 0;
    }
    return fread(data, size, count, file);
}
static int my_ferror(FILE *file) {
    return file_failed || ferror(file);
}

#define EMZ_MALLOC(size)                           my_malloc(size)
#define EMZ_REALLOC(ptr, size)                     my_realloc(ptr, size)
#define EMZ_FREE(ptr)                              my_free(ptr)
#define zmq_has(what)                              my_has(what)
#define zmq_curve_keypair(public_, secret)         my_curve_keypair(public_, secret)
#define zmq_curve_public(public_, secret)          my_curve_public(public_, secret)
#define zmq_ctx_new()                              my_ctx_new()
#define zmq_ctx_set(context, option, value)        my_ctx_set(context, option, value)
#define zmq_ctx_get(context, option)               my_ctx_get(context, option)
#define zmq_ctx_term(context)                      my_ctx_term(context)
#define zmq_socket(context, type)                  my_socket_new(context, type)
#define zmq_close(s)                               my_socket_close(s)
#define zmq_setsockopt(s, option, value, size)     my_set(s, option, value, size)
#define zmq_getsockopt(s, option, value, size)     my_get(s, option, value, size)
#define zmq_bind(s, endpoint)                      my_zmq_bind(s, endpoint)
#define zmq_unbind(s, endpoint)                    my_zmq_unbind(s, endpoint)
#define zmq_connect(s, endpoint)                   my_zmq_connect(s, endpoint)
#define zmq_disconnect(s, endpoint)                my_zmq_disconnect(s, endpoint)
#define zmq_socket_monitor(s, endpoint, events)    my_monitor(s, endpoint, events)
#define zmq_send(s, data, size, flags)             my_zmq_send(s, data, size, flags)
#define zmq_recv(s, data, size, flags)             my_zmq_recv(s, data, size, flags)
#define zmq_msg_init_size(m, size)                 my_msg_init_size(m, size)
#define zmq_msg_copy(to, from)                     my_msg_copy(to, from)
#define zmq_msg_gets(m, name)                      my_msg_gets(m, name)
#define zmq_msg_send(m, s, flags)                  my_msg_send(m, s, flags)
#define zmq_msg_recv(m, s, flags)                  my_msg_recv(m, s, flags)
#define zmq_poll(items, count, timeout)            my_poll(items, count, timeout)
#define zmq_stopwatch_intermediate(watch)          my_stopwatch(watch)
#define socket(family, type, protocol)             my_socket(family, type, protocol)
#define fcntl(fd, command, value)                  my_fcntl(fd, command, value)
#define setsockopt(fd, level, option, value, size) my_setsockopt(fd, level, option, value, size)
#define bind(fd, at, size)                         my_bind(fd, at, size)
#define getsockname(fd, at, size)                  my_getsockname(fd, at, size)
#define listen(fd, backlog)                        my_listen(fd, backlog)
#define accept(fd, from, size)                     my_accept(fd, from, size)
#define connect(fd, to, size)                      my_connect(fd, to, size)
#define getsockopt(fd, level, option, value, size) my_getsockopt(fd, level, option, value, size)
#define send(fd, data, size, flags)                my_send(fd, data, size, flags)
#define recv(fd, data, size, flags)                my_recv(fd, data, size, flags)
#define close(fd)                                  my_close(fd)
#define epoll_create1(flags)                       my_epoll_create1(flags)
#define epoll_ctl(epoll, what, fd, e)              my_epoll_ctl(epoll, what, fd, e)
#define epoll_wait(epoll, e, room, timeout)        my_epoll_wait(epoll, e, room, timeout)
#define fopen(path, mode)                          my_fopen(path, mode)
#define fread(data, size, count, file)             my_fread(data, size, count, file)
#undef ferror
#define ferror(file) my_ferror(file)

#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"

#undef zmq_poll
#undef zmq_has
#undef zmq_curve_keypair
#undef socket
#undef fcntl
#undef bind
#undef getsockname
#undef listen
#undef accept
#undef connect
#undef send
#undef recv
#undef close
#undef fopen
#undef fread

/* Which public functions the scenarios have called; the header tells all that there are. */
static char function_name[64][48];
static int functions, function_called[64];
static void called(const char *name) {
    int i;
    for (i = 0; i < functions; i++) {
        function_called[i] += counting && !strcmp(function_name[i], name);
    }
}
#define COUNTED(f)                             (called(#f), f)
#define emz_version                            COUNTED(emz_version)
#define emz_result_str                         COUNTED(emz_result_str)
#define emz_link_str                           COUNTED(emz_link_str)
#define emz_log_stderr                         COUNTED(emz_log_stderr)
#define emz_keypair                            COUNTED(emz_keypair)
#define emz_publickey                          COUNTED(emz_publickey)
#define emz_z85_encode                         COUNTED(emz_z85_encode)
#define emz_z85_decode                         COUNTED(emz_z85_decode)
#define emz_onion_check                        COUNTED(emz_onion_check)
#define emz_now                                COUNTED(emz_now)
#define emz_efunguz_new                        COUNTED(emz_efunguz_new)
#define emz_efunguz_free                       COUNTED(emz_efunguz_free)
#define emz_efunguz_publickey                  COUNTED(emz_efunguz_publickey)
#define emz_efunguz_port                       COUNTED(emz_efunguz_port)
#define emz_efunguz_add_whitelist_publickeys   COUNTED(emz_efunguz_add_whitelist_publickeys)
#define emz_efunguz_del_whitelist_publickeys   COUNTED(emz_efunguz_del_whitelist_publickeys)
#define emz_efunguz_clear_whitelist_publickeys COUNTED(emz_efunguz_clear_whitelist_publickeys)
#define emz_efunguz_read_whitelist_publickeys  COUNTED(emz_efunguz_read_whitelist_publickeys)
#define emz_efunguz_whitelist_size             COUNTED(emz_efunguz_whitelist_size)
#define emz_efunguz_add_ehypha                 COUNTED(emz_efunguz_add_ehypha)
#define emz_efunguz_add_ehypha_direct          COUNTED(emz_efunguz_add_ehypha_direct)
#define emz_efunguz_get_ehypha                 COUNTED(emz_efunguz_get_ehypha)
#define emz_efunguz_del_ehypha                 COUNTED(emz_efunguz_del_ehypha)
#define emz_efunguz_ehypha_count               COUNTED(emz_efunguz_ehypha_count)
#define emz_efunguz_ehypha_at                  COUNTED(emz_efunguz_ehypha_at)
#define emz_efunguz_emit_etale                 COUNTED(emz_efunguz_emit_etale)
#define emz_efunguz_forget_etale               COUNTED(emz_efunguz_forget_etale)
#define emz_efunguz_update                     COUNTED(emz_efunguz_update)
#define emz_efunguz_wait                       COUNTED(emz_efunguz_wait)
#define emz_efunguz_in_absorbing_num           COUNTED(emz_efunguz_in_absorbing_num)
#define emz_efunguz_in_permitted_num           COUNTED(emz_efunguz_in_permitted_num)
#define emz_efunguz_in_attempted_num           COUNTED(emz_efunguz_in_attempted_num)
#define emz_ehypha_publickey                   COUNTED(emz_ehypha_publickey)
#define emz_ehypha_link                        COUNTED(emz_ehypha_link)
#define emz_ehypha_link_str                    COUNTED(emz_ehypha_link_str)
#define emz_ehypha_add_etale                   COUNTED(emz_ehypha_add_etale)
#define emz_ehypha_get_etale                   COUNTED(emz_ehypha_get_etale)
#define emz_ehypha_del_etale                   COUNTED(emz_ehypha_del_etale)
#define emz_ehypha_pause_etale                 COUNTED(emz_ehypha_pause_etale)
#define emz_ehypha_resume_etale                COUNTED(emz_ehypha_resume_etale)
#define emz_ehypha_pause_etales                COUNTED(emz_ehypha_pause_etales)
#define emz_ehypha_resume_etales               COUNTED(emz_ehypha_resume_etales)
#define emz_ehypha_etale_count                 COUNTED(emz_ehypha_etale_count)
#define emz_ehypha_etale_at                    COUNTED(emz_ehypha_etale_at)
#define emz_etale_title                        COUNTED(emz_etale_title)
#define emz_etale_parts                        COUNTED(emz_etale_parts)
#define emz_etale_t_out                        COUNTED(emz_etale_t_out)
#define emz_etale_t_in                         COUNTED(emz_etale_t_in)
#define emz_etale_paused                       COUNTED(emz_etale_paused)

#include "tap.h"

/* ---- one point: a scenario with one failure ---- */

static const char *scenario; /* its name */
static int bad;              /* this point has gone wrong: the rest of the scenario is left out */
static int told;             /* lines about it */
static int64_t failing;      /* when the point first failed in this wait */

static const char *error_name(int error) {
    static char number[20];
    static const struct {
        int error;
        const char *name;
    } names[] = {
#define NAME(e) {e, #e}
        NAME(SHORT),       NAME(AT_END),        NAME(ENOMEM),         NAME(ENOTSUP),
        NAME(EMFILE),      NAME(ENFILE),        NAME(EINVAL),         NAME(EFAULT),
        NAME(ETERM),       NAME(EINTR),         NAME(ENOTSOCK),       NAME(EPROTONOSUPPORT),
        NAME(EADDRINUSE),  NAME(EADDRNOTAVAIL), NAME(ENOCOMPATPROTO), NAME(ENODEV),
        NAME(EMTHREAD),    NAME(ENOENT),        NAME(EAGAIN),         NAME(EFSM),
        NAME(ENOBUFS),     NAME(EHOSTUNREACH),  NAME(EACCES),         NAME(EBADF),
        NAME(ENOPROTOOPT), NAME(ECONNABORTED),  NAME(EPROTO),         NAME(ECONNREFUSED),
        NAME(ETIMEDOUT),   NAME(ENETUNREACH),   NAME(EPERM),          NAME(EPIPE),
        NAME(ECONNRESET),  NAME(EIO),           NAME(ENOSPC),         NAME(EISDIR)};
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].error == error) {
            return names[i].name;
        }
    }
    snprintf(number, sizeof number, "errno %d", error);
    return number;
}

static int current = -1; /* what armed was at the point's start */

HELPER __attribute__((format(printf, 1, 2))) void wrong(const char *format, ...) {
    va_list args;
    if (!bad && told++ < 3) {
        if (current < 0) {
            printf("# %s, without any failure: ", scenario);
        } else {
            printf("# %s, %s no. %ld%s fails with %s: ", scenario, call[current].name, armed_at,
                   armed_rest ? " and on" : "", error_name(armed_error));
        }
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf("\n");
        fflush(stdout);
    }
    bad = 1;
}

/* A point that hangs: say which, and end. */
static void hung(int number) {
    static const char what[] = "\nnot ok - a point hangs: ";
    (void)number;
    (void)!write(1, what, sizeof what - 1);
    (void)!write(1, scenario, strlen(scenario));
    if (current >= 0) {
        (void)!write(1, ", ", 2);
        (void)!write(1, call[current].name, strlen(call[current].name));
    }
    (void)!write(1, "\n", 1);
    _exit(1);
}

/* All that the efungi's owner can see, and what will be sent, as one number. */
static uint64_t mixed;
static void mix(const void *data, size_t size) {
    const unsigned char *p = (const unsigned char *)data;
    while (size--) {
        mixed = (mixed ^ *p++) * UINT64_C(1099511628211);
    }
}
static void mix_number(uint64_t n) {
    mix(&n, sizeof n);
}
static uint64_t look(void) {
    size_t i, k, p, count;
    int r;
    mixed = UINT64_C(14695981039346656037);
    for (r = 0; r < realms; r++) {
        emz_efunguz *ef = realm[r];
        mix(emz_efunguz_publickey(ef), EMZ_KEY_Z85_SIZE);
        mix_number((uint64_t)emz_efunguz_port(ef));
        mix_number(emz_efunguz_in_permitted_num(ef));
        mix_number(emz_efunguz_in_attempted_num(ef));
        mix_number(emz_efunguz_whitelist_size(ef));
        for (i = 0; i < ef->whitelist.count; i++) {
            mix(ef->whitelist.at[i]->key, EMZ_KEY_SIZE);
        }
        mix_number((uint64_t)ef->t_out);
        mix_number(ef->retained.count);
        for (i = 0; i < ef->retained.count; i++) {
            const emz_i_retained *kept = (const emz_i_retained *)ef->retained.at[i];
            mix(kept->node.key, kept->node.size + 1);
            for (k = 0; k < kept->frames.count; k++) {
                mix(emz_i_data(&kept->frames, k), emz_i_size(&kept->frames, k));
            }
        }
        mix_number(emz_efunguz_ehypha_count(ef));
        for (i = 0; i < emz_efunguz_ehypha_count(ef); i++) {
            emz_ehypha *eh = emz_efunguz_ehypha_at(ef, i);
            mix_number((uintptr_t)eh);
            mix(emz_ehypha_publickey(eh), EMZ_KEY_Z85_SIZE);
            mix_number((uint64_t)emz_ehypha_link(eh));
            mix_number(emz_ehypha_etale_count(eh));
            for (k = 0; k < emz_ehypha_etale_count(eh); k++) {
                const emz_etale *et = emz_ehypha_etale_at(eh, k);
                const emz_part *parts = emz_etale_parts(et, &count);
                mix_number((uintptr_t)et);
                mix(emz_etale_title(et), strlen(emz_etale_title(et)) + 1);
                mix_number((uint64_t)emz_etale_paused(et));
                mix_number((uint64_t)emz_etale_t_in(et));
                mix_number((uint64_t)emz_etale_t_out(et));
                for (p = 0; p < count; p++) {
                    mix(parts[p].data, parts[p].size);
                }
            }
        }
    }
    return mixed;
}

/* Which errors a call may return: its comment in the header. */
#define MAY(error) (1u << (EMZ_ERR_##error - EMZ_ERR_ARGUMENT))

static void judge(emz_result r, unsigned may, long before, uint64_t looked, int error,
                  int untouched, const char *what) {
    if (injected == before) {
        wrong("%s: %s, without a failure in it", what, emz_result_str(r));
    } else if (r < EMZ_ERR_ARGUMENT || !(may >> (r - EMZ_ERR_ARGUMENT) & 1)) {
        wrong("%s: %d (%s) is not among its results", what, r, emz_result_str(r));
    } else if ((r == EMZ_ERR_ZMQ || r == EMZ_ERR_BIND || r == EMZ_ERR_FILE) &&
               error != errno_of(armed_error)) {
        wrong("%s: %s errno: %s", what, emz_result_str(r), error_name(error));
    } else if (!untouched) {
        wrong("%s: failed, and has touched *out", what);
    } else if (looked != look()) {
        wrong("%s: failed, and has changed something", what);
    }
}

/* A call: it may fail if a failure was injected into it; then it is made again, without. */
#define try_call(may, untouched, expression)                                        \
    do {                                                                            \
        if (!bad) {                                                                 \
            long before_ = injected;                                                \
            uint64_t looked_ = look();                                              \
            emz_result r_ = (expression);                                           \
            int error_ = errno;                                                     \
            if (r_ != EMZ_OK) {                                                     \
                judge(r_, may, before_, looked_, error_, (untouched), #expression); \
                disarm();                                                           \
                if (!bad && (r_ = (expression)) != EMZ_OK) {                        \
                    wrong("%s, again: %s", #expression, emz_result_str(r_));        \
                }                                                                   \
            }                                                                       \
        }                                                                           \
    } while (0)

#define must(condition)                   \
    do {                                  \
        if (!bad && !(condition)) {       \
            wrong("not: %s", #condition); \
        }                                 \
    } while (0)

/* ---- a stand-in for Tor's SOCKS port; every onion leads to hops_to ---- */

typedef struct side {
    int fd;
    unsigned char data[65536]; /* read from it, not yet written to the other one */
    size_t begin, end;
} side;

typedef struct hop {
    side client, target;
    size_t said; /* bytes of the client's greeting and request that have come */
} hop;

static hop hops[8];
static int hops_fd = -1, hops_port, hops_to;

static void hop_end(hop *h) {
    if (h->client.fd >= 0) {
        close(h->client.fd);
    }
    if (h->target.fd >= 0) {
        close(h->target.fd);
    }
    h->client.fd = h->target.fd = -1;
    h->said = h->client.begin = h->client.end = h->target.begin = h->target.end = 0;
}

static int loopback(int port, struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at->sin_port = htons((uint16_t)port);
    (setsockopt)(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* inherited by accept */
    return fd;
}

static void hops_open(void) {
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    size_t i;
    for (i = 0; i < sizeof hops / sizeof *hops; i++) {
        hops[i].client.fd = hops[i].target.fd = -1;
    }
    hops_fd = loopback(0, &at);
    fcntl(hops_fd, F_SETFL, O_NONBLOCK);
    if (bind(hops_fd, (struct sockaddr *)&at, size) || listen(hops_fd, 16) ||
        getsockname(hops_fd, (struct sockaddr *)&at, &size)) {
        wrong("the stand-in for Tor cannot listen");
    }
    hops_port = ntohs(at.sin_port);
}

static void hops_drop(void) {
    size_t i;
    for (i = 0; i < sizeof hops / sizeof *hops; i++) {
        hop_end(&hops[i]);
    }
}

/* Bytes from one to the other: -1 at the end. */
static int hop_move(side *from, side *to) {
    ssize_t n;
    if (from->begin == from->end) {
        n = recv(from->fd, from->data, sizeof from->data, 0);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN ? 0 : -1;
        }
        from->begin = 0;
        from->end = (size_t)n;
    }
    n = send(to->fd, from->data + from->begin, from->end - from->begin, MSG_NOSIGNAL);
    if (n < 0) {
        return errno == EAGAIN ? 0 : -1;
    }
    from->begin += (size_t)n;
    return 1;
}

/* Byte by byte: 5 1 0; 5 1 0 3 62, 62 of name, 2 of port. */
static int hop_talk(hop *h) {
    static const unsigned char yes[10] = {5, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    struct sockaddr_in at;
    unsigned char c;
    while (h->said < 3 + 5 + 62 + 2) {
        ssize_t n = recv(h->client.fd, &c, 1, 0);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN ? 0 : -1;
        }
        if (++h->said == 3 && send(h->client.fd, yes, 2, MSG_NOSIGNAL) != 2) {
            return -1;
        }
    }
    h->target.fd = loopback(hops_to, &at);
    if (connect(h->target.fd, (struct sockaddr *)&at, sizeof at) ||
        send(h->client.fd, yes, sizeof yes, MSG_NOSIGNAL) != sizeof yes) {
        return -1;
    }
    fcntl(h->target.fd, F_SETFL, O_NONBLOCK);
    return 1;
}

/* All that can be done now; 1: something was. */
static int hops_turn(void) {
    int done = 0, fd;
    size_t i;
    if (hops_fd < 0) {
        return 0;
    }
    for (i = 0; i < sizeof hops / sizeof *hops; i++) {
        hop *h = &hops[i];
        int up, down;
        if (h->client.fd < 0) {
            fd = accept(hops_fd, NULL, NULL);
            if (fd < 0) {
                continue;
            }
            fcntl(fd, F_SETFL, O_NONBLOCK);
            h->client.fd = fd;
        }
        if (h->target.fd < 0) {
            up = down = hop_talk(h);
        } else {
            up = hop_move(&h->client, &h->target);
            down = hop_move(&h->target, &h->client);
        }
        if (up < 0 || down < 0) {
            hop_end(h);
        }
        done |= up || down;
    }
    return done;
}

static void hops_close(void) {
    if (hops_fd >= 0) {
        hops_drop();
        close(hops_fd);
        hops_fd = -1;
    }
}

/* ---- waiting for events ---- */

static int64_t idle_since, wait_end;
static int for_good; /* what fails is not put right by itself */
static int idle_ms;  /* nothing has happened for so long: then put the clock forward */

/* How long to wait for events: not at all when all there is to wait for is the next attempt. */
static int patience(void) {
    size_t i;
    int r;
    for (r = 0; r < realms; r++) {
        for (i = 0; i < realm[r]->ehyphae.count; i++) {
            const emz_ehypha *eh = (const emz_ehypha *)realm[r]->ehyphae.at[i];
            if (eh->stage != EMZ_I_WAITING && eh->stage != EMZ_I_TALKING) {
                return idle_ms;
            }
        }
    }
    return 1;
}

static void wait_begin(void) {
    idle_since = emz_now();
    wait_end = idle_since + 20000000;
    idle_ms = 12;
    failing = 0;
}

/* To the next time that something is due. */
static void leap(int waited) {
    uint64_t least = UINT64_MAX;
    int i;
    for (i = 0; i < realms; i++) {
        uint64_t now = emz_i_ms(realm[i]);
        if (realm[i]->due != UINT64_MAX && realm[i]->due > now && realm[i]->due - now < least) {
            least = realm[i]->due - now;
        }
    }
    if (least != UINT64_MAX) {
        forward += (unsigned long)least * 1000;
    }
    idle_ms += waited < idle_ms ? 0 : 4; /* maybe this machine is busy */
    idle_since = emz_now();
}

/* One round; then, if there is nothing to do, sleep until there is. */
static int wait_more(const char *what) {
    struct pollfd p[64 + 17];
    nfds_t n = 0;
    size_t i;
    int r, busy, sum = 0;
    for (r = 0; r < realms; r++) {
        int rc = emz_efunguz_update(realm[r]);
        sum += rc;
        if (rc < 0) {
            wrong("update() returns %d", rc);
        }
    }
    busy = hops_turn() || sum;
    for (r = 0; r < realms; r++) {
        int rc = emz_efunguz_wait(realm[r], 0);
        busy |= rc;
        if (rc != 0 && rc != 1) {
            wrong("wait() returns %d", rc);
        }
    }
    /* what keeps failing is put right after a while */
    if (armed >= 0 && injected && !for_good) {
        failing = failing ? failing : emz_now();
        if (emz_now() - failing > 5000) {
            disarm();
        }
    }
    if (busy) {
        idle_since = emz_now();
    } else {
#if EMZ_I_EPOLL
        for (r = 0; r < realms; r++) {
            p[n].fd = realm[r]->poller.epoll;
            p[n++].events = POLLIN;
        }
#endif
        if (hops_fd >= 0) {
            p[n].fd = hops_fd;
            p[n++].events = POLLIN;
            for (i = 0; i < sizeof hops / sizeof *hops; i++) {
                side *a = &hops[i].client, *b = &hops[i].target;
                p[n].fd = a->fd;
                p[n++].events =
                    (short)((a->begin == a->end ? POLLIN : 0) | (b->begin != b->end ? POLLOUT : 0));
                p[n].fd = b->fd;
                p[n++].events =
                    (short)((b->begin == b->end ? POLLIN : 0) | (a->begin != a->end ? POLLOUT : 0));
            }
        }
        int ms = patience();
        if (poll(p, n, EMZ_I_EPOLL ? ms : 1) > 0) {
            idle_since = emz_now();
        } else if (emz_now() - idle_since >= (int64_t)ms * 1000) {
            leap(ms);
        }
    }
    if (emz_now() > wait_end) {
        wrong("waited in vain for: %s", what);
    }
    return 1;
}

#define await(condition)                                        \
    do {                                                        \
        wait_begin();                                           \
        while (!bad && !(condition) && wait_more(#condition)) { \
        }                                                       \
    } while (0)

/* ---- scenarios: setup, begin(), what is swept, end() ---- */

static char pub_[12][EMZ_KEY_Z85_SIZE], sec_[12][EMZ_KEY_Z85_SIZE];
static const char *key[12];
static char path[64] = "/tmp/emz-faults-XXXXXX"; /* holds keys 0 to 9 */

static void begin(void) {
    counting = 1;
}

static void end(void) {
    while (realms) {
        realm_free(realm[realms - 1]);
    }
    counting = 0;
    hops_close();
}

static int logs;
static void logger(void *user, emz_log_level level, const char *message) {
    *(int *)user += 1;
    if (level > EMZ_LOG_INFO || !*message) {
        wrong("a log message of level %d: %s", (int)level, message);
    }
    errno = ERANGE; /* which a log may do */
}

/* A realm in the setup: no failure yet. */
static emz_efunguz *quiet_realm(int who, emz_config *c) {
    emz_efunguz *ef = realm_new(sec_[who], c);
    if (!ef) {
        wrong("setup: no efunguz");
    }
    return ef;
}

#define ONION "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

static void words(void) {
    char public_[EMZ_KEY_Z85_SIZE] = "", secret[EMZ_KEY_Z85_SIZE] = "", text[] = "12345";
    begin();
    must(*emz_version() && *emz_result_str(EMZ_OK) && *emz_link_str(EMZ_LINK_UP));
    if (current < 0) {
        emz_log_stderr(NULL, EMZ_LOG_INFO, "one line of the test's own");
    }
    must(emz_now() > 0);
    try_call(MAY(NO_CURVE), !*public_ && !*secret, emz_keypair(public_, secret));
    *public_ = 0;
    try_call(MAY(NO_CURVE), !*public_, emz_publickey(public_, sec_[0]));
    must(!strcmp(public_, pub_[0]));
    try_call(0, 1, emz_z85_decode(secret, 4, text));
    try_call(0, 1, emz_z85_encode(public_, sizeof public_, secret, 4));
    must(!strcmp(public_, text));
    try_call(0, 1, emz_onion_check(ONION));
    end();
}

static void creation_of(const emz_config *c) {
    emz_efunguz *ef = NULL;
    begin();
    try_call(MAY(BIND) | MAY(MEMORY) | MAY(NO_CURVE) | MAY(ZMQ), !ef,
             emz_efunguz_new(&ef, sec_[0], c));
    if (ef) {
        realm[realms++] = ef;
        must(emz_efunguz_port(ef) > 0);
        must(!strcmp(emz_efunguz_publickey(ef), pub_[0]));
        must(emz_efunguz_whitelist_size(ef) == c->whitelist_size);
        emz_efunguz_update(ef);
    }
    end();
}

static void creation(void) {
    emz_config c;
    memset(&c, 0, sizeof c);
    c.whitelist = key;
    c.whitelist_size = 10;
    c.pubsub_port = EMZ_ANY_PORT;
    c.log = logger;
    c.log_user = &logs;
    creation_of(&c);
}

static void creation_without_retaining(void) {
    emz_config c;
    memset(&c, 0, sizeof c);
    c.no_retain = 1;
    c.io_threads = 2;
    c.pubsub_port = EMZ_ANY_PORT;
    c.bind_host = "::1";
    creation_of(&c);
}

/* Nobody is there: what belongs to an efunguz comes and goes. */
static void objects(void) {
    emz_config c;
    emz_efunguz *ef;
    emz_ehypha *eh[2] = {NULL, NULL};
    const emz_etale *et = NULL, *more = NULL;
    char title[20];
    int i, k;
    memset(&c, 0, sizeof c);
    c.torproxy_port = 1;
    ef = quiet_realm(0, &c);
    for (i = 2; i < 10; i++) {
        emz_efunguz_add_ehypha_direct(ef, key[i], "127.0.0.1", 1, NULL);
    }
    begin();
    try_call(MAY(MEMORY) | MAY(ZMQ), !eh[0],
             emz_efunguz_add_ehypha_direct(ef, key[10], "127.0.0.1", 1, &eh[0]));
    try_call(MAY(MEMORY) | MAY(ZMQ), !eh[1], emz_efunguz_add_ehypha(ef, key[11], ONION, 1, &eh[1]));
    must(emz_efunguz_ehypha_count(ef) == 10);
    must(emz_efunguz_get_ehypha(ef, key[10]) == eh[0]);
    must(emz_efunguz_ehypha_at(ef, 9) == eh[1]);
    for (i = 0; i < 2; i++) {
        try_call(MAY(MEMORY) | MAY(ZMQ), !et, emz_ehypha_add_etale(eh[i], "", &et));
        must(emz_ehypha_get_etale(eh[i], "") == et);
        try_call(MAY(ZMQ), 1, emz_ehypha_pause_etale(eh[i], ""));
        must(emz_etale_paused(et));
        try_call(MAY(ZMQ), 1, emz_ehypha_resume_etale(eh[i], ""));
        must(!emz_etale_paused(et));
        for (k = 0; k < 9; k++) {
            snprintf(title, sizeof title, "%d", k);
            more = NULL;
            try_call(MAY(MEMORY) | MAY(ZMQ), !more, emz_ehypha_add_etale(eh[i], title, &more));
        }
        must(emz_ehypha_etale_count(eh[i]) == 10);
        if (!bad) {
            emz_ehypha_pause_etales(eh[i]);
            disarm();
            emz_ehypha_pause_etales(eh[i]);
            for (k = 0; k < 10; k++) {
                must(emz_etale_paused(emz_ehypha_etale_at(eh[i], (size_t)k)));
            }
        }
        et = NULL;
    }
    for (i = 0; !bad && i < 2; i++) {
        emz_ehypha_resume_etales(eh[i]);
        try_call(MAY(ZMQ), 1, emz_ehypha_del_etale(eh[i], "3"));
        must(!emz_ehypha_get_etale(eh[i], "3"));
        must(emz_ehypha_etale_count(eh[i]) == 9);
    }
    await(emz_ehypha_link(eh[0]) == EMZ_LINK_UNREACHABLE);
    await(emz_ehypha_link(eh[1]) == EMZ_LINK_NO_PROXY);
    try_call(0, 1, emz_efunguz_del_ehypha(ef, key[10]));
    try_call(0, 1, emz_efunguz_del_ehypha(ef, key[2]));
    must(emz_efunguz_ehypha_count(ef) == 8);
    end();
}

static void whitelist(void) {
    emz_efunguz *ef = quiet_realm(0, NULL);
    size_t line;
    begin();
    try_call(MAY(MEMORY), 1, emz_efunguz_add_whitelist_publickeys(ef, key + 3, 9));
    must(emz_efunguz_whitelist_size(ef) == 9);
    try_call(0, 1, emz_efunguz_del_whitelist_publickeys(ef, key + 9, 3));
    must(emz_efunguz_whitelist_size(ef) == 6);
    line = 99;
    try_call(MAY(MEMORY) | MAY(FILE), line == 0 || line == 99,
             emz_efunguz_read_whitelist_publickeys(ef, path, &line));
    must(line == 0);
    must(emz_efunguz_whitelist_size(ef) == 10);
    emz_efunguz_clear_whitelist_publickeys(ef);
    must(emz_efunguz_whitelist_size(ef) == 0);
    try_call(MAY(MEMORY) | MAY(FILE), 1, emz_efunguz_read_whitelist_publickeys(ef, path, NULL));
    must(emz_efunguz_whitelist_size(ef) == 10);
    must(emz_i_guest_find(&ef->whitelist, ef->key) != NULL);
    end();
}

static char big[200000];

/* Fifteen parts: more than the frames that a message has room for at first. */
static emz_result emit_many(emz_efunguz *ef, const char *title) {
    emz_part parts[15];
    size_t i;
    for (i = 0; i < 15; i++) {
        parts[i].data = big + i;
        parts[i].size = 10 * i;
    }
    return emz_efunguz_emit_etale(ef, title, parts, 15);
}

static int holds_many(const emz_etale *et) {
    size_t i, count;
    const emz_part *parts = emz_etale_parts(et, &count);
    for (i = 0; i < count; i++) {
        if (parts[i].size != 10 * i || memcmp(parts[i].data, big + i, 10 * i)) {
            return 0;
        }
    }
    return count == 15;
}

static emz_result emit_big(emz_efunguz *ef, const char *title) {
    emz_part part;
    part.data = big;
    part.size = sizeof big;
    return emz_efunguz_emit_etale(ef, title, &part, 1);
}

static int holds_big(const emz_etale *et) {
    size_t count;
    const emz_part *parts = emz_etale_parts(et, &count);
    return count == 1 && parts->size == sizeof big && !memcmp(parts->data, big, sizeof big);
}

/* While the gate cannot be opened again, nothing can be emitted. */
#define EMIT (MAY(MEMORY) | MAY(ZMQ) | MAY(BIND))
#define try_emit(ef, expression)       \
    do {                               \
        await((ef)->gate.socket);      \
        try_call(EMIT, 1, expression); \
    } while (0)

/* Two realms. Values: before somebody subscribes, after, while paused. */
static void exchange(void) {
    emz_efunguz *a = quiet_realm(0, NULL), *b = quiet_realm(1, NULL);
    emz_ehypha *eh = NULL;
    const emz_etale *t = NULL, *u = NULL;
    begin();
    try_emit(a, emit_text(a, "t", "1"));
    try_call(MAY(MEMORY) | MAY(ZMQ), !eh,
             emz_efunguz_add_ehypha_direct(b, key[0], "127.0.0.1", emz_efunguz_port(a), &eh));
    try_call(MAY(MEMORY) | MAY(ZMQ), !t, emz_ehypha_add_etale(eh, "t", &t));
    await(holds(t, "1"));
    try_emit(a, emit_many(a, "u"));
    try_call(MAY(MEMORY) | MAY(ZMQ), !u, emz_ehypha_add_etale(eh, "u", &u));
    await(holds_many(u));
    try_emit(a, emit_big(a, "t"));
    await(holds_big(t));
    try_call(MAY(ZMQ), 1, emz_ehypha_pause_etale(eh, "t"));
    try_emit(a, emit_text(a, "t", "2"));
    try_emit(a, emit_text(a, "u", "3"));
    await(holds(u, "3"));
    must(holds_big(t));
    try_call(MAY(ZMQ), 1, emz_ehypha_resume_etale(eh, "t"));
    await(holds(t, "2"));
    try_call(0, 1, emz_efunguz_forget_etale(a, "t"));
    must(a->retained.count == 1);
    await(emz_ehypha_link(eh) == EMZ_LINK_UP);
    await(emz_efunguz_in_absorbing_num(a) == 1);
    must(emz_efunguz_in_permitted_num(a) >= 1);
    must(emz_efunguz_in_attempted_num(a) >= emz_efunguz_in_permitted_num(a));
    try_call(MAY(ZMQ), 1, emz_ehypha_del_etale(eh, "u"));
    try_call(0, 1, emz_efunguz_del_ehypha(b, key[0]));
    await(emz_efunguz_in_absorbing_num(a) == 0);
    end();
}

/* Without kept values: whoever missed one gets the next. */
static void exchange_without_retaining(void) {
    emz_config c;
    emz_efunguz *a, *b;
    emz_ehypha *eh = NULL;
    const emz_etale *t = NULL;
    int i;
    memset(&c, 0, sizeof c);
    c.no_retain = 1;
    a = quiet_realm(0, &c);
    b = quiet_realm(1, NULL);
    begin();
    try_call(MAY(MEMORY) | MAY(ZMQ), !eh,
             emz_efunguz_add_ehypha_direct(b, key[0], "127.0.0.1", emz_efunguz_port(a), &eh));
    try_call(MAY(MEMORY) | MAY(ZMQ), !t, emz_ehypha_add_etale(eh, "t", &t));
    for (i = 0; i < 2; i++) {
        wait_begin();
        while (!bad && !(i ? holds_many(t) : holds(t, "1"))) {
            if (a->gate.socket) {
                try_call(EMIT, 1, i ? emit_many(a, "t") : emit_text(a, "t", "1"));
            }
            wait_more("a value emitted again and again");
        }
    }
    must(!a->retained.count);
    end();
}

/* The whitelist changes while b (permitted) and m (not) are there. */
static void gate(void) {
    emz_config c;
    emz_efunguz *a, *b, *m;
    emz_ehypha *eb = NULL, *em = NULL;
    const emz_etale *tb = NULL, *tm = NULL;
    memset(&c, 0, sizeof c);
    c.log = logger;
    c.log_user = &logs;
    c.whitelist = key + 1;
    c.whitelist_size = 2;
    c.whitelist_only = 1;
    a = quiet_realm(0, &c);
    b = quiet_realm(1, NULL);
    m = quiet_realm(2, NULL);
    emit_text(a, "t", "1");
    emz_efunguz_add_ehypha_direct(b, key[0], "127.0.0.1", emz_efunguz_port(a), &eb);
    emz_ehypha_add_etale(eb, "t", &tb);
    emz_efunguz_add_ehypha_direct(m, key[0], "127.0.0.1", emz_efunguz_port(a), &em);
    emz_ehypha_add_etale(em, "t", &tm);
    await(holds(tb, "1") && holds(tm, "1"));
    await(emz_efunguz_in_absorbing_num(a) == 2);
    begin();
    port_taken = 2;
    try_call(0, 1, emz_efunguz_del_whitelist_publickeys(a, key + 2, 1));
    await(emz_ehypha_link(em) == EMZ_LINK_DENIED);
    await(emz_ehypha_link(eb) == EMZ_LINK_UP);
    try_emit(a, emit_text(a, "t", "2"));
    await(holds(tb, "2"));
    must(holds(tm, "1"));
    await(emz_efunguz_in_absorbing_num(a) == 1);
    try_call(MAY(MEMORY), 1, emz_efunguz_add_whitelist_publickeys(a, key + 2, 1));
    await(holds(tm, "2"));
    await(emz_efunguz_in_absorbing_num(a) == 2);
    if (!bad) {
        emz_efunguz_clear_whitelist_publickeys(a);
    }
    await(emz_ehypha_link(em) == EMZ_LINK_DENIED && emz_ehypha_link(eb) == EMZ_LINK_DENIED);
    await(emz_efunguz_in_absorbing_num(a) == 0);
    try_call(MAY(MEMORY), 1, emz_efunguz_add_whitelist_publickeys(a, key, 12));
    try_emit(a, emit_text(a, "t", "3"));
    await(holds(tb, "3") && holds(tm, "3"));
    await(emz_ehypha_link(em) == EMZ_LINK_UP && emz_ehypha_link(eb) == EMZ_LINK_UP);
    await(emz_efunguz_in_absorbing_num(a) == 2);
    end();
}

/* Through the proxy: there, back after it breaks. */
static void tunnel(void) {
    emz_config c;
    emz_efunguz *a = quiet_realm(0, NULL), *b;
    emz_ehypha *eh = NULL;
    const emz_etale *t = NULL;
    hops_open();
    hops_to = emz_efunguz_port(a);
    memset(&c, 0, sizeof c);
    c.torproxy_port = hops_port;
    b = quiet_realm(1, &c);
    emit_text(a, "t", "1");
    begin();
    try_call(MAY(MEMORY) | MAY(ZMQ), !eh, emz_efunguz_add_ehypha(b, key[0], ONION, 60847, &eh));
    try_call(MAY(MEMORY) | MAY(ZMQ), !t, emz_ehypha_add_etale(eh, "t", &t));
    await(holds(t, "1"));
    await(emz_ehypha_link(eh) == EMZ_LINK_UP);
    try_emit(a, emit_big(a, "t"));
    await(holds_big(t));
    hops_drop();
    await(emz_ehypha_link(eh) != EMZ_LINK_UP);
    try_emit(a, emit_text(a, "t", "2"));
    await(holds(t, "2"));
    await(emz_ehypha_link(eh) == EMZ_LINK_UP);
    await(emz_efunguz_in_absorbing_num(a) == 1);
    try_call(0, 1, emz_efunguz_del_ehypha(b, key[0]));
    end();
}

/* One that was let in sends what no subscriber may, and is put out; the other one stays. (In
 * parentheses: libzmq itself, and not what fails.) */
static void hostile(void) {
    emz_efunguz *a = quiet_realm(0, NULL), *b = quiet_realm(1, NULL);
    emz_ehypha *eh = connect_realm(b, a);
    const emz_etale *t = NULL;
    void *context = (zmq_ctx_new)(), *s = (zmq_socket)(context, ZMQ_XSUB);
    char endpoint[64];
    int zero = 0, one = 1, soon = 300;
    (zmq_setsockopt)(s, ZMQ_HANDSHAKE_IVL, &soon, sizeof soon);
    (zmq_setsockopt)(s, ZMQ_LINGER, &zero, sizeof zero);
    (zmq_setsockopt)(s, ZMQ_RECONNECT_IVL, &one, sizeof one);
    (zmq_setsockopt)(s, ZMQ_CURVE_SERVERKEY, key[0], EMZ_KEY_Z85_SIZE);
    (zmq_setsockopt)(s, ZMQ_CURVE_PUBLICKEY, key[2], EMZ_KEY_Z85_SIZE);
    (zmq_setsockopt)(s, ZMQ_CURVE_SECRETKEY, sec_[2], EMZ_KEY_Z85_SIZE);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", emz_efunguz_port(a));
    emz_ehypha_add_etale(eh, "t", &t);
    emit_text(a, "t", "1");
    await(holds(t, "1"));
    begin();
    (zmq_connect)(s, endpoint);
    wait_begin();
    while (!bad && !a->banned.count) {
        (zmq_send)(s, "\2no subscription", 15, ZMQ_DONTWAIT);
        wait_more("the hostile one is put out");
    }
    try_emit(a, emit_text(a, "t", "2"));
    await(holds(t, "2"));
    await(emz_ehypha_link(eh) == EMZ_LINK_UP);
    await(emz_efunguz_in_absorbing_num(a) == 1);
    must(!emz_i_guest_find(&a->banned, b->key));
    (zmq_close)(s);
    (zmq_ctx_term)(context);
    end();
}

/* ---- the sweep ---- */

static long points, turn, step = 1, offset; /* of the sample: each step-th one */

static void point(void (*run)(void), int id, int error, long at, int rest) {
    int fds_before = fds(), threads_before = threads(), threads_after;
    long before = live;
    int64_t limit;
    current = armed = id;
    armed_error = error;
    armed_at = at;
    armed_rest = rest;
    injected = bad = inside = begun_sending = begun_frames = port_taken = 0;
    memset(seen, 0, sizeof seen);
    alarm(120);
    run();
    counting = 0;
    if (live != before) {
        wrong("%ld allocations are left", live - before);
    }
    if (live_sockets || contexts) {
        wrong("%ld sockets, %ld contexts are left", live_sockets, contexts);
        live_sockets = contexts = 0;
    }
    /* a thread that has been joined may still be listed for a moment */
    for (limit = emz_now() + 2000000;
         (threads_after = threads()) != threads_before && emz_now() < limit;) {
    }
    if (threads_after != threads_before) {
        wrong("%d threads are left", threads_after - threads_before);
    }
    if (fds() != fds_before) {
        wrong("%d file descriptors are left", fds() - fds_before);
    }
}

/* Is there memory that nobody can reach any more? Only LSan can tell, and its report comes once. */
static int leaks(void) {
#if LEAK_CHECK
    static int known;
    if (!known && __lsan_do_recoverable_leak_check()) {
        return known = 1;
    }
#endif
    return 0;
}

/* The errors of a call; and the one of them that has been injected the fewest times. */
static int errors_of(int id) {
    int errors = 0;
    while (errors < 12 && call[id].error[errors]) {
        errors++;
    }
    return errors;
}
static int rarest(int id) {
    int e, least = 0;
    for (e = 1; e < errors_of(id); e++) {
        least = tried[id][e] < tried[id][least] ? e : least;
    }
    return least;
}

/* One call of a scenario: each error at each time; where these are many points, each time another
 * error. */
static void sweep_call(const char *name, void (*run)(void), int id, long usual) {
    const int errors = errors_of(id), in_turn = !getenv("FAULTS_ALL") && usual * errors > 32;
    long at, swept = 0, failed = 0;
    int mode, e;
    told = 0;
    for (mode = 0; mode < 2; mode++) {
        for (at = 1; at <= usual && failed<3; at += at> 24 ? at / 3 : in_turn && mode ? 2 : 1) {
            for (e = 0; e < (in_turn ? 1 : errors); e++) {
                const int which = in_turn ? rarest(id) : e, error = call[id].error[which];
                /* EINTR for ever would be no failure but a program that is not let run; half a
                 * message that is never read makes libzmq abort: "!_more (src/fq.cpp)" */
                const int rest = !mode                                            ? 0
                                 : error == EINTR                                 ? 3
                                 : id == call_zmq_recv || id == call_zmq_msg_recv ? 50
                                                                                  : 100000;
                if (turn++ % step != offset && tried[id][which]) {
                    continue;
                }
                point(run, id, error, at, rest);
                swept += injected > 0;
                tried[id][which] += injected > 0;
                failed += bad;
            }
        }
    }
    failed += leaks();
    points += swept;
    ok(!failed, "%s: %s, at %ld points", name, call[id].name, swept);
}

static void sweep(const char *name, void (*run)(void)) {
    const char *only = getenv("FAULTS_CALL"), *here = getenv("FAULTS_SCENARIO");
    long usual[calls], before = points;
    int64_t start = emz_now();
    int id;
    if (here && strcmp(here, name)) {
        return;
    }
    scenario = name;
    told = 0;
    point(run, -1, 0, 0, 0);
    ok(!bad, "%s: passes without a failure", name);
    memcpy(usual, seen, sizeof usual);
    for (id = 0; id < calls; id++) {
        /* the hostile one's other calls are those of the gate */
        if (usual[id] && (!only || !strcmp(only, call[id].name)) &&
            (run != hostile || id == call_EMZ_MALLOC || id == call_zmq_msg_gets)) {
            sweep_call(name, run, id, usual[id]);
        }
    }
    printf("# %s: swept %ld points in %.1f s\n", name, points - before,
           (double)(emz_now() - start) / 1e6);
}

/* Has all been tried that there is? */
static void test_complete(void) {
    int id, f, e;
    for (f = 0; f < functions; f++) {
        ok(function_called[f], "%s: called %d times", function_name[f], function_called[f]);
    }
    for (id = 0; id < calls; id++) {
        const int errors = errors_of(id);
        char list[400] = "";
        int missing = 0;
        for (e = 0; e < errors; e++) {
            const size_t size = strlen(list);
            snprintf(list + size, sizeof list - size, " %s %ld", error_name(call[id].error[e]),
                     tried[id][e]);
            missing += !tried[id][e];
        }
#if !EMZ_I_EPOLL
        missing = strncmp(call[id].name, "epoll", 5) ? missing : 0;
#endif
        ok(!missing, "%s: reached %ld times; failed:%s", call[id].name, reached[id], list);
    }
}

/* ---- what fails for good ---- */

static void arm(int id, int error) {
    current = armed = id;
    armed_error = error;
    armed_at = 1;
    armed_rest = 1000000;
    injected = 0;
    for_good = 1;
    memset(seen, 0, sizeof seen);
}

/* The connection was up and breaks; what keeps it from coming back is told, and not tried again
 * without a pause; when it is put right, all is well. */
static void test_reasons(void) {
    static const struct {
        int call, error;
        emz_link link;
    } reasons[] = {
        {call_socket, EMFILE, EMZ_LINK_EXHAUSTED},
        {call_fcntl, EBADF, EMZ_LINK_EXHAUSTED},
        {call_epoll_ctl, ENOSPC, EMZ_LINK_EXHAUSTED},
        {call_connect, ECONNREFUSED, EMZ_LINK_NO_PROXY},
        {call_connect, ENETUNREACH, EMZ_LINK_NO_PROXY},
        {call_connect, EADDRNOTAVAIL, EMZ_LINK_EXHAUSTED},
        {call_getsockopt, ENOBUFS, EMZ_LINK_NO_PROXY},
        {call_send, EPIPE, EMZ_LINK_NO_PROXY},
        {call_recv, ECONNRESET, EMZ_LINK_NO_PROXY},
        {call_recv, AT_END, EMZ_LINK_NO_PROXY},
        {call_bind, EADDRINUSE, EMZ_LINK_EXHAUSTED},
        {call_getsockname, ENOBUFS, EMZ_LINK_EXHAUSTED},
        {call_listen, EADDRINUSE, EMZ_LINK_EXHAUSTED},
        {call_zmq_connect, EMFILE, EMZ_LINK_EXHAUSTED},
        {call_zmq_connect, EINVAL, EMZ_LINK_UNREACHABLE},
        {call_accept, EMFILE, EMZ_LINK_EXHAUSTED},
        {call_accept, ENFILE, EMZ_LINK_EXHAUSTED},
        {call_accept, ENOBUFS, EMZ_LINK_EXHAUSTED},
        {call_accept, ENOMEM, EMZ_LINK_EXHAUSTED},
    };
    emz_config c;
    emz_efunguz *a = quiet_realm(0, NULL), *b;
    emz_ehypha *eh = NULL;
    const emz_etale *t = NULL;
    char text[20];
    size_t i;
    scenario = "reasons";
    bad = 0;
    hops_open();
    hops_to = emz_efunguz_port(a);
    memset(&c, 0, sizeof c);
    c.torproxy_port = hops_port;
    b = quiet_realm(1, &c);
    emz_efunguz_add_ehypha(b, key[0], ONION, 60847, &eh);
    emz_ehypha_add_etale(eh, "t", &t);
    begin();
    for (i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        const char *name = call[reasons[i].call].name, *error = error_name(reasons[i].error);
        int64_t until_;
        int rounds = 0;
        if (!EMZ_I_EPOLL && reasons[i].call == call_epoll_ctl) {
            continue;
        }
        alarm(120);
        bad = told = 0;
        disarm();
        snprintf(text, sizeof text, "%d", (int)i);
        emit_text(a, "t", text);
        await(holds(t, text) && emz_ehypha_link(eh) == EMZ_LINK_UP);
        ok(!bad, "up, before %s fails with %s for good", name, error);
        arm(reasons[i].call, reasons[i].error);
        hops_drop();
        await(emz_ehypha_link(eh) != EMZ_LINK_UP && emz_ehypha_link(eh) != EMZ_LINK_LOST);
        is(emz_ehypha_link(eh), reasons[i].link, "then: %s", emz_ehypha_link_str(eh));
        until_ = emz_now() + 20000;
        while (emz_now() < until_) {
            rounds += emz_efunguz_wait(b, 5);
            emz_efunguz_update(b);
        }
        ok(rounds < 20, "no busy waiting: %d rounds in 20 ms", rounds);
        ok(injected > 0, "it has failed");
    }
    disarm();
    bad = told = 0;
    emit_text(a, "t", "end");
    await(holds(t, "end"));
    ok(!bad, "then all is well");
    for_good = 0;
    end();
}

/* After a change of the whitelist the port is not to be had again. */
static void test_rebind(void) {
    emz_config c;
    emz_efunguz *a, *b;
    emz_ehypha *eh = NULL;
    const emz_etale *t = NULL;
    int i, logged = 0;
    scenario = "rebind";
    bad = 0;
    current = -1;
    memset(&c, 0, sizeof c);
    c.log = logger;
    c.log_user = &logged;
    c.whitelist = key + 1;
    c.whitelist_size = 2;
    a = quiet_realm(0, &c);
    b = quiet_realm(1, NULL);
    emz_efunguz_add_ehypha_direct(b, key[0], "127.0.0.1", emz_efunguz_port(a), &eh);
    emz_ehypha_add_etale(eh, "t", &t);
    emit_text(a, "t", "1");
    await(holds(t, "1"));
    ok(!bad, "a subscriber");
    begin();
    arm(call_zmq_bind, EADDRINUSE);
    a->gate.must_rebuild = 1;
    logged = 0;
    is(emz_efunguz_del_whitelist_publickeys(a, key + 2, 1), EMZ_OK, "a whitelist without a port");
    is(emz_efunguz_whitelist_size(a), 1, "is changed");
    is(logged, 1, "the log tells that nobody can subscribe");
    for (i = 0; i < 5; i++) {
        const long binds = seen[call_zmq_bind];
        emz_efunguz_update(a);
        ok(seen[call_zmq_bind] - binds <= 1, "update() does not wait for the port");
        errno = 0;
        is(emit_text(a, "t", "2"), EMZ_ERR_BIND, "emit fails with BIND");
        is(errno, EADDRINUSE, "errno says why");
        forward += 500000;
    }
    await(emz_ehypha_link(eh) == EMZ_LINK_UNREACHABLE);
    ok(holds(t, "1"), "the subscriber has the old value");
    disarm();
    await(holds(t, "1") && emz_ehypha_link(eh) == EMZ_LINK_UP);
    is(emit_text(a, "t", "3"), EMZ_OK, "when the port is free again, emit works");
    await(holds(t, "3"));
    ok(!bad, "and the subscriber is back");
    for_good = 0;
    end();
}

/* The public functions: what the header declares. */
static void read_functions(void) {
    char path_[1024] = __FILE__, line[256], *end;
    FILE *f;
    end = strrchr(path_, '/');
    snprintf(end ? end : path_, 20, "%s", end ? "/../emyzelium.h" : "../emyzelium.h");
    f = fopen(path_, "rb");
    while (f && fgets(line, sizeof line, f) && !strstr(line, "Stop reading here")) {
        end = strchr(line, '(');
        if (!strncmp(line, "EMZ_API ", 8) && end) {
            char *name = end;
            while (name[-1] == '_' || (name[-1] >= '0' && name[-1] <= 'z')) {
                name--;
            }
            snprintf(function_name[functions++], sizeof *function_name, "%.*s", (int)(end - name),
                     name);
        }
    }
    ok(f && functions, "the header declares %d functions", functions);
    if (f) {
        fclose(f);
    }
}

/* How many points are taken, and which: see the top. */
static void choose(void) {
    const char *s = getenv("FAULTS_STEP"), *o = getenv("FAULTS_OFFSET");
    step = s && atol(s) > 0 ? atol(s) : LEAK_CHECK ? 5 : 3;
    offset = (o ? atol(o) : (long)(emz_now() / 1000)) % step;
    printf("# FAULTS_STEP=%ld FAULTS_OFFSET=%ld\n", step, offset);
}

int main(void) {
    struct sigaction action;
    int64_t start = emz_now();
    size_t i;
    FILE *f;
    int fd = mkstemp(path);
    read_functions();
    choose();
    for (i = 0; i < sizeof big; i++) {
        big[i] = (char)(i * i >> 5);
    }
    for (i = 0; i < 12; i++) {
        emz_keypair(pub_[i], sec_[i]);
        key[i] = pub_[i];
    }
    f = fdopen(fd, "wb");
    for (i = 0; f && i < 10; i++) {
        fprintf(f, "%s number %d\n", key[i], (int)i);
    }
    if (f) {
        fclose(f);
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = hung;
    sigaction(SIGALRM, &action, NULL);
    sweep("words", words);
    sweep("creation", creation);
    sweep("creation without retaining", creation_without_retaining);
    sweep("objects", objects);
    sweep("whitelist", whitelist);
    sweep("exchange", exchange);
    sweep("exchange without retaining", exchange_without_retaining);
    sweep("gate", gate);
    sweep("tunnel", tunnel);
    sweep("hostile", hostile);
    if (!getenv("FAULTS_SCENARIO")) {
        test_reasons();
        test_rebind();
        if (!getenv("FAULTS_CALL")) {
            test_complete();
        }
    }
    ok(logs > 0, "the log has been used");
    remove(path);
    printf("# swept %ld points in %.0f s\n", points, (double)(emz_now() - start) / 1e6);
    return tap_end();
}
