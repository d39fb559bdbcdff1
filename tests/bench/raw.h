/* The other side of each comparison: the same with libzmq alone, as lean as C allows. The same
 * frames, CURVE, ZAP answers and socket options as emyzelium.h; nothing kept, nothing looked up. */
#ifndef RAW_H
#define RAW_H

#define RAW_MAX_PART 67108864

typedef struct raw_peer {
    void *context, *zap, *pub;
    char publickey[41], secretkey[41];
    char session[32];
    int port;
} raw_peer;

static void raw_set(void *socket, int option, int value) {
    must(!zmq_setsockopt(socket, option, &value, sizeof value));
}

static void raw_common(void *socket, int64_t largest, const char *secretkey) {
    int64_t size = largest + 33;
    raw_set(socket, ZMQ_HEARTBEAT_IVL, 30000);
    raw_set(socket, ZMQ_HEARTBEAT_TIMEOUT, 90000);
    must(!zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size, sizeof size));
    must(!zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secretkey, 40));
}

/* type: ZMQ_PUB, or ZMQ_XPUB for who wants to see the subscriptions. session: 32 bytes, tells our
 * ZAP requests; NULL: without ZAP. */
HELPER void *raw_publisher(void *context, int type, const char *secretkey, int queue,
                           const char *session, int *port) {
    char endpoint[64];
    size_t size = sizeof endpoint;
    void *pub = zmq_socket(context, type);
    must(pub);
    raw_set(pub, ZMQ_LINGER, 0);
    raw_set(pub, ZMQ_SNDHWM, queue);
    raw_set(pub, ZMQ_CURVE_SERVER, 1);
    raw_common(pub, 65535 + 64, secretkey);
    if (session) {
        must(!zmq_setsockopt(pub, ZMQ_ZAP_DOMAIN, "emyz", 4));
        must(!zmq_setsockopt(pub, ZMQ_ROUTING_ID, session, 32));
    }
    must(!zmq_bind(pub, "tcp://127.0.0.1:*"));
    must(!zmq_getsockopt(pub, ZMQ_LAST_ENDPOINT, endpoint, &size));
    *port = atoi(strrchr(endpoint, ':') + 1);
    return pub;
}

HELPER void *raw_context(void) {
    void *context = zmq_ctx_new();
    must(context);
    must(!zmq_ctx_set(context, ZMQ_MAX_SOCKETS, zmq_ctx_get(context, ZMQ_SOCKET_LIMIT)));
    return context;
}

HELPER void raw_open(raw_peer *p, int queue) {
    p->context = raw_context();
    must(!zmq_curve_keypair(p->publickey, p->secretkey));
    memcpy(p->session, p->publickey, sizeof p->session);
    p->zap = zmq_socket(p->context, ZMQ_ROUTER);
    must(p->zap && !zmq_bind(p->zap, "inproc://zeromq.zap.01"));
    raw_set(p->zap, ZMQ_LINGER, 0);
    p->pub = raw_publisher(p->context, ZMQ_PUB, p->secretkey, queue, p->session, &p->port);
}

HELPER void raw_close(raw_peer *p) {
    zmq_close(p->zap);
    zmq_close(p->pub);
    zmq_ctx_term(p->context);
}

/* Answer whoever waits to be let in: yes. */
HELPER void raw_serve(raw_peer *p) {
    char frame[9][256], user[41];
    int size[9], i;
    while ((size[0] = zmq_recv(p->zap, frame[0], sizeof frame[0], ZMQ_DONTWAIT)) >= 0) {
        for (i = 1; i < 9; i++) {
            size[i] = zmq_recv(p->zap, frame[i], sizeof frame[i], 0);
        }
        must(size[6] == 32 && !memcmp(frame[6], p->session, 32) && size[8] == 32);
        zmq_z85_encode(user, (const uint8_t *)frame[8], 32);
        zmq_send(p->zap, frame[0], (size_t)size[0], ZMQ_SNDMORE);
        zmq_send(p->zap, "", 0, ZMQ_SNDMORE);
        zmq_send(p->zap, "1.0", 3, ZMQ_SNDMORE);
        zmq_send(p->zap, frame[3], (size_t)size[3], ZMQ_SNDMORE);
        zmq_send(p->zap, "200", 3, ZMQ_SNDMORE);
        zmq_send(p->zap, "OK", 2, ZMQ_SNDMORE);
        zmq_send(p->zap, user, 40, ZMQ_SNDMORE);
        zmq_send(p->zap, "", 0, 0);
    }
}

/* A subscribing socket that is not connected yet. */
HELPER void *raw_subscriber(raw_peer *me, const char *serverkey, int queue) {
    void *sub = zmq_socket(me->context, ZMQ_SUB);
    must(sub);
    raw_set(sub, ZMQ_LINGER, 0);
    raw_set(sub, ZMQ_RCVHWM, queue);
    raw_set(sub, ZMQ_SNDHWM, 0);
    raw_set(sub, ZMQ_RECONNECT_IVL, 24 * 60 * 60 * 1000);
    raw_set(sub, ZMQ_HANDSHAKE_IVL, 0);
    raw_common(sub, RAW_MAX_PART, me->secretkey);
    must(!zmq_setsockopt(sub, ZMQ_CURVE_PUBLICKEY, me->publickey, 40));
    must(!zmq_setsockopt(sub, ZMQ_CURVE_SERVERKEY, serverkey, 40));
    return sub;
}

/* proxy: the port of a SOCKS proxy, 0: without. */
HELPER void *raw_subscribe(raw_peer *me, const char *serverkey, int port, int proxy,
                           const char *title, int queue) {
    char endpoint[64];
    void *sub = raw_subscriber(me, serverkey, queue);
    if (proxy) {
        snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", proxy);
        must(!zmq_setsockopt(sub, ZMQ_SOCKS_PROXY, endpoint, strlen(endpoint)));
    }
    must(!zmq_setsockopt(sub, ZMQ_SUBSCRIBE, title, strlen(title) + 1));
    snprintf(endpoint, sizeof endpoint, proxy ? "tcp://peer.onion:%d" : "tcp://127.0.0.1:%d", port);
    must(!zmq_connect(sub, endpoint));
    return sub;
}

/* title, time, one part */
HELPER void raw_send(void *pub, const char *title, const void *data, size_t size) {
    int64_t t = emz_now();
    zmq_send(pub, title, strlen(title) + 1, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(pub, &t, sizeof t, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(pub, data, size, ZMQ_DONTWAIT);
}

typedef struct raw_message {
    zmq_msg_t title, time, part;
} raw_message;

HELPER void raw_message_init(raw_message *m) {
    zmq_msg_init(&m->title);
    zmq_msg_init(&m->time);
    zmq_msg_init(&m->part);
}

/* The next message: 0, or -1 if there is none. flags: 0 or ZMQ_DONTWAIT. */
HELPER int raw_receive(void *sub, raw_message *m, int flags) {
    return zmq_msg_recv(&m->title, sub, flags) < 0 || zmq_msg_recv(&m->time, sub, flags) < 0 ||
                   zmq_msg_recv(&m->part, sub, flags) < 0
               ? -1
               : 0;
}

/* The number that the benchmark's messages begin with. */
HELPER uint64_t raw_number(raw_message *m) {
    uint64_t n = 0;
    if (zmq_msg_size(&m->part) >= sizeof n) {
        memcpy(&n, zmq_msg_data(&m->part), sizeof n);
    }
    return n;
}

HELPER int64_t raw_time(raw_message *m) {
    int64_t t;
    memcpy(&t, zmq_msg_data(&m->time), sizeof t);
    return t;
}

#endif
