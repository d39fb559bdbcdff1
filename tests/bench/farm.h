/* Many peers in child processes, so that only one side of a connection is measured: a farm of
 * publishers, each with its own key, and a crowd of subscribers. Both are raw libzmq, and the same
 * for both sides of a comparison. */
#ifndef FARM_H
#define FARM_H

enum { FARM_MOST = 1000 };

typedef struct farm {
    int count;
    char publickey[FARM_MOST][41];
    int port[FARM_MOST];
    char title[16]; /* what is published */
    volatile int ready, subscribed;
    volatile int wanted, emitted; /* rounds of one etale each */
    volatile int flood;           /* nonzero: as fast as it can */
    pid_t parent;
} farm;

static void farm_run(void *with) {
    static void *pub[FARM_MOST];
    static unsigned char data[100];
    farm *f = (farm *)with;
    void *context = raw_context();
    int i, turn;
    descriptors();
    for (i = 0; i < f->count; i++) {
        char secretkey[41];
        must(!zmq_curve_keypair(f->publickey[i], secretkey));
        pub[i] = raw_publisher(context, ZMQ_XPUB, secretkey, 1000, NULL, &f->port[i]);
        raw_set(pub[i], ZMQ_XPUB_VERBOSER, 1);
    }
    f->ready = 1;
    for (turn = 0; turn % 1000 || !orphaned(f->parent); turn++) {
        char frame[256];
        int publish = f->flood || f->emitted < f->wanted;
        for (i = 0; i < f->count && (!f->flood || turn % 100 == 0); i++) {
            while (zmq_recv(pub[i], frame, sizeof frame, ZMQ_DONTWAIT) > 0) {
                f->subscribed += frame[0] ? 1 : -1;
            }
        }
        for (i = 0; i < f->count && publish; i++) {
            raw_send(pub[i], f->title, data, sizeof data);
        }
        if (!publish) {
            pause_ms(1);
        } else if (!f->flood) {
            f->emitted++;
        }
    }
}

/* Wait until it knows that all who subscribed have gone. */
HELPER void farm_empty(farm *f) {
    double end = now() + 60;
    while (f->subscribed && now() < end) {
        pause_ms(1);
    }
    must(!f->subscribed);
}

HELPER farm *farm_start(int count, const char *title) {
    farm *f = (farm *)shared(sizeof *f);
    f->count = count;
    snprintf(f->title, sizeof f->title, "%s", title);
    f->parent = getpid();
    helper(farm_run, f);
    until(&f->ready, 1);
    return f;
}

/* ---- the crowd: one socket with many connections, each a subscriber of its own to the other
 * side ---- */

typedef struct crowd {
    int count, port; /* port: set when the publisher is there */
    char serverkey[41];
    volatile int start;
    volatile int received;
    pid_t parent;
} crowd;

static void crowd_run(void *with) {
    crowd *c = (crowd *)with;
    raw_peer me;
    void *sub;
    zmq_msg_t frame;
    int i, timeout = 200;
    descriptors();
    while (!c->start) {
        if (orphaned(c->parent)) {
            return;
        }
        pause_ms(1);
    }
    raw_open(&me, 1000);
    sub = raw_subscriber(&me, c->serverkey, 0);
    must(!zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "t", 2));
    raw_set(sub, ZMQ_RCVTIMEO, timeout);
    for (i = 0; i < c->count; i++) {
        char endpoint[64]; /* each from its own address, else libzmq takes them for one */
        snprintf(endpoint, sizeof endpoint, "tcp://127.0.%d.%d:0;127.0.0.1:%d", 1 + i / 200,
                 1 + i % 200, c->port);
        must(!zmq_connect(sub, endpoint));
    }
    zmq_msg_init(&frame);
    while (!orphaned(c->parent)) {
        while (zmq_msg_recv(&frame, sub, 0) >= 0) {
            c->received += !zmq_msg_more(&frame);
        }
    }
}

HELPER crowd *crowd_start(int count) {
    crowd *c = (crowd *)shared(sizeof *c);
    c->count = count;
    c->parent = getpid();
    helper(crowd_run, c);
    return c;
}

HELPER void crowd_go(crowd *c, const char *serverkey, int port) {
    memcpy(c->serverkey, serverkey, sizeof c->serverkey);
    c->port = port;
    c->start = 1;
}

#endif
