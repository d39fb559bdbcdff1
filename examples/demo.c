/*
    demo.c - distributed Life: realms that read each other's boards through emyzelium.h

    Alien, John and Mary each own a board of Life. Now and then a realm publishes the rightmost
    third of its board, and copies what another one published into its leftmost third. Nobody
    writes into anybody's board: a realm reads, when it likes, what others publish.

        cc demo.c -lzmq -o demo
        ./demo              all three in one terminal, on this machine, without Tor
        ./demo Alien        one realm; John and Mary in other terminals, or on other machines
        ./demo --help

    To learn the library, read the part >>network. The data goes the way that the file goes:

        >>board     cells and rules; nothing of the library
        >>network   open_realm -> emit_zone -> listen_to_peers -> zone_read -> import_zone
        >>peers     who the others are; peers.h reads the file that says it
        >>view      boards and connections as text in a terminal; terminal.h draws it
        >>keys      what the keys do
        >>main      options, the loop, the report

    The secret keys below are published on purpose, so that the demos of all languages know each
    other. Never use them for anything else: genkeypair.c makes keys of your own.
*/

#define _POSIX_C_SOURCE 200809L /* for the terminal and the clock; the library does not need it */

#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "peers.h"
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_PEERS = 9, /* keys 1 to 9 */
    TURN_MS = 60,  /* about 16 generations a second */
    TINT_MS = 900  /* how long an import stays visible */
};

#define DIE(...)                                                                               \
    (view_leave(), fputs("demo: ", stderr), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), \
     exit(2))

/* ==== >>board ================================================================================= */

typedef struct board {
    int height, width;
    unsigned char *cells; /* row by row, 1 alive, 0 dead */
    unsigned char *next;
} board;

static unsigned char *cell_at(const board *b, int y, int x) {
    return b->cells + y * b->width + x;
}

/* Keeps the cells that fit. What is new is dead. */
static void board_resize(board *b, int height, int width) {
    if (height == b->height && width == b->width)
        return;
    board old = *b;
    b->height = height;
    b->width = width;
    b->cells = take((size_t)height, (size_t)width);
    b->next = take((size_t)height, (size_t)width);
    for (int y = 0; y < smaller(height, old.height); y++)
        memcpy(cell_at(b, y, 0), cell_at(&old, y, 0), (size_t)smaller(width, old.width));
    free(old.cells);
    free(old.next);
}

/* One cell in so many lives; with 0, none. */
static void board_fill(board *b, int one_in) {
    for (int i = 0; i < b->height * b->width; i++)
        b->cells[i] = one_in && rand() % one_in == 0;
}

/* One generation on a torus. Bit n of born (survive): with n neighbours a dead (living) cell lives
   in the next one. */
static void board_turn(board *b, unsigned born, unsigned survive) {
    const int h = b->height, w = b->width;
    for (int y = 0; y < h; y++) {
        const unsigned char *up = cell_at(b, (y + h - 1) % h, 0);
        const unsigned char *mid = cell_at(b, y, 0);
        const unsigned char *low = cell_at(b, (y + 1) % h, 0);
        for (int x = 0; x < w; x++) {
            const int l = (x + w - 1) % w, r = (x + 1) % w;
            const int n = up[l] + up[x] + up[r] + mid[l] + mid[r] + low[l] + low[x] + low[r];
            b->next[y * w + x] = (unsigned char)((mid[x] ? survive : born) >> n & 1);
        }
    }
    unsigned char *swap = b->cells;
    b->cells = b->next;
    b->next = swap;
}

/* ==== >>network =============================================================================== */

/* The realms that every Emyzelium demo knows. */
typedef struct identity {
    const char *name, *secretkey; /* peers.h has their public keys */
    int port;
    const char *rule;
    unsigned born, survive;
    int hue; /* of 256 colours */
} identity;

/* clang-format off */
static const identity known[] = {
    {"Alien", "gr6Y.04i(&Y27ju0g7m0HvhG0:rDmx<Y[FvH@*N(",
     60847, "B34/S34", 1u << 3 | 1u << 4, 1u << 3 | 1u << 4, 82},
    {"John", "gbMF0ZKztI28i6}ax!&Yw/US<CCA9PLs.Osr3APc",
     60848, "B3/S23", 1u << 3, 1u << 2 | 1u << 3, 75},
    {"Mary", "7C*zh5+-8jOI[+^sh[dbVnW{}L!A&7*=j/a*h5!Y",
     60849, "B3/S23", 1u << 3, 1u << 2 | 1u << 3, 213}
};
/* clang-format on */

enum { KNOWN = sizeof known / sizeof *known };

typedef struct peer { /* another realm, as one realm sees it */
    peers_entry is;
    const char *file; /* where it is written, on line is.line */
    int digit;        /* the key that imports from it */
    int hue;
    emz_ehypha *ehypha;
    const emz_etale *zone;
    int64_t t_out; /* of the newest zone that was counted */
    int received;
} peer;

typedef struct realm {
    const identity *id;
    board board;
    emz_efunguz *efunguz;
    peer peers[MAX_PEERS];
    int peer_count;
    int turns, emitted, imported;
    int64_t last_emit, next_emit, next_import; /* as clock_ms() */
    int tint_height, tint_width, tint_hue;     /* what was just imported, for the view */
    int64_t tint_until;
} realm;

typedef struct demo {
    realm realms[KNOWN];
    int realm_count; /* 1 or all */
    int emit_every, import_every;
    int auto_emit, auto_import, paused, hidden, quit;
    int focus, cursor_y, cursor_x; /* the cursor is on the board of realms[focus] */
    char note[200];                /* what was just done, for the view */
    int64_t note_until;
} demo;

#define NOTE(d, ...) \
    (snprintf((d)->note, sizeof(d)->note, __VA_ARGS__), (d)->note_until = clock_ms() + 4000)

/* The realm's own efunguz: it publishes to those, and only those, that the realm reads from. */
static void open_realm(realm *r, emz_config config) {
    const char *keys[MAX_PEERS];
    for (int i = 0; i < r->peer_count; i++)
        keys[i] = r->peers[i].is.publickey;
    config.whitelist = keys;
    config.whitelist_size = (size_t)r->peer_count;
    config.whitelist_only = 1;

    const emz_result result = emz_efunguz_new(&r->efunguz, r->id->secretkey, &config);
    if (result == EMZ_ERR_BIND)
        DIE("%s cannot listen on %s, port %d: %s.\n%s", r->id->name,
            config.bind_host ? config.bind_host : EMZ_DEF_BIND_HOST, config.pubsub_port,
            strerror(errno),
            errno == EADDRINUSE ? "Does the same realm run already? End it, or choose another port "
                                  "with --port (and tell the others)"
                                : "--bind chooses an address of this machine, --port another port");
    if (result != EMZ_OK)
        DIE("%s cannot start: %s%s", r->id->name, emz_result_str(result),
            config.torproxy_host ? " --torproxy takes an IP address, not a name" : "");
}

/* For each peer an ehypha that asks for its etale "zone". They connect, and reconnect, by
   themselves; a peer that is not there yet is no error. */
static void connect_realm(realm *r) {
    for (peer *p = r->peers; p < r->peers + r->peer_count; p++) {
        const emz_result result =
            (p->is.over_tor ? emz_efunguz_add_ehypha : emz_efunguz_add_ehypha_direct)(
                r->efunguz, p->is.publickey, p->is.address, p->is.port, &p->ehypha);
        if (result != EMZ_OK)
            DIE("%s:%d: no way to %s, port %d: %s Correct the address, or the key", p->file,
                p->is.line, p->is.address, p->is.port, emz_result_str(result));
        if (emz_ehypha_add_etale(p->ehypha, "zone", &p->zone) != EMZ_OK)
            DIE("out of memory");
        p->t_out = -1;
    }
}

/* Publishes the rightmost third of the board. */
static void emit_zone(demo *d, realm *r) {
    static const char description[] = "2B height (h), 2B width (w), h×wB zone by rows";
    const emz_part catalogue[] = {{"zone", 4}, {description, sizeof description - 1}};

    const board *b = &r->board;
    const int h = b->height, w = b->width / 3;
    const unsigned char height[2] = {(unsigned char)(h & 255), (unsigned char)(h >> 8)};
    const unsigned char width[2] = {(unsigned char)(w & 255), (unsigned char)(w >> 8)};
    unsigned char *cells = take((size_t)h, (size_t)w);
    for (int y = 0; y < h; y++)
        memcpy(cells + y * w, cell_at(b, y, b->width - w), (size_t)w);
    const emz_part zone[] = {{height, 2}, {width, 2}, {cells, (size_t)h * (size_t)w}};

    emz_result result = emz_efunguz_emit_etale(r->efunguz, "zone", zone, 3);
    free(cells); /* emit took a copy */

    /* By convention the empty title tells a stranger what there is to read. */
    if (result == EMZ_OK)
        result = emz_efunguz_emit_etale(r->efunguz, "", catalogue, 2);
    if (result != EMZ_OK) {
        NOTE(d, "%s could not emit: %s", r->id->name, emz_result_str(result));
        return;
    }
    r->emitted++;
    r->last_emit = clock_ms();
}

/* Parts come from outside: the peer is who it claims to be, but it may send anything. */
typedef struct zone {
    int height, width;
    const unsigned char *cells;
} zone;

static int zone_read(zone *z, const emz_etale *etale) {
    size_t count;
    const emz_part *part = emz_etale_parts(etale, &count);
    if (count < 3 || part[0].size != 2 || part[1].size != 2)
        return 0;
    const unsigned char *height = part[0].data, *width = part[1].data;
    z->height = height[0] | height[1] << 8;
    z->width = width[0] | width[1] << 8;
    z->cells = part[2].data;
    return part[2].size == (size_t)z->height * (size_t)z->width;
}

/* Takes in what has arrived. To be called often: the library does its work in update(). */
static void listen_to_peers(realm *r) {
    if (emz_efunguz_update(r->efunguz) == 0)
        return;
    for (peer *p = r->peers; p < r->peers + r->peer_count; p++) {
        const int64_t t_out = emz_etale_t_out(p->zone);
        zone z;
        if (t_out != p->t_out && zone_read(&z, p->zone))
            p->received++;
        p->t_out = t_out;
    }
}

/* Copies a peer's zone, as far as it fits, into the leftmost third of the board. */
static void import_zone(demo *d, realm *r, const peer *p) {
    board *b = &r->board;
    zone z;
    if (!zone_read(&z, p->zone)) {
        if (emz_etale_t_out(p->zone) >= 0)
            NOTE(d, "%s sent %s something that is not a zone", p->is.name, r->id->name);
        else
            NOTE(d, "%s has nothing from %s yet. %s", r->id->name, p->is.name,
                 emz_ehypha_link_str(p->ehypha));
        return;
    }
    const int h = smaller(z.height, b->height), w = smaller(z.width, b->width / 3);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            *cell_at(b, y, x) = z.cells[y * z.width + x] != 0;
    r->imported++;
    r->tint_height = h;
    r->tint_width = w;
    r->tint_hue = p->hue;
    r->tint_until = clock_ms() + TINT_MS;
    NOTE(d, "%s imported %d x %d cells from %s", r->id->name, w, h, p->is.name);
}

/* What a realm does by itself when it is time. */
static void exchange(demo *d, realm *r) {
    const int64_t now = clock_ms();
    if (now >= r->next_emit) {
        r->next_emit = now + d->emit_every;
        if (d->auto_emit)
            emit_zone(d, r);
    }
    if (now >= r->next_import) {
        const peer *choice = NULL;
        int n = 0;
        for (const peer *p = r->peers; p < r->peers + r->peer_count; p++)
            if (p->received && rand() % ++n == 0) /* each of them with the same probability */
                choice = p;
        r->next_import = now + d->import_every;
        if (d->auto_import && choice)
            import_zone(d, r, choice);
    }
}

/* ==== >>peers ================================================================================= */

static const identity *find_known(const char *name) {
    for (int i = 0; i < KNOWN; i++)
        if (peers_same(known[i].name, name))
            return &known[i];
    return NULL;
}

static void add_peer(realm *r, peers_entry entry, const char *file, int digit) {
    const identity *k = find_known(entry.name);
    r->peers[r->peer_count] = (peer){
        .is = entry, .file = file, .digit = digit, .hue = k ? k->hue : 220 - 6 * r->peer_count};
    r->peer_count++;
}

static void add_known_peer(realm *r, const identity *k, int digit) {
    peers_entry entry = {.address = "127.0.0.1", .port = k->port, .line = __LINE__};
    strcpy(entry.name, k->name);
    strcpy(entry.publickey, peers_demo_key(k->name));
    add_peer(r, entry, __FILE__, digit);
}

/* All of a file but the realm itself: one file serves all realms. */
static void add_peers(realm *r, const char *path) {
    peers_entry entries[MAX_PEERS + 1];
    const int count = peers_read(path, entries, MAX_PEERS + 1);
    if (count < 0)
        exit(2);
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i].publickey, peers_demo_key(r->id->name)) == 0)
            continue;
        if (r->peer_count == MAX_PEERS)
            DIE("%s:%d: more than 9 peers; delete some", path, entries[i].line);
        add_peer(r, entries[i], path, r->peer_count + 1);
    }
    if (r->peer_count == 0)
        DIE("%s names no other realm; add a line: name public-key address port", path);
}

/* ==== >>view ================================================================================== */

enum { SHADE = 236 };
enum { FULL = 0x2588, UPPER_HALF = 0x2580, LOWER_HALF = 0x2584, TICK = 0x2534 };

/* The colour of a cell, 0 for none. For a moment, imported cells have their giver's colour, and
   the ground of imported and of published ones is shaded. */
static int cell_hue(const demo *d, const realm *r, int y, int x, int64_t now) {
    const board *b = &r->board;
    const int alive = *cell_at(b, y, x);
    if (d->paused && r == &d->realms[d->focus] && y == d->cursor_y && x == d->cursor_x)
        return alive ? WHITE : RED;
    if (now < r->tint_until && y < r->tint_height && x < r->tint_width)
        return alive ? r->tint_hue : SHADE;
    if (r->emitted && now < r->last_emit + TINT_MS / 3 && x >= b->width - b->width / 3)
        return alive ? r->id->hue : SHADE;
    return alive ? r->id->hue : 0;
}

static int ascii_glyph(int hue) {
    return hue == 0 ? ' ' : hue == SHADE ? '.' : hue == WHITE ? '@' : hue == RED ? '+' : '#';
}

static void draw_board(const demo *d, const realm *r, int top, int left) {
    const int64_t now = clock_ms();
    const int step = view.unicode ? 2 : 1; /* two cells in a character, one above the other */
    for (int y = 0; y < r->board.height; y += step)
        for (int x = 0; x < r->board.width; x++) {
            const int hue = cell_hue(d, r, y, x, now);
            const int low = cell_hue(d, r, y + step - 1, x, now);
            glyph g = {ascii_glyph(hue), hue, 0};
            if (view.unicode && hue == low)
                g.code = hue ? FULL : ' ';
            else if (view.unicode)
                g = hue ? (glyph){UPPER_HALF, hue, low} : (glyph){LOWER_HALF, low, 0};
            put_glyph(top + y / step, left + x, g);
        }
}

static const char *seconds(char text[16], int64_t ms) {
    snprintf(text, 16, ms < 0 ? "-" : "%.1f", (double)ms / 1000.0);
    return text;
}

static void draw_peer(const peer *p, int y, int x, int width) {
    const emz_link link = emz_ehypha_link(p->ehypha);
    const int64_t t_in = emz_etale_t_in(p->zone);
    char slu[16];
    seconds(slu, t_in < 0 ? -1 : (emz_now() - t_in) / 1000);
    PUT(y, x, width, p->hue, "%d %-6s SLU %5s %s", p->digit, p->is.name, slu,
        link == EMZ_LINK_UP && width < 50 ? "up" : emz_ehypha_link_str(p->ehypha));
}

/* Title, board, a ruler with the thirds, connections, counters. Where room is short, the board
   keeps four lines and the last of the others are left out. */
static void draw_realm(demo *d, realm *r, int top, int left, int height, int width) {
    const int below = smaller(r->peer_count + 3, height - 1 - smaller(4, height - 1));
    const int lines = height - 1 - below, third = width / 3, hue = r->id->hue;
    const int bottom = top + height;
    board_resize(&r->board, view.unicode ? lines * 2 : lines, width);

    put_line(top, left, width, hue);
    PUT(top, left + 2, width - 2, hue, " %s %s turn %d ", r->id->name, r->id->rule, r->turns);
    if (d->hidden)
        put_text(top + 1 + lines / 2, left + 2, width - 2, GREY, "not shown; V shows it");
    else
        draw_board(d, r, top + 1, left);

    int y = top + 1 + lines;
    if (y < bottom) {
        const glyph tick = {view.unicode ? TICK : '+', GREY, 0};
        put_line(y, left, width, GREY);
        put_text(y, left, third, hue, "import");
        put_glyph(y, left + third, tick);
        put_glyph(y, left + width - third - 1, tick);
        put_text(y++, left + width - smaller(third, 7), 7, hue, "publish");
    }
    for (int i = 0; i < r->peer_count && y < bottom; i++)
        draw_peer(&r->peers[i], y++, left, width);
    char sle[16];
    seconds(sle, r->emitted ? clock_ms() - r->last_emit : -1);
    if (y < bottom)
        PUT(y++, left, width, GREY, "SLE %s emit %d import %d", sle, r->emitted, r->imported);
    if (y < bottom)
        PUT(y++, left, width, GREY,
            width < 50 ? "absorb %d permit %d try %d"
                       : "in_absorbing %d in_permitted %d in_attempted %d",
            (int)emz_efunguz_in_absorbing_num(r->efunguz),
            (int)emz_efunguz_in_permitted_num(r->efunguz),
            (int)emz_efunguz_in_attempted_num(r->efunguz));
}

/* The newest note or, when it has been read, the first connection that has trouble. */
static void draw_note(const demo *d, int y) {
    if (clock_ms() < d->note_until) {
        put_text(y, 0, view.columns, WHITE, d->note);
        return;
    }
    for (const realm *r = d->realms; r < d->realms + d->realm_count; r++)
        for (const peer *p = r->peers; p < r->peers + r->peer_count; p++) {
            const emz_link link = emz_ehypha_link(p->ehypha);
            if (link >= 0)
                continue;
            PUT(y, 0, view.columns, RED, "%s to %s: %s", r->id->name, p->is.name,
                emz_ehypha_link_str(p->ehypha));
            return;
        }
}

static void draw(demo *d) {
    static const char running[] =
        "Q quit  P pause  C clear  R reset  V view  E emit  A auto  1-9 import  I auto";
    static const char paused[] =
        "P go on  T turn  arrows move  space flip  Q quit  C R V E A 1-9 I as before";
    view_measure();
    const int n = d->realm_count;
    const int beside = view.columns >= n * 23; /* or one above the other */
    const int width = beside ? (view.columns - (n - 1)) / n : view.columns;
    const int height = (view.rows - 3) / (beside ? 1 : n);
    if (height < 3 || width < 12) {
        put_text(0, 0, view.columns, WHITE, "a larger window, please");
        view_flush();
        return;
    }
    for (int i = 0; i < n; i++)
        if (beside)
            draw_realm(d, &d->realms[i], 1, i * (width + 1), height, width);
        else
            draw_realm(d, &d->realms[i], 1 + i * height, 0, height, width);

    const realm *focus = &d->realms[d->focus];
    d->cursor_y = smaller(d->cursor_y, focus->board.height - 1); /* the window may have shrunk */
    d->cursor_x = smaller(d->cursor_x, focus->board.width - 1);
    char state[64] = "running";
    if (d->paused)
        snprintf(state, sizeof state, "PAUSED  cursor %d,%d of %s", d->cursor_x, d->cursor_y,
                 focus->id->name);
    PUT(0, 0, view.columns, WHITE, "%s  auto-emit %s  auto-import %s", state,
        d->auto_emit ? "on" : "off", d->auto_import ? "on" : "off");
    draw_note(d, view.rows - 2);
    put_text(view.rows - 1, 0, view.columns, GREY, d->paused ? paused : running);
    view_flush();
}

/* ==== >>keys ================================================================================== */

static void turn(demo *d) {
    for (realm *r = d->realms; r < d->realms + d->realm_count; r++) {
        board_turn(&r->board, r->id->born, r->id->survive);
        r->turns++;
    }
}

static void import_by_digit(demo *d, int digit) {
    for (realm *r = d->realms; r < d->realms + d->realm_count; r++)
        for (const peer *p = r->peers; p < r->peers + r->peer_count; p++)
            if (p->digit == digit)
                import_zone(d, r, p);
}

/* Over the left or right edge the cursor comes to the next board, which may be the same one. */
static void move_cursor(demo *d, int dy, int dx) {
    const int n = d->realm_count, h = d->realms[0].board.height, w = d->realms[0].board.width;
    d->cursor_y = (d->cursor_y + dy + h) % h;
    d->cursor_x += dx;
    if (d->cursor_x < 0 || d->cursor_x >= w) {
        d->focus = (d->focus + dx + n) % n;
        d->cursor_x = dx > 0 ? 0 : w - 1;
    }
}

/* clang-format off */
static void on_key(demo *d, int key)
{
    realm *const first = d->realms, *const end = first + d->realm_count, *r;
    if (key >= 'a' && key <= 'z')
        key += 'A' - 'a';
    switch (key) {
    case 'Q': d->quit = 1; return;
    case 'P': d->paused = !d->paused; return;
    case 'V': d->hidden = !d->hidden; return;
    case 'A': d->auto_emit = !d->auto_emit; return;
    case 'I': d->auto_import = !d->auto_import; return;
    case 'C': for (r = first; r < end; r++) board_fill(&r->board, 0); return;
    case 'R': for (r = first; r < end; r++) board_fill(&r->board, 3); return;
    case 'E': for (r = first; r < end; r++) emit_zone(d, r); return;
    default: break;
    }
    if (key >= '1' && key <= '9')
        import_by_digit(d, key - '0');
    if (!d->paused)
        return;
    switch (key) {
    case 'T': turn(d); return;
    case ' ': *cell_at(&first[d->focus].board, d->cursor_y, d->cursor_x) ^= 1; return;
    case UP: move_cursor(d, -1, 0); return;
    case DOWN: move_cursor(d, 1, 0); return;
    case RIGHT: move_cursor(d, 0, 1); return;
    case LEFT: move_cursor(d, 0, -1); return;
    default: return;
    }
}
/* clang-format on */

static void read_keys(demo *d) {
    int key;
    while ((key = view_key()) > 0)
        on_key(d, key);
    d->quit |= key < 0; /* the terminal is gone */
}

/* ==== >>main ================================================================================== */

static const char help[] =
    "Distributed Life over Emyzelium: realms import parts of each other's boards.\n"
    "  demo                 Alien, John and Mary together on this machine, without Tor\n"
    "  demo REALM [option]  one of them, full size: Alien, John or Mary\n"
    "With one REALM:\n"
    "  --peers FILE         who the others are, see examples/peers.example; without it:\n"
    "                       the other two, on this machine, at their usual ports\n"
    "  --port N             publish at port N, not at 60847 (John 60848, Mary 60849)\n"
    "  --bind HOST          publish at this address of this machine, or at all: *\n"
    "                       (127.0.0.1, right for Tor; others: for your own network)\n"
    "  --torproxy HOST:PORT Tor's SOCKS proxy (127.0.0.1:9050)\n"
    "Always:\n"
    "  --seconds N          end after N seconds\n"
    "  --ascii              ASCII only (happens by itself if the locale is not UTF-8)\n"
    "  --log                what the library has to say, to stderr (add 2>FILE)\n"
    "Keys: Q quit, C clear, R reset, V view on/off, P pause, E emit, 1 to 9 import\n"
    "from that realm, A auto-emit on/off (every 4 s), I auto-import on/off (every\n"
    "8 s; off at first with one REALM). While paused: T one turn, arrows move the\n"
    "cursor, space flips its cell.\n"
    "SLE, SLU: seconds since the last emit, since another realm's last update.\n"
    "Without a terminal it runs 5 seconds, emits every 0.4 s, imports every 0.8 s,\n"
    "prints a line a realm, and exits with 1 if a realm received nothing.\n";

/* Sleeps, but not through a key nor, with one efunguz, through its news. */
static void nap(demo *d, int terminal, int ms) {
    struct pollfd keyboard = {.fd = STDIN_FILENO, .events = POLLIN};
    if (d->realm_count == 1) {
        emz_efunguz_wait(d->realms[0].efunguz, terminal ? smaller(ms, 15) : ms);
        ms = 0;
    }
    if (poll(&keyboard, terminal ? 1 : 0, ms) > 0)
        read_keys(d);
}

static void run(demo *d, int terminal, int64_t run_ms) {
    catch_signals();
    if (terminal) {
        view_enter();
        draw(d); /* gives the boards their sizes */
    }
    const int64_t start = clock_ms();
    for (int i = 0; i < d->realm_count; i++) {
        board_fill(&d->realms[i].board, 3);
        d->realms[i].next_import = start + d->import_every * (i + 1) / d->realm_count; /* in turn */
    }
    int64_t next_turn = start;
    while (!d->quit && (run_ms == 0 || clock_ms() < start + run_ms)) {
        for (realm *r = d->realms; r < d->realms + d->realm_count; r++) {
            listen_to_peers(r);
            exchange(d, r);
        }
        if (clock_ms() >= next_turn) {
            next_turn = clock_ms() + TURN_MS;
            if (!d->paused)
                turn(d);
            if (terminal)
                draw(d);
        }
        const int64_t left = next_turn - clock_ms(); /* none if the terminal was slow */
        nap(d, terminal, left > 0 ? (int)left : 0);
        if (signalled())
            break;
    }
    view_leave();
}

/* One line a realm. Nonzero if one of them received nothing. */
static int report(const demo *d) {
    int silent = 0;
    for (const realm *r = d->realms; r < d->realms + d->realm_count; r++) {
        const peer *const end = r->peers + r->peer_count;
        int received = 0;
        printf("%s: %d turns, %d emitted, received", r->id->name, r->turns, r->emitted);
        for (const peer *p = r->peers; p < end; p++) {
            printf("%s %s x %d", p > r->peers ? "," : "", p->is.name, p->received);
            received += p->received;
        }
        printf(", %d imported\n", r->imported);
        for (const peer *p = r->peers; p < end && received == 0; p++)
            fprintf(stderr, "%s received nothing from %s: %s\n", r->id->name, p->is.name,
                    emz_ehypha_link_str(p->ehypha));
        silent |= received == 0;
    }
    return silent;
}

/* The value of an option, if this is the option. */
static char *option(char ***arg, const char *name) {
    if (strcmp(**arg, name) != 0)
        return NULL;
    if (!(*arg)[1])
        DIE("%s needs a value: see demo --help", name);
    return *++*arg;
}

int main(int argc, char **argv) {
    static demo d; /* static: all zero */
    emz_config config = {0};
    const int terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    const identity *only = NULL;
    const char *peers = NULL;
    long run_s = terminal ? 0 : 5;
    int ascii = 0;
    char *text, *colon;

    for (char **arg = argv + (argc > 0); *arg; arg++) {
        const char *const name = *arg;
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
            fputs(help, stdout);
            return 0;
        }
        if ((text = option(&arg, "--seconds")) != NULL) {
            run_s = strtol(text, &colon, 10);
            if (*colon || run_s < 1 || run_s > 1000000)
                DIE("--seconds takes a number from 1 to 1000000, not %s", text);
        } else if (strcmp(name, "--ascii") == 0) {
            ascii = 1;
        } else if (strcmp(name, "--log") == 0) {
            config.log = emz_log_stderr;
        } else if ((text = option(&arg, "--peers")) != NULL) {
            peers = text;
        } else if ((text = option(&arg, "--bind")) != NULL) {
            config.bind_host = text;
        } else if ((text = option(&arg, "--port")) != NULL) {
            config.pubsub_port = peers_port(text);
            if (!config.pubsub_port)
                DIE("--port takes a number from 1 to 65535, not %s", text);
        } else if ((text = option(&arg, "--torproxy")) != NULL) {
            colon = strrchr(text, ':');
            config.torproxy_host = text;
            config.torproxy_port = colon ? peers_port(colon + 1) : 0;
            if (!config.torproxy_port || colon == text)
                DIE("--torproxy takes HOST:PORT, such as 127.0.0.1:9050, not %s", text);
            *colon = '\0';
        } else if (only || (only = find_known(name)) == NULL) {
            DIE("what is %s? The realms are Alien, John and Mary; see demo --help", name);
        }
    }
    if (!only && (peers || config.pubsub_port || config.bind_host || config.torproxy_host))
        DIE("say which realm it is that --peers, --port, --bind or --torproxy is for");

    view.unicode = !ascii && locale_is_utf8();
    srand((unsigned)emz_now() ^ (unsigned)getpid());
    d.auto_emit = 1;
    d.auto_import = !terminal || !only;
    d.emit_every = terminal ? 4000 : 400; /* 5 seconds shall be enough to see all of them at it */
    d.import_every = terminal ? 8000 : 800;
    d.realm_count = only ? 1 : KNOWN;
    for (int i = 0; i < d.realm_count; i++) {
        realm *r = &d.realms[i];
        r->id = only ? only : &known[i];
        board_resize(&r->board, 48, 64);
        for (int j = 0; j < KNOWN && !peers; j++)
            if (&known[j] != r->id)
                add_known_peer(r, &known[j], only ? r->peer_count + 1 : j + 1);
        if (peers)
            add_peers(r, peers);
    }

    /* All in one process take any free ports, so that two such demos can run side by side. */
    if (!config.pubsub_port)
        config.pubsub_port = only ? only->port : EMZ_ANY_PORT;
    for (int i = 0; i < d.realm_count; i++)
        open_realm(&d.realms[i], config);
    for (int i = 0; i < d.realm_count; i++) {
        realm *r = &d.realms[i];
        for (peer *p = r->peers; p < r->peers + r->peer_count && !only; p++)
            p->is.port = emz_efunguz_port(d.realms[p->digit - 1].efunguz);
        connect_realm(r);
    }

    run(&d, terminal, (int64_t)run_s * 1000);
    const int silent = report(&d);
    for (int i = 0; i < d.realm_count; i++)
        emz_efunguz_free(d.realms[i].efunguz); /* with its ehyphae and etales */
    return got_signal ? 128 + got_signal : !terminal && silent;
}
