/*
    peers.h - reads the file that says who the other peers are; for the examples and for your program

        #define EMYZELIUM_IMPLEMENTATION
        #include "emyzelium.h"
        #include "peers.h"

        peers_entry peer[9];
        int count = peers_read("peers.txt", peer, 9);   // negative: its mistakes have been told

    One peer a line, blanks or tabs between the fields; the rest of a line behind a # is a comment:

        # name   public-key                                 address        port
        Zoe      rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7   192.168.1.20   60847   # in our network

    An address is an onion address (56 characters, .onion may be behind), to be reached over Tor, or
    a host name or IP address, to be reached directly. The demo's Alien, John and Mary need no key.
    Each mistake of a file is told on stderr as file:line, with what to do. C99, nothing of POSIX.
*/
#ifndef PEERS_H
#define PEERS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEERS_NAME_SIZE = 16, PEERS_ADDRESS_SIZE = 256, PEERS_LINE_SIZE = 1024 };

typedef struct peers_entry {
    char name[PEERS_NAME_SIZE];
    char publickey[EMZ_KEY_Z85_SIZE];
    char address[PEERS_ADDRESS_SIZE];
    int over_tor; /* the address is an onion address */
    int port;
    int line; /* of the file */
} peers_entry;

/* The same but for upper and lower case of ASCII? */
static inline int peers_same(const char *a, const char *b) {
    int x, y;
    do {
        x = *a++;
        y = *b++;
        x += x >= 'A' && x <= 'Z' ? 'a' - 'A' : 0;
        y += y >= 'A' && y <= 'Z' ? 'a' - 'A' : 0;
    } while (x == y && x);
    return x == y;
}

/* The public key of a realm that the demos of all languages know, or NULL. */
static inline const char *peers_demo_key(const char *name) {
    return peers_same(name, "Alien")  ? "iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R"
           : peers_same(name, "John") ? "(>?aRHs!hJ2ykb?B}t6iGgo3-5xooFh@9F/4C:DW"
           : peers_same(name, "Mary") ? "WR)%3-d9dw)%3VQ@O37dVe<09FuNzI{vh}Vfi+]0"
                                      : NULL;
}

/* A port number; 0: it is none. */
static inline int peers_port(const char *text) {
    char *end;
    const long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && port <= 65535 ? (int)port : 0;
}

/* The next line that is neither empty nor a comment, and its number (start with 0); 0: there is
   none. *wrong: NULL, or why the line, of which only a part is there, is no good. */
static inline int peers_line(FILE *file, char line[PEERS_LINE_SIZE], int *number,
                             const char **wrong) {
    int c;
    do {
        size_t size = 0;
        ++*number;
        *wrong = NULL;
        while ((c = getc(file)) != EOF && c != '\n') {
            if ((c < ' ' && c != '\t' && c != '\r') || c == 127)
                *wrong = "there is a byte that is no text; save the file as plain text (UTF-8)";
            else if (size == PEERS_LINE_SIZE - 1)
                *wrong = "the line is too long; 1023 characters fit";
            else
                line[size++] = (char)c;
        }
        line[size] = '\0';
        if (*number == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0) /* some editors' first bytes */
            memmove(line, line + 3, size - 2);
        const char first = line[strspn(line, " \t\r")];
        if (first != '#' && (first || *wrong))
            return 1;
    } while (c != EOF);
    return 0;
}

/* Fills in a peer from its fields. NULL, or what is wrong with one of them. */
static inline const char *peers_fill(peers_entry *p, const char *name, const char *publickey,
                                     const char *address, const char *port) {
    static const char host[] = "0123456789.:-_%"
                               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *dot = strrchr(address, '.');
    unsigned char raw[EMZ_KEY_SIZE];

    if (strlen(name) >= PEERS_NAME_SIZE)
        return "the name is too long; 15 characters fit";
    strcpy(p->name, name);
    if (strlen(publickey) != EMZ_KEY_Z85_SIZE - 1 ||
        emz_z85_decode(raw, sizeof raw, publickey) != EMZ_OK)
        return "the public key has a mistake; copy all of its 40 characters once more";
    strcpy(p->publickey, publickey);
    if (strlen(address) >= PEERS_ADDRESS_SIZE)
        return "the address is too long; 255 characters fit";
    strcpy(p->address, address);
    p->over_tor = dot ? peers_same(dot, ".onion") : strlen(address) == 56;
    if (p->over_tor && emz_onion_check(address) != EMZ_OK)
        return "the onion address has a mistake; copy it once more from its owner's file hostname";
    if (!*address || address[strspn(address, host)])
        return "the address has a mistake; it is an onion address, a host name or an IP address";
    p->port = peers_port(port);
    return p->port ? NULL : "the port must be a number from 1 to 65535";
}

/* The same from a line of a file. */
static inline const char *peers_parse(peers_entry *p, char *line) {
    static const char blanks[] = " \t\r";
    const char *name = strtok(line, blanks), *key = strtok(NULL, blanks);
    const char *address = strtok(NULL, blanks), *port = strtok(NULL, blanks);
    const char *rest = strtok(NULL, blanks);
    const char *known = name ? peers_demo_key(name) : NULL;

    if (known && address && (!port || *port == '#')) {
        rest = port;
        port = address;
        address = key;
        key = known;
    }
    if (!name || !key || !address || !port)
        return "four fields are needed: name public-key address port (Alien, John and Mary need no "
               "key)";
    if (rest && *rest != '#')
        return "there is something behind the port; put a # before a comment";
    return peers_fill(p, name, key, address, port);
}

/* Is p new among those before it? NULL, or in text which line to delete. */
static inline const char *peers_twice(const peers_entry *p, const peers_entry *before, int count,
                                      char text[80]) {
    for (; count-- > 0; before++) {
        const int same_key = strcmp(p->publickey, before->publickey) == 0;
        if (!same_key && !peers_same(p->name, before->name))
            continue;
        snprintf(text, 80, "this %s is on line %d already; %s", same_key ? "key" : "name",
                 before->line, same_key ? "delete one of the two" : "choose another");
        return text;
    }
    return NULL;
}

/* Reads all peers of a file, at most room. How many, or -1: all its mistakes are on stderr now. */
static inline int peers_read(const char *path, peers_entry *peers, int room) {
    FILE *file = fopen(path, "r");
    char line[PEERS_LINE_SIZE], text[80];
    const char *wrong;
    int count = 0, number = 0, mistakes = 0;

    while (file && peers_line(file, line, &number, &wrong)) {
        peers_entry p = {.line = number};
        if (!wrong)
            wrong = peers_parse(&p, line);
        if (!wrong)
            wrong = peers_twice(&p, peers, count, text);
        if (!wrong && count == room) {
            snprintf(text, sizeof text, "more than %d peers; delete some", room);
            wrong = text;
        }
        if (wrong) {
            fprintf(stderr, "%s:%d: %s\n", path, number, wrong);
            mistakes++;
        } else {
            peers[count++] = p;
        }
    }
    if (!file || ferror(file)) { /* a folder can be opened, but not read */
        fprintf(stderr, "%s: cannot be read: %s; examples/peers.example shows what to write\n",
                path, strerror(errno));
        mistakes++;
    }
    if (file)
        fclose(file);
    return mistakes ? -1 : count;
}

/* For trying things out: count peers of one machine, at the ports from port on, with keys that
   everybody knows; secretkey: that of the one with number own, from 0. Returns count. */
static inline int peers_local(peers_entry *peers, int count, int port, int own,
                              char secretkey[EMZ_KEY_Z85_SIZE]) {
    for (int i = 0; i < count; i++) {
        char raw[EMZ_KEY_SIZE + 1], secret[EMZ_KEY_Z85_SIZE];
        snprintf(raw, sizeof raw, "%0*d", EMZ_KEY_SIZE, i + 1);
        emz_z85_encode(secret, sizeof secret, raw, EMZ_KEY_SIZE);
        memset(&peers[i], 0, sizeof peers[i]);
        emz_publickey(peers[i].publickey, secret);
        snprintf(peers[i].name, sizeof peers[i].name, "P%d", i + 1);
        strcpy(peers[i].address, "127.0.0.1");
        peers[i].port = port + i;
        if (i == own)
            strcpy(secretkey, secret);
    }
    return count;
}

/* Which of the peers we are ourselves, by our key file, of which secretkey is filled in. -1: it has been told on stderr what is wrong, also if count is -1. */
static inline int peers_own(const peers_entry *peers, int count, const char *path,
                            char secretkey[EMZ_KEY_Z85_SIZE]) {
    char mine[EMZ_KEY_Z85_SIZE];
    FILE *file = count < 0 ? NULL : fopen(path, "r");
    strcpy(secretkey, "");
    while (file && fscanf(file, "%40s", secretkey) == 1) {
        /* the last word: emz keys writes nothing else, and genkeypair prints the secret key last */
    }
    const int read = emz_publickey(mine, secretkey) == EMZ_OK;
    if (file)
        fclose(file);
    for (int i = 0; i < count && read; i++)
        if (strcmp(peers[i].publickey, mine) == 0)
            return i;
    if (read)
        fprintf(stderr, "the peers file needs a line with your own public key: %s\n", mine);
    else if (count >= 0)
        fprintf(stderr, "your key file, \"%s\", holds no secret key; emz keys makes one\n", path);
    return -1;
}

#endif
