/* emyzelium.h 0.1.0: programs that publish titled data and read each other's, over Tor onion
 * services, end-to-end encrypted, without a server, an account or port forwarding. Public domain or
 * MIT-0, see the end. One file over one package, libzmq (4.3.3 or later).
 *
 * Do this in the C or C++ files that use it:
 *
 *     #define EMYZELIUM_IMPLEMENTATION
 *     #include "emyzelium.h"
 *
 * and build with -lzmq. To read it, search for these:
 *
 *     >>start      a whole program
 *     >>nothing    when nothing arrives: what to look at, and how to provoke each failure
 *     >>concepts   efunguz, ehypha, etale
 *     >>rules      threads, ownership, errors, limits
 *     >>capacity   what each thing costs, and what the first limit is
 *     >>security   what is protected by what, and what is not
 *     >>switches   what can be defined, and in which files
 *     >>building   compilers, platforms, packages, other languages
 *     >>changes    which version this is, what changed, how to upgrade
 *     >>declarations
 *     >>licence    at the very end
 *
 * ---------------------------------------------------------------------------------------------
 * >>start: save as start.c, then: cc start.c -lzmq -o start && ./start
 * ---------------------------------------------------------------------------------------------
 *
 *     #define EMYZELIUM_IMPLEMENTATION
 *     #include "emyzelium.h"
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         char pub_a[EMZ_KEY_Z85_SIZE], sec_a[EMZ_KEY_Z85_SIZE]; // a peer is known by its
 *         char pub_b[EMZ_KEY_Z85_SIZE], sec_b[EMZ_KEY_Z85_SIZE]; // public key
 *         static emz_config config;                              // all zero: the defaults
 *         emz_efunguz *a = NULL, *b = NULL;
 *         emz_ehypha *b_to_a;
 *         const emz_etale *greeting = NULL;
 *         emz_part hello = {"Hello!", 6};
 *         emz_result r;
 *         int i;
 *
 *         config.pubsub_port = EMZ_ANY_PORT;
 *         config.log = emz_log_stderr;
 *         if ((r = emz_keypair(pub_a, sec_a)) || (r = emz_keypair(pub_b, sec_b)) ||
 *             (r = emz_efunguz_new(&a, sec_a, &config)) ||            // a publishes,
 *             (r = emz_efunguz_emit_etale(a, "greeting", &hello, 1)) ||
 *             (r = emz_efunguz_new(&b, sec_b, &config)) ||            // b reads
 *             (r = emz_efunguz_add_ehypha_direct(b, pub_a, "127.0.0.1",
 *                                                emz_efunguz_port(a), &b_to_a)) ||
 *             (r = emz_ehypha_add_etale(b_to_a, "greeting", &greeting))) {
 *             fprintf(stderr, "%s\n", emz_result_str(r));
 *         }
 *         for (i = 0; i < 1000 && greeting && emz_etale_t_in(greeting) < 0; i++) {
 *             emz_efunguz_update(a); // lets b in
 *             emz_efunguz_update(b); // receives
 *             emz_efunguz_wait(b, 10);
 *         }
 *         if ((i = emz_etale_t_in(greeting) >= 0)) {
 *             const emz_part *parts = emz_etale_parts(greeting, NULL);
 *             printf("%.*s\n", (int)parts[0].size, (const char *)parts[0].data);
 *         }
 *         emz_efunguz_free(b);
 *         emz_efunguz_free(a);
 *         return i ? 0 : 1;
 *     }
 *
 * Over Tor, b's third step is emz_efunguz_add_ehypha(b, pub_a, "<56 characters>.onion", 60847,
 * &b_to_a), and a's computer runs Tor with an onion service that leads to a's port.
 *
 * ---------------------------------------------------------------------------------------------
 * >>nothing: when nothing arrives
 * ---------------------------------------------------------------------------------------------
 *
 * Print emz_ehypha_link_str(ehypha), or set config.log to emz_log_stderr. All but the first two are
 * being retried, with pauses that grow from a fraction of a second to at most a minute.
 *
 *     link          usual cause                           to see it yourself
 *     UP            connected, but nobody emits that      subscribe to "nonsense"
 *                   title; or it is paused
 *     CONNECTING    just started, or update() is not      do not call update()
 *                   called
 *     NO_PROXY      Tor is not running; another           torproxy_port = 1
 *                   torproxy_port
 *     UNREACHABLE   the peer is not running; wrong host   a port where nobody listens
 *                   or port; offline. With Tor,
 *                   emz_ehypha_link_str tells which
 *     DENIED        we are not in the peer's whitelist    have the peer whitelist another key
 *     WRONG_KEY     another key, or another program, at   add the peer with another public key
 *                   that address; seldom: it stopped
 *                   while we shook hands
 *     SILENT        the peer does not call update(), or   suspend the peer (Ctrl-Z)
 *                   is frozen
 *     LOST          the peer stopped; the circuit broke   stop the peer
 *     EXHAUSTED     too few file descriptors here         ulimit -n 30
 *
 * Through Tor, UNREACHABLE has many causes, and emz_ehypha_link_str tells them apart by what Tor
 * answers (RFC 1928; from F0 on only with ExtendedErrors at tor's SocksPort, Tor proposal 304):
 *
 *     01       the onion is there, the peer's         end the peer's program, not its tor
 *              program is not; or a circuit broke
 *     04, F0   no such onion: wrong address, or the   end the peer's tor, wait a minute
 *              peer's tor does not run (or just began)
 *     05       the onion does not offer this port     another port
 *     06       nobody answered for a long time        suspend the peer's tor
 *     F2 F3 F7 the way to the onion broke down        kill the peer's tor, connect at once
 *     F4, F5   it is for holders of a key only        a file in the onion's authorized_clients
 *     F6, F1   the address, or what it published, is  an address that fits its checksum by chance
 *              not valid
 *
 * On the publisher's side: emz_efunguz_in_attempted_num stays 0: nobody reaches you (is the onion
 * service's HiddenServicePort that of emz_efunguz_port?). It grows, but in_permitted_num does not:
 * they are not in your whitelist; the log tells their keys. A call that fails says why at once:
 * print emz_result_str(r).
 *
 * ---------------------------------------------------------------------------------------------
 * >>concepts
 * ---------------------------------------------------------------------------------------------
 *
 * A realm is a program, in C or another language, that has an efunguz: a peer. Other peers know it
 * by its public key, its onion address and a port. It publishes etales: titled values of any number
 * of parts, each any bytes. To read another peer's, add an ehypha, the connection to that peer, and
 * to this an etale for each title. An etale holds the newest value; older ones are gone. Who
 * subscribes late gets the last value at once.
 *
 * Reading goes before writing: nobody can put data into your program unless you asked for that
 * title of that peer. For an answer, the other one publishes, and you read.
 *
 * By convention the empty title, "", carries a catalogue: part 2i is a title, part 2i+1 says what
 * it holds.
 *
 * On the wire it is ZeroMQ's publish-subscribe (ZMTP 3.1, RFC 23 and 29) with CURVE (RFC 26) and
 * ZAP (RFC 27), so peers in other languages take part:
 *
 *     subscription   the title and one NUL
 *     frame 0        the title and one NUL
 *     frame 1        8 bytes: when it was published, microseconds since 1970, little-endian, signed
 *     frame 2 ...    the parts
 *
 * ---------------------------------------------------------------------------------------------
 * >>rules
 * ---------------------------------------------------------------------------------------------
 *
 * Threads: an efunguz, its ehyphae and etales belong to one thread at a time; several efungi may
 * live in several threads. There is no global state. libzmq has threads of its own; the log is
 * called in yours.
 *
 * Ownership: what you pass in is copied. You own efungi (emz_efunguz_free); they own the rest. An
 * ehypha's or etale's address stays valid until it is deleted; parts are valid until the next
 * emz_efunguz_update of their efunguz.
 *
 * Errors: a call that does not return EMZ_OK has changed nothing. No input, of you, a peer or a
 * proxy, ends the process, but for a flaw of libzmq that a peer which you read can use, see
 * >>security. (libzmq itself ends it also when memory runs out or a thread cannot be started. That
 * file descriptors suffice is checked before; but another thread of yours could take the last ones
 * at that very moment.)
 *
 * Time: call emz_efunguz_update often. Nobody gets in, and nothing passes through Tor, but there.
 * What direct peers and subscribers send meanwhile waits in memory, all of it.
 * A connection that is silent is probed every 30 s and given up after 90 s.
 *
 * Limits: parts of at most max_part_size (64 MiB) each way: a larger one that is received is
 * ignored or, above 64 kB, ends the connection. Titles of 65,535 bytes; to cancel one, libzmq takes
 * up to 100 bytes of stack for each, 6 MB in all: in threads with less, keep them short. File
 * descriptors: 6 an ehypha through Tor, 4 a direct one, 1 a subscriber, 20 or so an efunguz. Thus
 * 1,024 (ulimit -n) are enough for 160 ehyphae through Tor or 250 direct ones. For more, raise the
 * limit before the efunguz is created.
 *
 * ---------------------------------------------------------------------------------------------
 * >>capacity
 * ---------------------------------------------------------------------------------------------
 *
 * Measured on two processors of a virtual machine, libzmq 4.3.4, in a quick hour and a slow one;
 * "make bench" prints the same table for yours, each row beside libzmq alone. The rows are named
 * behind.
 *
 *     each                 memory     time
 *     subscriber           39 kB      an emit takes 5 to 9 us for one in all threads together, 2 to
 *                                     4 us more for each other; of your thread 1 to 2 us and 0.3 us
 *                                                          memory-subscriber, grow-subscribers
 *     title that you emit  0.6 kB     with 100 bytes in it; who comes late gets 10,000 of them in
 *                                     0.1 to 0.2 s         memory-etale, grow-etales
 *     ehypha, direct       51 kB      update(): 0.3 to 0.5 us if nothing came, whether there is one
 *                                     or 1,000; 7 to 15 us for each that has a value
 *                                                          memory-ehypha, idle, grow-ehyphae
 *     ehypha through Tor   51 kB      20 to 40 us more for a value on its way here
 *                                                          memory-ehypha, latency
 *     etale of 100 bytes   1.2 kB     7 to 15 us from emit to received, both ends, when there are
 *                                     many; 50 to 70 us for one alone
 *                                                          memory-etale, grow-etales, latency
 *     part                 80 bytes   2 to 4 us for each, both ends
 *                                                          grow-parts
 *     key of a whitelist   109 bytes  0.2 to 0.4 us to add, 0.3 to 0.6 us to read from a file, 0.05
 *                                     to 0.2 us to look up, of 10 to 100,000
 *                                                          whitelist
 *     value of 64 MB       192 MB     at both ends together, as with libzmq alone
 *                                                          memory-peak
 *
 * The first limit, direct:
 *
 *     10, 100 peers   none; 100 subscribers, 20 values a second each: 1 % of a processor
 *     1,000           file descriptors, see >>rules: raise the limit; 51 MB; an emit to 1,000 takes
 *                     3 to 6 ms of all threads together: 20 a second fill a tenth of a processor
 *     10,000          as a publisher, the processor: 60 ms an emit. As a reader, the sockets of a
 *                     context, 32,768, three an ehypha: share them out between two efungi
 *
 * Over Tor, Tor is the limit long before. On a private network of real tor processes 1.3 MB a
 * second passed and 10 kB took 64 ms, 98 % of what a bare SOCKS connection gets ("make bench-tor");
 * on the real one the relays decide. So emit small values, no more often than they can pass: what
 * waits for a subscriber who cannot keep up grows old, in the queue and in the system's buffers.
 * Where 200 kB a second pass and 1 MB is offered, in values of 1 kB, what is read is 17 s old with
 * the default queue_size, as with libzmq alone, and 1.6 s with 100 (slow): take that if values are
 * many and subscribers slow. The default is more because of a burst of more titles than the queue
 * holds the last ones come a second late, and 10 kB values pass a tenth faster (direct-10kB).
 *
 * ---------------------------------------------------------------------------------------------
 * >>security
 * ---------------------------------------------------------------------------------------------
 *
 * Against                        protects
 *
 *     who reads or changes       CURVE (RFC 26): all is encrypted and authenticated from end to
 *     what passes                end, through Tor or not; on the way, sizes and times can be seen
 *     who pretends to be a peer  CURVE: only the holder of the secret key publishes as that peer
 *     who is not invited         the whitelist; a change is effective before the call returns.
 *                                An empty one lets everybody in, unless whitelist_only
 *     who wants to know where    Tor: neither end learns where the other is. Names are looked up
 *     you are                    by Tor alone (hosts of emz_efunguz_add_ehypha_direct apart), and
 *                                an efunguz listens on 127.0.0.1 alone, unless bind_host says more
 *     strangers who connect      each is one file descriptor, for EMZ_HANDSHAKE_TIMEOUT_MS at most
 *     other programs of this     the tunnel's port on loopback takes our own connection only, and
 *     computer                   lives until that has come
 *     a peer, subscriber or      nothing of theirs is trusted, printed raw or asserted on; parts,
 *     proxy that sends nonsense  titles and what one update() does are bounded; whoever breaks the
 *                                protocol as a subscriber is kept out
 *
 * Not protected:
 *
 *     that you use Tor, when you send and how much: to who watches your line
 *     who you are, from whom you let in: subscribers know your public key and see every title that
 *     they ask for
 *     what a peer publishes: check it, as any input
 *     the computer itself: other users of it can see that you listen; who is root, or you, can
 *     read the keys
 *
 * Bounds that libzmq does not have, and what helps ("make hostile" prints such figures):
 *
 *     a peer that you read can end your program: libzmq (4.3.4) on libsodium aborts the process
 *     when a publisher, in the handshake, gives a short-term key that is a point of low order, such
 *     as all zeros (curve_client_tools.hpp, "Assertion failed: rc == 0"). Only the holder of the
 *     secret key can do that, nobody on the way, no subscriber, no stranger; it is encrypted before
 *     we see it, so nothing here can stop it (tests/hostile.c shows it). And a message is held
 *     until it is whole, through Tor EMZ_MESSAGE_MAX at most, direct without a limit; whole ones of
 *     a direct peer wait in memory until update() takes them. Add peers whom you trust not to do
 *     that, or read others in a process of its own that may be started again
 *     a subscriber that you let in: its subscriptions take some 50 bytes of memory for each byte of
 *     a title, without a limit (1,000 titles of 1,000 bytes: 46 MB), and their end holds update()
 *     up, 2 s for those. A whitelist
 *
 * Keys: whoever has your secret key is you. Keep it in a file that only you can read, never in a
 * command line or a repository. If it leaks, make a new one, and tell your peers to remove the old
 * public key. emz_efunguz_free wipes our copy of it; libzmq keeps its own while it runs.
 *
 * To report a weakness: write in private to whom you have this file from, with EMZ_VERSION, the
 * version of libzmq and the smallest program that shows it; tell others when it is mended.
 *
 * ---------------------------------------------------------------------------------------------
 * >>switches: define before the include
 * ---------------------------------------------------------------------------------------------
 *
 *     name                       default   meaning                                  where
 *     EMYZELIUM_IMPLEMENTATION   -         put the implementation here              see below
 *     EMYZELIUM_EXTERN           -         one implementation for all files         all files
 *     EMZ_MALLOC(size), EMZ_REALLOC(ptr, size), EMZ_FREE(ptr)
 *                                stdlib's  all memory but libzmq's own              implementation
 *     EMZ_NO_EPOLL               -         poll() also on Linux                     implementation
 *     EMZ_UPDATE_MESSAGES        1000      most messages an ehypha an update()      implementation
 *     EMZ_HEARTBEAT_MS           30000     between two probes of a silent peer      implementation
 *     EMZ_HEARTBEAT_TIMEOUT_MS   90000     until it is given up                     implementation
 *     EMZ_PROXY_TIMEOUT_MS       10000     for the proxy to answer                  implementation
 *     EMZ_ONION_TIMEOUT_MS       150000    for Tor to reach the onion, at most; the  implementation
 *                                          first attempts get an eighth, a quarter,
 *                                          half of it
 *     EMZ_CONNECT_TIMEOUT_MS     20000     for a host to accept                     implementation
 *     EMZ_HANDSHAKE_TIMEOUT_MS   30000     for the other one's part of a handshake  implementation
 *     EMZ_RETRY_PERCENT          100       longer or shorter pauses                 implementation
 *     EMZ_MESSAGE_MAX            1 GiB     bytes that may come through Tor without   implementation
 *                                          making up a message
 *     EMZ_LINGER_MS              250       for the last emit to leave, in free      implementation
 *
 * By default everything is static: define EMYZELIUM_IMPLEMENTATION in each file that uses it; such
 * files may hand each other pointers, if they have the same switches. For one shared implementation
 * define EMYZELIUM_EXTERN in all files, and EMYZELIUM_IMPLEMENTATION in one of them.
 *
 * ---------------------------------------------------------------------------------------------
 * >>building
 * ---------------------------------------------------------------------------------------------
 *
 * C99 or later, C++11 or later, without a warning. Debian, Ubuntu: apt-get install libzmq3-dev.
 * Fedora: dnf install zeromq-devel. macOS: brew install zeromq. Windows: vcpkg or MSYS2 (zeromq).
 * The tests run on Linux; for Windows it has only been compiled (MinGW-w64), for macOS and BSD not
 * even that. README.md has the table.
 *
 * For other languages, make a shared library:
 *
 *     cc -shared -fPIC -DEMYZELIUM_EXTERN -DEMYZELIUM_IMPLEMENTATION -x c emyzelium.h \
 *         -o libemyzelium.so -lzmq
 *
 * ---------------------------------------------------------------------------------------------
 * >>changes
 * ---------------------------------------------------------------------------------------------
 *
 * The first line and EMZ_VERSION say which version this file is, emz_version() which one a program
 * was built with. To upgrade, copy the new file over the old one and build all that includes it. A
 * program that compiled before 1.0 may need changes when the second number grows, then named here;
 * the wire stays as it is.
 *
 *     0.1.0   the first
 */

/* ---------------------------------------------------------------------------------------------
 * >>declarations
 * ------------------------------------------------------------------------------------------ */
#ifndef EMYZELIUM_H
#define EMYZELIUM_H

#include <stddef.h> /* size_t */
#include <stdint.h> /* int64_t, uint64_t */

/* The version of this file, as text and as numbers; see >>changes. */
#define EMZ_VERSION       "0.1.0"
#define EMZ_VERSION_MAJOR 0
#define EMZ_VERSION_MINOR 1
#define EMZ_VERSION_PATCH 0

#define EMZ_KEY_SIZE     32    /* bytes of a raw key */
#define EMZ_KEY_Z85_SIZE 41    /* bytes of a key as text: 40 characters and the NUL */
#define EMZ_TITLE_MAX    65535 /* bytes of the longest title, without its NUL */
#define EMZ_ANY_PORT     (-1)  /* a port that the system chooses; see emz_efunguz_port */

/* What 0 and NULL mean in emz_config. */
#define EMZ_DEF_PUBSUB_PORT    60847       /* 0xEDAF */
#define EMZ_DEF_BIND_HOST      "127.0.0.1" /* this machine only, where its tor is */
#define EMZ_DEF_TOR_PROXY_PORT 9050        /* of a system's tor */
#define EMZ_DEF_TOR_PROXY_HOST "127.0.0.1" /* this machine */
#define EMZ_DEF_MAX_PART_SIZE  67108864    /* bytes: 64 MiB */
#define EMZ_DEF_QUEUE_SIZE     1000        /* messages */

/* What a call came to. EMZ_OK is 0; 1 to 5 say that there was nothing to do (nothing is wrong);
 * from 16 on something is. A call that returns anything but EMZ_OK has changed nothing. */
typedef enum emz_result {
    EMZ_OK = 0,              /* done */
    EMZ_ALREADY_PRESENT = 1, /* there is one already */
    EMZ_ALREADY_ABSENT = 2,  /* there was none to delete */
    EMZ_ALREADY_PAUSED = 3,  /* nothing to pause */
    EMZ_ALREADY_RESUMED = 4, /* nothing to resume */
    EMZ_ABSENT = 5,          /* there is none to pause or resume */
    EMZ_ERR_ARGUMENT = 16,   /* NULL where something is needed, a port out of range, ... */
    EMZ_ERR_KEY,             /* not 40 characters of Z85 that hold 32 bytes, or no CURVE key */
    EMZ_ERR_ONION,           /* not a v3 onion address: length, alphabet, version or checksum */
    EMZ_ERR_TITLE,           /* longer than EMZ_TITLE_MAX */
    EMZ_ERR_TOO_LARGE,       /* a part is larger than max_part_size */
    EMZ_ERR_MEMORY,          /* an allocation failed */
    EMZ_ERR_FILE,            /* the file cannot be opened or read; errno says why */
    EMZ_ERR_BIND,            /* the port is taken or not allowed; errno says which */
    EMZ_ERR_NO_CURVE,        /* this libzmq was built without CURVE */
    EMZ_ERR_ZMQ              /* another libzmq call failed; errno says which error */
} emz_result;

/* Where a connection to a peer stands. The negative ones are reasons; all of them are being
 * retried. They keep their value until the connection is up or fails for another reason. */
typedef enum emz_link {
    EMZ_LINK_UP = 1,           /* authenticated by both sides */
    EMZ_LINK_CONNECTING = 0,   /* on the way, nothing wrong yet */
    EMZ_LINK_NO_PROXY = -1,    /* no SOCKS5 proxy answers at torproxy_host:torproxy_port */
    EMZ_LINK_UNREACHABLE = -2, /* Tor or the host says no */
    EMZ_LINK_DENIED = -3,      /* the peer's whitelist does not hold our public key */
    EMZ_LINK_LOST = -4,        /* it was up */
    EMZ_LINK_WRONG_KEY = -5,   /* something answers there, but not the peer with that key */
    EMZ_LINK_SILENT = -6,      /* something accepted the connection there and says nothing */
    EMZ_LINK_EXHAUSTED = -7    /* no file descriptor, port or memory left for it here */
} emz_link;

/* How urgent a line of the log is. */
typedef enum emz_log_level {
    EMZ_LOG_ERROR = 0, /* something that only you can put right */
    EMZ_LOG_WARNING,   /* something went wrong and is being retried */
    EMZ_LOG_INFO       /* who came, went or was refused */
} emz_log_level;

typedef struct emz_efunguz emz_efunguz; /* a peer: your end */
typedef struct emz_ehypha emz_ehypha;   /* a connection to one other peer */
typedef struct emz_etale emz_etale;     /* the newest value under a title of that peer */

/* One part of an etale: size bytes at data. data may be NULL when size is 0. */
typedef struct emz_part {
    const void *data;
    size_t size;
} emz_part;

/* How an efunguz is to be; all zero means all defaults. It is copied: nothing in it needs to
 * outlive emz_efunguz_new, but for log_user. */
typedef struct emz_config {
    const char *const *whitelist; /* public keys (Z85) of those who may subscribe */
    size_t whitelist_size;        /* how many; 0: everybody may, unless whitelist_only */
    int whitelist_only;           /* nonzero: an empty whitelist lets nobody in */
    int pubsub_port;              /* TCP port; 0: EMZ_DEF_PUBSUB_PORT; or EMZ_ANY_PORT */
    const char *bind_host;        /* address to listen on; NULL: EMZ_DEF_BIND_HOST; "*": all */
    const char *torproxy_host;    /* IPv4 or IPv6 address (never looked up), or "localhost";
                                     NULL: EMZ_DEF_TOR_PROXY_HOST */
    int torproxy_port;            /* 0: EMZ_DEF_TOR_PROXY_PORT */
    size_t max_part_size;         /* bytes, sent or received; 0: EMZ_DEF_MAX_PART_SIZE */
    int queue_size;               /* messages kept for a slow subscriber, then the newest are
                                     dropped: at least twice the titles that you emit at once; 0:
                                     EMZ_DEF_QUEUE_SIZE. With fewer, the system keeps little as
                                     well: see >>capacity */
    int io_threads;               /* of libzmq, at most 64; 0: 1, enough for hundreds of MB/s */
    int no_retain;                /* nonzero: a new subscriber waits for the next emit */
    void (*log)(void *user, emz_log_level level, const char *message); /* NULL: silent; see
                                     emz_log_stderr. Called by the efunguz's thread, inside of
                                     its functions: it must not call them. */
    void *log_user;                                                    /* handed to log */
} emz_config;

/* Linkage: static by default, see "switches" above. */
#ifndef EMZ_API
#if defined(EMYZELIUM_EXTERN) && defined(__GNUC__) && !defined(_WIN32)
#define EMZ_API extern __attribute__((visibility("default")))
#elif defined(EMYZELIUM_EXTERN)
#define EMZ_API extern
#elif defined(__GNUC__) || defined(__TINYC__)
#define EMZ_API static __attribute__((unused))
#else
#define EMZ_API static
#endif
#endif

#endif /* EMYZELIUM_H */

#if !defined(EMZ_I_DECLARED) && (defined(EMYZELIUM_IMPLEMENTATION) || defined(EMYZELIUM_EXTERN))
#define EMZ_I_DECLARED

/* An earlier include, only for the types, may have put signposts in the functions' places. */
#ifdef EMZ_I_SIGNPOSTS
#undef emz_version
#undef emz_result_str
#undef emz_link_str
#undef emz_log_stderr
#undef emz_keypair
#undef emz_publickey
#undef emz_z85_encode
#undef emz_z85_decode
#undef emz_onion_check
#undef emz_now
#undef emz_efunguz_new
#undef emz_efunguz_free
#undef emz_efunguz_publickey
#undef emz_efunguz_port
#undef emz_efunguz_add_whitelist_publickeys
#undef emz_efunguz_del_whitelist_publickeys
#undef emz_efunguz_clear_whitelist_publickeys
#undef emz_efunguz_read_whitelist_publickeys
#undef emz_efunguz_whitelist_size
#undef emz_efunguz_add_ehypha
#undef emz_efunguz_add_ehypha_direct
#undef emz_efunguz_get_ehypha
#undef emz_efunguz_del_ehypha
#undef emz_efunguz_ehypha_count
#undef emz_efunguz_ehypha_at
#undef emz_efunguz_emit_etale
#undef emz_efunguz_forget_etale
#undef emz_efunguz_update
#undef emz_efunguz_wait
#undef emz_efunguz_in_absorbing_num
#undef emz_efunguz_in_permitted_num
#undef emz_efunguz_in_attempted_num
#undef emz_ehypha_publickey
#undef emz_ehypha_link
#undef emz_ehypha_link_str
#undef emz_ehypha_add_etale
#undef emz_ehypha_get_etale
#undef emz_ehypha_del_etale
#undef emz_ehypha_pause_etale
#undef emz_ehypha_resume_etale
#undef emz_ehypha_pause_etales
#undef emz_ehypha_resume_etales
#undef emz_ehypha_etale_count
#undef emz_ehypha_etale_at
#undef emz_etale_title
#undef emz_etale_parts
#undef emz_etale_t_out
#undef emz_etale_t_in
#undef emz_etale_paused
#undef EMZ_I_SIGNPOSTS
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- words and keys: any thread, at any time ---- */

/* The version of the implementation that was compiled in, as "0.1.0"; static. */
EMZ_API const char *emz_version(void);

/* A sentence for each value, also for an unknown one; never NULL; static. */
EMZ_API const char *emz_result_str(emz_result r);
EMZ_API const char *emz_link_str(emz_link link); /* one that a player can act on; static */

/* A ready-made log for emz_config: a line to stderr. user is not used. */
EMZ_API void emz_log_stderr(void *user, emz_log_level level, const char *message);

/* Fill in a fresh CURVE key pair as Z85 text (ZeroMQ RFC 26, 32). Whoever has the secret key is
 * you. Errors: ARGUMENT, NO_CURVE. */
EMZ_API emz_result emz_keypair(char publickey[EMZ_KEY_Z85_SIZE], char secretkey[EMZ_KEY_Z85_SIZE]);

/* Fill in the public key that belongs to a secret one. Errors: ARGUMENT, KEY, NO_CURVE. */
EMZ_API emz_result emz_publickey(char publickey[EMZ_KEY_Z85_SIZE], const char *secretkey);

/* Z85 (ZeroMQ RFC 32): 4 bytes to 5 characters. data_size must be a multiple of 4; text_size, the
 * room at text, at least data_size / 4 * 5 + 1 for the NUL. Errors: ARGUMENT. */
EMZ_API emz_result emz_z85_encode(char *text, size_t text_size, const void *data, size_t data_size);

/* The other way, strictly: text must be exactly data_size / 4 * 5 characters of the alphabet, each
 * group of 5 at most 2^32 - 1. Errors: ARGUMENT, and then nothing was written. */
EMZ_API emz_result emz_z85_decode(void *data, size_t data_size, const char *text);

/* Is this a v3 onion address (Tor rend-spec-v3, section 6: length, base32, version, SHA3-256
 * checksum)? 56 characters, upper or lower case, ".onion" allowed behind. It says that there is no
 * typing mistake, not that anybody is there. Errors: ARGUMENT, ONION. */
EMZ_API emz_result emz_onion_check(const char *onion);

/* Microseconds since the Unix epoch, UTC. */
EMZ_API int64_t emz_now(void);

/* ---- efunguz: your end. It, its ehyphae and their etales belong to one thread at a time; ----
 * ---- different efungi may live in different threads. NULL for ef is harmless everywhere.  ---- */

/* Create an efunguz that listens at once, and set *out to it; you own it. secretkey: Z85; config:
 * NULL for all defaults. Errors: ARGUMENT (the log says which), KEY (also in the whitelist), BIND,
 * MEMORY, NO_CURVE, ZMQ (errno EMFILE: too few file descriptors). */
EMZ_API emz_result emz_efunguz_new(emz_efunguz **out, const char *secretkey,
                                   const emz_config *config);

/* End it: all connections, its ehyphae and their etales, within about EMZ_LINGER_MS; wipe its
 * secret key. */
EMZ_API void emz_efunguz_free(emz_efunguz *ef);

/* Its public key as Z85; lives as long as ef. NULL for NULL. */
EMZ_API const char *emz_efunguz_publickey(const emz_efunguz *ef);

/* The TCP port it listens on, also if the system chose it. */
EMZ_API int emz_efunguz_port(const emz_efunguz *ef);

/* Who may subscribe. All keys of a call count, or with an error none; a key that is already there
 * (or already gone) is fine. Effective at once: who is no longer permitted is disconnected before
 * the call returns. For that all connections are cut; permitted peers come back by themselves and
 * get the last values. Errors: ARGUMENT, KEY, MEMORY. */
EMZ_API emz_result emz_efunguz_add_whitelist_publickeys(emz_efunguz *ef, const char *const *keys,
                                                        size_t count);

/* Who no longer may, in the same way. NB: without any key everybody may, unless whitelist_only.
 * Errors: ARGUMENT, KEY. */
EMZ_API emz_result emz_efunguz_del_whitelist_publickeys(emz_efunguz *ef, const char *const *keys,
                                                        size_t count);
EMZ_API void emz_efunguz_clear_whitelist_publickeys(emz_efunguz *ef); /* delete all */

/* Add the keys of a text file: one a line, text behind it ignored; empty lines and lines that start
 * with # are skipped. *line (line may be NULL) is set to the number of the first bad line, from 1,
 * or to 0 if there is none. Errors: ARGUMENT, FILE, KEY, MEMORY; then no key was added. */
EMZ_API emz_result emz_efunguz_read_whitelist_publickeys(emz_efunguz *ef, const char *path,
                                                         size_t *line);
EMZ_API size_t emz_efunguz_whitelist_size(const emz_efunguz *ef); /* how many keys */

/* Connect to another peer by its public key (Z85) and onion address, through Tor; port 1 to 65535.
 * The connection is made in the background and retried for ever: see emz_ehypha_link. *out (out may
 * be NULL) is the ehypha, owned by ef, valid until it is deleted; also set with ALREADY_PRESENT,
 * when there is one with that key. Errors: ARGUMENT, KEY, ONION, MEMORY, ZMQ (errno EMFILE). */
EMZ_API emz_result emz_efunguz_add_ehypha(emz_efunguz *ef, const char *publickey, const char *onion,
                                          int port, emz_ehypha **out);

/* The same without Tor, for this machine or a LAN: host is a name or an address. A name is looked
 * up by libzmq, outside of Tor; one that ends in .onion is refused. *out is owned by ef, also set
 * with ALREADY_PRESENT. Errors: ARGUMENT, KEY, MEMORY, ZMQ (errno EMFILE). */
EMZ_API emz_result emz_efunguz_add_ehypha_direct(emz_efunguz *ef, const char *publickey,
                                                 const char *host, int port, emz_ehypha **out);

/* The ehypha with that key, owned by ef; or NULL. */
EMZ_API emz_ehypha *emz_efunguz_get_ehypha(emz_efunguz *ef, const char *publickey);

/* End an ehypha with its etales; pointers to them are dead then. ALREADY_ABSENT if there is none.
 * Errors: ARGUMENT, KEY. */
EMZ_API emz_result emz_efunguz_del_ehypha(emz_efunguz *ef, const char *publickey);

/* How many there are. */
EMZ_API size_t emz_efunguz_ehypha_count(const emz_efunguz *ef);

/* All of them, owned by ef, i from 0 to count - 1; NULL beyond. In the order of adding, except that
 * deleting one puts the last into its place. */
EMZ_API emz_ehypha *emz_efunguz_ehypha_at(emz_efunguz *ef, size_t i);

/* Publish count parts under a title: all of it or, with an error, nothing. title: bytes up to the
 * NUL, may be "". parts may be NULL when count is 0. The data is copied. Unless no_retain, the
 * value is kept and handed to each new subscriber of the title. It never blocks: a subscriber whose
 * queue is full misses it. But the last one of a title reaches it when it has caught up: after a
 * full queue, kept values are sent again up to two minutes later, to all who hold the title (so one
 * subscriber who cannot keep up costs the others, too: values that are emitted seldom come more
 * than once), and who was away longer asks for them (a subscriber with this file, and a queue_size
 * not above yours, does, on reading what had piled up). Errors: ARGUMENT, TITLE, TOO_LARGE, MEMORY,
 * ZMQ, and BIND while the port could not be taken again after a change of the whitelist (it is
 * being retried). */
EMZ_API emz_result emz_efunguz_emit_etale(emz_efunguz *ef, const char *title, const emz_part *parts,
                                          size_t count);

/* Drop the kept value of a title. ALREADY_ABSENT if there is none. Errors: ARGUMENT. */
EMZ_API emz_result emz_efunguz_forget_etale(emz_efunguz *ef, const char *title);

/* Do all that is to do, without waiting: let subscribers in, receive, reconnect. Returns how many
 * etales got a newer value. Call it often, at least every few seconds: nobody gets in, and nothing
 * passes through Tor, but here. Bounded: at most EMZ_UPDATE_MESSAGES messages an ehypha, of at most
 * some 1,000 ehyphae; the rest is for the next call. */
EMZ_API int emz_efunguz_update(emz_efunguz *ef);

/* Sleep until update() has work to do: 1; the next update() does that, without looking for more.
 * After timeout_ms milliseconds (negative: never), or on a signal: 0. */
EMZ_API int emz_efunguz_wait(emz_efunguz *ef, int timeout_ms);

/* Who subscribes to you: connections that are authenticated now; authentications granted, ever;
 * authentications asked for, ever. As of the last update(). */
EMZ_API uint64_t emz_efunguz_in_absorbing_num(const emz_efunguz *ef);
EMZ_API uint64_t emz_efunguz_in_permitted_num(const emz_efunguz *ef);
EMZ_API uint64_t emz_efunguz_in_attempted_num(const emz_efunguz *ef);

/* ---- ehypha: the connection to one other peer; the thread of its efunguz ---- */

/* The peer's public key as Z85; lives as long as eh. */
EMZ_API const char *emz_ehypha_publickey(const emz_ehypha *eh);

/* Where the connection stands and, when it does not, why; as of the last update(). */
EMZ_API emz_link emz_ehypha_link(const emz_ehypha *eh);

/* The same as a sentence: emz_link_str, or what exactly Tor answered. Static, never NULL. */
EMZ_API const char *emz_ehypha_link_str(const emz_ehypha *eh);

/* Ask the peer for a title. *out (out may be NULL) is the etale, owned by eh, valid until it is
 * deleted; also set with ALREADY_PRESENT. Errors: ARGUMENT, TITLE, MEMORY, ZMQ. */
EMZ_API emz_result emz_ehypha_add_etale(emz_ehypha *eh, const char *title, const emz_etale **out);

/* The etale with that title, owned by eh; or NULL. */
EMZ_API const emz_etale *emz_ehypha_get_etale(const emz_ehypha *eh, const char *title);

/* No longer ask for it; pointers to it are dead then. ALREADY_ABSENT if there is none. Errors:
 * ARGUMENT, MEMORY, ZMQ. */
EMZ_API emz_result emz_ehypha_del_etale(emz_ehypha *eh, const char *title);

/* A paused etale costs the peer nothing and keeps its last value; resumed, it gets the newest.
 * ABSENT if there is none, ALREADY_PAUSED, ALREADY_RESUMED. Errors: ARGUMENT, MEMORY, ZMQ. */
EMZ_API emz_result emz_ehypha_pause_etale(emz_ehypha *eh, const char *title);
EMZ_API emz_result emz_ehypha_resume_etale(emz_ehypha *eh, const char *title);

/* The same for all etales of an ehypha; for which it fails, that one stays as it is. */
EMZ_API void emz_ehypha_pause_etales(emz_ehypha *eh);
EMZ_API void emz_ehypha_resume_etales(emz_ehypha *eh);

/* How many there are. */
EMZ_API size_t emz_ehypha_etale_count(const emz_ehypha *eh);

/* All of them, owned by eh; order and bounds as with emz_efunguz_ehypha_at. */
EMZ_API const emz_etale *emz_ehypha_etale_at(const emz_ehypha *eh, size_t i);

/* ---- etale: the newest value under one title; the thread of its efunguz ---- */

/* Without its NUL, as given to add_etale; lives as long as et. */
EMZ_API const char *emz_etale_title(const emz_etale *et);

/* The parts and (count may be NULL) how many; NULL and 0 until the first value, and for a value
 * without parts. The peer chose their number, sizes and bytes: check them. Valid until the next
 * emz_efunguz_update or until the etale goes. data is not aligned for anything but bytes. */
EMZ_API const emz_part *emz_etale_parts(const emz_etale *et, size_t *count);

/* When it was published (the peer's clock) and received (ours); microseconds since the Unix epoch;
 * -1 until the first value. */
EMZ_API int64_t emz_etale_t_out(const emz_etale *et);
EMZ_API int64_t emz_etale_t_in(const emz_etale *et);
EMZ_API int emz_etale_paused(const emz_etale *et); /* 1 or 0 */

#ifdef __cplusplus
}
#endif

#elif !defined(EMZ_I_DECLARED) && !defined(EMZ_I_SIGNPOSTS)

/* Included for the types alone. Who calls a function here reads in the compiler's error what to
 * define; a later include with EMYZELIUM_IMPLEMENTATION takes these signposts down again. */
#define EMZ_I_SIGNPOSTS \
    sizeof(struct define_EMYZELIUM_IMPLEMENTATION_or_EMYZELIUM_EXTERN_before_emyzelium_h)
#define emz_version                            EMZ_I_SIGNPOSTS
#define emz_result_str                         EMZ_I_SIGNPOSTS
#define emz_link_str                           EMZ_I_SIGNPOSTS
#define emz_log_stderr                         EMZ_I_SIGNPOSTS
#define emz_keypair                            EMZ_I_SIGNPOSTS
#define emz_publickey                          EMZ_I_SIGNPOSTS
#define emz_z85_encode                         EMZ_I_SIGNPOSTS
#define emz_z85_decode                         EMZ_I_SIGNPOSTS
#define emz_onion_check                        EMZ_I_SIGNPOSTS
#define emz_now                                EMZ_I_SIGNPOSTS
#define emz_efunguz_new                        EMZ_I_SIGNPOSTS
#define emz_efunguz_free                       EMZ_I_SIGNPOSTS
#define emz_efunguz_publickey                  EMZ_I_SIGNPOSTS
#define emz_efunguz_port                       EMZ_I_SIGNPOSTS
#define emz_efunguz_add_whitelist_publickeys   EMZ_I_SIGNPOSTS
#define emz_efunguz_del_whitelist_publickeys   EMZ_I_SIGNPOSTS
#define emz_efunguz_clear_whitelist_publickeys EMZ_I_SIGNPOSTS
#define emz_efunguz_read_whitelist_publickeys  EMZ_I_SIGNPOSTS
#define emz_efunguz_whitelist_size             EMZ_I_SIGNPOSTS
#define emz_efunguz_add_ehypha                 EMZ_I_SIGNPOSTS
#define emz_efunguz_add_ehypha_direct          EMZ_I_SIGNPOSTS
#define emz_efunguz_get_ehypha                 EMZ_I_SIGNPOSTS
#define emz_efunguz_del_ehypha                 EMZ_I_SIGNPOSTS
#define emz_efunguz_ehypha_count               EMZ_I_SIGNPOSTS
#define emz_efunguz_ehypha_at                  EMZ_I_SIGNPOSTS
#define emz_efunguz_emit_etale                 EMZ_I_SIGNPOSTS
#define emz_efunguz_forget_etale               EMZ_I_SIGNPOSTS
#define emz_efunguz_update                     EMZ_I_SIGNPOSTS
#define emz_efunguz_wait                       EMZ_I_SIGNPOSTS
#define emz_efunguz_in_absorbing_num           EMZ_I_SIGNPOSTS
#define emz_efunguz_in_permitted_num           EMZ_I_SIGNPOSTS
#define emz_efunguz_in_attempted_num           EMZ_I_SIGNPOSTS
#define emz_ehypha_publickey                   EMZ_I_SIGNPOSTS
#define emz_ehypha_link                        EMZ_I_SIGNPOSTS
#define emz_ehypha_link_str                    EMZ_I_SIGNPOSTS
#define emz_ehypha_add_etale                   EMZ_I_SIGNPOSTS
#define emz_ehypha_get_etale                   EMZ_I_SIGNPOSTS
#define emz_ehypha_del_etale                   EMZ_I_SIGNPOSTS
#define emz_ehypha_pause_etale                 EMZ_I_SIGNPOSTS
#define emz_ehypha_resume_etale                EMZ_I_SIGNPOSTS
#define emz_ehypha_pause_etales                EMZ_I_SIGNPOSTS
#define emz_ehypha_resume_etales               EMZ_I_SIGNPOSTS
#define emz_ehypha_etale_count                 EMZ_I_SIGNPOSTS
#define emz_ehypha_etale_at                    EMZ_I_SIGNPOSTS
#define emz_etale_title                        EMZ_I_SIGNPOSTS
#define emz_etale_parts                        EMZ_I_SIGNPOSTS
#define emz_etale_t_out                        EMZ_I_SIGNPOSTS
#define emz_etale_t_in                         EMZ_I_SIGNPOSTS
#define emz_etale_paused                       EMZ_I_SIGNPOSTS

#endif

/* ---------------------------------------------------------------------------------------------
 * Stop reading here, unless you want to know how it works.
 *
 * The way of the data: emit -> gate (publishing socket) -> Tor -> tunnel -> subscribing socket ->
 * wire -> etale. Private names start with emz_i_ or EMZ_I_. Each kind of danger has one place:
 * memory is taken in >>memory, system sockets are handled in >>net, libzmq's options are set in
 * >>sockets, bytes from the network are judged in >>wire, and the proxy's in >>socks.
 * ------------------------------------------------------------------------------------------ */
#if defined(EMYZELIUM_IMPLEMENTATION) && !defined(EMZ_I_IMPLEMENTED)
#define EMZ_I_IMPLEMENTED

#include <errno.h>
#include <stdarg.h> /* the log's messages */
#include <stdio.h>  /* vsnprintf; the whitelist file */
#include <stdlib.h> /* malloc */
#include <string.h>
#include <zmq.h> /* not found? Install libzmq3-dev, zeromq-devel or zeromq; brings winsock2.h */

#ifdef _WIN32
#define EMZ_I_WINDOWS 1
#include <ws2tcpip.h> /* inet_pton, socklen_t */
#else
#define EMZ_I_WINDOWS 0
#include <arpa/inet.h>   /* inet_pton */
#include <fcntl.h>       /* non-blocking sockets */
#include <netinet/in.h>  /* sockaddr_in */
#include <netinet/tcp.h> /* TCP_NODELAY */
#include <sys/socket.h>
#include <sys/time.h> /* gettimeofday: also there in strict C99 */
#include <unistd.h>   /* close */
#endif

/* Compilers that are no gcc (tcc) get a struct epoll_event from glibc that is not the kernel's: on
 * x86-64 it is packed, and glibc takes their attributes away. */
#if defined(__linux__) && defined(__GNUC__) && !defined(EMZ_NO_EPOLL)
#define EMZ_I_EPOLL 1
#include <sys/epoll.h>
#else
#define EMZ_I_EPOLL 0
#endif

#if ZMQ_VERSION < ZMQ_MAKE_VERSION(4, 3, 3)
#error "emyzelium.h needs libzmq 4.3.3 or later: install a newer libzmq (Debian: libzmq3-dev)"
#endif

#ifndef EMZ_MALLOC
#define EMZ_MALLOC(size)       malloc(size)
#define EMZ_REALLOC(ptr, size) realloc(ptr, size)
#define EMZ_FREE(ptr)          free(ptr)
#endif

#ifndef EMZ_UPDATE_MESSAGES
#define EMZ_UPDATE_MESSAGES 1000
#endif
#ifndef EMZ_HEARTBEAT_MS
#define EMZ_HEARTBEAT_MS 30000
#endif
#ifndef EMZ_HEARTBEAT_TIMEOUT_MS
#define EMZ_HEARTBEAT_TIMEOUT_MS 90000
#endif
#ifndef EMZ_PROXY_TIMEOUT_MS
#define EMZ_PROXY_TIMEOUT_MS 10000
#endif
#ifndef EMZ_ONION_TIMEOUT_MS
#define EMZ_ONION_TIMEOUT_MS 150000
#endif
#ifndef EMZ_CONNECT_TIMEOUT_MS
#define EMZ_CONNECT_TIMEOUT_MS 20000
#endif
#ifndef EMZ_HANDSHAKE_TIMEOUT_MS
#define EMZ_HANDSHAKE_TIMEOUT_MS 30000
#endif
#ifndef EMZ_RETRY_PERCENT
#define EMZ_RETRY_PERCENT 100
#endif
#ifndef EMZ_MESSAGE_MAX
#define EMZ_MESSAGE_MAX 1073741824
#endif
#ifndef EMZ_LINGER_MS
#define EMZ_LINGER_MS 250
#endif

/* Bounds of one update() beside EMZ_UPDATE_MESSAGES; what is left waits for the next. */
#define EMZ_I_GATE_BATCH   4096  /* subscriptions, authentications, events */
#define EMZ_I_PUMP_BATCH   64    /* chunks a direction of a tunnel */
#define EMZ_I_CHUNK        65536 /* bytes that a tunnel moves at once */
#define EMZ_I_OWED_MS      20    /* until a kept value is sent again that a queue had no room for */
#define EMZ_I_REFUSED_MAX  16    /* values running, then others are not tried until then */
#define EMZ_I_HELD_MS      10000 /* without any progress, until it is sent past who has no room */
#define EMZ_I_REPEAT_MS    1000  /* until one is that may have been lost so; then twice as long, */
#define EMZ_I_REPEAT_MAX   64000 /* and so on up to this */
#define EMZ_I_REPEAT_RATE  200   /* a second just after a full queue; then more and more */
#define EMZ_I_BACKLOG      512   /* so many values on their way at once are a backlog, or fewer */
#define EMZ_I_MARKS        64    /* of them, so many arrivals are remembered */
#define EMZ_I_SLACK_MS     100   /* by which the shortest way may be shorter than what was seen */
#define EMZ_I_QUIET_MS     1000  /* after a backlog, until the last values are asked for again, */
#define EMZ_I_ASK_MS       10000 /* or since its begin, where it has no end; */
#define EMZ_I_VAIN_MAX     4     /* twice as long each time it was in vain, so many times */
#define EMZ_I_REBIND_MS    500   /* how long a whitelist change waits to get its port back */
#define EMZ_I_BANNED_MAX   1024  /* keys of subscribers that broke the protocol */
#define EMZ_I_READY_MAX    1024  /* sockets that one look finds ready: 12 kB of stack */
#define EMZ_I_LOG_MAX      20    /* lines a second that strangers can cause */
#define EMZ_I_CURVE_EXTRA  33    /* bytes that CURVE adds to a frame (RFC 26) */
#define EMZ_I_THREADS_MAX  64    /* libzmq can tell apart so many (ZMQ_AFFINITY) */
#define EMZ_I_NEVER        UINT64_MAX
#define EMZ_I_ONION_LENGTH 56

#ifdef __GNUC__
#define EMZ_I_FORMAT(at) __attribute__((format(printf, (at), (at) + 1)))
#else
#define EMZ_I_FORMAT(at)
#endif

/* ---------------------------------------------------------------------------------------------
 * >>memory: everything that grows
 * ------------------------------------------------------------------------------------------ */

/* size bytes of zeros, or NULL. */
static void *emz_i_new(size_t size) {
    void *p = EMZ_MALLOC(size);
    if (p) {
        memset(p, 0, size);
    }
    return p;
}

/* items with room for need of them, at least one: maybe at a new place, with *room updated; or
 * NULL, and then the old ones stay valid. Doubling keeps the cost of growing linear. */
static void *emz_i_grow(void *items, size_t item_size, size_t *room, size_t need) {
    size_t wanted = *room ? *room : 4;
    if (items && need <= *room) {
        return items;
    }
    while (wanted < need) {
        if (wanted > SIZE_MAX / 2 / item_size) {
            return NULL;
        }
        wanted *= 2;
    }
    items = EMZ_REALLOC(items, wanted * item_size);
    if (items) {
        *room = wanted;
    }
    return items;
}

/* Overwrite a secret; volatile, so that no compiler leaves it out. */
static void emz_i_wipe(void *secret, size_t size) {
    volatile unsigned char *p = (volatile unsigned char *)secret;
    while (size--) {
        *p++ = 0;
    }
}

/* A message: its frames. at[0 .. count - 1] are initialised. A zmq_msg_t must not be copied by
 * bytes, so growing moves each. */
typedef struct emz_i_frames {
    zmq_msg_t *at;
    size_t count, room;
} emz_i_frames;

static void emz_i_frames_clear(emz_i_frames *frames) {
    while (frames->count) {
        zmq_msg_close(&frames->at[--frames->count]);
    }
}

static void emz_i_frames_free(emz_i_frames *frames) {
    emz_i_frames_clear(frames);
    EMZ_FREE(frames->at);
    frames->at = NULL;
    frames->room = 0;
}

/* A new, empty frame at the end; NULL without memory. */
static zmq_msg_t *emz_i_frames_add(emz_i_frames *frames) {
    if (frames->count == frames->room) {
        size_t i, room = frames->room;
        zmq_msg_t *at = (zmq_msg_t *)emz_i_grow(NULL, sizeof *at, &room, frames->count + 1);
        if (!at) {
            return NULL;
        }
        for (i = 0; i < frames->count; i++) {
            zmq_msg_init(&at[i]);
            zmq_msg_move(&at[i], &frames->at[i]);
            zmq_msg_close(&frames->at[i]);
        }
        EMZ_FREE(frames->at);
        frames->at = at;
        frames->room = room;
    }
    zmq_msg_init(&frames->at[frames->count]);
    return &frames->at[frames->count++];
}

/* A new frame with a copy of data; 0, or -1 without memory. */
static int emz_i_frames_add_copy(emz_i_frames *frames, const void *data, size_t size) {
    zmq_msg_t *frame = emz_i_frames_add(frames);
    if (!frame) {
        return -1;
    }
    if (zmq_msg_init_size(frame, size)) {
        zmq_msg_init(frame);
        return -1;
    }
    if (size) {
        memcpy(zmq_msg_data(frame), data, size);
    }
    return 0;
}

static void emz_i_frames_swap(emz_i_frames *a, emz_i_frames *b) {
    emz_i_frames c = *a;
    *a = *b;
    *b = c;
}

/* ---------------------------------------------------------------------------------------------
 * >>map: nodes by key (open addressing) and by index. Owns neither nodes nor keys.
 * ------------------------------------------------------------------------------------------ */

/* The first member of everything that is in a map. */
typedef struct emz_i_node {
    const void *key;
    size_t size, index;
    uint64_t hash; /* 64 bits, so that it is aligned as what it is the first member of */
} emz_i_node;

typedef struct emz_i_map {
    emz_i_node **at;   /* [0 .. count - 1] */
    emz_i_node **slot; /* [0 .. 2 * room - 1], room a power of 2; NULL: free */
    size_t count, room;
} emz_i_map;

/* Eight bytes a step: multiplied, and the better upper half folded into the lower. Only keys that
 * this program chose are in a map, so nobody can choose collisions. */
static size_t emz_i_hash(const void *key, size_t size) {
    const unsigned char *p = (const unsigned char *)key;
    uint64_t h = size;
    while (size) {
        uint64_t word = 0;
        size_t n = size < sizeof word ? size : sizeof word;
        memcpy(&word, p, n);
        h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        h ^= h >> 32;
        p += n;
        size -= n;
    }
    return (size_t)h;
}

static void emz_i_map_place(emz_i_map *map, emz_i_node *node) {
    size_t mask = 2 * map->room - 1, i = (size_t)node->hash & mask;
    while (map->slot[i]) {
        i = (i + 1) & mask;
    }
    map->slot[i] = node;
}

/* Room for extra more nodes: 0, or -1 without memory. */
static int emz_i_map_reserve(emz_i_map *map, size_t extra) {
    size_t i, room = map->room ? map->room : 8;
    emz_i_node **block;
    if (extra <= map->room - map->count) {
        return 0;
    }
    while (extra > room - map->count) {
        if (room > SIZE_MAX / 6 / sizeof *block) {
            return -1;
        }
        room *= 2;
    }
    block = (emz_i_node **)emz_i_new(3 * room * sizeof *block);
    if (!block) {
        return -1;
    }
    if (map->count) {
        memcpy(block, map->at, map->count * sizeof *block);
    }
    EMZ_FREE(map->at);
    map->at = block;
    map->slot = block + room;
    map->room = room;
    for (i = 0; i < map->count; i++) {
        emz_i_map_place(map, map->at[i]);
    }
    return 0;
}

static emz_i_node *emz_i_map_find(const emz_i_map *map, const void *key, size_t size) {
    size_t hash = emz_i_hash(key, size), mask = 2 * map->room - 1, i = hash & mask;
    if (map->count) {
        for (; map->slot[i]; i = (i + 1) & mask) {
            emz_i_node *node = map->slot[i];
            if (node->hash == hash && node->size == size && !memcmp(node->key, key, size)) {
                return node;
            }
        }
    }
    return NULL;
}

/* The key is not in it yet, room has been reserved. */
static void emz_i_map_add(emz_i_map *map, emz_i_node *node, const void *key, size_t size) {
    node->key = key;
    node->size = size;
    node->hash = emz_i_hash(key, size);
    node->index = map->count;
    map->at[map->count++] = node;
    emz_i_map_place(map, node);
}

static void emz_i_map_del(emz_i_map *map, emz_i_node *node) {
    size_t mask = 2 * map->room - 1, hole = (size_t)node->hash & mask, i, home;
    while (map->slot[hole] != node) {
        hole = (hole + 1) & mask;
    }
    /* Close the hole with a node that sits behind it and whose search would pass it. */
    for (i = (hole + 1) & mask; map->slot[i]; i = (i + 1) & mask) {
        home = (size_t)map->slot[i]->hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slot[hole] = map->slot[i];
            hole = i;
        }
    }
    map->slot[hole] = NULL;
    map->at[node->index] = map->at[--map->count];
    map->at[node->index]->index = node->index;
}

/* ---------------------------------------------------------------------------------------------
 * >>z85: keys as text (ZeroMQ RFC 32)
 * ------------------------------------------------------------------------------------------ */

static const char emz_i_z85_alphabet[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ".-:+=^!/*?&<>()[]{}@%$#";

static uint32_t emz_i_z85_load(const unsigned char *data) {
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static void emz_i_z85_store(unsigned char *data, uint32_t v) {
    data[0] = (unsigned char)(v >> 24);
    data[1] = (unsigned char)(v >> 16);
    data[2] = (unsigned char)(v >> 8);
    data[3] = (unsigned char)v;
}

static void emz_i_z85_encode(char *text, const unsigned char *data, size_t size) {
    const char *const alphabet = emz_i_z85_alphabet;
    for (; size; size -= 4, data += 4, text += 5) {
        uint32_t v = emz_i_z85_load(data);
        text[4] = alphabet[v % 85];
        text[3] = alphabet[(v /= 85) % 85];
        text[2] = alphabet[(v /= 85) % 85];
        text[1] = alphabet[(v /= 85) % 85];
        text[0] = alphabet[v / 85];
    }
    *text = 0;
}

/* The same with a table of all pairs of characters, made for the occasion. Of much data that is
 * twice as fast (`make bench`: Z85). */
static void emz_i_z85_encode_much(char *text, const unsigned char *data, size_t size) {
    char pair[85 * 85][2];
    uint32_t i;
    for (i = 0; i < 85 * 85; i++) {
        pair[i][0] = emz_i_z85_alphabet[i / 85];
        pair[i][1] = emz_i_z85_alphabet[i % 85];
    }
    for (; size; size -= 4, data += 4, text += 5) {
        uint32_t v = emz_i_z85_load(data);
        memcpy(text + 3, pair[v % 7225], 2);
        memcpy(text + 1, pair[(v /= 7225) % 7225], 2);
        text[0] = emz_i_z85_alphabet[v / 7225];
    }
    *text = 0;
}

/* What a character stands for; X: it is not in the alphabet. */
static uint32_t emz_i_z85_digit(char c) {
    enum { X = 128 };
    static const unsigned char digit[256] = {
        /* clang-format off */
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  68, X,  84, 83, 82, 72, X,  75, 76, 70, 65, X,  63, 62, 69,
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  64, X,  73, 66, 74, 71,
        81, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50,
        51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 77, X,  78, 67, X,
        X,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
        25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 79, X,  80, X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
        /* clang-format on */
    };
    return digit[(unsigned char)c];
}

/* Groups of 5 characters to 4 bytes each: 0, or -1 for anything that RFC 32 does not allow, and
 * then nothing is written. text holds that many characters, whichever. Two loops, since one that
 * does both takes longer. */
static int emz_i_z85_decode(unsigned char *data, const char *text, size_t groups) {
    const char *const end = text + 5 * groups;
    const char *c;
    uint32_t all = 0;
    for (c = text; c < end; c += 5) {
        uint32_t d0 = emz_i_z85_digit(c[0]), d1 = emz_i_z85_digit(c[1]);
        uint32_t d2 = emz_i_z85_digit(c[2]), d3 = emz_i_z85_digit(c[3]);
        uint32_t d4 = emz_i_z85_digit(c[4]);
        all |= d0 | d1 | d2 | d3 | d4;
        if (d0 > 81 && (((d0 * UINT64_C(85) + d1) * 85 + d2) * 85 + d3) * 85 + d4 > UINT32_MAX) {
            return -1;
        }
    }
    for (c = text; c < end && all < 128; c += 5, data += 4) {
        uint32_t v = emz_i_z85_digit(c[0]) * 52200625u + emz_i_z85_digit(c[1]) * 614125u +
                     emz_i_z85_digit(c[2]) * 7225u + emz_i_z85_digit(c[3]) * 85u +
                     emz_i_z85_digit(c[4]);
        emz_i_z85_store(data, v);
    }
    return all < 128 ? 0 : -1;
}

static uint64_t emz_i_z85_sum(uint64_t (*adds)[256], const char *text) {
    const unsigned char *c = (const unsigned char *)text;
    return adds[0][c[0]] + adds[1][c[1]] + adds[2][c[2]] + adds[3][c[3]] + adds[4][c[4]];
}

/* The same with a table of what each character adds at each place, made for the occasion: 2^32 if
 * it is not in the alphabet, so that only the sum of an allowed group fits 32 bits. Of much text
 * that is 8 % faster (`make bench`: Z85). */
static int emz_i_z85_decode_much(unsigned char *data, const char *text, size_t groups) {
    uint64_t adds[5][256], place = 1, all = 0;
    size_t i;
    int j;
    for (j = 4; j >= 0; j--, place *= 85) {
        for (i = 0; i < 256; i++) {
            uint32_t digit = emz_i_z85_digit((char)i);
            adds[j][i] = digit < 85 ? digit * place : UINT64_C(1) << 32;
        }
    }
    for (i = 0; i < groups; i++) {
        all |= emz_i_z85_sum(adds, text + 5 * i);
    }
    for (i = 0; i < groups && all <= UINT32_MAX; i++) {
        emz_i_z85_store(data + 4 * i, (uint32_t)emz_i_z85_sum(adds, text + 5 * i));
    }
    return all <= UINT32_MAX ? 0 : -1;
}

/* The 40 characters at text, whatever stands behind them. */
static int emz_i_key_prefix(unsigned char key[EMZ_KEY_SIZE], const char *text) {
    return emz_i_z85_decode(key, text, EMZ_KEY_SIZE / 4);
}

static emz_result emz_i_key(unsigned char key[EMZ_KEY_SIZE], const char *text) {
    if (!text) {
        return EMZ_ERR_ARGUMENT;
    }
    return strlen(text) != EMZ_KEY_Z85_SIZE - 1 || emz_i_key_prefix(key, text) ? EMZ_ERR_KEY
                                                                               : EMZ_OK;
}

/* ---------------------------------------------------------------------------------------------
 * >>onion: the checksum in an onion address (Tor rend-spec-v3, section 6; SHA3-256: FIPS 202)
 * ------------------------------------------------------------------------------------------ */

static uint64_t emz_i_rotl(uint64_t v, int by) {
    return by ? v << by | v >> (64 - by) : v;
}

static void emz_i_keccak(uint64_t a[25]) {
    /* rho's rotation and pi's way through the lanes, starting from lane 1 */
    static const unsigned char turn[24] = {1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
                                           27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44};
    static const unsigned char lane[24] = {10, 7,  11, 17, 18, 3, 5,  16, 8,  21, 24, 4,
                                           15, 23, 19, 13, 12, 2, 20, 14, 22, 9,  6,  1};
    unsigned round, lfsr = 1, i, j;
    for (round = 0; round < 24; round++) {
        uint64_t c[5], t;
        for (i = 0; i < 5; i++) { /* theta */
            c[i] = a[i] ^ a[i + 5] ^ a[i + 10] ^ a[i + 15] ^ a[i + 20];
        }
        for (i = 0; i < 25; i++) {
            a[i] ^= c[(i + 4) % 5] ^ emz_i_rotl(c[(i + 1) % 5], 1);
        }
        for (i = 0, t = a[1]; i < 24; i++) { /* rho, pi */
            uint64_t next = a[lane[i]];
            a[lane[i]] = emz_i_rotl(t, turn[i]);
            t = next;
        }
        for (j = 0; j < 25; j += 5) { /* chi */
            for (i = 0; i < 5; i++) {
                c[i] = a[j + i];
            }
            for (i = 0; i < 5; i++) {
                a[j + i] ^= ~c[(i + 1) % 5] & c[(i + 2) % 5];
            }
        }
        for (i = 0; i < 7; i++) { /* iota: the round constant's bits come from an LFSR */
            a[0] ^= (uint64_t)(lfsr & 1) << ((1u << i) - 1);
            lfsr = lfsr << 1 ^ (lfsr >> 7) * 0x171;
        }
    }
}

/* SHA3-256 of at most 135 bytes: one block. */
static void emz_i_sha3_256(unsigned char digest[32], const unsigned char *data, size_t size) {
    uint64_t a[25] = {0};
    size_t i;
    for (i = 0; i < size; i++) {
        a[i / 8] ^= (uint64_t)data[i] << 8 * (i % 8);
    }
    a[size / 8] ^= UINT64_C(6) << 8 * (size % 8);
    a[16] ^= UINT64_C(0x80) << 56;
    emz_i_keccak(a);
    for (i = 0; i < 32; i++) {
        digest[i] = (unsigned char)(a[i / 8] >> 8 * (i % 8));
    }
}

#define EMZ_I_TAIL ".onion" /* RFC 7686 */

/* Does it begin so, in any case? */
static int emz_i_is_tail(const char *s) {
    static const char tail[] = EMZ_I_TAIL;
    size_t i;
    for (i = 0; i < sizeof tail - 1; i++) {
        if ((char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] | 32 : s[i]) != tail[i]) {
            return 0;
        }
    }
    return 1;
}

/* Check, and copy the 56 characters in lower case. */
static emz_result emz_i_onion(char name[EMZ_I_ONION_LENGTH], const char *onion) {
    static const char prefix[] = EMZ_I_TAIL " checksum"; /* then 32 bytes key, 1 byte version */
    unsigned char bytes[36] = {0}, text[sizeof prefix - 1 + 33], digest[32];
    unsigned bits = 0, held = 0;
    size_t i, size = 0;
    if (!onion) {
        return EMZ_ERR_ARGUMENT;
    }
    for (i = 0; i < EMZ_I_ONION_LENGTH; i++) {
        unsigned c = (unsigned char)onion[i];
        c |= c >= 'A' && c <= 'Z' ? 32u : 0u;
        if (!(c >= 'a' && c <= 'z') && !(c >= '2' && c <= '7')) {
            return EMZ_ERR_ONION;
        }
        name[i] = (char)c;
        held = held << 5 | (c >= 'a' ? c - 'a' : c - '2' + 26);
        if ((bits += 5) >= 8) {
            bytes[size++] = (unsigned char)(held >> (bits -= 8));
        }
    }
    onion += EMZ_I_ONION_LENGTH;
    if (*onion && (!emz_i_is_tail(onion) || onion[sizeof EMZ_I_TAIL - 1])) {
        return EMZ_ERR_ONION;
    }
    memcpy(text, prefix, sizeof prefix - 1);
    memcpy(text + sizeof prefix - 1, bytes, 32);
    text[sizeof text - 1] = 3;
    emz_i_sha3_256(digest, text, sizeof text);
    return memcmp(digest, bytes + 32, 2) || bytes[34] != 3 ? EMZ_ERR_ONION : EMZ_OK;
}

/* ---------------------------------------------------------------------------------------------
 * >>wire: bytes from the network, as frames (>>concepts: title NUL | t_out | parts)
 * ------------------------------------------------------------------------------------------ */

static const unsigned char *emz_i_data(const emz_i_frames *frames, size_t i) {
    return (const unsigned char *)zmq_msg_data(&frames->at[i]);
}

static size_t emz_i_size(const emz_i_frames *frames, size_t i) {
    return zmq_msg_size(&frames->at[i]);
}

static int emz_i_is(const emz_i_frames *frames, size_t i, const void *data, size_t size) {
    return emz_i_size(frames, i) == size && !memcmp(emz_i_data(frames, i), data, size);
}

/* Is it a title and one NUL? Its length without the NUL, or -1. */
static int emz_i_wire_title(const unsigned char *data, size_t size) {
    if (size < 1 || size > EMZ_TITLE_MAX + 1 || data[size - 1] || memchr(data, 0, size - 1)) {
        return -1;
    }
    return (int)(size - 1);
}

static void emz_i_wire_put_time(unsigned char data[8], int64_t t) {
    int i;
    for (i = 0; i < 8; i++) {
        data[i] = (unsigned char)((uint64_t)t >> 8 * i);
    }
}

static int64_t emz_i_wire_get_time(const unsigned char data[8]) {
    uint64_t u = 0;
    int i;
    for (i = 0; i < 8; i++) {
        u |= (uint64_t)data[i] << 8 * i;
    }
    /* two's complement by arithmetic: a cast of large values is up to the compiler */
    return u <= INT64_MAX ? (int64_t)u : -(int64_t)(UINT64_MAX - u) - 1;
}

/* a - b of times, of which one is anything that the network may bring. */
static int64_t emz_i_apart(int64_t a, int64_t b) {
    if (b < 0 && a > INT64_MAX + b) {
        return INT64_MAX;
    }
    if (b > 0 && a < INT64_MIN + b) {
        return INT64_MIN;
    }
    return a - b;
}

/* Is it an etale's message? The title's length, or -1 for what a receiver ignores. */
static int emz_i_wire_etale(const emz_i_frames *frames, size_t max_part_size) {
    size_t i;
    if (frames->count < 2 || emz_i_size(frames, 1) != 8) {
        return -1;
    }
    for (i = 2; i < frames->count; i++) {
        if (emz_i_size(frames, i) > max_part_size) {
            return -1;
        }
    }
    return emz_i_wire_title(emz_i_data(frames, 0), emz_i_size(frames, 0));
}

/* What a publishing socket hands up: 1: a subscription to a title and one NUL, 0: any other
 * (un)subscription, -1: a message that no subscriber may send. */
static int emz_i_wire_subscription(const emz_i_frames *frames) {
    const unsigned char *data = frames->count == 1 ? emz_i_data(frames, 0) : NULL;
    size_t size = data ? emz_i_size(frames, 0) : 0;
    if (!size || data[0] > 1) {
        return -1;
    }
    return data[0] == 1 && emz_i_wire_title(data + 1, size - 1) >= 0;
}

/* ---------------------------------------------------------------------------------------------
 * >>socks: what a proxy says (RFC 1928)
 * ------------------------------------------------------------------------------------------ */

/* How many bytes the reply to CONNECT that starts with data[0 .. have - 1] will have at least; it
 * is complete when have reaches that. 0: this is no such reply. */
static size_t emz_i_socks_need(const unsigned char *data, size_t have) {
    if ((have > 0 && data[0] != 5) || (have > 2 && data[2] != 0)) {
        return 0;
    }
    if (have < 5) {
        return 5;
    }
    switch (data[3]) { /* the bound address: IPv4, a name, IPv6; then 2 bytes port */
    case 1:
        return 10;
    case 3:
        return (size_t)7 + data[4];
    case 4:
        return 22;
    default:
        return 0;
    }
}

/* The request to CONNECT to an onion; its size. */
#define EMZ_I_SOCKS_REQUEST_SIZE (5 + EMZ_I_ONION_LENGTH + 6 + 2)
static void emz_i_socks_request(unsigned char data[EMZ_I_SOCKS_REQUEST_SIZE], const char *name,
                                int port) {
    static const unsigned char head[5] = {5, 1, 0, 3, EMZ_I_ONION_LENGTH + 6};
    memcpy(data, head, sizeof head);
    memcpy(data + 5, name, EMZ_I_ONION_LENGTH);
    memcpy(data + 5 + EMZ_I_ONION_LENGTH, ".onion", 6);
    data[EMZ_I_SOCKS_REQUEST_SIZE - 2] = (unsigned char)(port >> 8);
    data[EMZ_I_SOCKS_REQUEST_SIZE - 1] = (unsigned char)port;
}

/* A reply code in words; F0 to F7 are Tor's own, with ExtendedErrors (Tor proposal 304). */
static const char *emz_i_socks_str(int reply) {
    switch (reply) {
    case 0x01:
        return "Tor reached the onion, but nothing listens behind it (is the peer's program "
               "running?), or the circuit broke. Retrying.";
    case 0x02:
        return "The proxy does not allow this connection: see its settings. Retrying.";
    case 0x03:
        return "The proxy finds no way to the network: is this computer online? Retrying.";
    case 0x04:
        return "Tor finds no such onion: is the peer's Tor running, the address right? Retrying.";
    case 0x05:
        return "The onion is there, but not this port: ask the peer for the port. Retrying.";
    case 0x06:
        return "Tor gave up after a long wait: is one of you offline? Retrying.";
    case 0x07:
    case 0x08:
        return "The proxy cannot do what was asked: it is no Tor proxy. Retrying.";
    case 0xF0:
        return "Tor finds no descriptor of this onion: is the peer's Tor running? Retrying.";
    case 0xF1:
        return "Tor got an invalid descriptor of this onion. Retrying.";
    case 0xF2:
        return "Tor cannot reach the onion's introduction points: did the peer's Tor just stop? "
               "Retrying.";
    case 0xF3:
        return "Tor cannot meet the onion: the rendezvous failed. Retrying.";
    case 0xF4:
        return "The onion wants client authorization, and your Tor has none for it: ask the peer "
               "for a key. Retrying.";
    case 0xF5:
        return "The onion does not accept your Tor's client authorization. Retrying.";
    case 0xF6:
        return "Tor says that this is no onion address: ask the peer for it again. Retrying.";
    case 0xF7:
        return "Tor waited in vain for the onion's introduction: is the peer's Tor stuck? "
               "Retrying.";
    default:
        return "The proxy refused with a code that is not in RFC 1928. Retrying.";
    }
}

/* ---------------------------------------------------------------------------------------------
 * >>net: the few system sockets that a tunnel needs; all non-blocking
 * ------------------------------------------------------------------------------------------ */

#define EMZ_I_NO_FD ((zmq_fd_t)-1)
#ifdef MSG_NOSIGNAL
#define EMZ_I_NOSIGNAL MSG_NOSIGNAL /* a peer that has gone is an error, not a SIGPIPE */
#else
#define EMZ_I_NOSIGNAL 0
#endif
#if EMZ_I_WINDOWS
typedef int emz_i_length; /* of a buffer, for send and recv */
#else
typedef size_t emz_i_length;
#endif

static void emz_i_net_close(zmq_fd_t *fd) {
    if (*fd != EMZ_I_NO_FD) {
#if EMZ_I_WINDOWS
        closesocket(*fd);
#else
        close(*fd);
#endif
        *fd = EMZ_I_NO_FD;
    }
}

/* Make a new socket fit for us; EMZ_I_NO_FD comes back if it is none or can't be. */
static zmq_fd_t emz_i_net_prepare(zmq_fd_t fd) {
    int one = 1, failed;
    if (fd == EMZ_I_NO_FD) {
        return fd;
    }
#if EMZ_I_WINDOWS
    {
        u_long yes = 1;
        failed = ioctlsocket(fd, (long)FIONBIO, &yes);
    }
#else
    failed = fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, O_NONBLOCK);
#endif
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, (const char *)&one, sizeof one);
#endif
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, (const char *)&one, sizeof one);
    if (failed) {
        emz_i_net_close(&fd);
    }
    return fd;
}

/* The local port of a socket, 0 if there is none. */
static int emz_i_net_port(zmq_fd_t fd) {
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    return getsockname(fd, (struct sockaddr *)&at, &size) ? 0 : ntohs(at.sin_port);
}

/* A socket bound to 127.0.0.1 and a port of the system's choice. */
static zmq_fd_t emz_i_net_loopback(int *port) {
    struct sockaddr_in at;
    zmq_fd_t fd = emz_i_net_prepare(socket(AF_INET, SOCK_STREAM, 0));
    if (fd == EMZ_I_NO_FD) {
        return fd;
    }
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || !(*port = emz_i_net_port(fd))) {
        emz_i_net_close(&fd);
    }
    return fd;
}

/* Did the last call fail because this process or system has run out of something? */
static int emz_i_net_exhausted(void) {
#if EMZ_I_WINDOWS
    int error = WSAGetLastError();
    return error == WSAEMFILE || error == WSAENOBUFS || error == WSAEADDRNOTAVAIL;
#else
    return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ||
           errno == EADDRNOTAVAIL;
#endif
}

/* The next connection to fd, and the port it comes from. */
static zmq_fd_t emz_i_net_accept(zmq_fd_t fd, int *port) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    zmq_fd_t got;
    memset(&from, 0, sizeof from);
    got = accept(fd, (struct sockaddr *)&from, &size);
    *port = ntohs(from.sin_port);
    return emz_i_net_prepare(got);
}

/* An address as text, never looked up. 0, or -1. */
static int emz_i_net_address(struct sockaddr_storage *at, socklen_t *size, const char *host,
                             int port) {
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    memset(&in4, 0, sizeof in4);
    memset(&in6, 0, sizeof in6);
    in4.sin_family = AF_INET;
    in6.sin6_family = AF_INET6;
    in4.sin_port = in6.sin6_port = htons((uint16_t)port);
    memset(at, 0, sizeof *at);
    if (inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &in4.sin_addr) == 1) {
        memcpy(at, &in4, sizeof in4);
        *size = sizeof in4;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        memcpy(at, &in6, sizeof in6);
        *size = sizeof in6;
        return 0;
    }
    return -1;
}

/* Start to connect. How it went shows when the socket is writable: see emz_i_net_error. */
static zmq_fd_t emz_i_net_dial(const struct sockaddr_storage *to, socklen_t size) {
    zmq_fd_t fd = emz_i_net_prepare(socket(to->ss_family, SOCK_STREAM, 0));
    if (fd != EMZ_I_NO_FD && connect(fd, (const struct sockaddr *)to, size) &&
        emz_i_net_exhausted()) {
        emz_i_net_close(&fd);
    }
    return fd;
}

static int emz_i_net_error(zmq_fd_t fd) {
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, (char *)&error, &size) ? -1 : error;
}

/* > 0: so many bytes; 0: not now; -1: the connection is at its end. */
static long emz_i_net_done(long rc) {
#if EMZ_I_WINDOWS
    int later = WSAGetLastError() == WSAEWOULDBLOCK;
#else
    int later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
#endif
    return rc > 0 ? rc : rc < 0 && later ? 0 : -1;
}

static long emz_i_net_recv(zmq_fd_t fd, unsigned char *data, size_t size) {
    return emz_i_net_done((long)recv(fd, (char *)data, (emz_i_length)size, 0));
}

static long emz_i_net_send(zmq_fd_t fd, const unsigned char *data, size_t size) {
    return emz_i_net_done((long)send(fd, (const char *)data, (emz_i_length)size, EMZ_I_NOSIGNAL));
}

/* The most sockets that a context may ever need: libzmq takes 12 bytes for each at once. Not less
 * than its default: the limit of descriptors may be raised later. */
static int emz_i_net_limit(int zmq_limit) {
#if EMZ_I_WINDOWS
    long open_max = 32768;
#else
    long open_max = sysconf(_SC_OPEN_MAX);
#endif
    open_max = open_max > 0 && open_max < 32768 ? open_max : 32768;
    open_max = open_max > ZMQ_MAX_SOCKETS_DFLT ? open_max : ZMQ_MAX_SOCKETS_DFLT;
    return open_max < zmq_limit ? (int)open_max : zmq_limit;
}

/* libzmq aborts the process where it can't open what its threads need: see first that count more
 * descriptors are to be had; at most those that emz_i_efunguz_open asks for. */
static int emz_i_net_spare(int count) {
#if EMZ_I_WINDOWS
    (void)count;
    return 0;
#else
    int fd[16 + 2 * EMZ_I_THREADS_MAX], n = 0, failed = 0;
    while (n < count && !failed) {
        fd[n] = n ? fcntl(fd[0], F_DUPFD, 0) : socket(AF_INET, SOCK_STREAM, 0);
        failed = fd[n] < 0;
        n += !failed;
    }
    while (n) {
        int saved = errno;
        close(fd[--n]);
        errno = saved;
    }
    return failed ? -1 : 0;
#endif
}

/* ---------------------------------------------------------------------------------------------
 * >>poll: what has become readable or writable, in time that does not grow with what is idle
 * ------------------------------------------------------------------------------------------ */

/* One socket to look after. serve() does a bounded piece of its work, 1: some is left. ZMQ_FD is
 * edge-like: a source whose libzmq socket was used in any way must go to the ready list, and
 * serve() drains it until EAGAIN. */
typedef struct emz_i_source {
    struct emz_i_source *prev, *next; /* in the ready list; NULL: not in it */
    int (*serve)(struct emz_i_source *source);
    void *owner;  /* the efunguz or ehypha */
    void *socket; /* of libzmq, or NULL: fd is a system socket */
    zmq_fd_t fd;
    short wanted; /* ZMQ_POLLIN, ZMQ_POLLOUT; 0: not polled */
    size_t index; /* in the poller, without epoll */
} emz_i_source;

typedef struct emz_i_poller {
    emz_i_source ready; /* the list's head */
#if EMZ_I_EPOLL
    int epoll;
#else
    zmq_pollitem_t *items;
    emz_i_source **sources;
    size_t count, items_room, sources_room;
#endif
} emz_i_poller;

static void emz_i_ready_unlink(emz_i_source *s) {
    if (s->next) {
        s->prev->next = s->next;
        s->next->prev = s->prev;
        s->prev = s->next = NULL;
    }
}

static void emz_i_ready(emz_i_poller *p, emz_i_source *s) {
    if (!s->next) {
        s->prev = p->ready.prev;
        s->next = &p->ready;
        s->prev->next = s->next->prev = s;
    }
}

static int emz_i_poller_open(emz_i_poller *p) {
    p->ready.prev = p->ready.next = &p->ready;
#if EMZ_I_EPOLL
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    return p->epoll < 0 ? -1 : 0;
#else
    return 0;
#endif
}

static void emz_i_poller_close(emz_i_poller *p) {
#if EMZ_I_EPOLL
    if (p->epoll >= 0) {
        close(p->epoll);
    }
#else
    EMZ_FREE(p->items);
    EMZ_FREE(p->sources);
#endif
}

/* What to wait for; 0, or -1 with errno. Less than before never fails. */
static int emz_i_want(emz_i_poller *p, emz_i_source *s, int wanted) {
    if (s->wanted == wanted) {
        return 0;
    }
#if EMZ_I_EPOLL
    {
        struct epoll_event e;
        memset(&e, 0, sizeof e);
        e.events = (wanted & ZMQ_POLLIN ? (uint32_t)EPOLLIN : 0u) |
                   (wanted & ZMQ_POLLOUT ? (uint32_t)EPOLLOUT : 0u);
        e.data.ptr = s;
        if (epoll_ctl(p->epoll,
                      !wanted      ? EPOLL_CTL_DEL
                      : !s->wanted ? EPOLL_CTL_ADD
                                   : EPOLL_CTL_MOD,
                      s->fd, &e) &&
            wanted) {
            return -1;
        }
    }
#else
    if (!s->wanted) {
        size_t n = p->count + 1;
        void *items = emz_i_grow(p->items, sizeof *p->items, &p->items_room, n);
        void *sources = emz_i_grow(p->sources, sizeof *p->sources, &p->sources_room, n);
        p->items = items ? (zmq_pollitem_t *)items : p->items;
        p->sources = sources ? (emz_i_source **)sources : p->sources;
        if (!items || !sources) {
            errno = ENOMEM;
            return -1;
        }
        s->index = p->count++;
        p->sources[s->index] = s;
        p->items[s->index].socket = NULL;
        p->items[s->index].fd = s->fd;
        p->items[s->index].revents = 0;
    } else if (!wanted) {
        p->items[s->index] = p->items[--p->count];
        p->sources[s->index] = p->sources[p->count];
        p->sources[s->index]->index = s->index;
    }
    if (wanted) {
        p->items[s->index].events = (short)wanted;
    }
#endif
    s->wanted = (short)wanted;
    return 0;
}

/* Begin to look after a libzmq socket. */
static int emz_i_watch(emz_i_poller *p, emz_i_source *s, void *socket) {
    size_t size = sizeof s->fd;
    s->socket = socket;
    if (zmq_getsockopt(socket, ZMQ_FD, &s->fd, &size) || emz_i_want(p, s, ZMQ_POLLIN)) {
        return -1;
    }
    emz_i_ready(p, s);
    return 0;
}

/* Before its socket is closed. */
static void emz_i_unwatch(emz_i_poller *p, emz_i_source *s) {
    (void)emz_i_want(p, s, 0);
    emz_i_ready_unlink(s);
}

/* Put what is ready on the list: how many; 0 after timeout_ms, -1 after a signal. */
static int emz_i_poll(emz_i_poller *p, int timeout_ms) {
    int i, n;
#if EMZ_I_EPOLL
    struct epoll_event e[EMZ_I_READY_MAX];
    n = epoll_wait(p->epoll, e, EMZ_I_READY_MAX, timeout_ms);
    for (i = 0; i < n; i++) {
        emz_i_ready(p, (emz_i_source *)e[i].data.ptr);
    }
#else
    n = zmq_poll(p->items, (int)p->count, timeout_ms);
    for (i = 0; n > 0 && i < (int)p->count; i++) {
        if (p->items[i].revents) {
            emz_i_ready(p, p->sources[i]);
        }
    }
#endif
    return n;
}

/* ---------------------------------------------------------------------------------------------
 * >>objects
 * ------------------------------------------------------------------------------------------ */

/* What a libzmq socket reports about its connections (zmq_socket_monitor). */
typedef struct emz_i_monitor {
    void *watched; /* the socket that is reported on */
    emz_i_source source;
} emz_i_monitor;

/* A key that may subscribe, or (in banned) must not. */
typedef struct emz_i_guest {
    emz_i_node node;
    unsigned char key[EMZ_KEY_SIZE];
    int admitted; /* it has been let in since the gate was opened */
} emz_i_guest;

/* A connection to the gate, by its file descriptor. */
typedef struct emz_i_visit {
    emz_i_node node;
    uint32_t fd;
    uint64_t successes, refusals; /* of all connections, when this one came */
} emz_i_visit;

/* The newest value of one of our own titles. */
typedef struct emz_i_retained {
    emz_i_node node; /* the key: its title without the NUL, right behind this struct */
    emz_i_frames frames;
    uint64_t due;   /* milliseconds: when to send it again, to all who hold the title then */
    uint64_t pause; /* and how long after that once more; 0: no more */
    uint64_t past;  /* and when to send it past who has no room; 0: it was not refused */
} emz_i_retained;

/* The publishing socket and who comes to it. */
typedef struct emz_i_gate {
    void *socket; /* NULL: could not be opened again */
    emz_i_source source;
    emz_i_monitor monitor;
    int manual;         /* libzmq sends what follows a subscription to that subscriber alone */
    int open_admitted;  /* somebody was let in because everybody may come */
    int must_rebuild;   /* it holds somebody or something that it must not */
    emz_i_map visits;   /* emz_i_visit by fd: open connections */
    uint64_t successes; /* handshakes */
    uint64_t refusals;  /* of those who were not let in */
    uint64_t absorbing; /* connections after their handshake */
    uint64_t refused;   /* connections refused and still open */
    int failing;        /* the last event was a failed handshake: its end comes next */
    size_t turn;        /* the kept value to begin with, when some are due */
    uint64_t past;      /* milliseconds: until then, wait for those who have no room */
    uint64_t lossy;     /* milliseconds: until then, what is emitted may not have reached all */
    uint64_t repeated;  /* kept values that were sent since some queue was full */
    uint64_t due;       /* when to open it again, or the earliest of the kept values' */
} emz_i_gate;

struct emz_efunguz {
    unsigned char key[EMZ_KEY_SIZE], secretkey[EMZ_KEY_SIZE];
    unsigned char session[EMZ_KEY_SIZE]; /* tells our gate's ZAP requests from others' */
    char publickey[EMZ_KEY_Z85_SIZE];
    char bind_host[256];
    int port; /* wanted, then had */
    struct sockaddr_storage torproxy;
    socklen_t torproxy_size;
    size_t max_part_size;
    int queue_size, whitelist_only, retain;
    void (*log)(void *user, emz_log_level level, const char *message);
    void *log_user;
    uint64_t log_second, log_lines; /* what strangers caused in this second */

    void *context, *stopwatch;
    unsigned long stopwatch_read;
    uint64_t microseconds; /* since the efunguz began */
    uint64_t due;          /* milliseconds: the earliest of all that is due */
    uint64_t random;
    unsigned long serial; /* of monitors */
    emz_i_poller poller;
    int polled; /* wait() has just done so */

    emz_i_source zap;
    emz_i_gate gate;
    emz_i_map whitelist, banned; /* emz_i_guest by key */
    emz_i_map retained;          /* emz_i_retained by title */
    emz_i_map ehyphae;           /* emz_ehypha by key */
    uint64_t permitted, attempted;
    int64_t t_out; /* of the last emit */

    emz_i_frames in, out; /* the message that is being received, emitted */
    unsigned char *chunk; /* EMZ_I_CHUNK bytes on their way through a tunnel */
    uint64_t update;      /* the number of this update() */
    int updated;          /* etales that got a newer value in it */
};

/* Bytes read from one side of a tunnel that the other side could not take yet. */
typedef struct emz_i_flow {
    unsigned char *data;
    size_t begin, end;
    uint64_t passed; /* bytes, since the last message was received */
} emz_i_flow;

/* An ehypha's way through the proxy. */
typedef struct emz_i_tunnel {
    char onion[EMZ_I_ONION_LENGTH];
    emz_i_source listener, local, proxy;
    int local_port; /* the only one that listener lets in */
    unsigned char reply[262];
    size_t have;
    emz_i_flow up, down; /* local to proxy, proxy to local */
} emz_i_tunnel;

/* The stages of an attempt to connect; through Tor all of them, else without the proxy's. */
typedef enum emz_i_stage {
    EMZ_I_WAITING,    /* for the next attempt */
    EMZ_I_DIALING,    /* the proxy */
    EMZ_I_GREETING,   /* the proxy */
    EMZ_I_REQUESTING, /* the onion from the proxy */
    EMZ_I_CONNECTING, /* the subscribing socket, to the tunnel or the host */
    EMZ_I_SHAKING,    /* hands with the peer: CURVE, its whitelist */
    EMZ_I_TALKING
} emz_i_stage;

struct emz_ehypha {
    emz_i_node node;
    unsigned char key[EMZ_KEY_SIZE];
    char publickey[EMZ_KEY_Z85_SIZE];
    emz_efunguz *ef;
    emz_i_source source; /* the subscribing socket */
    emz_i_monitor monitor;
    emz_i_map etales;
    char host[256];
    int port;
    emz_i_tunnel *tunnel; /* NULL: direct */
    char endpoint[320];   /* of the present attempt, "" between two */
    emz_i_stage stage;
    emz_link link;
    int reply;       /* the proxy's last refusal, 0: none */
    uint64_t since;  /* milliseconds: in this stage */
    uint64_t due;    /* when the stage is over */
    int missed;      /* a message was lost, for lack of memory */
    int behind;      /* more has come than one update() takes */
    int64_t lag;     /* microseconds: a value's shortest way yet, with the clocks' difference */
    uint64_t values; /* how many have come, and some of the last ones when: a ring */
    int64_t came[EMZ_I_MARKS];
    uint64_t backlog_since; /* milliseconds: when the backlog began */
    uint64_t asked_since;   /* milliseconds: when values were asked for last */
    int streamed;           /* in the backlog was more than what had been asked for */
    int64_t newest;         /* the largest t_out of this connection */
    unsigned vain;          /* so many times running it was of no use to ask again */
    emz_link failed;        /* how the last attempt ended, and */
    unsigned fails;         /* how many times running */
};

struct emz_etale {
    emz_i_node node;     /* the key: its title without the NUL, right behind this struct */
    emz_i_frames frames; /* title, t_out, parts: as received */
    emz_part *parts;
    size_t parts_room;
    int64_t t_out, t_in;
    int paused;
    int asked;       /* its kept value has been asked for, and nothing has come since */
    uint64_t update; /* the last one that brought a newer value */
};

/* ---------------------------------------------------------------------------------------------
 * >>time, chance, words
 * ------------------------------------------------------------------------------------------ */

/* Milliseconds that no change of the clock disturbs. The stopwatch's reading may wrap. */
static uint64_t emz_i_ms(emz_efunguz *ef) {
    unsigned long now = zmq_stopwatch_intermediate(ef->stopwatch);
    ef->microseconds += (unsigned long)(now - ef->stopwatch_read);
    ef->stopwatch_read = now;
    return ef->microseconds / 1000;
}

static void emz_i_due(emz_efunguz *ef, uint64_t *due, uint64_t when) {
    *due = when;
    if (when < ef->due) {
        ef->due = when;
    }
}

/* xorshift64: spreads retries; secrets come from libzmq. */
static uint64_t emz_i_chance(emz_efunguz *ef, uint64_t below) {
    ef->random ^= ef->random << 13;
    ef->random ^= ef->random >> 7;
    ef->random ^= ef->random << 17;
    return ef->random % below;
}

static void emz_i_log(emz_efunguz *ef, emz_log_level level, const char *format, ...)
    EMZ_I_FORMAT(3);
static void emz_i_log(emz_efunguz *ef, emz_log_level level, const char *format, ...) {
    char message[512];
    va_list args;
    if (ef->log) {
        va_start(args, format);
        vsnprintf(message, sizeof message, format, args);
        va_end(args);
        ef->log(ef->log_user, level, message);
    }
}

/* May a stranger cause one more line now? */
static int emz_i_log_room(emz_efunguz *ef) {
    uint64_t second = emz_i_ms(ef) / 1000;
    if (second != ef->log_second) {
        ef->log_second = second;
        ef->log_lines = 0;
    }
    return ef->log_lines++ < EMZ_I_LOG_MAX;
}

static emz_result emz_i_zmq_result(void) {
    return zmq_errno() == ENOMEM ? EMZ_ERR_MEMORY : EMZ_ERR_ZMQ;
}

/* ---------------------------------------------------------------------------------------------
 * >>sockets: libzmq's, with all their options
 * ------------------------------------------------------------------------------------------ */

#define EMZ_I_PUBLISHER  1
#define EMZ_I_SUBSCRIBER 2
#define EMZ_I_ZAP        4
#define EMZ_I_MONITOR    8

/* A socket for one of these roles, or NULL with errno. serverkey: the subscriber's peer. */
static void *emz_i_socket(emz_efunguz *ef, int role, const char *host,
                          const unsigned char *serverkey) {
    const int ends = EMZ_I_PUBLISHER | EMZ_I_SUBSCRIBER;
    const struct {
        int roles, option, value;
    } options[] = {
        {EMZ_I_PUBLISHER, ZMQ_LINGER, EMZ_LINGER_MS}, /* the last emit before free */
        {EMZ_I_PUBLISHER, ZMQ_CURVE_SERVER, 1},
        {EMZ_I_PUBLISHER, ZMQ_HANDSHAKE_IVL,
         EMZ_HANDSHAKE_TIMEOUT_MS}, /* for strangers that stop */
        {EMZ_I_PUBLISHER, ZMQ_SNDHWM, ef->queue_size},
        {EMZ_I_PUBLISHER, ZMQ_XPUB_NODROP, 1}, /* say so when a queue is full */
        /* Else the system keeps megabytes for a slow subscriber, which grow old there. But bursts
         * to a quick one are a tenth slower so. */
        {EMZ_I_PUBLISHER, ZMQ_SNDBUF, ef->queue_size < EMZ_DEF_QUEUE_SIZE ? 131072 : -1},
        /* Never let it stop reading: libzmq (4.3.4, and later) aborts the process when a connection
         * ends while its queue is full, at the next heartbeat. */
        {ends, ZMQ_RCVHWM, 0},
        {EMZ_I_SUBSCRIBER, ZMQ_SNDHWM, 0}, /* never lose one of our own subscriptions */
        /* How long, and when to try again, is decided in >>ehypha. */
        {EMZ_I_SUBSCRIBER, ZMQ_RECONNECT_IVL, 24 * 60 * 60 * 1000},
        {EMZ_I_SUBSCRIBER, ZMQ_HANDSHAKE_IVL, 0},
        /* No ZMQ_HEARTBEAT_TTL: libzmq 4.3.4 reckons it in 16 bits of milliseconds, and 90 s make
         * the other end hang up after 24. */
        {ends, ZMQ_HEARTBEAT_IVL, EMZ_HEARTBEAT_MS},
        {ends, ZMQ_HEARTBEAT_TIMEOUT, EMZ_HEARTBEAT_TIMEOUT_MS},
        {ends, ZMQ_IPV6, strchr(host, ':') != NULL},
        /* An I/O thread that reports must never wait for us. */
        {EMZ_I_MONITOR | EMZ_I_ZAP, ZMQ_RCVHWM, 0},
        {EMZ_I_SUBSCRIBER | EMZ_I_ZAP | EMZ_I_MONITOR, ZMQ_LINGER, 0},
    };
    int type = role == EMZ_I_PUBLISHER    ? ZMQ_XPUB
               : role == EMZ_I_SUBSCRIBER ? ZMQ_SUB
               : role == EMZ_I_ZAP        ? ZMQ_ROUTER
                                          : ZMQ_PAIR;
    void *socket = zmq_socket(ef->context, type);
    int failed = 0;
    size_t i;
    if (!socket) {
        return NULL;
    }
    for (i = 0; i < sizeof options / sizeof *options && !failed; i++) {
        if (options[i].roles & role) {
            failed = zmq_setsockopt(socket, options[i].option, &options[i].value, sizeof(int));
        }
    }
    if (role & ends) {
        /* A larger frame ends its connection before it takes memory. Titles and handshakes fit. */
        const size_t least = EMZ_TITLE_MAX + 64;
        const int more = role == EMZ_I_SUBSCRIBER && ef->max_part_size > least;
        int64_t largest = (int64_t)(more ? ef->max_part_size : least) + EMZ_I_CURVE_EXTRA;
        failed = failed || zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
        failed = failed || zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, ef->secretkey, EMZ_KEY_SIZE);
    }
    if (role == EMZ_I_PUBLISHER) {
        failed = failed || zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "emyz", 4);
        failed = failed || zmq_setsockopt(socket, ZMQ_ROUTING_ID, ef->session, sizeof ef->session);
    }
    if (role == EMZ_I_SUBSCRIBER) {
        failed = failed || zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, ef->key, EMZ_KEY_SIZE);
        failed = failed || zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, serverkey, EMZ_KEY_SIZE);
    }
    if (failed) {
        int saved = zmq_errno();
        zmq_close(socket);
        errno = saved;
        return NULL;
    }
    return socket;
}

/* Ask for each subscription, and for what follows it to go to that subscriber alone: option 98,
 * ZMQ_XPUB_MANUAL_LAST_VALUE, which release builds know but do not declare. Without it (0) a kept
 * value goes to all who hold the title. -1 with errno: not even that. */
static int emz_i_socket_manual(void *socket) {
    int one = 1;
    if (!zmq_setsockopt(socket, 98, &one, sizeof one)) {
        return 1;
    }
    return zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &one, sizeof one);
}

static int emz_i_send(void *socket, const void *data, size_t size, int flags) {
    int rc;
    do {
        rc = zmq_send(socket, data, size, flags | ZMQ_DONTWAIT);
    } while (rc < 0 && zmq_errno() == EINTR);
    return rc < 0 ? -1 : 0;
}

/* Send copies of all frames; libzmq shares the bytes of larger ones. 0, or -1 with errno; EAGAIN:
 * nothing was sent, since the queues are looked at before a message begins. */
static int emz_i_send_frames(void *socket, emz_i_frames *frames) {
    size_t i;
    for (i = 0; i < frames->count; i++) {
        int rc, flags = ZMQ_DONTWAIT | (i + 1 < frames->count ? ZMQ_SNDMORE : 0);
        zmq_msg_t copy;
        zmq_msg_init(&copy);
        if (zmq_msg_copy(&copy, &frames->at[i])) {
            return -1;
        }
        do {
            rc = zmq_msg_send(&copy, socket, flags);
        } while (rc < 0 && zmq_errno() == EINTR);
        if (rc < 0) {
            int saved = zmq_errno();
            zmq_msg_close(&copy);
            errno = saved;
            return -1;
        }
    }
    return 0;
}

/* Take the next message: 1; 0: there is none; -1: it was lost, for lack of memory. */
static int emz_i_recv_frames(void *socket, emz_i_frames *frames) {
    zmq_msg_t dropped;
    int whole = 1, more;
    emz_i_frames_clear(frames);
    do {
        zmq_msg_t *frame = whole ? emz_i_frames_add(frames) : NULL;
        int rc;
        if (!frame) {
            whole = 0;
            frame = &dropped;
            zmq_msg_init(frame);
        }
        do {
            rc = zmq_msg_recv(frame, socket, ZMQ_DONTWAIT);
        } while (rc < 0 && zmq_errno() == EINTR);
        if (rc < 0) {
            int none = zmq_errno() == EAGAIN;
            emz_i_frames_clear(frames);
            return none ? 0 : -1;
        }
        more = zmq_msg_more(frame);
        if (frame == &dropped) {
            zmq_msg_close(frame);
        }
    } while (more);
    return whole ? 1 : -1;
}

/* Watch what becomes of a socket's connections. 0, or -1 with errno. */
static int emz_i_monitor_open(emz_efunguz *ef, emz_i_monitor *m, void *watched, int events) {
    char endpoint[40];
    snprintf(endpoint, sizeof endpoint, "inproc://emz-%lu", ef->serial++);
    m->watched = watched;
    m->source.socket = emz_i_socket(ef, EMZ_I_MONITOR, "", NULL);
    return m->source.socket && !zmq_socket_monitor(watched, endpoint, events) &&
                   !zmq_connect(m->source.socket, endpoint) &&
                   !emz_i_watch(&ef->poller, &m->source, m->source.socket)
               ? 0
               : -1;
}

/* Before the watched socket is closed. */
static void emz_i_monitor_close(emz_efunguz *ef, emz_i_monitor *m) {
    if (m->source.socket) {
        emz_i_unwatch(&ef->poller, &m->source);
        zmq_socket_monitor(m->watched, NULL, 0);
        zmq_close(m->source.socket);
        m->source.socket = NULL;
    }
}

/* The next event (0: it was none) and its value: 1; 0: there is no more. */
static int emz_i_monitor_next(emz_i_monitor *m, int *event, uint32_t *value) {
    unsigned char frame[6];
    uint16_t number;
    int rc = zmq_recv(m->source.socket, frame, sizeof frame, ZMQ_DONTWAIT);
    *event = 0;
    *value = 0;
    if (rc < 0) {
        return zmq_errno() != EAGAIN;
    }
    if (rc == 6) { /* else it is an address that could not be read before */
        memcpy(&number, frame, 2);
        memcpy(value, frame + 2, 4);
        *event = number;
        (void)zmq_recv(m->source.socket, frame, sizeof frame, ZMQ_DONTWAIT); /* the address */
    }
    return 1;
}

/* ---------------------------------------------------------------------------------------------
 * >>gate: who may subscribe, and what a new subscriber gets
 * ------------------------------------------------------------------------------------------ */

static emz_i_guest *emz_i_guest_find(const emz_i_map *map, const unsigned char *key) {
    return (emz_i_guest *)emz_i_map_find(map, key, EMZ_KEY_SIZE);
}

/* There is room, and the key is not in it. */
static int emz_i_guest_add(emz_i_map *map, const unsigned char *key) {
    emz_i_guest *guest = (emz_i_guest *)emz_i_new(sizeof *guest);
    if (!guest || emz_i_map_reserve(map, 1)) {
        EMZ_FREE(guest);
        return -1;
    }
    memcpy(guest->key, key, EMZ_KEY_SIZE);
    emz_i_map_add(map, &guest->node, guest->key, EMZ_KEY_SIZE);
    return 0;
}

/* Take out a node of any kind; every one is one allocation. */
static void emz_i_node_free(emz_i_map *map, emz_i_node *node) {
    emz_i_map_del(map, node);
    EMZ_FREE(node);
}

/* All but the first count of them. */
static void emz_i_nodes_free(emz_i_map *map, size_t count) {
    while (map->count > count) {
        emz_i_node_free(map, map->at[map->count - 1]);
    }
}

static int emz_i_gate_is_open(const emz_efunguz *ef) {
    return !ef->whitelist.count && !ef->whitelist_only;
}

static int emz_i_permits(emz_efunguz *ef, const unsigned char *key) {
    emz_i_guest *guest = emz_i_guest_find(&ef->whitelist, key);
    if (emz_i_guest_find(&ef->banned, key)) {
        return 0;
    }
    if (guest) {
        guest->admitted = 1;
    } else if (emz_i_gate_is_open(ef)) {
        ef->gate.open_admitted = 1;
    } else {
        return 0;
    }
    return 1;
}

/* One request of a publishing socket's session (ZeroMQ RFC 27), and our answer. Frames: return
 * address, empty, version, request id, domain, address, identity, mechanism, credentials. */
static int emz_i_zap_serve(emz_i_source *s) {
    emz_efunguz *ef = (emz_efunguz *)s->owner;
    int n, got;
    for (n = 0; n < EMZ_I_GATE_BATCH; n++) {
        char text[EMZ_KEY_Z85_SIZE] = "";
        int permitted;
        got = emz_i_recv_frames(s->socket, &ef->in);
        if (!got) {
            return 0;
        }
        if (got < 0 || ef->in.count < 4) {
            continue;
        }
        ef->attempted++;
        permitted = ef->in.count == 9 && emz_i_is(&ef->in, 7, "CURVE", 5) &&
                    emz_i_is(&ef->in, 6, ef->session, sizeof ef->session) &&
                    emz_i_size(&ef->in, 8) == EMZ_KEY_SIZE;
        if (permitted) {
            emz_i_z85_encode(text, emz_i_data(&ef->in, 8), EMZ_KEY_SIZE);
            permitted = emz_i_permits(ef, emz_i_data(&ef->in, 8));
            if (!permitted && emz_i_log_room(ef)) {
                emz_i_log(ef, EMZ_LOG_INFO,
                          "Refused the subscriber with public key %s: not in the whitelist.", text);
            }
        }
        ef->permitted += (uint64_t)permitted;
        if (!emz_i_send(s->socket, emz_i_data(&ef->in, 0), emz_i_size(&ef->in, 0), ZMQ_SNDMORE)) {
            const char *answer[6];
            int i;
            answer[0] = "";
            answer[1] = "1.0";
            answer[2] = permitted ? "200" : "400";
            answer[3] = permitted ? "OK" : "FAILED";
            answer[4] = permitted ? text : "";
            answer[5] = "";
            for (i = 0; i < 6; i++) {
                emz_i_send(s->socket, answer[i], strlen(answer[i]), i < 5 ? ZMQ_SNDMORE : 0);
                if (i == 1) {
                    emz_i_send(s->socket, emz_i_data(&ef->in, 3), emz_i_size(&ef->in, 3),
                               ZMQ_SNDMORE);
                }
            }
        }
    }
    return 1;
}

/* A subscriber that sends anything but subscriptions would make libzmq give others' subscriptions
 * to the wrong connection: it is put out, for good. */
static void emz_i_gate_ban(emz_efunguz *ef) {
    const char *text = ef->in.count ? zmq_msg_gets(&ef->in.at[0], "User-Id") : NULL;
    unsigned char key[EMZ_KEY_SIZE];
    ef->gate.must_rebuild = 1;
    if (text && !emz_i_key(key, text) && !emz_i_guest_find(&ef->banned, key)) {
        if (ef->banned.count == EMZ_I_BANNED_MAX) {
            emz_i_node_free(&ef->banned, ef->banned.at[0]);
        }
        (void)emz_i_guest_add(&ef->banned, key);
        if (emz_i_log_room(ef)) {
            emz_i_log(ef, EMZ_LOG_WARNING,
                      "The subscriber with public key %s broke the protocol and is kept out.",
                      text);
        }
    }
}

/* Send to all who have room for it in their queues; the others miss it. */
static int emz_i_gate_send(emz_efunguz *ef, emz_i_frames *frames) {
    int one = 1, zero = 0, failed = emz_i_send_frames(ef->gate.socket, frames);
    if (failed && zmq_errno() == EAGAIN) {
        zmq_setsockopt(ef->gate.socket, ZMQ_XPUB_NODROP, &zero, sizeof zero);
        failed = emz_i_send_frames(ef->gate.socket, frames);
        zmq_setsockopt(ef->gate.socket, ZMQ_XPUB_NODROP, &one, sizeof one);
        ef->gate.lossy = emz_i_ms(ef) + EMZ_I_REPEAT_MAX;
        ef->gate.repeated = 0;
    }
    return failed;
}

static void emz_i_gate_owe(emz_efunguz *ef, emz_i_retained *kept, uint64_t ms) {
    emz_i_due(ef, &kept->due, emz_i_ms(ef) + ms);
    ef->gate.due = kept->due < ef->gate.due ? kept->due : ef->gate.due;
}

/* Nothing more of it is due to anybody. */
static void emz_i_gate_settle(emz_i_retained *kept) {
    kept->due = EMZ_I_NEVER;
    kept->pause = kept->past = 0;
}

/* Send a kept value; for lack of room, soon again. */
static int emz_i_gate_send_kept(emz_efunguz *ef, emz_i_retained *kept) {
    int failed = emz_i_send_frames(ef->gate.socket, &kept->frames);
    if (failed && zmq_errno() == EAGAIN) {
        emz_i_gate_owe(ef, kept, EMZ_I_OWED_MS);
        kept->past = kept->past ? kept->past : emz_i_ms(ef) + EMZ_I_HELD_MS;
        failed = 0;
    }
    return failed;
}

/* libzmq does not tell whose queue had no room lately, nor when it has some again. So what is sent
 * meanwhile is repeated, ever more seldom: who has it knows it by its time. 1: it will be. */
static int emz_i_gate_doubt(emz_efunguz *ef, emz_i_retained *kept) {
    uint64_t now = emz_i_ms(ef);
    if (now >= ef->gate.lossy) {
        return 0;
    }
    if (kept->due > now + EMZ_I_REPEAT_MS) {
        emz_i_gate_owe(ef, kept, EMZ_I_REPEAT_MS);
    }
    kept->pause = UINT64_C(2) * EMZ_I_REPEAT_MS;
    return 1;
}

/* Send a kept value that is due. 1: somebody has no room; so it still is due. But who stands still
 * must not hold it up for ever: then it goes past him, with the repeats that follow such a loss. */
static int emz_i_gate_retry(emz_efunguz *ef, emz_i_retained *kept, uint64_t now) {
    emz_i_gate *gate = &ef->gate;
    int refused;
    kept->due = EMZ_I_NEVER;
    gate->must_rebuild |= emz_i_gate_send_kept(ef, kept) != 0;
    refused = kept->due != EMZ_I_NEVER;
    if (refused && (now < kept->past || now < gate->past)) {
        return 1;
    }
    if (refused) {
        kept->due = EMZ_I_NEVER;
        gate->must_rebuild |= emz_i_gate_send(ef, &kept->frames) != 0;
    } else if (kept->past) {
        gate->past = now + EMZ_I_HELD_MS;
    }
    kept->past = 0;
    if (!kept->pause && now < gate->lossy) {
        kept->pause = EMZ_I_REPEAT_MS;
    }
    if (kept->pause > EMZ_I_REPEAT_MAX) {
        kept->pause = 0;
    } else if (kept->pause) {
        emz_i_gate_owe(ef, kept, kept->pause);
        kept->pause *= 2;
    }
    return refused;
}

/* How many kept values may be sent now? Just after a queue was full few, then more and more: until
 * half of it is read, all that is sent passes by. */
static uint64_t emz_i_gate_room(const emz_i_gate *gate, uint64_t now) {
    uint64_t since, all;
    if (now >= gate->lossy) {
        return EMZ_I_GATE_BATCH;
    }
    since = now + EMZ_I_REPEAT_MAX - gate->lossy;
    all = EMZ_I_REPEAT_RATE * (since + since * since / 1000) / 1000;
    all = all < gate->repeated ? 0 : all - gate->repeated;
    return all < EMZ_I_GATE_BATCH ? all : EMZ_I_GATE_BATCH;
}

/* Send the kept values that are due; where queues are or were full, some of them. */
static void emz_i_gate_repeat(emz_efunguz *ef) {
    emz_i_gate *gate = &ef->gate;
    const size_t count = ef->retained.count, first = gate->turn;
    uint64_t now = emz_i_ms(ef), due = EMZ_I_NEVER, room = emz_i_gate_room(gate, now);
    size_t i, sent = 0, refused = 0;
    for (i = 0; i < count; i++) {
        emz_i_retained *kept = (emz_i_retained *)ef->retained.at[(first + i) % count];
        if (now >= kept->due && sent < room && refused < EMZ_I_REFUSED_MAX) {
            sent++;
            emz_i_ready(&ef->poller, &gate->source);
            refused = emz_i_gate_retry(ef, kept, now) ? refused + 1 : 0;
            gate->repeated += !refused;
            gate->turn = (first + i + 1) % count;
        }
        due = kept->due < due ? kept->due : due;
    }
    gate->due = due <= now && sent < EMZ_I_GATE_BATCH ? now + EMZ_I_OWED_MS : due;
}

/* Subscriptions: each new subscriber of a title gets its kept value. In libzmq's manual mode we
 * must say yes to each, and the next message goes to that subscriber alone, whatever it is: so one
 * is always sent, if need be an empty one, which receivers ignore. */
static int emz_i_gate_serve(emz_i_source *s) {
    emz_efunguz *ef = (emz_efunguz *)s->owner;
    int n, got = 1;
    for (n = 0; n < EMZ_I_GATE_BATCH && (got = emz_i_recv_frames(s->socket, &ef->in)) != 0; n++) {
        emz_i_retained *kept = NULL;
        int lost = got < 0, subscription = lost ? 0 : emz_i_wire_subscription(&ef->in);
        if (!lost && subscription >= 0) {
            const unsigned char *data = emz_i_data(&ef->in, 0);
            size_t size = emz_i_size(&ef->in, 0) - 1;
            int title = emz_i_wire_title(data + 1, size);
            if (ef->gate.manual) {
                lost = zmq_setsockopt(s->socket, data[0] ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE,
                                      data + 1, size) != 0;
            }
            if (subscription && title >= 0) {
                kept = (emz_i_retained *)emz_i_map_find(&ef->retained, data + 1, (size_t)title);
            }
        } else if (!lost) {
            emz_i_gate_ban(ef);
        }
        if (lost ||
            (kept ? emz_i_gate_send_kept(ef, kept)
                  : ef->gate.manual && emz_i_send(s->socket, "", 0, 0) && zmq_errno() != EAGAIN)) {
            ef->gate.must_rebuild = 1; /* so that all ask again */
            got = 1;
            break;
        }
        if (kept) {
            (void)emz_i_gate_doubt(ef, kept);
        }
    }
    return got != 0;
}

/* Connections: which of them are authenticated? libzmq tells a connection's file descriptor when it
 * comes and goes, but not with the handshakes in between. So: an end right behind a failed
 * handshake is that one's; a connection during which none succeeded was not authenticated, one
 * during which none was refused was not refused; when both were, it was a refused one, as they go
 * first. Where that guess was wrong, the other one's end puts it right: in any case there is one
 * less of both together. */
static int emz_i_gate_monitor_serve(emz_i_source *s) {
    emz_efunguz *ef = (emz_efunguz *)s->owner;
    emz_i_gate *gate = &ef->gate;
    int n, event;
    uint32_t value;
    for (n = 0; n < EMZ_I_GATE_BATCH; n++) {
        emz_i_visit *visit;
        if (!emz_i_monitor_next(&gate->monitor, &event, &value)) {
            return 0;
        }
        if (!event) {
            continue;
        }
        visit = (emz_i_visit *)emz_i_map_find(&gate->visits, &value, sizeof value);
        switch (event) {
        case ZMQ_EVENT_ACCEPTED:
            if (!visit) {
                visit = (emz_i_visit *)emz_i_new(sizeof *visit);
                if (!visit || emz_i_map_reserve(&gate->visits, 1)) {
                    EMZ_FREE(visit);
                    gate->must_rebuild = 1; /* else nobody would know when it ends */
                    break;
                }
                visit->fd = value;
                emz_i_map_add(&gate->visits, &visit->node, &visit->fd, sizeof visit->fd);
            }
            visit->successes = gate->successes;
            visit->refusals = gate->refusals;
            break;
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            gate->successes++;
            gate->absorbing++;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            gate->refusals++;
            gate->refused++;
            break;
        case ZMQ_EVENT_DISCONNECTED:
            if (visit) {
                int succeeded = visit->successes != gate->successes; /* it, or another */
                int refused = visit->refusals != gate->refusals;
                if (gate->failing || (!succeeded && !refused)) {
                    /* it never got so far */
                } else if (gate->refused && (refused || !gate->absorbing)) {
                    gate->refused--;
                } else if (gate->absorbing) {
                    gate->absorbing--;
                }
                emz_i_node_free(&gate->visits, &visit->node);
            }
            break;
        default:
            break;
        }
        gate->failing = event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL ||
                        event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    }
    return 1;
}

static void emz_i_gate_close(emz_efunguz *ef) {
    emz_i_gate *gate = &ef->gate;
    emz_i_monitor_close(ef, &gate->monitor);
    emz_i_unwatch(&ef->poller, &gate->source);
    if (gate->socket) {
        zmq_close(gate->socket);
        gate->socket = NULL;
    }
    emz_i_nodes_free(&gate->visits, 0);
    gate->successes = gate->refusals = gate->absorbing = gate->refused = 0;
    gate->failing = gate->open_admitted = gate->must_rebuild = 0;
}

/* Open the publishing socket, trying for patience milliseconds while the port is taken. */
static emz_result emz_i_gate_open(emz_efunguz *ef, uint64_t patience) {
    const int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                       ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                       ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    const int v6 = strchr(ef->bind_host, ':') != NULL;
    emz_i_gate *gate = &ef->gate;
    uint64_t end = emz_i_ms(ef) + patience;
    emz_result result = EMZ_ERR_BIND;
    char endpoint[320], port[16] = "*";
    size_t size = sizeof endpoint;
    int saved;
    gate->source.serve = emz_i_gate_serve;
    gate->monitor.source.serve = emz_i_gate_monitor_serve;
    gate->source.owner = gate->monitor.source.owner = ef;
    ef->session[EMZ_KEY_SIZE - 1]++; /* who asked at the gate before is not there any more */
    gate->socket = emz_i_socket(ef, EMZ_I_PUBLISHER, ef->bind_host, NULL);
    if (!gate->socket || emz_i_monitor_open(ef, &gate->monitor, gate->socket, events) ||
        (gate->manual = ef->retain ? emz_i_socket_manual(gate->socket) : 0) < 0) {
        result = emz_i_zmq_result();
        goto failed;
    }
    if (ef->port != EMZ_ANY_PORT) {
        snprintf(port, sizeof port, "%d", ef->port);
    }
    snprintf(endpoint, sizeof endpoint, "tcp://%s%s%s:%s", v6 ? "[" : "", ef->bind_host,
             v6 ? "]" : "", port);
    while (emz_i_net_spare(2) || zmq_bind(gate->socket, endpoint)) {
        if (zmq_errno() != EADDRINUSE || emz_i_ms(ef) >= end) {
            goto failed;
        }
        zmq_poll(NULL, 0, 2); /* the old socket's port is freed by another thread */
    }
    if (ef->port == EMZ_ANY_PORT) {
        if (zmq_getsockopt(gate->socket, ZMQ_LAST_ENDPOINT, endpoint, &size)) {
            result = emz_i_zmq_result();
            goto failed;
        }
        ef->port = atoi(strrchr(endpoint, ':') + 1);
    }
    if (emz_i_watch(&ef->poller, &gate->source, gate->socket)) {
        result = emz_i_zmq_result();
        goto failed;
    }
    return EMZ_OK;
failed:
    saved = zmq_errno();
    emz_i_gate_close(ef);
    errno = saved;
    return result;
}

/* libzmq has no way to end one connection: end all and open again, on the same port. */
static void emz_i_gate_rebuild(emz_efunguz *ef) {
    uint64_t patience = ef->gate.socket ? EMZ_I_REBIND_MS : 0; /* a retry holds nobody up */
    if (ef->gate.socket) {
        int zero = 0;
        size_t i;
        char endpoint[320];
        size_t size = sizeof endpoint;
        zmq_setsockopt(ef->gate.socket, ZMQ_LINGER, &zero, sizeof zero);
        if (!zmq_getsockopt(ef->gate.socket, ZMQ_LAST_ENDPOINT, endpoint, &size)) {
            zmq_unbind(ef->gate.socket, endpoint);
        }
        emz_i_gate_close(ef);
        for (i = 0; i < ef->whitelist.count; i++) {
            ((emz_i_guest *)ef->whitelist.at[i])->admitted = 0;
        }
        for (i = 0; i < ef->retained.count; i++) { /* to queues that are gone; all ask again */
            emz_i_gate_settle((emz_i_retained *)ef->retained.at[i]);
        }
        ef->gate.past = ef->gate.lossy = ef->gate.repeated = 0;
    }
    if (emz_i_gate_open(ef, patience)) {
        emz_i_log(ef, EMZ_LOG_ERROR,
                  "Cannot listen on port %d again: %s. Nobody can subscribe; retrying.", ef->port,
                  zmq_strerror(zmq_errno()));
        emz_i_due(ef, &ef->gate.due, emz_i_ms(ef) + EMZ_I_REBIND_MS);
    }
}

/* After a change of the whitelist: does the gate hold somebody who is no longer permitted? */
static void emz_i_gate_check(emz_efunguz *ef) {
    if (ef->gate.open_admitted && !emz_i_gate_is_open(ef)) {
        ef->gate.must_rebuild = 1;
    }
    if (ef->gate.must_rebuild && ef->gate.socket) {
        emz_i_gate_rebuild(ef);
    }
}

/* A guest leaves the whitelist. */
static void emz_i_guest_del(emz_efunguz *ef, emz_i_guest *guest) {
    int admitted = guest->admitted;
    emz_i_node_free(&ef->whitelist, &guest->node);
    if (admitted && emz_i_gate_is_open(ef)) {
        ef->gate.open_admitted = 1;
    } else if (admitted) {
        ef->gate.must_rebuild = 1;
    }
}

/* ---------------------------------------------------------------------------------------------
 * >>ehypha: one peer; its connection is tried again and again, see emz_i_stage
 * ------------------------------------------------------------------------------------------ */

/* How long a stage may last; 0: for ever. An onion gets longer with each attempt: when its host has
 * just returned, Tor may be stuck with old circuits for half a minute, and a new attempt gets new
 * ones. */
static uint64_t emz_i_limit(const emz_ehypha *eh) {
    uint64_t limit = 0;
    switch (eh->stage) {
    case EMZ_I_DIALING:
    case EMZ_I_GREETING:
        limit = EMZ_PROXY_TIMEOUT_MS;
        break;
    case EMZ_I_REQUESTING:
        limit = (uint64_t)EMZ_ONION_TIMEOUT_MS / 8 << (eh->fails < 3 ? eh->fails : 3);
        break;
    case EMZ_I_CONNECTING:
        limit = EMZ_CONNECT_TIMEOUT_MS;
        break;
    case EMZ_I_SHAKING:
        limit = EMZ_HANDSHAKE_TIMEOUT_MS;
        break;
    case EMZ_I_WAITING:
    case EMZ_I_TALKING:
        break;
    }
    return limit;
}

static void emz_i_enter(emz_ehypha *eh, emz_i_stage stage) {
    uint64_t limit;
    eh->stage = stage;
    eh->since = emz_i_ms(eh->ef);
    limit = emz_i_limit(eh);
    emz_i_due(eh->ef, &eh->due, limit ? eh->since + limit : EMZ_I_NEVER);
}

static void emz_i_link(emz_ehypha *eh, emz_link link, int reply) {
    int news = eh->link != link || eh->reply != reply;
    eh->link = link;
    eh->reply = reply;
    if (news) {
        emz_i_log(eh->ef, link < 0 ? EMZ_LOG_WARNING : EMZ_LOG_INFO, "Peer %s: %s", eh->publickey,
                  emz_ehypha_link_str(eh));
    }
}

/* How long to wait after an attempt that ended so: first, doubled each time, at most. Where asking
 * costs little and the change is likely to be local, seldom long. */
static uint64_t emz_i_pause(emz_ehypha *eh, emz_link link) {
    uint64_t first = 500, most = 60000, pause;
    switch (link) {
    case EMZ_LINK_LOST:
        first = 100;
        most = 5000;
        break;
    case EMZ_LINK_NO_PROXY:
    case EMZ_LINK_EXHAUSTED:
        most = 5000;
        break;
    case EMZ_LINK_UNREACHABLE:
    case EMZ_LINK_SILENT:
        most = 15000;
        break;
    case EMZ_LINK_DENIED:
    case EMZ_LINK_WRONG_KEY:
        first = 2000;
        break;
    case EMZ_LINK_UP:
    case EMZ_LINK_CONNECTING:
        break;
    }
    pause = first << (eh->fails < 10 ? eh->fails : 10);
    pause = pause < most ? pause : most;
    return (pause - emz_i_chance(eh->ef, pause / 4)) * EMZ_RETRY_PERCENT / 100;
}

static int emz_i_receive(emz_i_source *s);
static int emz_i_ehypha_serve(emz_i_source *s);
static void emz_i_tunnel_close(emz_ehypha *eh);
static void emz_i_tunnel_dial(emz_ehypha *eh);
static void emz_i_tunnel_expect(emz_ehypha *eh, zmq_fd_t subscriber);

static void emz_i_disconnect(emz_ehypha *eh) {
    if (*eh->endpoint) {
        zmq_disconnect(eh->source.socket, eh->endpoint);
        emz_i_ready(&eh->ef->poller, &eh->source);
        *eh->endpoint = 0;
    }
    if (eh->tunnel) {
        emz_i_tunnel_close(eh);
    }
}

/* This attempt is over; the next comes after a pause that grows while the reason stays. */
static void emz_i_fail(emz_ehypha *eh, emz_link link, int reply) {
    const uint64_t steady = 1000;
    uint64_t now = emz_i_ms(eh->ef);
    if (link != eh->failed || (link == EMZ_LINK_LOST && now - eh->since > steady)) {
        eh->fails = 0;
    }
    (void)emz_i_receive(&eh->source); /* disconnecting drops what has not been read */
    eh->missed = 0;
    emz_i_disconnect(eh);
    emz_i_enter(eh, EMZ_I_WAITING);
    emz_i_due(eh->ef, &eh->due, now + emz_i_pause(eh, link));
    eh->failed = link;
    eh->fails++;
    emz_i_link(eh, link, reply);
}

/* The subscribing socket starts to connect to eh->endpoint. */
static void emz_i_connect(emz_ehypha *eh) {
    size_t i;
    for (i = 0; i < eh->etales.count; i++) {
        ((emz_etale *)eh->etales.at[i])->asked = 1; /* libzmq asks for all */
    }
    emz_i_enter(eh, EMZ_I_CONNECTING);
    emz_i_ready(&eh->ef->poller, &eh->source);
    if (zmq_connect(eh->source.socket, eh->endpoint)) {
        *eh->endpoint = 0;
        emz_i_fail(eh, zmq_errno() == EMFILE ? EMZ_LINK_EXHAUSTED : EMZ_LINK_UNREACHABLE, 0);
    }
}

static void emz_i_attempt(emz_ehypha *eh) {
    int v6 = strchr(eh->host, ':') != NULL;
    if (eh->tunnel) {
        emz_i_tunnel_dial(eh);
        return;
    }
    snprintf(eh->endpoint, sizeof eh->endpoint, "tcp://%s%s%s:%d", v6 ? "[" : "", eh->host,
             v6 ? "]" : "", eh->port);
    emz_i_connect(eh);
}

static int emz_i_subscribe(emz_ehypha *eh, const char *title, int option) {
    emz_i_ready(&eh->ef->poller, &eh->source);
    return zmq_setsockopt(eh->source.socket, option, title, strlen(title) + 1);
}

/* A subscription made once more brings the kept value. libzmq tells the peer of each, and of the
 * end only with the last: so nothing that is emitted meanwhile is missed. Of more titles than a
 * queue holds only some are answered: the others are asked for again, until that is in vain. */
static void emz_i_ask_again(emz_ehypha *eh) {
    int failed = 0, asked = 0;
    size_t i;
    for (i = 0; i < eh->etales.count; i++) {
        emz_etale *et = (emz_etale *)eh->etales.at[i];
        if (!et->paused && (et->asked || eh->streamed)) {
            failed |= emz_i_subscribe(eh, emz_etale_title(et), ZMQ_SUBSCRIBE) ||
                      emz_i_subscribe(eh, emz_etale_title(et), ZMQ_UNSUBSCRIBE);
            et->asked = asked = 1;
        }
    }
    eh->streamed = eh->streamed && failed;
    eh->asked_since = eh->backlog_since = emz_i_ms(eh->ef);
    if (!asked) {
        eh->due = EMZ_I_NEVER;
    } else if (eh->vain < EMZ_I_VAIN_MAX) {
        eh->vain++; /* until a value comes that had been missed */
        emz_i_due(eh->ef, &eh->due, eh->asked_since + ((uint64_t)EMZ_I_QUIET_MS << eh->vain));
    } else {
        eh->lag = INT64_MAX; /* a clock may have been set */
        eh->due = EMZ_I_NEVER;
    }
}

/* A stage has lasted too long, or the pause long enough. */
static void emz_i_overdue(emz_ehypha *eh) {
    switch (eh->stage) {
    case EMZ_I_WAITING:
        emz_i_attempt(eh);
        break;
    case EMZ_I_DIALING:
    case EMZ_I_GREETING:
        emz_i_fail(eh, EMZ_LINK_NO_PROXY, 0);
        break;
    case EMZ_I_REQUESTING:
        emz_i_fail(eh, EMZ_LINK_UNREACHABLE, 6);
        break;
    case EMZ_I_CONNECTING:
        emz_i_fail(eh, EMZ_LINK_UNREACHABLE, 0);
        break;
    case EMZ_I_SHAKING:
        emz_i_fail(eh, EMZ_LINK_SILENT, 0);
        break;
    case EMZ_I_TALKING:
        emz_i_ask_again(eh);
        break;
    }
}

static int emz_i_ehypha_monitor_serve(emz_i_source *s) {
    emz_ehypha *eh = (emz_ehypha *)s->owner;
    int n, event;
    uint32_t value;
    if (eh->stage == EMZ_I_TALKING && emz_i_ehypha_serve(&eh->source)) {
        return 1; /* what came before the connection's end is read first */
    }
    for (n = 0; n < EMZ_I_GATE_BATCH; n++) {
        int trying;
        if (!emz_i_monitor_next(&eh->monitor, &event, &value)) {
            return 0;
        }
        /* What comes late, from an attempt that has been given up, is of no interest. */
        trying = eh->stage == EMZ_I_CONNECTING || eh->stage == EMZ_I_SHAKING;
        if (event == ZMQ_EVENT_CONNECTED && eh->stage == EMZ_I_CONNECTING) {
            emz_i_enter(eh, EMZ_I_SHAKING);
            if (eh->tunnel) {
                emz_i_tunnel_expect(eh, (zmq_fd_t)value);
            }
        } else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && trying) {
            emz_i_enter(eh, EMZ_I_TALKING);
            emz_i_link(eh, EMZ_LINK_UP, 0);
            eh->newest = INT64_MIN;
            eh->vain = 0;
            eh->streamed = 0;
            eh->asked_since = eh->since;
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && trying) {
            emz_i_fail(eh, EMZ_LINK_DENIED, 0);
        } else if (trying && (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
                              event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL ||
                              event == ZMQ_EVENT_DISCONNECTED)) {
            int silent = eh->tunnel && !eh->tunnel->down.passed; /* a way, but nobody at its end */
            emz_i_fail(eh, silent ? EMZ_LINK_UNREACHABLE : EMZ_LINK_WRONG_KEY, 0);
        } else if (event == ZMQ_EVENT_DISCONNECTED && eh->stage == EMZ_I_TALKING) {
            emz_i_fail(eh, EMZ_LINK_LOST, 0);
        } else if (event == ZMQ_EVENT_CONNECT_RETRIED && eh->stage == EMZ_I_CONNECTING) {
            /* libzmq does not tell whether it was for lack of a descriptor */
            emz_i_fail(eh, emz_i_net_spare(1) ? EMZ_LINK_EXHAUSTED : EMZ_LINK_UNREACHABLE, 0);
        }
    }
    return 1;
}

/* Is it the value that the etale has? It comes again after a reconnection. Of publishers whose
 * clock is coarse, two different ones may carry the same time. */
static int emz_i_is_same(const emz_etale *et, const emz_i_frames *frames, int64_t t_out) {
    size_t i;
    if (et->t_in < 0 || et->t_out != t_out || et->frames.count != frames->count) {
        return 0;
    }
    for (i = 2; i < frames->count; i++) {
        if (!emz_i_is(&et->frames, i, emz_i_data(frames, i), emz_i_size(frames, i))) {
            return 0;
        }
    }
    return 1;
}

/* A publisher whose queue for us is full drops the newest values, and repeats them for two minutes
 * only. But then a queue of values was on its way at once: this one had been emitted when those
 * before it came. Behind them, the last values are asked for again. Its queue is taken to be as
 * long as ours; half of that is enough, since what it counts as read is up to half a queue late. */
static void emz_i_backlog(emz_ehypha *eh, const emz_etale *et) {
    const size_t half = (size_t)eh->ef->queue_size / 2 + 1;
    const size_t queue = half < EMZ_I_BACKLOG ? half : EMZ_I_BACKLOG;
    const size_t step = queue / EMZ_I_MARKS + 1;
    int64_t before, *came, lag = emz_i_apart(et->t_in, et->t_out);
    eh->lag = lag < eh->lag ? lag : eh->lag;
    if (et->t_out < eh->newest) {
        eh->vain = 0; /* it had been missed: they come in order */
    } else {
        eh->newest = et->t_out;
    }
    if (eh->values++ % step) {
        return;
    }
    came = &eh->came[eh->values / step % (queue / step)];
    before = *came;
    *came = et->t_in;
    if (eh->stage == EMZ_I_TALKING &&
        emz_i_apart(before + INT64_C(1000) * EMZ_I_SLACK_MS, eh->lag) >= et->t_out) {
        uint64_t now = emz_i_ms(eh->ef), end = now + ((uint64_t)EMZ_I_QUIET_MS << eh->vain), last;
        eh->streamed |= !et->asked || now - eh->asked_since > EMZ_I_REPEAT_MAX;
        eh->backlog_since = eh->due == EMZ_I_NEVER ? now : eh->backlog_since;
        last = eh->backlog_since + ((uint64_t)EMZ_I_ASK_MS << eh->vain);
        emz_i_due(eh->ef, &eh->due, end < last ? end : last);
    }
}

/* What was asked for is not asked for once more while answers come. */
static void emz_i_answered(emz_ehypha *eh, emz_etale *et) {
    if (et->asked && eh->stage == EMZ_I_TALKING && eh->due != EMZ_I_NEVER) {
        emz_i_due(eh->ef, &eh->due, emz_i_ms(eh->ef) + ((uint64_t)EMZ_I_QUIET_MS << eh->vain));
    }
    et->asked = 0;
}

/* The message in ef->in becomes an etale's value: the frames change places, nothing is copied. 0,
 * or -1 without memory: the old value stays. */
static int emz_i_absorb(emz_ehypha *eh) {
    emz_efunguz *ef = eh->ef;
    int size = emz_i_wire_etale(&ef->in, ef->max_part_size);
    emz_etale *et;
    int64_t t_out;
    emz_part *parts;
    size_t i, count;
    if (size < 0) {
        return 0;
    }
    et = (emz_etale *)emz_i_map_find(&eh->etales, emz_i_data(&ef->in, 0), (size_t)size);
    if (!et || et->paused) {
        return 0;
    }
    t_out = emz_i_wire_get_time(emz_i_data(&ef->in, 1));
    if (emz_i_is_same(et, &ef->in, t_out)) {
        emz_i_answered(eh, et);
        return 0;
    }
    count = ef->in.count - 2;
    parts = (emz_part *)emz_i_grow(et->parts, sizeof *parts, &et->parts_room, count);
    if (!parts) {
        return -1;
    }
    et->parts = parts;
    emz_i_frames_swap(&et->frames, &ef->in);
    emz_i_frames_clear(&ef->in);
    for (i = 0; i < count; i++) {
        et->parts[i].data = emz_i_data(&et->frames, i + 2);
        et->parts[i].size = emz_i_size(&et->frames, i + 2);
    }
    eh->vain = et->t_in < 0 ? 0 : eh->vain;
    et->t_out = t_out;
    et->t_in = emz_now();
    emz_i_backlog(eh, et);
    emz_i_answered(eh, et);
    ef->updated += et->update != ef->update;
    et->update = ef->update;
    return 0;
}

/* Bounded, so that a flood from one peer holds nobody up. */
static int emz_i_receive(emz_i_source *s) {
    emz_ehypha *eh = (emz_ehypha *)s->owner;
    int n, got;
    for (n = 0; n < EMZ_UPDATE_MESSAGES; n++) {
        got = emz_i_recv_frames(s->socket, &eh->ef->in);
        if (!got) {
            return 0;
        }
        if (eh->tunnel) {
            eh->tunnel->down.passed = 0;
        }
        if (got < 0 || emz_i_absorb(eh)) {
            eh->missed = 1;
        }
    }
    return 1;
}

/* What was missed comes again with a new connection: the publisher keeps the last values. */
static int emz_i_ehypha_serve(emz_i_source *s) {
    emz_ehypha *eh = (emz_ehypha *)s->owner;
    int left = eh->behind = emz_i_receive(s);
    if (eh->missed && eh->stage != EMZ_I_WAITING) {
        emz_i_fail(eh, EMZ_LINK_EXHAUSTED, 0);
    }
    eh->missed = 0;
    return left;
}

/* ---------------------------------------------------------------------------------------------
 * >>tunnel: an ehypha's way through Tor's SOCKS port. libzmq's own (ZMQ_SOCKS_PROXY) aborts the
 * process when it is closed while it retries, and does not tell what the proxy said. So here: dial
 * the proxy, ask for the onion, and only then let the subscribing socket connect to a port of
 * loopback that lives just until then and admits nobody else; from there on move bytes both ways.
 * ------------------------------------------------------------------------------------------ */

static void emz_i_side_close(emz_efunguz *ef, emz_i_source *side) {
    emz_i_unwatch(&ef->poller, side);
    emz_i_net_close(&side->fd);
}

static void emz_i_flow_end(emz_i_flow *flow) {
    EMZ_FREE(flow->data);
    flow->data = NULL;
    flow->begin = flow->end = 0;
}

static void emz_i_tunnel_close(emz_ehypha *eh) {
    emz_i_side_close(eh->ef, &eh->tunnel->listener);
    emz_i_side_close(eh->ef, &eh->tunnel->local);
    emz_i_side_close(eh->ef, &eh->tunnel->proxy);
    emz_i_flow_end(&eh->tunnel->up);
    emz_i_flow_end(&eh->tunnel->down);
}

static void emz_i_tunnel_dial(emz_ehypha *eh) {
    emz_i_source *proxy = &eh->tunnel->proxy;
    eh->tunnel->down.passed = 0;
    proxy->fd = emz_i_net_dial(&eh->ef->torproxy, eh->ef->torproxy_size);
    if (proxy->fd == EMZ_I_NO_FD || emz_i_want(&eh->ef->poller, proxy, ZMQ_POLLOUT)) {
        emz_i_fail(eh, EMZ_LINK_EXHAUSTED, 0);
    } else {
        emz_i_enter(eh, EMZ_I_DIALING);
    }
}

/* The onion is reached: the subscribing socket shall connect to the listener. */
static void emz_i_tunnel_admit(emz_ehypha *eh) {
    emz_i_tunnel *tunnel = eh->tunnel;
    int port = 0;
    (void)emz_i_want(&eh->ef->poller, &tunnel->proxy, 0); /* the peer may speak first: later */
    tunnel->listener.fd = emz_i_net_loopback(&port);
    if (tunnel->listener.fd == EMZ_I_NO_FD || listen(tunnel->listener.fd, 16)) {
        emz_i_fail(eh, EMZ_LINK_EXHAUSTED, 0);
        return;
    }
    snprintf(eh->endpoint, sizeof eh->endpoint, "tcp://127.0.0.1:%d", port);
    emz_i_connect(eh);
}

/* The subscribing socket has connected to the listener: by the port that it comes from we know it
 * from any other program of this machine that does. (To choose that port before would be simpler,
 * but where no descriptor is left, libzmq aborts when it looks up an address to come from.) */
static void emz_i_tunnel_expect(emz_ehypha *eh, zmq_fd_t subscriber) {
    eh->tunnel->local_port = emz_i_net_port(subscriber);
    if (emz_i_want(&eh->ef->poller, &eh->tunnel->listener, ZMQ_POLLIN)) {
        emz_i_fail(eh, EMZ_LINK_EXHAUSTED, 0);
    }
}

static int emz_i_listener_serve(emz_i_source *s) {
    emz_ehypha *eh = (emz_ehypha *)s->owner;
    emz_i_tunnel *tunnel = eh->tunnel;
    zmq_fd_t fd;
    int n, port;
    for (n = 0; n < EMZ_I_PUMP_BATCH; n++) {
        fd = emz_i_net_accept(s->fd, &port);
        if (fd == EMZ_I_NO_FD) {
            if (emz_i_net_exhausted()) {
                emz_i_fail(eh, EMZ_LINK_EXHAUSTED, 0);
            }
            return 0;
        }
        if (port == tunnel->local_port) {
            tunnel->local.fd = fd;
            emz_i_side_close(eh->ef, s);
            if (emz_i_want(&eh->ef->poller, &tunnel->local, ZMQ_POLLIN) ||
                emz_i_want(&eh->ef->poller, &tunnel->proxy, ZMQ_POLLIN)) {
                emz_i_fail(eh, EMZ_LINK_EXHAUSTED, 0);
            }
            return 0;
        }
        emz_i_net_close(&fd);
    }
    return 1;
}

/* Move bytes one way: 1: some may be left, 0: all for now, -1: no more will come, -2: no more is
 * taken. */
static int emz_i_pump(emz_efunguz *ef, emz_i_source *from, emz_i_source *to, emz_i_flow *flow) {
    int n;
    for (n = 0; n < EMZ_I_PUMP_BATCH; n++) {
        unsigned char *data = flow->data ? flow->data + flow->begin : ef->chunk;
        size_t left, size = flow->end - flow->begin;
        long rc;
        if (!flow->data) {
            rc = emz_i_net_recv(from->fd, ef->chunk, EMZ_I_CHUNK);
            if (rc <= 0) {
                return (int)rc;
            }
            size = (size_t)rc;
            flow->passed += size;
        }
        rc = emz_i_net_send(to->fd, data, size);
        if (rc < 0) {
            return -2;
        }
        left = size - (size_t)rc;
        if (!left) {
            emz_i_flow_end(flow);
        } else if (flow->data) {
            flow->begin += (size_t)rc;
        } else { /* keep what to cannot take, and do not read more until it does */
            flow->data = (unsigned char *)EMZ_MALLOC(left);
            if (!flow->data) {
                return -1;
            }
            memcpy(flow->data, data + rc, left);
            flow->end = left;
        }
        if (left) {
            return 0;
        }
    }
    return 1;
}

static int emz_i_local_serve(emz_i_source *s) {
    emz_ehypha *eh = (emz_ehypha *)s->owner;
    emz_i_tunnel *t = eh->tunnel;
    emz_i_poller *poller = &eh->ef->poller;
    int up = emz_i_pump(eh->ef, &t->local, &t->proxy, &t->up);
    /* The subscribing socket's queue has no end of its own. */
    int down = eh->behind ? 1 : emz_i_pump(eh->ef, &t->proxy, &t->local, &t->down);
    /* When the proxy takes no more, what it sent before is still to be read; that is all. */
    if (up == -1 || down < 0 || (up < 0 && !down && !t->down.data) ||
        emz_i_want(poller, &t->local,
                   (up < 0 || t->up.data ? 0 : ZMQ_POLLIN) | (t->down.data ? ZMQ_POLLOUT : 0)) ||
        emz_i_want(poller, &t->proxy,
                   (t->down.data ? 0 : ZMQ_POLLIN) | (up >= 0 && t->up.data ? ZMQ_POLLOUT : 0))) {
        /* What that means, the subscribing socket's monitor tells. */
        emz_i_side_close(eh->ef, &t->local);
        emz_i_side_close(eh->ef, &t->proxy);
        return 0;
    }
    if (t->down.passed > EMZ_MESSAGE_MAX) { /* libzmq would hold it all, without a limit */
        emz_i_log(eh->ef, EMZ_LOG_WARNING, "Peer %s: a message of more than EMZ_MESSAGE_MAX bytes.",
                  eh->publickey);
        emz_i_fail(eh, EMZ_LINK_LOST, 0);
        return 0;
    }
    return up > 0 || down > 0;
}

/* Read the proxy's answers byte-exactly: what follows belongs to the peer. need: how many bytes
 * there are at least. 1: more have come, 0: not yet; an ended attempt is 0 as well. */
static int emz_i_proxy_read(emz_ehypha *eh, size_t need) {
    emz_i_tunnel *tunnel = eh->tunnel;
    long rc = emz_i_net_recv(tunnel->proxy.fd, tunnel->reply + tunnel->have, need - tunnel->have);
    if (rc < 0) {
        emz_i_fail(eh, EMZ_LINK_NO_PROXY, 0);
        return 0;
    }
    tunnel->have += (size_t)rc;
    return rc > 0;
}

/* The next step of the conversation with the proxy is sent. */
static void emz_i_proxy_say(emz_ehypha *eh, const unsigned char *data, size_t size,
                            emz_i_stage next) {
    emz_i_source *proxy = &eh->tunnel->proxy;
    eh->tunnel->have = 0;
    if (emz_i_net_send(proxy->fd, data, size) != (long)size ||
        emz_i_want(&eh->ef->poller, proxy, ZMQ_POLLIN)) {
        emz_i_fail(eh, EMZ_LINK_NO_PROXY, 0);
    } else {
        emz_i_enter(eh, next);
    }
}

static int emz_i_proxy_serve(emz_i_source *s) {
    static const unsigned char greeting[3] = {5, 1, 0}; /* version 5, one method: no login */
    emz_ehypha *eh = (emz_ehypha *)s->owner;
    emz_i_tunnel *tunnel = eh->tunnel;
    unsigned char request[EMZ_I_SOCKS_REQUEST_SIZE];
    size_t need;
    if (eh->stage == EMZ_I_DIALING) {
        if (emz_i_net_error(s->fd)) {
            emz_i_fail(eh, EMZ_LINK_NO_PROXY, 0);
        } else {
            emz_i_proxy_say(eh, greeting, sizeof greeting, EMZ_I_GREETING);
        }
        return 0;
    }
    while (eh->stage == EMZ_I_GREETING && emz_i_proxy_read(eh, 2)) {
        if (tunnel->reply[0] != 5 || (tunnel->have == 2 && tunnel->reply[1] != 0)) {
            emz_i_fail(eh, EMZ_LINK_NO_PROXY, 0);
        } else if (tunnel->have == 2) {
            emz_i_socks_request(request, tunnel->onion, eh->port);
            emz_i_proxy_say(eh, request, sizeof request, EMZ_I_REQUESTING);
        }
    }
    while (eh->stage == EMZ_I_REQUESTING &&
           emz_i_proxy_read(eh, emz_i_socks_need(tunnel->reply, tunnel->have))) {
        need = emz_i_socks_need(tunnel->reply, tunnel->have);
        if (tunnel->have > 1 && tunnel->reply[0] == 5 && tunnel->reply[1]) {
            emz_i_fail(eh, EMZ_LINK_UNREACHABLE, tunnel->reply[1]);
        } else if (!need) {
            emz_i_fail(eh, EMZ_LINK_NO_PROXY, 0);
        } else if (tunnel->have == need) {
            emz_i_tunnel_admit(eh);
        }
    }
    if (tunnel->local.fd != EMZ_I_NO_FD) {
        return emz_i_local_serve(s);
    }
    return 0;
}

static emz_i_tunnel *emz_i_tunnel_new(emz_ehypha *eh, const char *onion) {
    emz_i_tunnel *tunnel = (emz_i_tunnel *)emz_i_new(sizeof *tunnel);
    if (tunnel) {
        memcpy(tunnel->onion, onion, EMZ_I_ONION_LENGTH);
        tunnel->listener.fd = tunnel->local.fd = tunnel->proxy.fd = EMZ_I_NO_FD;
        tunnel->listener.owner = tunnel->local.owner = tunnel->proxy.owner = eh;
        tunnel->listener.serve = emz_i_listener_serve;
        tunnel->local.serve = emz_i_local_serve;
        tunnel->proxy.serve = emz_i_proxy_serve;
    }
    return tunnel;
}

/* ---------------------------------------------------------------------------------------------
 * >>life: objects begin and end
 * ------------------------------------------------------------------------------------------ */

static void emz_i_etale_free(emz_i_map *etales, emz_etale *et) {
    emz_i_frames_free(&et->frames);
    EMZ_FREE(et->parts);
    emz_i_node_free(etales, &et->node);
}

static emz_etale *emz_i_etale_find(const emz_ehypha *eh, const char *title) {
    return eh && title ? (emz_etale *)emz_i_map_find(&eh->etales, title, strlen(title)) : NULL;
}

static emz_result emz_i_etale_pause(emz_ehypha *eh, const char *title, int paused) {
    emz_etale *et = emz_i_etale_find(eh, title);
    if (!eh || !title) {
        return EMZ_ERR_ARGUMENT;
    }
    if (!et) {
        return EMZ_ABSENT;
    }
    if (et->paused == paused) {
        return paused ? EMZ_ALREADY_PAUSED : EMZ_ALREADY_RESUMED;
    }
    if (emz_i_subscribe(eh, title, paused ? ZMQ_UNSUBSCRIBE : ZMQ_SUBSCRIBE)) {
        return emz_i_zmq_result();
    }
    et->paused = paused;
    et->asked = 1;
    return EMZ_OK;
}

/* The frames of an etale's message. */
static emz_result emz_i_compose(emz_i_frames *out, const char *title, int64_t t_out,
                                const emz_part *parts, size_t count) {
    unsigned char time[8];
    size_t i;
    emz_i_wire_put_time(time, t_out);
    emz_i_frames_clear(out);
    if (emz_i_frames_add_copy(out, title, strlen(title) + 1) ||
        emz_i_frames_add_copy(out, time, sizeof time)) {
        return EMZ_ERR_MEMORY;
    }
    for (i = 0; i < count; i++) {
        if (emz_i_frames_add_copy(out, parts[i].data, parts[i].size)) {
            return EMZ_ERR_MEMORY;
        }
    }
    return EMZ_OK;
}

/* Is there really something to do at a source that was reported ready? */
static int emz_i_has_work(const emz_i_source *s) {
    int events = ZMQ_POLLIN;
    size_t size = sizeof events;
    return !s->socket || zmq_getsockopt(s->socket, ZMQ_EVENTS, &events, &size) ||
           (events & ZMQ_POLLIN);
}

static void emz_i_ehypha_free(emz_ehypha *eh) {
    if (eh->tunnel) {
        emz_i_tunnel_close(eh);
        EMZ_FREE(eh->tunnel);
    }
    emz_i_monitor_close(eh->ef, &eh->monitor);
    emz_i_unwatch(&eh->ef->poller, &eh->source);
    if (eh->source.socket) {
        zmq_close(eh->source.socket);
    }
    while (eh->etales.count) {
        emz_i_etale_free(&eh->etales, (emz_etale *)eh->etales.at[eh->etales.count - 1]);
    }
    EMZ_FREE(eh->etales.at);
    EMZ_FREE(eh);
}

/* onion: 56 characters, or NULL for a direct one. */
static emz_result emz_i_ehypha_new(emz_efunguz *ef, const char *publickey, const char *host,
                                   const char *onion, int port, emz_ehypha **out) {
    const int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_DISCONNECTED |
                       ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                       ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    static const unsigned char zero[EMZ_KEY_SIZE] = {0};
    unsigned char key[EMZ_KEY_SIZE];
    emz_result result = emz_i_key(key, publickey);
    emz_ehypha *eh;
    if (result) {
        return result;
    }
    if (!memcmp(key, zero, sizeof key)) {
        return EMZ_ERR_KEY; /* a point of no use: nothing can be encrypted to it */
    }
    eh = (emz_ehypha *)emz_i_map_find(&ef->ehyphae, key, sizeof key);
    if (eh) {
        if (out) {
            *out = eh;
        }
        return EMZ_ALREADY_PRESENT;
    }
    if (onion && !ef->chunk) {
        ef->chunk = (unsigned char *)EMZ_MALLOC(EMZ_I_CHUNK);
        if (!ef->chunk) {
            return EMZ_ERR_MEMORY;
        }
    }
    if (emz_i_net_spare(8)) {
        return EMZ_ERR_ZMQ;
    }
    eh = (emz_ehypha *)emz_i_new(sizeof *eh);
    if (!eh) {
        return EMZ_ERR_MEMORY;
    }
    eh->ef = ef;
    eh->port = port;
    memcpy(eh->key, key, sizeof key);
    memcpy(eh->publickey, publickey, sizeof eh->publickey);
    memcpy(eh->host, host, strlen(host) + 1);
    eh->lag = INT64_MAX;
    eh->source.owner = eh->monitor.source.owner = eh;
    eh->source.serve = emz_i_ehypha_serve;
    eh->monitor.source.serve = emz_i_ehypha_monitor_serve;
    if ((onion && !(eh->tunnel = emz_i_tunnel_new(eh, onion))) ||
        emz_i_map_reserve(&ef->ehyphae, 1)) {
        emz_i_ehypha_free(eh);
        return EMZ_ERR_MEMORY;
    }
    eh->source.socket = emz_i_socket(ef, EMZ_I_SUBSCRIBER, host, key);
    if (!eh->source.socket || emz_i_watch(&ef->poller, &eh->source, eh->source.socket) ||
        emz_i_monitor_open(ef, &eh->monitor, eh->source.socket, events)) {
        int saved = zmq_errno();
        result = emz_i_zmq_result();
        emz_i_ehypha_free(eh);
        errno = saved;
        return result;
    }
    emz_i_map_add(&ef->ehyphae, &eh->node, eh->key, sizeof eh->key);
    emz_i_attempt(eh);
    if (out) {
        *out = eh;
    }
    return EMZ_OK;
}

/* A file, character by character. getc would take a lock for each. */
typedef struct emz_i_text {
    FILE *file;
    size_t at, size;
    unsigned char data[4096];
} emz_i_text;

static int emz_i_text_next(emz_i_text *t) {
    if (t->at == t->size) {
        t->at = 0;
        t->size = fread(t->data, 1, sizeof t->data, t->file);
    }
    return t->size ? t->data[t->at++] : EOF;
}

/* May this be a host of a tcp:// endpoint? What has a colon, or a zone, must be an IPv6 address:
 * libzmq would look up the name before the zone. */
static int emz_i_is_host(const char *host) {
    char address[256] = "";
    struct in6_addr in6;
    size_t i;
    for (i = 0; host[i]; i++) {
        char c = host[i];
        if (i == 255 || !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || strchr(".:-_%", c))) {
            return 0;
        }
    }
    memcpy(address, host, strcspn(host, "%"));
    return i > 0 && (!strpbrk(host, ":%") || inet_pton(AF_INET6, address, &in6) == 1);
}

/* Does the name belong to Tor? Asking a name server for it would tell whom we read. */
static int emz_i_is_onion_host(const char *host) {
    size_t end = strlen(host), size = sizeof EMZ_I_TAIL - 1;
    end -= end && host[end - 1] == '.';
    return end >= size && emz_i_is_tail(host + end - size);
}

/* The log says what about the argument. */
static emz_result emz_i_refuse(emz_efunguz *ef, const char *what) {
    emz_i_log(ef, EMZ_LOG_ERROR, "%s.", what);
    return EMZ_ERR_ARGUMENT;
}

/* What is wrong with the settings, or NULL. */
static const char *emz_i_config_mistake(const emz_config *c) {
    if (c->pubsub_port != EMZ_ANY_PORT && (c->pubsub_port < 0 || c->pubsub_port > 65535)) {
        return "pubsub_port must be 1 to 65535, 0 for the default, or EMZ_ANY_PORT";
    }
    if (c->bind_host && strcmp(c->bind_host, "*") && !emz_i_is_host(c->bind_host)) {
        return "bind_host must be an address of this machine, or \"*\"";
    }
    if (c->torproxy_port < 0 || c->torproxy_port > 65535) {
        return "torproxy_port must be 1 to 65535, or 0 for the default";
    }
    if (c->queue_size < 0 || c->queue_size > 1000000000) {
        return "queue_size must be 0 to 1,000,000,000";
    }
    if (c->io_threads < 0 || c->io_threads > EMZ_I_THREADS_MAX) {
        return "io_threads must be 1 to 64, or 0 for the default";
    }
    if (c->max_part_size > SIZE_MAX / 4) {
        return "max_part_size is too large";
    }
    if (c->whitelist_size && !c->whitelist) {
        return "whitelist is NULL, but whitelist_size is not 0";
    }
    return NULL;
}

/* Check the settings and take them over, defaults filled in. */
static emz_result emz_i_configure(emz_efunguz *ef, const emz_config *c) {
    const char *bind_host = c->bind_host ? c->bind_host : EMZ_DEF_BIND_HOST;
    const char *torproxy_host = c->torproxy_host ? c->torproxy_host : EMZ_DEF_TOR_PROXY_HOST;
    int torproxy_port = c->torproxy_port ? c->torproxy_port : EMZ_DEF_TOR_PROXY_PORT;
    const char *mistake = emz_i_config_mistake(c);
    ef->log = c->log;
    ef->log_user = c->log_user;
    if (!mistake &&
        emz_i_net_address(&ef->torproxy, &ef->torproxy_size, torproxy_host, torproxy_port)) {
        mistake = "torproxy_host must be an IP address or \"localhost\": names are not looked up";
    }
    if (mistake) {
        emz_i_log(ef, EMZ_LOG_ERROR, "%s.", mistake);
        return EMZ_ERR_ARGUMENT;
    }
    ef->port = c->pubsub_port ? c->pubsub_port : EMZ_DEF_PUBSUB_PORT;
    ef->max_part_size = c->max_part_size ? c->max_part_size : EMZ_DEF_MAX_PART_SIZE;
    ef->queue_size = c->queue_size ? c->queue_size : EMZ_DEF_QUEUE_SIZE;
    ef->whitelist_only = c->whitelist_only != 0;
    ef->retain = !c->no_retain;
    memcpy(ef->bind_host, bind_host, strlen(bind_host) + 1);
    return emz_efunguz_add_whitelist_publickeys(ef, c->whitelist, c->whitelist_size);
}

/* libzmq's part of an efunguz: context, ZAP, gate. */
static emz_result emz_i_efunguz_open(emz_efunguz *ef, int io_threads) {
    char publickey[EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE];
    emz_result result;
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    if (ZMQ_MAKE_VERSION(major, minor, patch) < ZMQ_MAKE_VERSION(4, 3, 3)) {
        emz_i_log(ef, EMZ_LOG_ERROR, "libzmq %d.%d.%d is too old: 4.3.3 is needed.", major, minor,
                  patch);
        errno = ENOTSUP;
        return EMZ_ERR_ZMQ;
    }
    if (!zmq_has("curve") || zmq_curve_keypair(publickey, secretkey)) {
        return EMZ_ERR_NO_CURVE;
    }
    /* A fresh public key serves as random bytes; a routing id must not start with 0. */
    (void)emz_i_key(ef->session, publickey);
    emz_i_wipe(secretkey, sizeof secretkey);
    ef->session[0] |= 1;
    memcpy(&ef->random, ef->session, sizeof ef->random);
    if (emz_i_net_spare(16 + 2 * io_threads)) {
        return EMZ_ERR_ZMQ;
    }
    ef->stopwatch = zmq_stopwatch_start();
    ef->context = zmq_ctx_new();
    if (!ef->context || zmq_ctx_set(ef->context, ZMQ_IO_THREADS, io_threads) ||
        zmq_ctx_set(ef->context, ZMQ_MAX_SOCKETS,
                    emz_i_net_limit(zmq_ctx_get(ef->context, ZMQ_SOCKET_LIMIT))) ||
        emz_i_poller_open(&ef->poller)) {
        return emz_i_zmq_result();
    }
    ef->zap.owner = ef;
    ef->zap.serve = emz_i_zap_serve;
    ef->zap.socket = emz_i_socket(ef, EMZ_I_ZAP, "", NULL);
    if (!ef->zap.socket || zmq_bind(ef->zap.socket, "inproc://zeromq.zap.01") ||
        emz_i_watch(&ef->poller, &ef->zap, ef->zap.socket)) {
        return emz_i_zmq_result();
    }
    result = emz_i_gate_open(ef, 0);
    if (result == EMZ_ERR_BIND) {
        int saved = zmq_errno();
        emz_i_log(ef, EMZ_LOG_ERROR, "Cannot listen on %s, port %d: %s.", ef->bind_host,
                  ef->port == EMZ_ANY_PORT ? 0 : ef->port, zmq_strerror(saved));
        errno = saved;
    }
    return result;
}

/* All that is due by now. */
static void emz_i_timers(emz_efunguz *ef) {
    uint64_t now = emz_i_ms(ef), next;
    size_t i;
    if (now < ef->due) {
        return;
    }
    ef->due = EMZ_I_NEVER;
    if (now >= ef->gate.due) {
        (ef->gate.socket ? emz_i_gate_repeat : emz_i_gate_rebuild)(ef);
    }
    next = ef->gate.due;
    for (i = 0; i < ef->ehyphae.count; i++) {
        emz_ehypha *eh = (emz_ehypha *)ef->ehyphae.at[i];
        if (now >= eh->due) {
            emz_i_overdue(eh);
        }
        next = eh->due < next ? eh->due : next;
    }
    ef->due = next < ef->due ? next : ef->due;
}

/* ---------------------------------------------------------------------------------------------
 * >>public: in the order of the declarations
 * ------------------------------------------------------------------------------------------ */

#ifdef __cplusplus
extern "C" {
#endif

EMZ_API const char *emz_version(void) {
    return EMZ_VERSION;
}

EMZ_API const char *emz_result_str(emz_result r) {
    switch (r) {
    case EMZ_OK:
        return "Done.";
    case EMZ_ALREADY_PRESENT:
        return "It is there already.";
    case EMZ_ALREADY_ABSENT:
        return "It is not there.";
    case EMZ_ALREADY_PAUSED:
        return "It is paused already.";
    case EMZ_ALREADY_RESUMED:
        return "It is not paused.";
    case EMZ_ABSENT:
        return "There is no such thing: add it first.";
    case EMZ_ERR_ARGUMENT:
        return "An argument is missing or out of range: the log says which, unless it is NULL.";
    case EMZ_ERR_KEY:
        return "This is no key: it takes 40 characters of Z85, as emz_keypair makes them.";
    case EMZ_ERR_ONION:
        return "This is no v3 onion address: it takes 56 letters and digits, and one is mistyped "
               "or missing.";
    case EMZ_ERR_TITLE:
        return "The title is longer than EMZ_TITLE_MAX.";
    case EMZ_ERR_TOO_LARGE:
        return "A part is larger than max_part_size.";
    case EMZ_ERR_MEMORY:
        return "There is not enough memory.";
    case EMZ_ERR_FILE:
        return "The file cannot be opened or read (see errno).";
    case EMZ_ERR_BIND:
        return "Cannot listen there: the port is taken (also by an outgoing connection, for a "
               "minute) or not allowed, or the address is not of this machine (see errno).";
    case EMZ_ERR_NO_CURVE:
        return "This libzmq was built without CURVE: install one with libsodium.";
    case EMZ_ERR_ZMQ:
        return "A libzmq call failed (see errno); EMFILE: raise the limit of open files.";
    }
    return "Unknown result.";
}

EMZ_API const char *emz_link_str(emz_link link) {
    switch (link) {
    case EMZ_LINK_UP:
        return "Connected.";
    case EMZ_LINK_CONNECTING:
        return "Connecting.";
    case EMZ_LINK_NO_PROXY:
        return "Tor's SOCKS port does not answer: is Tor running, host and port right? Retrying.";
    case EMZ_LINK_UNREACHABLE:
        return "Cannot be reached: is the peer running, address and port right, are you online? "
               "Retrying.";
    case EMZ_LINK_DENIED:
        return "The peer does not let us in: ask for our public key to be put into its whitelist. "
               "Retrying.";
    case EMZ_LINK_LOST:
        return "The connection was lost: did the peer stop? Retrying.";
    case EMZ_LINK_WRONG_KEY:
        return "Somebody answers there, but not the peer with this public key: check key and port. "
               "Retrying.";
    case EMZ_LINK_SILENT:
        return "Somebody is there and does not answer: does the peer call emz_efunguz_update? "
               "Retrying.";
    case EMZ_LINK_EXHAUSTED:
        return "No file descriptor, port or memory left on this side: raise the limit (ulimit -n). "
               "Retrying.";
    }
    return "Unknown link state.";
}

EMZ_API void emz_log_stderr(void *user, emz_log_level level, const char *message) {
    (void)user;
    fprintf(stderr, "emyzelium: %s%s\n",
            level == EMZ_LOG_ERROR     ? "error: "
            : level == EMZ_LOG_WARNING ? "warning: "
                                       : "",
            message);
}

EMZ_API emz_result emz_keypair(char publickey[EMZ_KEY_Z85_SIZE], char secretkey[EMZ_KEY_Z85_SIZE]) {
    if (!publickey || !secretkey) {
        return EMZ_ERR_ARGUMENT;
    }
    return zmq_curve_keypair(publickey, secretkey) ? EMZ_ERR_NO_CURVE : EMZ_OK;
}

EMZ_API emz_result emz_publickey(char publickey[EMZ_KEY_Z85_SIZE], const char *secretkey) {
    unsigned char key[EMZ_KEY_SIZE];
    emz_result result = publickey ? emz_i_key(key, secretkey) : EMZ_ERR_ARGUMENT;
    emz_i_wipe(key, sizeof key);
    if (result) {
        return result;
    }
    return zmq_curve_public(publickey, secretkey) ? EMZ_ERR_NO_CURVE : EMZ_OK;
}

EMZ_API emz_result emz_z85_encode(char *text, size_t text_size, const void *data,
                                  size_t data_size) {
    if (!text || (!data && data_size) || data_size % 4 || data_size / 4 >= SIZE_MAX / 5 ||
        text_size < data_size / 4 * 5 + 1) {
        return EMZ_ERR_ARGUMENT;
    }
    (data_size < 65536 ? emz_i_z85_encode
                       : emz_i_z85_encode_much)(text, (const unsigned char *)data, data_size);
    return EMZ_OK;
}

EMZ_API emz_result emz_z85_decode(void *data, size_t data_size, const char *text) {
    size_t size = text ? strlen(text) : 1;
    if ((!data && data_size) || data_size % 4 || size % 5 || size / 5 != data_size / 4 ||
        (data_size < 65536 ? emz_i_z85_decode : emz_i_z85_decode_much)((unsigned char *)data, text,
                                                                       size / 5)) {
        return EMZ_ERR_ARGUMENT;
    }
    return EMZ_OK;
}

EMZ_API emz_result emz_onion_check(const char *onion) {
    char name[EMZ_I_ONION_LENGTH];
    return emz_i_onion(name, onion);
}

EMZ_API int64_t emz_now(void) {
#if EMZ_I_WINDOWS
    FILETIME t; /* 100 ns since 1601 */
    GetSystemTimeAsFileTime(&t);
    return (int64_t)(((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) / 10) -
           INT64_C(11644473600000000);
#else
    struct timeval t;
    gettimeofday(&t, NULL);
    return (int64_t)t.tv_sec * 1000000 + (int64_t)t.tv_usec;
#endif
}

EMZ_API emz_result emz_efunguz_new(emz_efunguz **out, const char *secretkey,
                                   const emz_config *config) {
    emz_config defaults;
    emz_efunguz *ef;
    emz_result result;
    int saved;
    if (!out) {
        return EMZ_ERR_ARGUMENT;
    }
    memset(&defaults, 0, sizeof defaults);
    config = config ? config : &defaults;
    ef = (emz_efunguz *)emz_i_new(sizeof *ef);
    if (!ef) {
        return EMZ_ERR_MEMORY;
    }
#if EMZ_I_EPOLL
    ef->poller.epoll = -1;
#endif
    ef->due = ef->gate.due = EMZ_I_NEVER;
    result = emz_i_key(ef->secretkey, secretkey);
    if (!result) {
        result = emz_publickey(ef->publickey, secretkey);
    }
    if (!result) {
        (void)emz_i_key(ef->key, ef->publickey);
        result = emz_i_configure(ef, config);
    }
    if (!result) {
        result = emz_i_efunguz_open(ef, config->io_threads ? config->io_threads : 1);
    }
    if (result) {
        saved = errno;
        emz_efunguz_free(ef);
        errno = saved;
        return result;
    }
    *out = ef;
    return EMZ_OK;
}

EMZ_API void emz_efunguz_free(emz_efunguz *ef) {
    if (!ef) {
        return;
    }
    while (ef->ehyphae.count) {
        emz_ehypha *eh = (emz_ehypha *)ef->ehyphae.at[ef->ehyphae.count - 1];
        emz_i_map_del(&ef->ehyphae, &eh->node);
        emz_i_ehypha_free(eh);
    }
    if (ef->gate.socket) {
        emz_i_gate_close(ef);
    }
    if (ef->zap.socket) {
        emz_i_unwatch(&ef->poller, &ef->zap);
        zmq_close(ef->zap.socket);
    }
    while (ef->context && zmq_ctx_term(ef->context) && zmq_errno() == EINTR) {
    }
    if (ef->stopwatch) {
        zmq_stopwatch_stop(ef->stopwatch);
    }
    emz_i_poller_close(&ef->poller);
    while (ef->retained.count) {
        emz_efunguz_forget_etale(ef, (const char *)ef->retained.at[ef->retained.count - 1]->key);
    }
    emz_i_nodes_free(&ef->whitelist, 0);
    emz_i_nodes_free(&ef->banned, 0);
    EMZ_FREE(ef->whitelist.at);
    EMZ_FREE(ef->banned.at);
    EMZ_FREE(ef->retained.at);
    EMZ_FREE(ef->ehyphae.at);
    EMZ_FREE(ef->gate.visits.at);
    emz_i_frames_free(&ef->in);
    emz_i_frames_free(&ef->out);
    EMZ_FREE(ef->chunk);
    emz_i_wipe(ef, sizeof *ef);
    EMZ_FREE(ef);
}

EMZ_API const char *emz_efunguz_publickey(const emz_efunguz *ef) {
    return ef ? ef->publickey : NULL;
}

EMZ_API int emz_efunguz_port(const emz_efunguz *ef) {
    return ef ? ef->port : 0;
}

EMZ_API emz_result emz_efunguz_add_whitelist_publickeys(emz_efunguz *ef, const char *const *keys,
                                                        size_t count) {
    unsigned char key[EMZ_KEY_SIZE];
    emz_result result = ef && (keys || !count) ? EMZ_OK : EMZ_ERR_ARGUMENT;
    size_t i, before = ef ? ef->whitelist.count : 0;
    if (!result && emz_i_map_reserve(&ef->whitelist, count)) {
        result = EMZ_ERR_MEMORY;
    }
    for (i = 0; i < count && !result; i++) {
        result = emz_i_key(key, keys[i]);
        if (!result && !emz_i_guest_find(&ef->whitelist, key) &&
            emz_i_guest_add(&ef->whitelist, key)) {
            result = EMZ_ERR_MEMORY;
        }
    }
    if (result && ef) {
        emz_i_nodes_free(&ef->whitelist, before);
    } else if (!result) {
        emz_i_gate_check(ef);
    }
    return result;
}

EMZ_API emz_result emz_efunguz_del_whitelist_publickeys(emz_efunguz *ef, const char *const *keys,
                                                        size_t count) {
    unsigned char key[EMZ_KEY_SIZE];
    emz_result result = ef && (keys || !count) ? EMZ_OK : EMZ_ERR_ARGUMENT;
    size_t i;
    for (i = 0; i < count && !result; i++) {
        result = emz_i_key(key, keys[i]);
    }
    for (i = 0; i < count && !result; i++) {
        emz_i_guest *guest;
        (void)emz_i_key(key, keys[i]);
        guest = emz_i_guest_find(&ef->whitelist, key);
        if (guest) {
            emz_i_guest_del(ef, guest);
        }
    }
    if (!result) {
        emz_i_gate_check(ef);
    }
    return result;
}

EMZ_API void emz_efunguz_clear_whitelist_publickeys(emz_efunguz *ef) {
    if (ef) {
        while (ef->whitelist.count) {
            emz_i_guest_del(ef, (emz_i_guest *)ef->whitelist.at[ef->whitelist.count - 1]);
        }
        emz_i_gate_check(ef);
    }
}

EMZ_API emz_result emz_efunguz_read_whitelist_publickeys(emz_efunguz *ef, const char *path,
                                                         size_t *line) {
    emz_result result = EMZ_OK;
    size_t number = 0, before;
    emz_i_text in;
    int c = 0, saved;
    if (!ef || !path) {
        return EMZ_ERR_ARGUMENT;
    }
    in.at = in.size = 0;
    in.file = fopen(path, "rb");
    if (!in.file) {
        return EMZ_ERR_FILE;
    }
    before = ef->whitelist.count;
    for (number = 1; c != EOF && !result; number += c != EOF) {
        char text[EMZ_KEY_Z85_SIZE] = "";
        unsigned char key[EMZ_KEY_SIZE];
        size_t size = 0;
        for (c = emz_i_text_next(&in); c == ' ' || c == '\t' || c == '\r';
             c = emz_i_text_next(&in)) {
        }
        for (; c != EOF && c != '\n' && size < EMZ_KEY_Z85_SIZE - 1; c = emz_i_text_next(&in)) {
            text[size++] = (char)c;
        }
        if (size && *text != '#') { /* judged before the line's end: that may never come */
            if (emz_i_key_prefix(key, text)) {
                result = EMZ_ERR_KEY;
                break;
            }
            if (!emz_i_guest_find(&ef->whitelist, key) && emz_i_guest_add(&ef->whitelist, key)) {
                result = EMZ_ERR_MEMORY;
            }
        }
        while (c != EOF && c != '\n') {
            c = emz_i_text_next(&in);
        }
    }
    if (ferror(in.file)) {
        result = EMZ_ERR_FILE; /* a folder can be opened, but not read */
    }
    saved = errno;
    fclose(in.file);
    if (line) {
        *line = result == EMZ_ERR_KEY ? number : 0;
    }
    if (result) {
        emz_i_nodes_free(&ef->whitelist, before);
        errno = saved;
    } else {
        emz_i_gate_check(ef);
    }
    return result;
}

EMZ_API size_t emz_efunguz_whitelist_size(const emz_efunguz *ef) {
    return ef ? ef->whitelist.count : 0;
}

EMZ_API emz_result emz_efunguz_add_ehypha(emz_efunguz *ef, const char *publickey, const char *onion,
                                          int port, emz_ehypha **out) {
    char name[EMZ_I_ONION_LENGTH];
    emz_result result;
    if (!ef || !publickey) {
        return EMZ_ERR_ARGUMENT;
    }
    if (port < 1 || port > 65535) {
        return emz_i_refuse(ef, "An ehypha's port must be 1 to 65535");
    }
    result = emz_i_onion(name, onion);
    return result ? result : emz_i_ehypha_new(ef, publickey, "", name, port, out);
}

EMZ_API emz_result emz_efunguz_add_ehypha_direct(emz_efunguz *ef, const char *publickey,
                                                 const char *host, int port, emz_ehypha **out) {
    if (!ef || !host) {
        return EMZ_ERR_ARGUMENT;
    }
    if (port < 1 || port > 65535) {
        return emz_i_refuse(ef, "An ehypha's port must be 1 to 65535");
    }
    if (emz_i_is_onion_host(host)) {
        return emz_i_refuse(ef,
                            "This host is an onion address: add it as one, not as a direct one");
    }
    if (!emz_i_is_host(host)) {
        return emz_i_refuse(ef, "A host must be a name or address, without http:// and port");
    }
    return emz_i_ehypha_new(ef, publickey, host, NULL, port, out);
}

EMZ_API emz_ehypha *emz_efunguz_get_ehypha(emz_efunguz *ef, const char *publickey) {
    unsigned char key[EMZ_KEY_SIZE];
    if (!ef || emz_i_key(key, publickey)) {
        return NULL;
    }
    return (emz_ehypha *)emz_i_map_find(&ef->ehyphae, key, sizeof key);
}

EMZ_API emz_result emz_efunguz_del_ehypha(emz_efunguz *ef, const char *publickey) {
    unsigned char key[EMZ_KEY_SIZE];
    emz_result result = ef ? emz_i_key(key, publickey) : EMZ_ERR_ARGUMENT;
    emz_ehypha *eh;
    if (result) {
        return result;
    }
    eh = emz_efunguz_get_ehypha(ef, publickey);
    if (!eh) {
        return EMZ_ALREADY_ABSENT;
    }
    emz_i_map_del(&ef->ehyphae, &eh->node);
    emz_i_ehypha_free(eh);
    return EMZ_OK;
}

EMZ_API size_t emz_efunguz_ehypha_count(const emz_efunguz *ef) {
    return ef ? ef->ehyphae.count : 0;
}

EMZ_API emz_ehypha *emz_efunguz_ehypha_at(emz_efunguz *ef, size_t i) {
    return ef && i < ef->ehyphae.count ? (emz_ehypha *)ef->ehyphae.at[i] : NULL;
}

EMZ_API emz_result emz_efunguz_emit_etale(emz_efunguz *ef, const char *title, const emz_part *parts,
                                          size_t count) {
    emz_i_retained *kept = NULL, *fresh = NULL;
    emz_result result;
    int64_t t_out;
    size_t i, size;
    if (!ef || !title || (!parts && count)) {
        return EMZ_ERR_ARGUMENT;
    }
    size = strlen(title);
    if (size > EMZ_TITLE_MAX) {
        return EMZ_ERR_TITLE;
    }
    for (i = 0; i < count; i++) {
        if (!parts[i].data && parts[i].size) {
            return emz_i_refuse(ef, "A part to emit has a size, but no data");
        }
        if (parts[i].size > ef->max_part_size) {
            return EMZ_ERR_TOO_LARGE;
        }
    }
    if (!ef->gate.socket) {
        errno = EADDRINUSE;
        return EMZ_ERR_BIND;
    }
    t_out = emz_now();
    t_out = t_out > ef->t_out ? t_out : ef->t_out + 1;
    result = emz_i_compose(&ef->out, title, t_out, parts, count);
    if (!result && ef->retain) {
        kept = (emz_i_retained *)emz_i_map_find(&ef->retained, title, size);
        if (!kept) {
            kept = fresh = (emz_i_retained *)emz_i_new(sizeof *kept + size + 1);
            result = fresh && !emz_i_map_reserve(&ef->retained, 1) ? EMZ_OK : EMZ_ERR_MEMORY;
        }
    }
    if (!result && emz_i_gate_send(ef, &ef->out)) {
        int saved = zmq_errno();
        result = emz_i_zmq_result();
        emz_i_gate_rebuild(ef); /* a message that was begun cannot be taken back but so */
        errno = saved;
    }
    if (result) {
        int saved = errno;
        emz_i_frames_clear(&ef->out);
        EMZ_FREE(fresh);
        errno = saved;
        return result;
    }
    ef->t_out = t_out;
    if (fresh) {
        memcpy(fresh + 1, title, size + 1);
        fresh->due = EMZ_I_NEVER;
        emz_i_map_add(&ef->retained, &fresh->node, fresh + 1, size);
    }
    if (kept) {
        if (!emz_i_gate_doubt(ef, kept)) {
            emz_i_gate_settle(kept);
        }
        kept->past = 0;
        emz_i_frames_swap(&kept->frames, &ef->out);
        emz_i_ready(&ef->poller, &ef->gate.source);
    }
    emz_i_frames_clear(&ef->out);
    return EMZ_OK;
}

EMZ_API emz_result emz_efunguz_forget_etale(emz_efunguz *ef, const char *title) {
    emz_i_retained *kept;
    if (!ef || !title) {
        return EMZ_ERR_ARGUMENT;
    }
    kept = (emz_i_retained *)emz_i_map_find(&ef->retained, title, strlen(title));
    if (!kept) {
        return EMZ_ALREADY_ABSENT;
    }
    emz_i_frames_free(&kept->frames);
    emz_i_node_free(&ef->retained, &kept->node);
    return EMZ_OK;
}

EMZ_API int emz_efunguz_update(emz_efunguz *ef) {
    emz_i_source todo, *ready;
    if (!ef) {
        return 0;
    }
    ef->update++;
    ef->updated = 0;
    if (!ef->polled) {
        (void)emz_i_poll(&ef->poller, 0);
    }
    ef->polled = 0;
    /* Serve what is ready now, once each: what is left over or comes up is for the next time. */
    ready = &ef->poller.ready;
    todo = *ready;
    if (todo.next != ready) {
        todo.prev->next = todo.next->prev = &todo;
        ready->prev = ready->next = ready;
        while (todo.next != &todo) {
            emz_i_source *s = todo.next;
            emz_i_ready_unlink(s);
            if (s->serve(s)) {
                emz_i_ready(&ef->poller, s);
            }
        }
    }
    emz_i_timers(ef);
    if (ef->gate.must_rebuild && ef->gate.socket) {
        emz_i_gate_rebuild(ef);
    }
    return ef->updated;
}

EMZ_API int emz_efunguz_wait(emz_efunguz *ef, int timeout_ms) {
    uint64_t now, end;
    int polled = 0;
    if (!ef) {
        return 0;
    }
    ef->polled = 0;
    now = emz_i_ms(ef);
    end = timeout_ms < 0 ? EMZ_I_NEVER : now + (uint64_t)timeout_ms;
    for (;; polled = 1, now = emz_i_ms(ef)) {
        const uint64_t longest = 1000000;
        uint64_t until = end < ef->due ? end : ef->due, left = until > now ? until - now : 0;
        /* A libzmq socket may wake us for its own housekeeping: that is no work. */
        while (ef->poller.ready.next != &ef->poller.ready) {
            if (emz_i_has_work(ef->poller.ready.next)) {
                ef->polled = polled;
                return 1;
            }
            emz_i_ready_unlink(ef->poller.ready.next);
        }
        if (now >= ef->due) {
            return 1;
        }
        if ((polled && now >= end) ||
            emz_i_poll(&ef->poller, (int)(left < longest ? left : longest)) < 0) {
            return 0;
        }
    }
}

EMZ_API uint64_t emz_efunguz_in_absorbing_num(const emz_efunguz *ef) {
    return ef ? ef->gate.absorbing : 0;
}

EMZ_API uint64_t emz_efunguz_in_permitted_num(const emz_efunguz *ef) {
    return ef ? ef->permitted : 0;
}

EMZ_API uint64_t emz_efunguz_in_attempted_num(const emz_efunguz *ef) {
    return ef ? ef->attempted : 0;
}

EMZ_API const char *emz_ehypha_publickey(const emz_ehypha *eh) {
    return eh ? eh->publickey : NULL;
}

EMZ_API emz_link emz_ehypha_link(const emz_ehypha *eh) {
    return eh ? eh->link : EMZ_LINK_CONNECTING;
}

EMZ_API const char *emz_ehypha_link_str(const emz_ehypha *eh) {
    if (eh && eh->link == EMZ_LINK_CONNECTING && eh->stage == EMZ_I_SHAKING) {
        return "Connecting: somebody is there, and has not answered yet.";
    }
    return eh && eh->reply ? emz_i_socks_str(eh->reply) : emz_link_str(emz_ehypha_link(eh));
}

EMZ_API emz_result emz_ehypha_add_etale(emz_ehypha *eh, const char *title, const emz_etale **out) {
    emz_result result = EMZ_OK;
    emz_etale *et;
    size_t size;
    if (!eh || !title) {
        return EMZ_ERR_ARGUMENT;
    }
    size = strlen(title);
    if (size > EMZ_TITLE_MAX) {
        return EMZ_ERR_TITLE;
    }
    et = (emz_etale *)emz_i_map_find(&eh->etales, title, size);
    if (et) {
        result = EMZ_ALREADY_PRESENT;
    } else {
        et = (emz_etale *)emz_i_new(sizeof *et + size + 1);
        if (!et || emz_i_map_reserve(&eh->etales, 1)) {
            EMZ_FREE(et);
            return EMZ_ERR_MEMORY;
        }
        if (emz_i_subscribe(eh, title, ZMQ_SUBSCRIBE)) {
            int saved = zmq_errno();
            EMZ_FREE(et);
            errno = saved;
            return emz_i_zmq_result();
        }
        et->t_out = et->t_in = -1;
        et->asked = 1;
        memcpy(et + 1, title, size + 1);
        emz_i_map_add(&eh->etales, &et->node, et + 1, size);
    }
    if (out) {
        *out = et;
    }
    return result;
}

EMZ_API const emz_etale *emz_ehypha_get_etale(const emz_ehypha *eh, const char *title) {
    return (const emz_etale *)emz_i_etale_find(eh, title);
}

EMZ_API emz_result emz_ehypha_del_etale(emz_ehypha *eh, const char *title) {
    emz_etale *et = emz_i_etale_find(eh, title);
    if (!eh || !title) {
        return EMZ_ERR_ARGUMENT;
    }
    if (!et) {
        return EMZ_ALREADY_ABSENT;
    }
    if (!et->paused && emz_i_subscribe(eh, title, ZMQ_UNSUBSCRIBE)) {
        return emz_i_zmq_result();
    }
    emz_i_etale_free(&eh->etales, et);
    return EMZ_OK;
}

EMZ_API emz_result emz_ehypha_pause_etale(emz_ehypha *eh, const char *title) {
    return emz_i_etale_pause(eh, title, 1);
}

EMZ_API emz_result emz_ehypha_resume_etale(emz_ehypha *eh, const char *title) {
    return emz_i_etale_pause(eh, title, 0);
}

EMZ_API void emz_ehypha_pause_etales(emz_ehypha *eh) {
    size_t i;
    for (i = 0; i < emz_ehypha_etale_count(eh); i++) {
        (void)emz_ehypha_pause_etale(eh, emz_etale_title(emz_ehypha_etale_at(eh, i)));
    }
}

EMZ_API void emz_ehypha_resume_etales(emz_ehypha *eh) {
    size_t i;
    for (i = 0; i < emz_ehypha_etale_count(eh); i++) {
        (void)emz_ehypha_resume_etale(eh, emz_etale_title(emz_ehypha_etale_at(eh, i)));
    }
}

EMZ_API size_t emz_ehypha_etale_count(const emz_ehypha *eh) {
    return eh ? eh->etales.count : 0;
}

EMZ_API const emz_etale *emz_ehypha_etale_at(const emz_ehypha *eh, size_t i) {
    return eh && i < eh->etales.count ? (const emz_etale *)eh->etales.at[i] : NULL;
}

EMZ_API const char *emz_etale_title(const emz_etale *et) {
    return et ? (const char *)et->node.key : NULL;
}

EMZ_API const emz_part *emz_etale_parts(const emz_etale *et, size_t *count) {
    size_t n = et && et->frames.count ? et->frames.count - 2 : 0;
    if (count) {
        *count = n;
    }
    return n ? et->parts : NULL;
}

EMZ_API int64_t emz_etale_t_out(const emz_etale *et) {
    return et ? et->t_out : -1;
}

EMZ_API int64_t emz_etale_t_in(const emz_etale *et) {
    return et ? et->t_in : -1;
}

EMZ_API int emz_etale_paused(const emz_etale *et) {
    return et ? et->paused : 0;
}

#ifdef __cplusplus
}
#endif

#endif /* EMYZELIUM_IMPLEMENTATION */

/* ---------------------------------------------------------------------------------------------
 * >>licence: choose either
 * ---------------------------------------------------------------------------------------------
 * emyzelium.h and all that comes with it: choose either of these two licences.
 *
 * ------------------------------------------------------------------------------
 * Alternative A: MIT No Attribution (MIT-0)
 *
 * Copyright (c) 2026 the authors of emyzelium.h
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy
 * of this software and associated documentation files (the "Software"), to deal
 * in the Software without restriction, including without limitation the rights
 * to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
 * copies of the Software, and to permit persons to whom the Software is
 * furnished to do so.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 * FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 * LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 * OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
 * SOFTWARE.
 *
 * ------------------------------------------------------------------------------
 * Alternative B: Public domain (the Unlicense, https://unlicense.org)
 *
 * This is free and unencumbered software released into the public domain.
 *
 * Anyone is free to copy, modify, publish, use, compile, sell, or distribute
 * this software, either in source code form or as a compiled binary, for any
 * purpose, commercial or non-commercial, and by any means.
 *
 * In jurisdictions that recognize copyright laws, the author or authors of this
 * software dedicate any and all copyright interest in the software to the public
 * domain. We make this dedication for the benefit of the public at large and to
 * the detriment of our heirs and successors. We intend this dedication to be an
 * overt act of relinquishment in perpetuity of all present and future rights to
 * this software under copyright law.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 * FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN
 * ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
 * WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 * ------------------------------------------------------------------------------------------ */
