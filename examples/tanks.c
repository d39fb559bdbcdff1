/*
    tanks.c - a real-time game for 2 to 8 players without a server, over emyzelium.h
        cc tanks.c -lzmq -o tanks
        ./tanks                 you and three bots, on this machine, without Tor
        ./tanks --player 2      somebody joins, in another terminal; --help: friends elsewhere

    Each program owns one tank. Twenty times a second it publishes the tank's whole state under the
    title "tank" and reads those of the others; nobody writes into anybody's game. As it is the whole
    state, not a change, a lost one is made good by the next, and who comes late knows all at once.

    Who hit whom, without a referee: the victim decides. A shooter publishes "my shot 17 flies left";
    everybody lets it fly from where they see that tank; whoever is hit by it on the own screen
    publishes "I died of shot 17 of that key", and all count a hit for the shooter. So what you
    dodged never kills you, however slow the net, and nobody can claim a hit. The only lie left is
    not to die: it harms nobody, and everybody sees it.
*/
#define _POSIX_C_SOURCE 200809L /* for the clock and processes; the library does not need it */
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "peers.h"
#include "terminal.h"
#include <getopt.h>
#include <sys/wait.h>

/* ==== >>rules ================================================================================= */
enum { PLAYERS = 8, TICK_MS = 50, RELOAD_MS = 1000, DEAD_MS = 2000 };
enum { STALE_MS = 1000, GONE_MS = 4000 };    /* not heard for so long: grey; off the field */
enum { CELL = 16, COLUMNS = 80, ROWS = 40 }; /* places are in sixteenths of a cell */
enum { TANK_X = 24, TANK_Y = 16, STEP = 8 }; /* half a tank; its way in a tick */
enum { SHOT_STEP = 32, SHOT_TICKS = 15, SLACK = 10 * STEP }; /* see judge() */

typedef struct point {
    int x, y;
} point;

typedef struct state {     /* all that the owner of a tank publishes */
    int version, dir, aim; /* of the tank, of its newest shot: up, down, right, left */
    int dead;              /* it cannot shoot, nor be shot */
    point at;
    int shot;                  /* the number of its newest one; 0: none yet */
    int deaths, by_shot;       /* so often it was hit, the last time by that shot ... */
    char by[EMZ_KEY_Z85_SIZE]; /* ... of the player with that public key */
} state;

typedef struct player { /* as we see it; known, as every peer, by the public key */
    peers_entry is;
    state s;                    /* the newest that was believed */
    int64_t heard, fired, died; /* by our clock: theirs may be anything */
    int slack, fly;             /* see judge(); ticks that the shot has left */
    point shown, shot;          /* on our screen */
    int digit, hits, moved, lies;
    const char *lie; /* the newest one */
    emz_ehypha *ehypha;
    const emz_etale *etale;
    int64_t t_out;
} player;

static player players[PLAYERS], *const me = players, *end = players; /* the first one is ours */
static int driving, trigger;                                         /* what its driver wants */
static int64_t now;                                                  /* milliseconds */

static point ahead(point at, int dir, int step) {
    static const int dx[] = {0, 0, 1, -1}, dy[] = {-1, 1, 0, 0};
    return (point){at.x + dx[dir] * step, at.y + dy[dir] * step};
}

static int wall(int x, int y) {
    return x < 0 || y < 0 || x >= COLUMNS * CELL || y >= ROWS * CELL ||
           (x / CELL % 16 / 4 == 2 && y / CELL % 10 / 2 == 2);
}

static int blocked(point at) {
    const int left = at.x - TANK_X, right = at.x + TANK_X - 1;
    const int top = at.y - TANK_Y, bottom = at.y + TANK_Y - 1;
    return wall(left, top) || wall(right, top) || wall(left, bottom) || wall(right, bottom);
}

static int way(point a, point b) {
    return abs(a.x - b.x) + abs(a.y - b.y);
}

/* ==== >>wire: one part; these numbers, of so many bytes, little-endian; then the key's text =====
   Version is 1. A later one may add bytes at the end, and must leave these as they are. */
#define NUMBERS(F) \
    F(version, 1)  \
    F(dir, 1) F(aim, 1) F(dead, 1) F(at.x, 2) F(at.y, 2) F(shot, 4) F(deaths, 4) F(by_shot, 4)
enum { WIRE_SIZE = 20 + EMZ_KEY_Z85_SIZE };

static int get(const unsigned char *wire, int size) {
    return size ? *wire | (int)((unsigned)get(wire + 1, size - 1) << 8) : 0;
}

static int decode(state *s, const emz_etale *etale) {
    size_t count;
    const emz_part *part = emz_etale_parts(etale, &count);
    if (!count || part->size < WIRE_SIZE)
        return 0;
    const unsigned char *wire = part->data;
#define READ(name, size) s->name = get(wire, size), wire += (size);
    NUMBERS(READ)
    memcpy(s->by, wire, sizeof s->by);
    return s->version >= 1 && s->dir <= 3 && s->aim <= 3;
}

/* ==== >>judge: CURVE makes sure who sent a state; whether it can be true is ours to find out === */
static int is_new(const player *p) {
    return !p->heard || now - p->heard > GONE_MS;
}

static void fire(player *p) {
    p->fired = now;
    p->fly = SHOT_TICKS;
    p->shot = p->s.at; /* where we see the tank: a shot cannot come from anywhere else */
}

/* The hit counts for who fired that shot a moment ago, as we know ourselves; for nobody else.
   So scores may differ a little where states are lost: each counts what it has seen. */
static void count_hit(player *victim) {
    victim->died = now;
    for (player *p = players; p < end; p++)
        if (p != victim && strncmp(p->is.publickey, victim->s.by, EMZ_KEY_Z85_SIZE) == 0 &&
            p->s.shot == victim->s.by_shot && p->fired && now - p->fired < DEAD_MS) {
            p->hits++;
            p->fly = 0;
        }
}

/* A state is believed as a whole or not at all: NULL, or why not. The limits allow for states that
   come late, and then in bunches. Who was not believed for GONE_MS is a newcomer: so nobody is
   banned for a bad minute of the net, and a player who restarts comes back. */
static const char *judge(player *p, const state *s) {
    const int new = is_new(p), dies = !new && s->deaths != p->s.deaths; /* it is anywhere then */
    const int fires = !new && s->shot != p->s.shot, gone = new || dies ? 0 : way(s->at, p->s.at);
    const int left = new || dies ? SLACK : p->slack + (int)(now - p->heard) * STEP / TICK_MS - gone;
    if (blocked(s->at))
        return "in a wall";
    if ((dies && s->deaths < p->s.deaths) || (fires && s->shot < p->s.shot))
        return "counts backwards";
    if (fires && ((s->dead && !dies) || now - p->fired < RELOAD_MS * 3 / 4))
        return "shoots too often";
    if (dies && now - p->died < DEAD_MS * 3 / 4)
        return "dies too often";
    if (left < 0)
        return "too fast";
    p->slack = left < SLACK ? left : SLACK; /* to go later, but not to be saved for a jump */
    p->moved += gone;
    p->heard = now;
    p->s = *s;
    if (dies)
        count_hit(p);
    if (fires)
        fire(p);
    return NULL;
}

/* ==== >>tick: the world, as we see it, goes on by a twentieth of a second ====================== */
static void place(state *s) {
    do
        s->at = (point){rand() % (COLUMNS * CELL), rand() % (ROWS * CELL)};
    while (blocked(s->at));
}

static void tick(void) {
    state *const s = &me->s;
    const point next = ahead(s->at, s->dir, STEP);
    me->heard = now;
    s->dead = me->died && now - me->died < DEAD_MS;
    if (driving && !s->dead && !blocked(next))
        s->at = next;
    if (trigger && !s->dead && now - me->fired >= RELOAD_MS) {
        s->shot++;
        s->aim = s->dir;
        fire(me);
    }
    trigger = 0;
    for (player *p = players; p < end; p++) {
        /* States come unevenly, the picture shall not: it goes half the way, or jumps a long one. */
        const point half = {(p->shown.x + p->s.at.x) / 2, (p->shown.y + p->s.at.y) / 2};
        if (!p->s.dead) /* a wreck stays where it was hit */
            p->shown = way(half, p->s.at) > SLACK ? p->s.at : half;
        if (p->fly == 0)
            continue;
        p->shot = ahead(p->shot, p->s.aim, SHOT_STEP);
        p->fly = wall(p->shot.x, p->shot.y) ? 0 : p->fly - 1;
        if (p != me && p->fly && !s->dead && abs(p->shot.x - s->at.x) <= TANK_X &&
            abs(p->shot.y - s->at.y) <= TANK_Y) { /* we are the victim: it is for us to say */
            s->dead = 1;
            s->deaths++;
            s->by_shot = p->s.shot;
            memcpy(s->by, p->is.publickey, sizeof s->by);
            count_hit(me);
            place(s);
        }
    }
}

/* ==== >>network =============================================================================== */
#define DIE(...) \
    (view_leave(), fprintf(stderr, "tanks: " __VA_ARGS__), fputc('\n', stderr), exit(2))
static emz_efunguz *efunguz; /* publishes to those, and only those, that we read */

static void connect_player(player *p) {
    const emz_result result =
        (p->is.over_tor ? emz_efunguz_add_ehypha : emz_efunguz_add_ehypha_direct)(
            efunguz, p->is.publickey, p->is.address, p->is.port, &p->ehypha);
    if (result != EMZ_OK || emz_ehypha_add_etale(p->ehypha, "tank", &p->etale) != EMZ_OK)
        DIE("%s: %s", p->is.name, emz_result_str(result));
    p->t_out = -1;
}

static void open_network(const char *secretkey, emz_config config) {
    const char *keys[PLAYERS];
    for (player *p = players; p < end; p++)
        keys[p - players] = p->is.publickey;
    config.whitelist = keys;
    config.whitelist_size = (size_t)(end - players);
    const emz_result result = emz_efunguz_new(&efunguz, secretkey, &config);
    if (result != EMZ_OK)
        DIE("--port %d: %s Do you play already?", config.pubsub_port, emz_result_str(result));
    for (player *p = me + 1; p < end; p++)
        connect_player(p);
}

/* Takes in what has come. An etale holds the newest value; that older ones are gone is right here. */
static void hear(void) {
    static uint64_t permitted;
    const uint64_t before = permitted;
    emz_efunguz_update(efunguz);
    permitted = emz_efunguz_in_permitted_num(efunguz);
    for (player *p = me + 1; p < end; p++) {
        if (p->t_out != emz_etale_t_out(p->etale)) {
            state s;
            const char *lie = decode(&s, p->etale) ? judge(p, &s) : "not a tank";
            p->t_out = emz_etale_t_out(p->etale);
            p->lies += lie != NULL;
            p->lie = lie ? lie : p->lie;
        }
        /* Somebody began to read us, so somebody has started: look for the absent ones now, not
           after the library's pause, which is up to 15 s where nobody answers. */
        if (permitted > before && !p->is.over_tor && emz_ehypha_link(p->ehypha) < 0) {
            emz_efunguz_del_ehypha(efunguz, p->is.publickey);
            connect_player(p);
        }
    }
}

static void tell(void) {
    unsigned char wire[WIRE_SIZE], *to = wire;
#define WRITE(name, size)            \
    for (int i = 0; i < (size); i++) \
        *to++ = (unsigned char)((unsigned)me->s.name >> 8 * i & 255);
    NUMBERS(WRITE)
    memcpy(to, me->s.by, sizeof me->s.by);
    emz_efunguz_emit_etale(efunguz, "tank", &(emz_part){wire, WIRE_SIZE}, 1);
}

/* ==== >>drivers =============================================================================== */
static void think(void) {
    state *const s = &me->s;
    driving = 1;
    if (rand() % 25 == 0 || blocked(ahead(s->at, s->dir, STEP)))
        s->dir = rand() % 4;
    for (player *p = me + 1; p < end; p++) {
        const int x = p->s.at.x - s->at.x, y = p->s.at.y - s->at.y, upright = abs(x) <= TANK_X;
        if (!is_new(p) && !p->s.dead && abs(x) + abs(y) < SHOT_STEP * SHOT_TICKS &&
            (upright || abs(y) <= TANK_Y) && rand() % 4 == 0) {
            s->dir = upright ? y > 0 : 2 + (x < 0);
            trigger = 1;
        }
    }
}

static int wants_to_quit(void) {
    for (int key; (key = view_key()) != 0; trigger |= key == ' ') {
        if (key == 'q' || key == 'Q' || key < 0)
            return 1;
        for (int dir = 0; dir < 4; dir++)
            if (key == UP + dir || key == "wsda"[dir])
                me->s.dir = dir, driving = 1;
    }
    return 0;
}

/* ==== >>view: a line of text is two rows of cells =============================================== */
enum { DARK = 237, BLACK = 16, LINES = ROWS / 2 };

static void draw(void) {
    static const int hues[] = {46, 51, 226, 213, 208, 75, 203, 231};
    view_measure();
    for (int y = 0; y < LINES; y++)
        for (int x = 0; x < COLUMNS; x++)
            if (wall(x * CELL, y * 2 * CELL))
                put_glyph(y, x, (glyph){'#', GREY, DARK});
    PUT(LINES + 3, 0, COLUMNS, GREY, "you: %d  arrows/wasd go, space shoots, Q quits", me->digit);
    for (const player *p = players; p < end; p++) {
        const int i = p->digit - 1, dir = p->s.dir;
        const int hue = is_new(p) ? DARK : now - p->heard > STALE_MS ? GREY : hues[i];
        const int line = p->shown.y / CELL / 2, column = p->shown.x / CELL - 1;
        if (p->is.line && !p->heard) /* of a peers file: it should be here */
            PUT(LINES + 2, 0, COLUMNS, GREY, "%.15s: %s", p->is.name,
                emz_ehypha_link_str(p->ehypha));
        PUT(LINES + i / 4, i % 4 * 20, 20, hue, "%d %.8s +%d -%d", p->digit, p->is.name, p->hits,
            p->s.deaths);
        if (p->fly)
            put_glyph(p->shot.y / CELL / 2, p->shot.x / CELL, (glyph){'o', hue, 0});
        const char tank[] = {"^v <"[dir], (char)('1' + i), "^v> "[dir]};
        for (int x = 0; x < 3 && !is_new(p); x++)
            put_glyph(line, column + x, (glyph){p->s.dead ? "*#*"[x] : tank[x], BLACK, hue});
    }
    view_flush();
}

/* ==== >>main ================================================================================== */
static const char help[] =
    "tanks                          you and three bots on this machine\n"
    "tanks --player N               player N (1 to 8) of this machine, in a terminal of its own\n"
    "tanks --peers FILE --key FILE  with friends: examples/peers.example, a line for each of you,\n"
    "                               also for yourself; and your key file, from emz keys\n"
    "  --bind HOST                  listen there, or at all: * (127.0.0.1, right for Tor)\n"
    "  --torproxy HOST:PORT         Tor's SOCKS proxy (127.0.0.1:9050)\n"
    "  --port N, --seconds N, --bot player 1's port here (30851); end then; you are a bot, too\n"
    "Without a terminal eight bots play 5 seconds; exits with 1 if one did not see all move.\n";
enum { HELP, PLAYER, PEERS, KEY, BIND, TORPROXY, PORT, SECONDS, BOT, OPTIONS };
static const struct option options[] = {{"help", 0, 0, HELP},   {"player", 1, 0, PLAYER},
                                        {"peers", 1, 0, PEERS}, {"key", 1, 0, KEY},
                                        {"bind", 1, 0, BIND},   {"torproxy", 1, 0, TORPROXY},
                                        {"port", 1, 0, PORT},   {"seconds", 1, 0, SECONDS},
                                        {"bot", 0, 0, BOT},     {0, 0, 0, 0}};

int main(int argc, char **argv) {
    const int watched = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    int tty = watched, unseen = 0, status, o; /* tty: it is ours, not that of our bots */
    const char *value[OPTIONS] = {[PORT] = "30851", [KEY] = ""};
    while ((o = getopt_long(argc, argv, "", options, NULL)) > HELP && o != '?')
        value[o] = optarg ? optarg : "";
    if (o == HELP || o == '?' || optind < argc)
        return fputs(help, stdout), o == HELP ? 0 : 2;
    const int seconds = value[SECONDS] ? peers_port(value[SECONDS]) : tty ? 1 << 20 : 5;
    const int port = peers_port(value[PORT]), others = !value[PEERS] && !value[PLAYER];
    int own = value[PLAYER] ? peers_port(value[PLAYER]) - 1 : 0;
    if (!seconds || !port || own < 0 || own >= PLAYERS)
        DIE("--player takes 1 to 8, --port and --seconds 1 to 65535");
    /* Bots are processes of their own, as if they were elsewhere; they go when we go. */
    int first = getpid(), parent = 0;
    for (int i = tty ? 5 : 1; others && !parent && i < PLAYERS; i++)
        if (fork() == 0)
            own = i, tty = 0, parent = first;
    const int bot = !tty || value[BOT];
    srand((unsigned)emz_now() ^ (unsigned)getpid());
    peers_entry is[PLAYERS];
    char secretkey[EMZ_KEY_Z85_SIZE], host[64], rest;
    const int count = value[PEERS] ? peers_read(value[PEERS], is, PLAYERS)
                                   : peers_local(is, PLAYERS, port, own, secretkey);
    if (value[PEERS] && (own = peers_own(is, count, value[KEY], secretkey)) < 0)
        return 2;
    for (int i = own; end < players + count; i = (i + 1) % count)
        *end++ = (player){.is = is[i], .digit = i + 1, .s.version = 1, .lie = ""};
    emz_config config = {.bind_host = value[BIND], .pubsub_port = me->is.port};
    config.torproxy_host = value[TORPROXY] ? host : NULL;
    if (value[TORPROXY] &&
        sscanf(value[TORPROXY], "%63[^:]:%d%c", host, &config.torproxy_port, &rest) != 2)
        DIE("--torproxy takes HOST:PORT");
    open_network(secretkey, config);
    place(&me->s);
    catch_signals();
    if (tty)
        view_enter();
    int64_t next = clock_ms(), stop = next + (int64_t)seconds * 1000;
    while (!signalled() && (now = clock_ms()) < stop && (!parent || getppid() == parent)) {
        hear();
        if (now >= next) {
            if (tty && wants_to_quit())
                break;
            if (bot)
                think();
            tick();
            tell();
            if (tty)
                draw();
            next = next + TICK_MS > now ? next + TICK_MS : now; /* no hurry after a delay */
        }
        /* Not a plain sleep: it ends when something comes, which is then judged by when it came. */
        emz_efunguz_wait(efunguz, (int)(next - now));
    }
    view_leave();
    emz_efunguz_free(efunguz);
    if (watched)
        return got_signal ? 128 + got_signal : 0;
    printf("%s: %d hits, %d deaths;", me->is.name, me->hits, me->s.deaths);
    for (const player *p = me + 1; p < end; p++)
        if (p->heard || value[PEERS] || others) { /* else the seat may be empty */
            unseen |= !p->moved;
            printf(" %s moved %d, lied %d %s;", p->is.name, p->moved / CELL, p->lies, p->lie);
        }
    printf("\n");
    while (!got_signal && wait(&status) > 0)
        unseen |= status != 0;
    return got_signal ? 128 + got_signal : unseen;
}
