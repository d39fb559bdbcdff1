/* A stand-in for Tor's proxy, in a child process: SOCKS5 on 127.0.0.1. Whatever name is asked for,
 * it connects to that port of 127.0.0.1 and moves bytes, from there to the client at most rate a
 * second (0: as fast as it can). Not a model of Tor but of what any way through it must cost: one
 * more process that every byte passes. */
#ifndef PROXY_H
#define PROXY_H

#include <poll.h>

typedef struct proxy {
    volatile int port;
    double rate;
    pid_t parent;
} proxy;

/* One direction of a connection. */
typedef struct proxy_flow {
    int from, to;
    char *kept; /* what to could not take yet */
    size_t begin, end;
    int throttled;
} proxy_flow;

static void proxy_all(int fd, void *data, size_t size, int out) {
    char *p = (char *)data;
    while (size) {
        ssize_t n = out ? write(fd, p, size) : read(fd, p, size);
        if (n <= 0) {
            return;
        }
        p += n;
        size -= (size_t)n;
    }
}

static int proxy_socket(int port, int listening) {
    struct sockaddr_in at;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (listening) {
        must(!bind(fd, (struct sockaddr *)&at, sizeof at) && !listen(fd, 4096));
    } else {
        must(!connect(fd, (struct sockaddr *)&at, sizeof at));
    }
    return fd;
}

/* Who comes is served at once and to the end of the SOCKS handshake: nobody here is slow. */
static void proxy_accept(int listener, proxy_flow two[2]) {
    unsigned char data[262];
    unsigned char welcome[2] = {5, 0}, done[10] = {5, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    int one = 1, client = accept(listener, NULL, NULL), target;
    must(client >= 0);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    proxy_all(client, data, 2, 0);
    proxy_all(client, data + 2, data[1], 0);
    proxy_all(client, welcome, 2, 1);
    proxy_all(client, data, 4, 0);
    if (data[3] == 3) { /* a name */
        proxy_all(client, data, 1, 0);
        proxy_all(client, data + 1, data[0] + 2u, 0);
        memmove(data, data + 1 + data[0], 2);
    } else { /* IPv4 */
        proxy_all(client, data, 6, 0);
        memmove(data, data + 4, 2);
    }
    target = proxy_socket(data[0] << 8 | data[1], 0);
    proxy_all(client, done, sizeof done, 1);
    fcntl(client, F_SETFL, O_NONBLOCK);
    fcntl(target, F_SETFL, O_NONBLOCK);
    memset(two, 0, 2 * sizeof *two);
    two[0].from = two[1].to = client;
    two[0].to = two[1].from = target;
    two[1].throttled = 1;
}

/* Move what there is, at most size bytes; -1 at the end. */
static ssize_t proxy_move(proxy_flow *f, size_t size) {
    static char buffer[262144];
    ssize_t n, sent;
    char *data = f->kept ? f->kept + f->begin : buffer;
    if (f->kept) {
        n = (ssize_t)(f->end - f->begin);
    } else {
        n = recv(f->from, buffer, size < sizeof buffer ? size : sizeof buffer, 0);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN ? 0 : -1;
        }
    }
    sent = send(f->to, data, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        return -1;
    }
    sent = sent < 0 ? 0 : sent;
    if (sent == n) {
        free(f->kept);
        f->kept = NULL;
    } else if (f->kept) {
        f->begin += (size_t)sent;
    } else {
        f->kept = (char *)malloc((size_t)(n - sent));
        must(f->kept);
        memcpy(f->kept, buffer + sent, (size_t)(n - sent));
        f->begin = 0;
        f->end = (size_t)(n - sent);
    }
    return sent;
}

static void proxy_run(void *with) {
    enum { MOST = 2200 };
    static proxy_flow flow[MOST];
    static struct pollfd polled[MOST + 1];
    proxy *p = (proxy *)with;
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    double began = now(), moved = 0;
    int listener = proxy_socket(0, 1), flows = 0, i;
    must(!getsockname(listener, (struct sockaddr *)&at, &size));
    p->port = ntohs(at.sin_port);
    while (!orphaned(p->parent)) {
        double room = p->rate > 0 ? p->rate * (now() - began) - moved : 1e9;
        if (p->rate > 0 && room > p->rate / 50) { /* no more than this is saved up */
            moved += room - p->rate / 50;
            room = p->rate / 50;
        }
        polled[0].fd = listener;
        polled[0].events = flows + 2 <= MOST ? POLLIN : 0;
        for (i = 0; i < flows; i++) {
            int wait = !flow[i].kept && flow[i].throttled && room < 1024;
            polled[i + 1].fd = flow[i].from < 0 || wait ? -1
                               : flow[i].kept           ? flow[i].to
                                                        : flow[i].from;
            polled[i + 1].events = flow[i].kept ? POLLOUT : POLLIN;
        }
        if (poll(polled, (nfds_t)flows + 1, p->rate > 0 ? 1 : 100) <= 0) {
            continue;
        }
        for (i = 0; i < flows; i++) {
            ssize_t n = 0;
            if (polled[i + 1].fd < 0 || !polled[i + 1].revents || flow[i].from < 0) {
                continue;
            }
            n = proxy_move(&flow[i], flow[i].throttled && p->rate > 0 ? (size_t)room : SIZE_MAX);
            if (n < 0) { /* both directions end together */
                proxy_flow *other = &flow[i ^ 1];
                close(flow[i].from);
                close(flow[i].to);
                flow[i].from = other->from = -1;
            } else if (flow[i].throttled) {
                moved += (double)n;
            }
        }
        if (polled[0].revents) {
            for (i = 0; i < flows && flow[i].from >= 0; i += 2) { /* a free place */
            }
            proxy_accept(listener, &flow[i]);
            flows = i < flows ? flows : i + 2;
        }
    }
}

/* Its port, to be read from p->port. */
HELPER proxy *proxy_start(double rate) {
    proxy *p = (proxy *)shared(sizeof *p);
    p->rate = rate;
    p->parent = getpid();
    helper(proxy_run, p);
    until(&p->port, 1);
    return p;
}

#endif
