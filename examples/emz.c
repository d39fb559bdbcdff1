/*
    emz.c - the command line tool of emyzelium.h: publish from a script, read in a script, look on

        cc emz.c -lzmq -o emz
        ./emz help

    For programs in C the header is enough; this is for shells, and to find out what is wrong. Look for

        >>options   what the command line says
        >>peers     whom to read, and our own efunguz
        >>keys      emz keys
        >>pub       emz pub: arguments, files or lines -> parts -> emit
        >>print     bytes of others as text, hex, JSON
        >>sub       emz sub: update -> print
        >>watch     emz watch: the same as a table
        >>check     emz check
        >>main      help

    Exit status: 0, it worked; 1, a mistake on our side; 2, nothing (or nobody) came in time; 128 and
    more, ended by that signal.
*/

#define _POSIX_C_SOURCE 200809L /* terminal, poll, modes of files; the library does not need it */

#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include "peers.h"
#include "terminal.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <sys/stat.h>

enum { DONE = 0, WRONG = 1, NOTHING = 2 }; /* exit status */
enum {
    MAX_PEERS = 256,
    MAX_TITLES = 1000, /* that a catalogue may name */
    GRACE_MS = 3000,   /* for a subscriber that has come, to receive */
    SLICE_MS = 250,    /* longest sleep: a signal may come right before it */
    CHUNK = 65536,     /* of standard input */
    LINES = 100        /* of standard input in 10 ms; more would overflow a subscriber's queue */
};

#define SAY(...) (fputs("emz: ", stderr), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr))
#define DIE(...) (view_leave(), SAY(__VA_ARGS__), exit(WRONG))

static void *again(void *memory, size_t size) {
    memory = realloc(memory, size);
    if (!memory)
        DIE("out of memory; end other programs");
    return memory;
}

static int smaller64(int a, int64_t b) {
    return b < a ? (int)b : a;
}

/* ==== >>options =============================================================================== */

typedef struct source { /* of a part */
    const char *text;   /* the part itself, or the file that holds it; - is standard input */
    int is_file;
    int is_text; /* the last end of line does not count, as in a shell's $(...) */
    char *data;  /* of the file */
    size_t size, room;
} source;

typedef struct options {
    const char *command;
    const char *key, *peers, *tor, *bind, *allow_file, *format, *about;
    const char **from, **allow; /* ended by NULL */
    double every, run, timeout;
    int port, count, wait, lines, once, details, log, public_only;
    source *args;
    int arg_count;
} options;

enum kind { FLAG, TEXT, LIST, SECONDS, COUNT, PORT, FILE_PART, TEXT_PART };

static const struct {
    const char *name;
    enum kind kind;
    size_t at;
    const char *commands; /* that know it, by their first letters */
} option_table[] = {
    {"--key", TEXT, offsetof(options, key), "pswc"},
    {"--peers", TEXT, offsetof(options, peers), "swc"},
    {"--from", LIST, offsetof(options, from), "sw"},
    {"--tor", TEXT, offsetof(options, tor), "swc"},
    {"--bind", TEXT, offsetof(options, bind), "pc"},
    {"--port", PORT, offsetof(options, port), "pc"},
    {"--allow", LIST, offsetof(options, allow), "p"},
    {"--allow-file", TEXT, offsetof(options, allow_file), "pc"},
    {"--about", TEXT, offsetof(options, about), "p"},
    {"--file", FILE_PART, 0, "p"},
    {"--text", TEXT_PART, 0, "p"},
    {"--lines", FLAG, offsetof(options, lines), "p"},
    {"--every", SECONDS, offsetof(options, every), "p"},
    {"--for", SECONDS, offsetof(options, run), "pw"},
    {"--wait", COUNT, offsetof(options, wait), "p"},
    {"--format", TEXT, offsetof(options, format), "s"},
    {"--long", FLAG, offsetof(options, details), "s"},
    {"--once", FLAG, offsetof(options, once), "s"},
    {"--count", COUNT, offsetof(options, count), "s"},
    {"--timeout", SECONDS, offsetof(options, timeout), "s"},
    {"--public", FLAG, offsetof(options, public_only), "k"},
    {"--log", FLAG, offsetof(options, log), "psw"},
};

static void set_option(options *o, size_t i, const char *value) {
    void *const at = (char *)o + option_table[i].at;
    const char *const name = option_table[i].name;
    char *end;
    switch (option_table[i].kind) {
    case FLAG:
        *(int *)at = 1;
        break;
    case TEXT:
        *(const char **)at = value;
        break;
    case LIST: {
        const char **list = *(const char ***)at;
        while (*list)
            list++;
        *list = value;
        break;
    }
    case SECONDS:
        *(double *)at = strtod(value, &end);
        if (!isdigit((unsigned char)*value) || *end || !(*(double *)at >= 0.001) ||
            *(double *)at > 1e6)
            DIE("%s takes seconds, from 0.001 to 1000000, not %s", name, value);
        break;
    case COUNT: {
        const long number = strtol(value, &end, 10);
        if (!isdigit((unsigned char)*value) || *end || number < 1 || number > 1000000000)
            DIE("%s takes a number from 1 to 1000000000, not %s", name, value);
        *(int *)at = (int)number;
        break;
    }
    case PORT:
        *(int *)at = strcmp(value, "0") == 0 ? EMZ_ANY_PORT : peers_port(value);
        if (*(int *)at == 0)
            DIE("%s takes a number from 1 to 65535, or 0 for any free port, not %s", name, value);
        break;
    case FILE_PART:
    case TEXT_PART:
        o->args[o->arg_count++] =
            (source){.text = value, .is_file = 1, .is_text = option_table[i].kind == TEXT_PART};
        break;
    }
}

/* Options may stand anywhere. A single - in front is none: numbers may be negative. */
static void parse_options(options *o, char **arg, int count) {
    o->from = take((size_t)count, sizeof *o->from);
    o->allow = take((size_t)count, sizeof *o->allow);
    o->args = take((size_t)count, sizeof *o->args);
    for (; *arg; arg++) {
        const size_t length = strcspn(*arg, "=");
        size_t i = 0;
        if (strncmp(*arg, "--", 2) != 0) {
            const int is_stdin = *o->command == 'p' && strcmp(*arg, "-") == 0;
            o->args[o->arg_count++] = (source){.text = *arg, .is_file = is_stdin};
            continue;
        }
        if (!(*arg)[2]) {
            while (*++arg)
                o->args[o->arg_count++] = (source){.text = *arg};
            return;
        }
        while (i < sizeof option_table / sizeof *option_table &&
               (strncmp(option_table[i].name, *arg, length) != 0 || option_table[i].name[length] ||
                !strchr(option_table[i].commands, *o->command)))
            i++;
        if (i == sizeof option_table / sizeof *option_table)
            DIE("emz %s has no option %s: see emz help %s; before a value that begins with --, put "
                "--",
                o->command, *arg, o->command);
        if (option_table[i].kind == FLAG && (*arg)[length])
            DIE("%s takes no value", option_table[i].name);
        if (option_table[i].kind == FLAG || (*arg)[length])
            set_option(o, i, *arg + length + 1);
        else if (arg[1])
            set_option(o, i, *++arg);
        else
            DIE("%s needs a value: see emz help %s", *arg, o->command);
    }
}

/* ==== >>peers ================================================================================= */

/* "HOST:PORT" or "[HOST]:PORT" in two. NULL, or the port. */
static char *split_port(char *text, char **host) {
    char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return NULL;
    *colon = '\0';
    *host = text;
    if (*text == '[' && colon[-1] == ']') { /* IPv6 */
        colon[-1] = '\0';
        ++*host;
    }
    return colon + 1;
}

/* KEY@HOST:PORT, with the key's first characters for a name. NULL, or what is wrong. */
static const char *parse_address(peers_entry *p, const char *text) {
    char copy[PEERS_ADDRESS_SIZE + EMZ_KEY_Z85_SIZE + 16], name[9] = "", *host = NULL;
    char *port = NULL;
    if (strlen(text) > EMZ_KEY_Z85_SIZE && strlen(text) < sizeof copy &&
        text[EMZ_KEY_Z85_SIZE - 1] == '@') {
        strcpy(copy, text);
        copy[EMZ_KEY_Z85_SIZE - 1] = '\0';
        port = split_port(copy + EMZ_KEY_Z85_SIZE, &host);
    }
    if (!port)
        return *text ? "it is neither a name in the peers file nor KEY@HOST:PORT (in single quotes)"
                     : "it is empty; is the variable set?";
    memcpy(name, copy, 8);
    return peers_fill(p, name, copy, host, port);
}

/* Those of the options: all of the peers file, or those of it, and others, that --from names. */
static int choose_peers(const options *o, peers_entry *chosen) {
    static peers_entry known[MAX_PEERS];
    int known_count = 0, count = 0;
    if (!o->peers && !*o->from)
        DIE("say whom to read: --peers FILE, --from 'KEY@HOST:PORT', or both and --from NAME");
    if (o->peers && (known_count = peers_read(o->peers, known, MAX_PEERS)) < 0)
        DIE("correct the peers file first");
    if (o->peers && known_count == 0)
        DIE("%s names nobody; add a line: name public-key address port", o->peers);
    for (const char **from = o->from; *from; from++) {
        char text[80];
        const char *wrong = NULL;
        int i = 0;
        if (count == MAX_PEERS)
            DIE("--from names more than %d peers", MAX_PEERS);
        while (i < known_count && !peers_same(known[i].name, *from))
            i++;
        if (i < known_count)
            chosen[count] = known[i];
        else
            wrong = parse_address(&chosen[count], *from);
        if (!wrong && peers_twice(&chosen[count], chosen, count, text))
            wrong = "this peer is named already";
        if (wrong)
            DIE("--from %s: %s", *from, wrong);
        count++;
    }
    if (count == 0) {
        memcpy(chosen, known, sizeof known);
        count = known_count;
    }
    return count;
}

/* memset that a compiler may not leave out. */
static void wipe(char *secret, size_t size) {
    volatile char *byte = secret;
    while (size--)
        *byte++ = 0;
}

/* The secret key of a file, and its public one. NULL, or what is wrong. */
static const char *read_key(const char *path, char secretkey[EMZ_KEY_Z85_SIZE],
                            char publickey[EMZ_KEY_Z85_SIZE]) {
    unsigned char raw[EMZ_KEY_SIZE];
    char line[EMZ_KEY_Z85_SIZE + 2] = "";
    FILE *file = fopen(path, "r");
    if (!file && emz_z85_decode(raw, sizeof raw, path) == EMZ_OK)
        DIE("--key takes a file that holds the key, not the key: all users see arguments");
    if (!file)
        return strerror(errno);
    setvbuf(file, NULL, _IONBF, 0); /* no copy of the secret stays behind */
    if (!fgets(line, sizeof line, file))
        line[0] = '\0';
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    if (strlen(line) != EMZ_KEY_Z85_SIZE - 1 || emz_publickey(publickey, line) != EMZ_OK)
        return "its first line is no secret key; emz keys FILE makes one, in a new file";
    memcpy(secretkey, line, EMZ_KEY_Z85_SIZE);
    wipe(line, sizeof line);
    return NULL;
}

/* Is the file readable by others? */
static int is_exposed(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077);
}

/* HOST:PORT of --tor into config, which keeps pointing into it. */
static void set_tor(emz_config *config, const char *tor) {
    static char copy[PEERS_ADDRESS_SIZE];
    char *host, *port = NULL;
    if (!tor)
        return;
    if (strlen(tor) < sizeof copy)
        port = split_port(strcpy(copy, tor), &host);
    if (!port || (config->torproxy_port = peers_port(port)) == 0)
        DIE("--tor takes HOST:PORT of a SOCKS proxy, such as 127.0.0.1:9050, not %s", tor);
    config->torproxy_host = host;
}

/* Our efunguz, with the key of --key or a fresh one. */
static emz_efunguz *open_efunguz(const options *o, emz_config config) {
    char publickey[EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE];
    emz_efunguz *ef = NULL;
    emz_result result = EMZ_OK;
    if (o->key) {
        const char *wrong = read_key(o->key, secretkey, publickey);
        if (wrong)
            DIE("%s: %s", o->key, wrong);
        if (is_exposed(o->key))
            SAY("%s can be read by others: chmod 600 it; whoever has the key is you", o->key);
    } else {
        result = emz_keypair(publickey, secretkey);
    }
    config.bind_host = o->bind;
    config.log = o->log ? emz_log_stderr : NULL;
    set_tor(&config, o->tor);
    if (!result)
        result = emz_efunguz_new(&ef, secretkey, &config);
    wipe(secretkey, sizeof secretkey);
    if (result == EMZ_ERR_BIND && errno == EADDRNOTAVAIL)
        DIE("this machine has no address %s; --bind '*' takes all that it has", o->bind);
    if (result == EMZ_ERR_BIND)
        DIE("cannot listen on %s, port %d: %s (by a program or, for a minute, an outgoing "
            "connection); --port takes another port, 0 any free one",
            o->bind ? o->bind : EMZ_DEF_BIND_HOST,
            config.pubsub_port ? config.pubsub_port : EMZ_DEF_PUBSUB_PORT, strerror(errno));
    if (result == EMZ_ERR_ARGUMENT)
        DIE("%s is no IP address: names are not looked up", o->bind ? o->bind : o->tor);
    if (result)
        DIE("cannot start: %s", emz_result_str(result));
    return ef;
}

/* ==== >>keys ================================================================================== */

static int cmd_keys(options *o) {
    char publickey[EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE];
    const char *const path = o->arg_count ? o->args[0].text : NULL;
    if (o->arg_count > 1 || (o->public_only && !path))
        DIE("emz keys takes one file: see emz help keys");
    if (o->public_only) {
        const char *wrong = read_key(path, secretkey, publickey);
        if (wrong)
            DIE("%s: %s", path, wrong);
        puts(publickey);
        return DONE;
    }
    const emz_result result = emz_keypair(publickey, secretkey);
    if (result)
        DIE("cannot make keys: %s", emz_result_str(result));
    if (!path) {
        printf("public key: %s\nsecret key: %s\n", publickey, secretkey);
        return DONE;
    }
    /* O_EXCL follows no symbolic link either, and from the first moment nobody else can read. */
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0 && errno == EEXIST)
        DIE("%s is there already and stays as it is: choose another name; emz keys --public FILE "
            "shows its public key",
            path);
    if (fd < 0)
        DIE("cannot write %s: %s", path, strerror(errno));
    secretkey[EMZ_KEY_Z85_SIZE - 1] = '\n';
    const int failed = write(fd, secretkey, sizeof secretkey) != (ssize_t)sizeof secretkey;
    wipe(secretkey, sizeof secretkey);
    if (close(fd) != 0 || failed) {
        unlink(path);
        DIE("cannot write %s: %s", path, strerror(errno));
    }
    puts(publickey);
    return DONE;
}

/* ==== >>pub =================================================================================== */

/* Lets the keys of --allow and --allow-file in; ef NULL: only looks at them. How many mistakes. */
static int allow(const options *o, emz_efunguz *ef) {
    FILE *file = o->allow_file ? fopen(o->allow_file, "r") : NULL;
    char line[PEERS_LINE_SIZE], key[EMZ_KEY_Z85_SIZE];
    unsigned char raw[EMZ_KEY_SIZE];
    const char *const *given = o->allow, *wrong = NULL, *one = key;
    int number = 0, mistakes = 0;
    for (; *given; given++)
        if (emz_z85_decode(raw, sizeof raw, *given) != EMZ_OK) {
            SAY("--allow %s: %s", *given,
                **given ? "no public key; copy all of its 40 characters once more"
                        : "it is empty; is the variable set?");
            mistakes++;
        } else if (ef) {
            emz_efunguz_add_whitelist_publickeys(ef, given, 1);
        }
    while (file && peers_line(file, line, &number, &wrong)) { /* text behind a key is ignored */
        snprintf(key, sizeof key, "%.40s", line + strspn(line, " \t\r"));
        if (!wrong && emz_z85_decode(raw, sizeof raw, key) != EMZ_OK)
            wrong = "the line does not begin with a public key; copy all of its 40 characters";
        if (wrong) {
            fprintf(stderr, "%s:%d: %s\n", o->allow_file, number, wrong);
            mistakes++;
        } else if (ef) {
            emz_efunguz_add_whitelist_publickeys(ef, &one, 1);
        }
    }
    if (o->allow_file && (!file || ferror(file))) {
        SAY("cannot read %s: %s", o->allow_file, strerror(errno));
        mistakes++;
    }
    if (file)
        fclose(file);
    return mistakes;
}

/* A part's bytes. Files are read anew each time, standard input only once. 0, or -1 and said why. */
static int load_part(source *s) {
    const int is_stdin = s->is_file && strcmp(s->text, "-") == 0;
    if (!s->is_file || (is_stdin && s->data))
        return 0;
    FILE *const file = is_stdin ? stdin : fopen(s->text, "rb");
    size_t got = 0;
    s->size = 0;
    do {
        if (s->size == s->room) {
            s->room = s->room ? s->room * 2 : 65536;
            s->data = again(s->data, s->room);
        }
        got = file ? fread(s->data + s->size, 1, s->room - s->size, file) : 0;
        s->size += got;
    } while (got && s->size <= EMZ_DEF_MAX_PART_SIZE);
    s->size -= s->is_text && s->size > 0 && s->data[s->size - 1] == '\n';
    const int failed = !file || ferror(file);
    if (failed)
        SAY("cannot read %s: %s", s->text, strerror(errno));
    if (file && !is_stdin)
        fclose(file);
    return failed ? -1 : 0;
}

typedef struct publisher {
    emz_efunguz *ef;
    emz_part *catalogue; /* title, description, title, ... */
    size_t titles;
    char *input; /* of --lines: from begin to end it is not published yet */
    size_t begin, end, searched, room;
    int line, ended;
} publisher;

/* By convention the empty title tells what there is to read. */
static void tell_title(publisher *p, const char *title, const char *about) {
    for (size_t i = 0; i < p->titles; i++)
        if (strcmp(p->catalogue[2 * i].data, title) == 0)
            return;
    if (!*title || p->titles == MAX_TITLES)
        return;
    char *copy = take(1, strlen(title) + 1);
    strcpy(copy, title);
    p->catalogue[2 * p->titles] = (emz_part){copy, strlen(copy)};
    p->catalogue[2 * p->titles + 1] = (emz_part){about, strlen(about)};
    p->titles++;
    emz_efunguz_emit_etale(p->ef, "", p->catalogue, 2 * p->titles);
}

static emz_result emit(publisher *p, const char *title, const emz_part *parts, size_t count,
                       const char *about) {
    const emz_result result = emz_efunguz_emit_etale(p->ef, title, parts, count);
    if (result == EMZ_OK)
        tell_title(p, title, about ? about : "");
    return result;
}

/* The first argument is the title, the others are the parts. 0, or -1 and said why. */
static int emit_arguments(publisher *p, const options *o) {
    const size_t count = (size_t)o->arg_count - 1;
    emz_part *parts = take(count, sizeof *parts);
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++) {
        source *s = &o->args[i + 1];
        failed = load_part(s);
        parts[i] = s->is_file ? (emz_part){s->data, s->size} : (emz_part){s->text, strlen(s->text)};
    }
    if (!failed) {
        const emz_result result = emit(p, o->args[0].text, parts, count, o->about);
        if (result) {
            SAY("cannot publish: %s", emz_result_str(result));
            failed = -1;
        }
    }
    free(parts);
    return failed;
}

/* Without a title in the arguments a line is a title and parts, with tabs between them. The byte
   behind the line is ours to write. */
static emz_result emit_fields(publisher *p, char *line, size_t size) {
    emz_part *fields = take(size + 1, sizeof *fields);
    size_t count = 0, begin = 0;
    emz_result result = EMZ_ERR_ARGUMENT;
    for (size_t i = 0; i <= size; i++)
        if (i == size || line[i] == '\t') {
            fields[count++] = (emz_part){line + begin, i - begin};
            begin = i + 1;
        }
    line[fields[0].size] = '\0';
    if (strlen(line) == fields[0].size) /* else the title would be cut at its NUL */
        result = emit(p, line, fields + 1, count - 1, NULL);
    free(fields);
    return result;
}

static void emit_line(publisher *p, const options *o, char *line, size_t size) {
    const emz_part whole = {line, size};
    const emz_result result =
        o->arg_count ? emit(p, o->args[0].text, &whole, 1, o->about) : emit_fields(p, line, size);
    p->line++;
    if (result)
        SAY("line %d of the input is not published: %s", p->line, emz_result_str(result));
}

/* Publishes some lines, or waits a moment for more. */
static void emit_lines(publisher *p, const options *o) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char *newline;
    for (int n = 0; n < LINES; n++) {
        if (p->searched == p->end ||
            !(newline = memchr(p->input + p->searched, '\n', p->end - p->searched)))
            break;
        emit_line(p, o, p->input + p->begin, (size_t)(newline - p->input) - p->begin);
        p->begin = p->searched = (size_t)(newline - p->input) + 1;
        if (n == LINES - 1) {
            poll(NULL, 0, 10);
            return;
        }
    }
    p->searched = p->end;
    if (p->end - p->begin > EMZ_DEF_MAX_PART_SIZE)
        DIE("line %d of the input is longer than 64 MiB; publish it as a part: -", p->line + 1);
    if (poll(&input, 1, 20) <= 0)
        return;
    if (p->begin == p->end)
        p->begin = p->end = p->searched = 0;
    if (p->room - p->end < CHUNK + 1) { /* 1: for the NUL behind a last line without an end */
        memmove(p->input, p->input + p->begin, p->end - p->begin);
        p->end = p->searched = p->end - p->begin;
        p->begin = 0;
        p->room = 2 * p->end + CHUNK + 1;
        p->input = again(p->input, p->room);
    }
    const ssize_t got = read(STDIN_FILENO, p->input + p->end, CHUNK);
    if (got > 0) {
        p->end += (size_t)got;
    } else if (got == 0 || errno != EINTR) {
        p->ended = 1;
        if (p->begin < p->end)
            emit_line(p, o, p->input + p->begin, p->end - p->begin);
    }
}

/* What a subscriber gives to --from, on standard output; who may read, for people. */
static void announce(const publisher *p, const options *o) {
    const char *host = o->bind && strcmp(o->bind, "*") != 0 ? o->bind : EMZ_DEF_BIND_HOST;
    printf(strchr(host, ':') ? "%s@[%s]:%d\n" : "%s@%s:%d\n", emz_efunguz_publickey(p->ef), host,
           emz_efunguz_port(p->ef));
    if (fflush(stdout) != 0)
        DIE("cannot write: %s", strerror(errno));
    if (!*o->allow && !o->allow_file)
        SAY("everybody may read this; --allow KEY lets only some in");
}

static int cmd_pub(options *o) {
    publisher p = {.ended = !o->lines};
    emz_config config = {.pubsub_port = o->port,
                         .whitelist_only = *o->allow || o->allow_file != NULL};
    const uint64_t wanted = (uint64_t)o->wait;
    const int64_t start = clock_ms();
    int64_t next = o->lines ? INT64_MAX : start, served = 0;
    int status = DONE;

    if (o->arg_count < 1 && !o->lines)
        DIE("what is to be published? emz pub TITLE [VALUE]..., or --lines");
    if (o->arg_count > 0 && o->args[0].is_file)
        DIE("the title comes first: emz pub TITLE --file FILE");
    if (o->lines && (o->arg_count > 1 || o->every > 0))
        DIE("--lines reads the values from standard input: it goes with one title or none, and "
            "without --every");
    if (allow(o, NULL) > 0)
        return WRONG;
    p.room = CHUNK + 1;
    p.input = take(p.room, 1);
    p.catalogue = take(2 * MAX_TITLES, sizeof *p.catalogue);
    p.ef = open_efunguz(o, config);
    allow(o, p.ef);
    if (o->lines)
        announce(&p, o);
    while (!signalled()) {
        const int64_t now = clock_ms();
        if (now >= next) {
            const int failed = emit_arguments(&p, o);
            if (failed && next == start) {
                status = WRONG;
                break;
            }
            if (next == start)
                announce(&p, o);
            next = o->every > 0 ? now + (int64_t)(o->every * 1000) : INT64_MAX;
        }
        emz_efunguz_update(p.ef);
        if (!p.ended)
            emit_lines(&p, o);
        const uint64_t came = emz_efunguz_in_permitted_num(p.ef);
        if (wanted && !served && p.ended && came >= wanted)
            served = clock_ms() + GRACE_MS;
        if (served && now >= served)
            break;
        if (o->run > 0 && now - start >= (int64_t)(o->run * 1000)) {
            if (came < wanted) {
                SAY("%d of %d subscribers came in %g s; %d were refused", (int)came, o->wait,
                    o->run, (int)(emz_efunguz_in_attempted_num(p.ef) - came));
                status = NOTHING;
            }
            break;
        }
        emz_efunguz_wait(p.ef, !p.ended ? 1 : smaller64(SLICE_MS, next - now));
    }
    emz_efunguz_free(p.ef);
    return status;
}

/* ==== >>print: bytes that others chose; a terminal must not obey them ========================== */

static int ascii_only; /* the terminal's locale is not UTF-8 */

/* The character of UTF-8 (RFC 3629) that begins here, and its size; 0: none does. */
static size_t utf8(const unsigned char *s, size_t left, unsigned *code) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t size = *s < 0x80             ? 1
                        : (*s & 0xE0) == 0xC0 ? 2
                        : (*s & 0xF0) == 0xE0 ? 3
                        : (*s & 0xF8) == 0xF0 ? 4
                                              : 0;
    if (size == 0 || size > left)
        return 0;
    *code = size == 1 ? *s : *s & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3F);
    }
    return *code < least[size] || *code > 0x10FFFF || (*code >> 11) == 0x1B ? 0 : size;
}

/* Neither a control character nor one that turns the direction of the text around it. */
static int is_plain(unsigned code) {
    return code >= ' ' && (code < 0x7F || code > 0x9F) && (code < 0x7F || !ascii_only) &&
           code != 0x61C && (code < 0x200E || code > 0x200F) && (code < 0x2028 || code > 0x202E) &&
           (code < 0x2066 || code > 0x2069) && code != 0xFEFF;
}

static void print_text(FILE *out, const void *data, size_t size) {
    const unsigned char *s = data;
    for (size_t i = 0, n; i < size; i += n ? n : 1) {
        unsigned code = 0;
        n = utf8(s + i, size - i, &code);
        if (n && is_plain(code) && code != '\\')
            fwrite(s + i, 1, n, out);
        else if (n == 1 && strchr("\n\t\r\\", (int)code) && code)
            fprintf(out, "\\%c",
                    code == '\n'   ? 'n'
                    : code == '\t' ? 't'
                    : code == '\r' ? 'r'
                                   : '\\');
        else
            for (size_t j = 0; j < (n ? n : 1); j++)
                fprintf(out, "\\x%02X", s[i + j]);
    }
}

static void print_hex(const emz_part *part) {
    const unsigned char *s = part->data;
    for (size_t i = 0; i < part->size; i++)
        printf("%02x", s[i]);
}

/* A string or, where the bytes are no UTF-8, {"hex": "..."}: nothing is lost, nothing ambiguous. */
static void print_json(const void *data, size_t size) {
    const unsigned char *s = data;
    unsigned code;
    size_t n;
    for (size_t i = 0; i < size; i += n)
        if ((n = utf8(s + i, size - i, &code)) == 0) {
            const emz_part part = {data, size};
            fputs("{\"hex\":\"", stdout);
            print_hex(&part);
            fputs("\"}", stdout);
            return;
        }
    putchar('"');
    for (size_t i = 0; i < size; i += n) {
        n = utf8(s + i, size - i, &code);
        if (code == '"' || code == '\\')
            printf("\\%c", (char)code);
        else if (is_plain(code))
            fwrite(s + i, 1, n, stdout);
        else if (code > 0xFFFF)
            printf("\\u%04x\\u%04x", 0xD7C0 + (code >> 10), 0xDC00 + (code & 0x3FF));
        else
            printf("\\u%04x", code);
    }
    putchar('"');
}

/* Microseconds as UTC; what is outside of four-digit years stays a number. */
static const char *time_text(char text[40], int64_t us) {
    const time_t seconds = (time_t)(us / 1000000);
    const struct tm *utc = us >= 0 && us < INT64_C(253402300800000000) ? gmtime(&seconds) : NULL;
    if (utc) {
        strftime(text, 40, "%Y-%m-%dT%H:%M:%S", utc);
        snprintf(text + strlen(text), 20, ".%06dZ", (int)(us % 1000000));
    } else {
        snprintf(text, 40, "%" PRId64 "us", us);
    }
    return text;
}

/* ==== >>sub =================================================================================== */

enum { RECENT = 8 };

typedef struct item { /* a title of a peer */
    int peer;
    const emz_etale *etale;
    int64_t t_in;       /* of the value that was seen last */
    int arrivals;       /* values seen */
    int64_t at[RECENT]; /* when, the last ones */
    int64_t told;       /* watch, in lines: when */
} item;

typedef struct reader {
    emz_efunguz *ef;
    peers_entry peers[MAX_PEERS];
    emz_ehypha *ehyphae[MAX_PEERS];
    const char *links[MAX_PEERS]; /* watch, in lines: what was said */
    int peer_count;
    item *items;
    int item_count, room;
} reader;

static void add_item(reader *r, int peer, const char *title) {
    item it = {.peer = peer, .t_in = -1};
    const emz_result result = emz_ehypha_add_etale(r->ehyphae[peer], title, &it.etale);
    if (result == EMZ_ALREADY_PRESENT)
        return;
    if (result != EMZ_OK)
        DIE("cannot ask for a title: %s", emz_result_str(result));
    if (r->item_count == r->room) {
        r->room = r->room ? 2 * r->room : 64;
        r->items = again(r->items, (size_t)r->room * sizeof it);
    }
    r->items[r->item_count++] = it;
}

/* Every title of the arguments from every peer; without a title, the catalogue. */
static reader *open_reader(const options *o) {
    static reader r;
    const emz_config config = {.pubsub_port = EMZ_ANY_PORT, .whitelist_only = 1};
    const int count = choose_peers(o, r.peers);
    r.ef = open_efunguz(o, config);
    for (int i = 0; i < count; i++) /* all may share one file, that names us as well */
        if (*o->from || strcmp(r.peers[i].publickey, emz_efunguz_publickey(r.ef)) != 0)
            r.peers[r.peer_count++] = r.peers[i];
    if (r.peer_count == 0)
        DIE("%s names nobody but ourselves", o->peers);
    for (int i = 0; i < r.peer_count; i++) {
        const peers_entry *p = &r.peers[i];
        const emz_result result =
            (p->over_tor ? emz_efunguz_add_ehypha : emz_efunguz_add_ehypha_direct)(
                r.ef, p->publickey, p->address, p->port, &r.ehyphae[i]);
        if (result)
            DIE("no way to %s, %s, port %d: %s", p->name, p->address, p->port,
                emz_result_str(result));
        for (int j = 0; j < o->arg_count; j++)
            add_item(&r, i, o->args[j].text);
        if (o->arg_count == 0)
            add_item(&r, i, "");
    }
    return &r;
}

/* Has this one a value that was not seen before? */
static int is_news(item *it) {
    const int64_t t_in = emz_etale_t_in(it->etale);
    if (t_in == it->t_in)
        return 0;
    it->t_in = t_in;
    it->at[it->arrivals++ % RECENT] = clock_ms();
    return 1;
}

static double age(const item *it) {
    return ((double)emz_now() - (double)emz_etale_t_out(it->etale)) / 1e6;
}

static void print_value_json(const reader *r, const item *it) {
    const char *const title = emz_etale_title(it->etale);
    size_t count;
    const emz_part *parts = emz_etale_parts(it->etale, &count);
    fputs("{\"peer\":", stdout);
    print_json(r->peers[it->peer].name, strlen(r->peers[it->peer].name));
    fputs(",\"key\":", stdout);
    print_json(r->peers[it->peer].publickey, EMZ_KEY_Z85_SIZE - 1);
    fputs(",\"title\":", stdout);
    print_json(title, strlen(title));
    printf(",\"t_out\":%" PRId64 ",\"age\":%.6f,\"parts\":[", emz_etale_t_out(it->etale), age(it));
    for (size_t i = 0; i < count; i++) {
        fputs(i ? "," : "", stdout);
        print_json(parts[i].data, parts[i].size);
    }
    fputs("]}", stdout);
}

static void print_value(const options *o, const reader *r, const item *it) {
    const char *const title = emz_etale_title(it->etale);
    const int form = *o->format; /* text, hex, json, raw */
    size_t count;
    const emz_part *parts = emz_etale_parts(it->etale, &count);
    char when[40];
    if (form == 'j') {
        print_value_json(r, it);
    } else if (form != 'r') {
        if (o->details)
            printf("%s\t%.3f\t", time_text(when, emz_etale_t_out(it->etale)), age(it));
        if (o->details || r->item_count > 1) {
            printf("%s\t", r->peers[it->peer].name);
            print_text(stdout, title, strlen(title));
            putchar('\t');
        }
    }
    for (size_t i = 0; i < count && form != 'j'; i++) {
        if (form == 'r') {
            fwrite(parts[i].data, 1, parts[i].size, stdout);
            continue;
        }
        if (i)
            putchar(form == 'h' ? ' ' : '\t');
        if (form == 't')
            print_text(stdout, parts[i].data, parts[i].size);
        else if (parts[i].size == 0)
            putchar('-');
        else
            print_hex(&parts[i]);
    }
    if (form != 'r')
        putchar('\n');
}

/* Nothing came, or not all: why, for each peer that is to blame. */
static void explain(const options *o, const reader *r) {
    for (int i = 0; i < r->item_count; i++) {
        const item *it = &r->items[i];
        const emz_link link = emz_ehypha_link(r->ehyphae[it->peer]);
        if (it->arrivals > 0 && (o->once || link >= 0))
            continue;
        const char *title = emz_etale_title(it->etale);
        fprintf(stderr, "emz: no %s%s \"", it->arrivals ? "more " : "",
                *title ? "value of" : "catalogue, title");
        print_text(stderr, title, strlen(title));
        fprintf(stderr, "\" from %s in %g s: %s", r->peers[it->peer].name, o->timeout,
                emz_ehypha_link_str(r->ehyphae[it->peer]));
        if (link == EMZ_LINK_UP && *title)
            fputs(" But it has published nothing under that title; emz sub without a title shows "
                  "what there is.",
                  stderr);
        if (link == EMZ_LINK_DENIED)
            fprintf(stderr, " Ours is %s%s", emz_efunguz_publickey(r->ef),
                    o->key ? "." : ", and another one next time: make a lasting one (emz keys).");
        fputc('\n', stderr);
    }
}

/* Does nobody read what we write any more? */
static int is_output_closed(void) {
    struct pollfd output = {.fd = STDOUT_FILENO};
    return poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP));
}

static int cmd_sub(options *o) {
    static const char *const formats[] = {"text", "hex", "json", "raw"};
    int known = o->format == NULL, printed = 0, missing, status = DONE;
    o->format = o->format ? o->format : "text";
    for (int i = 0; i < 4; i++)
        known |= strcmp(formats[i], o->format) == 0;
    if (!known)
        DIE("--format is text, hex, json or raw, not %s", o->format);
    if (*o->format == 'r' && isatty(STDOUT_FILENO))
        DIE("a terminal would obey raw bytes of others; send them into a file or a pipe");
    ascii_only = isatty(STDOUT_FILENO) && !locale_is_utf8();

    reader *r = open_reader(o);
    int64_t last = clock_ms();
    missing = r->item_count;
    while (!signalled()) {
        int quiet = emz_efunguz_update(r->ef) == 0;
        for (int i = 0; i < r->item_count && !quiet; i++) {
            item *it = &r->items[i];
            if (!is_news(it) || (o->once && it->arrivals > 1) || (o->count && printed == o->count))
                continue;
            print_value(o, r, it);
            printed++;
            missing -= it->arrivals == 1;
            last = clock_ms();
        }
        const int failed = fflush(stdout) != 0;
        if (failed && errno != EPIPE)
            DIE("cannot write: %s", strerror(errno));
        if (failed || is_output_closed() || (o->once && missing == 0) ||
            (o->count && printed == o->count))
            break;
        const int64_t left =
            o->timeout > 0 ? last + (int64_t)(o->timeout * 1000) - clock_ms() : SLICE_MS;
        if (left <= 0) {
            explain(o, r);
            status = NOTHING;
            break;
        }
        emz_efunguz_wait(r->ef, smaller64(SLICE_MS, left));
    }
    emz_efunguz_free(r->ef);
    return status;
}

/* ==== >>watch ================================================================================= */

/* What a peer says it publishes is watched too. */
static void follow_catalogue(reader *r, const item *it) {
    enum { MOST = 100 };
    const int peer = it->peer; /* it may move */
    size_t count;
    const emz_part *parts = emz_etale_parts(it->etale, &count);
    for (size_t i = 0; i < count; i += 2) {
        const size_t size = parts[i].size;
        if (size == 0 || size > EMZ_TITLE_MAX || memchr(parts[i].data, '\0', size) ||
            emz_ehypha_etale_count(r->ehyphae[peer]) > MOST)
            continue;
        char *title = take(size + 1, 1);
        memcpy(title, parts[i].data, size);
        add_item(r, peer, title);
        free(title);
    }
}

static const char *age_text(char text[16], const item *it) {
    const double s = age(it);
    if (it->arrivals == 0)
        strcpy(text, "-");
    else if (s < 120 && s > -120)
        snprintf(text, 16, "%.1f s", s);
    else if (s < 7200 && s > -7200)
        snprintf(text, 16, "%.0f min", s / 60);
    else if (s < 172800 && s > -172800)
        snprintf(text, 16, "%.0f h", s / 3600);
    else
        snprintf(text, 16, "%.0f d", s / 86400);
    return text;
}

static const char *size_text(char text[32], const item *it) {
    size_t count, bytes = 0;
    const emz_part *parts = emz_etale_parts(it->etale, &count);
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].size;
    snprintf(text, 32, "%zu B in %zu", bytes, count);
    return text;
}

/* Values a second, of the last ones; of several between two updates we see one. The first does not
 * count: the publisher had kept it, for who knows how long. */
static const char *rate_text(char text[16], const item *it) {
    const int n = smaller(it->arrivals - 1, RECENT);
    strcpy(text, "-");
    if (n > 1) {
        const int64_t first = it->at[(it->arrivals - n) % RECENT];
        const int64_t last = it->at[(it->arrivals - 1) % RECENT], now = clock_ms();
        const int late = now - last > 2 * (last - first) / (n - 1) + 100; /* they became fewer */
        snprintf(text, 16, "%.2f/s", (n - 1) * 1000.0 / (double)((late ? now : last) - first + 1));
    }
    return text;
}

static const char *shown_title(const item *it) {
    const char *title = emz_etale_title(it->etale);
    return *title ? title : "(catalogue)";
}

/* A sentence from line y to bottom, broken between its words. Returns the line below it. */
static int put_sentence(int y, int bottom, int x, int fg, const char *s) {
    const int room = view.columns - x;
    while (*s && y < bottom) {
        int n = (int)strlen(s);
        if (n > room)
            for (n = room; n > 0 && s[n] != ' '; n--) {
            }
        n = n > 0 ? n : (int)strlen(s); /* a word that is too long is cut */
        put_text(y++, x, n, fg, s);
        s += n;
        s += *s == ' ';
    }
    return y;
}

static void draw_table(const reader *r) {
    char since[16], size[32], rate[16];
    int y = 1, up = 0;
    view_measure();
    const int bottom = view.rows - 1, wide = smaller(40, view.columns / 3);
    PUT(0, 0, view.columns, GREY, "%-*s %10s %18s %10s", wide + 2, "PEER, TITLE", "AGE",
        "BYTES IN PARTS", "RATE");
    for (int i = 0; i < r->peer_count; i++) {
        const emz_link link = emz_ehypha_link(r->ehyphae[i]);
        up += link == EMZ_LINK_UP;
        if (y >= bottom)
            continue;
        put_text(y, 0, PEERS_NAME_SIZE, WHITE, r->peers[i].name);
        y = put_sentence(y, bottom, PEERS_NAME_SIZE, link < 0 ? RED : GREY,
                         emz_ehypha_link_str(r->ehyphae[i]));
        for (int j = 0; j < r->item_count && y < bottom; j++) {
            const item *it = &r->items[j];
            if (it->peer != i)
                continue;
            put_text(y, 2, wide, 0, shown_title(it));
            PUT(y++, wide + 3, view.columns, 0, "%10s %18s %10s", age_text(since, it),
                it->arrivals ? size_text(size, it) : "-", rate_text(rate, it));
        }
    }
    PUT(bottom, 0, view.columns, GREY, "Q quits   %d of %d connected", up, r->peer_count);
    view_flush();
}

/* Not a terminal: a line for each change of a link and, at most once a second, for a title. */
static void print_changes(reader *r) {
    char when[40], since[16], size[32], rate[16];
    time_text(when, emz_now());
    for (int i = 0; i < r->peer_count; i++) {
        const char *link = emz_ehypha_link_str(r->ehyphae[i]);
        if (link != r->links[i])
            printf("%s\t%s\t%s\n", when, r->peers[i].name, link);
        r->links[i] = link;
    }
    for (int i = 0; i < r->item_count; i++) {
        item *it = &r->items[i];
        if (it->arrivals == 0 || clock_ms() - it->told < 1000 ||
            it->told >= it->at[(it->arrivals - 1) % RECENT])
            continue;
        it->told = clock_ms();
        printf("%s\t%s\t", when, r->peers[it->peer].name);
        print_text(stdout, shown_title(it), strlen(shown_title(it)));
        printf("\t%s\t%s\t%s\n", age_text(since, it), size_text(size, it), rate_text(rate, it));
    }
    fflush(stdout);
}

/* Q, or the terminal is gone. */
static int wants_to_quit(void) {
    int key;
    while ((key = view_key()) > 0 && key != 'q' && key != 'Q') {
    }
    return key != 0;
}

static int cmd_watch(options *o) {
    const int terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    reader *r = open_reader(o);
    const int64_t start = clock_ms();
    if (terminal)
        view_enter();
    while (!signalled() && (o->run <= 0 || clock_ms() - start < (int64_t)(o->run * 1000))) {
        emz_efunguz_update(r->ef);
        for (int i = 0; i < r->item_count; i++)
            if (is_news(&r->items[i]) && !*emz_etale_title(r->items[i].etale) && !o->arg_count)
                follow_catalogue(r, &r->items[i]);
        if (terminal)
            draw_table(r);
        else
            print_changes(r);
        if (terminal ? wants_to_quit() : is_output_closed())
            break;
        emz_efunguz_wait(r->ef, 100);
        if (terminal)
            poll(NULL, 0, 20); /* a flood of values shall not become one of frames */
    }
    view_leave();
    emz_efunguz_free(r->ef);
    return DONE;
}

/* ==== >>check ================================================================================= */

/* Does a SOCKS5 proxy (RFC 1928) answer there? NULL, or what is wrong. */
static const char *check_proxy(const char *host, int port) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *address = NULL;
    struct pollfd proxy = {.fd = -1, .events = POLLOUT};
    const char *wrong = NULL;
    char service[16], answer[2] = {0, 0};
    int error = 0;
    socklen_t size = sizeof error;

    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, service, &hints,
                    &address) != 0)
        return "it is no IP address, and names are not looked up";
    proxy.fd = socket(address->ai_family, SOCK_STREAM, 0);
    if (proxy.fd < 0 || fcntl(proxy.fd, F_SETFL, O_NONBLOCK) < 0 ||
        (connect(proxy.fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS) ||
        poll(&proxy, 1, 5000) < 0 || getsockopt(proxy.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error || !proxy.revents) {
        wrong = error ? strerror(error) : "no answer in 5 s";
    } else {
        proxy.events = POLLIN;
        if (write(proxy.fd, "\5\1\0", 3) != 3 || poll(&proxy, 1, 5000) <= 0 ||
            read(proxy.fd, answer, 2) != 2 || memcmp(answer, "\5\0", 2) != 0)
            wrong = "somebody answers, but not with SOCKS5";
    }
    if (proxy.fd >= 0)
        close(proxy.fd);
    freeaddrinfo(address);
    return wrong;
}

/* A key, an onion address, or KEY@HOST:PORT. NULL, or what is wrong. */
static const char *check_word(const char *word) {
    unsigned char raw[EMZ_KEY_SIZE];
    peers_entry p;
    if (strlen(word) >= EMZ_KEY_Z85_SIZE && word[EMZ_KEY_Z85_SIZE - 1] == '@')
        return parse_address(&p, word);
    if (strlen(word) >= 56)
        return emz_onion_check(word)
                   ? "the onion address has a mistake; copy it once more from its owner's file "
                     "hostname"
                   : NULL;
    return emz_z85_decode(raw, sizeof raw, word)
               ? "the public key has a mistake; copy all of its 40 characters once more"
               : NULL;
}

static int cmd_check(options *o) {
    static peers_entry peers[MAX_PEERS];
    char secretkey[EMZ_KEY_Z85_SIZE], publickey[EMZ_KEY_Z85_SIZE];
    emz_config config = {.pubsub_port = o->port ? o->port : EMZ_DEF_PUBSUB_PORT,
                         .bind_host = o->bind};
    int mistakes = 0, over_tor = 0, count;
    const char *wrong;
    if (!o->key && !o->peers && !o->allow_file && !o->tor && !o->port && !o->bind && !o->arg_count)
        DIE("say what to check: emz help check");
#define FOUND(wrong, what, ...)                                                                 \
    ((wrong)                                                                                    \
         ? (mistakes++, fprintf(stderr, __VA_ARGS__), fprintf(stderr, ": %s%s\n", wrong, what)) \
         : (printf("ok: "), printf(__VA_ARGS__), fputs("\n", stdout)))

    for (int i = 0; i < o->arg_count; i++) {
        wrong = check_word(o->args[i].text);
        FOUND(wrong, "", "%s", o->args[i].text);
    }
    if (o->key) {
        wrong = read_key(o->key, secretkey, publickey);
        wipe(secretkey, sizeof secretkey);
        if (!wrong && is_exposed(o->key))
            wrong = "can be read by others; chmod 600 it, and make a new key if others are here";
        FOUND(wrong, "", "%s", o->key);
        if (!wrong)
            printf("    public key %s\n", publickey);
    }
    if (o->peers && (count = peers_read(o->peers, peers, MAX_PEERS)) < 0) {
        mistakes++;
    } else if (o->peers) {
        printf("ok: %s: %d peers\n", o->peers, count);
        while (count-- > 0)
            over_tor |= peers[count].over_tor;
    }
    if (o->allow_file && allow(o, NULL) > 0)
        mistakes++;
    else if (o->allow_file)
        printf("ok: %s\n", o->allow_file);
    if (o->tor || over_tor) {
        config.torproxy_host = EMZ_DEF_TOR_PROXY_HOST;
        config.torproxy_port = EMZ_DEF_TOR_PROXY_PORT;
        set_tor(&config, o->tor);
        wrong = check_proxy(config.torproxy_host, config.torproxy_port);
        FOUND(wrong, "; start Tor, or say with --tor where its SOCKS port is", "Tor at %s, port %d",
              config.torproxy_host, config.torproxy_port);
    }
    if (o->port || o->bind) {
        emz_efunguz *ef = NULL;
        emz_result result = emz_keypair(publickey, secretkey);
        config.torproxy_host = NULL;
        if (!result)
            result = emz_efunguz_new(&ef, secretkey, &config);
        wrong = result == EMZ_ERR_BIND ? strerror(errno) : result ? emz_result_str(result) : NULL;
        FOUND(wrong, "; end the program that has it, or choose another", "%s, port %d",
              o->bind ? o->bind : EMZ_DEF_BIND_HOST,
              ef ? emz_efunguz_port(ef) : config.pubsub_port);
        emz_efunguz_free(ef);
    }
#undef FOUND
    return mistakes ? WRONG : DONE;
}

/* ==== >>main ================================================================================== */

static const struct {
    const char *name;
    int (*run)(options *o);
    const char *help;
} commands[] = {
    {"help", NULL,
     "emz, the command line tool of emyzelium.h: titled values from peer to peer,\n"
     "end-to-end encrypted, over Tor or directly.\n"
     "\n"
     "  emz keys [FILE]                 make a key pair\n"
     "  emz pub [OPTION]... TITLE [VALUE | --file FILE]...\n"
     "                                  publish a value, or those of standard input\n"
     "  emz sub [OPTION]... [TITLE]...  print the values of others\n"
     "  emz watch [OPTION]... [TITLE]...\n"
     "                                  a live table of peers and titles\n"
     "  emz check [OPTION]... [KEY]...  find mistakes in files, addresses, set-up\n"
     "  emz help COMMAND                all about a command\n"
     "\n"
     "Try it in two terminals:\n"
     "  emz pub greeting 'Hello!'           prints KEY@127.0.0.1:60847\n"
     "  emz sub --from 'KEY@127.0.0.1:60847' greeting\n"
     "\n"
     "Keys hold characters that a shell knows: put them in single quotes. Secret keys\n"
     "are read from files only, for all users of a machine see arguments.\n"
     "Exit status: 0, it worked; 1, a mistake on our side; 2, nothing (or nobody)\n"
     "came in time; 128 + N, ended by signal N.\n"},
    {"keys", cmd_keys,
     "emz keys                print a fresh key pair, labelled\n"
     "emz keys FILE           put a fresh secret key into FILE, print the public one\n"
     "emz keys --public FILE  print the public key of the secret one in FILE\n"
     "\n"
     "Give the public key to everybody, the secret key to nobody: whoever has it is\n"
     "you. FILE is new, never one that is there already, and only you can read it.\n"
     "The other commands take it with --key FILE. No command takes a secret key as an\n"
     "argument: all users of a machine can see arguments (ps).\n"},
    {"pub", cmd_pub,
     "emz pub [OPTION]... TITLE [PART]...       PART: a value; - standard input;\n"
     "                    --file FILE: what it holds; --text FILE: no last newline\n"
     "emz pub [OPTION]... --lines [TITLE]       each line of standard input, a value;\n"
     "                    without TITLE, each line is: title, tab, part, tab, part...\n"
     "                    (10,000 lines a second at most, for readers to follow)\n"
     "  --every SECONDS   publish again and again; files are read anew each time\n"
     "  --about TEXT      what the title holds, for the catalogue\n"
     "  --key FILE        our secret key (emz keys FILE); otherwise a fresh one\n"
     "  --allow KEY       let this public key read (again for more); without --allow\n"
     "  --allow-file FILE and --allow-file, a file of keys, everybody may\n"
     "  --port N          listen here (60847); 0, any free port\n"
     "  --bind HOST       on this address of this machine, or all: * (127.0.0.1, right\n"
     "                    for Tor)\n"
     "  --wait N          end when N subscribers have come, and 3 s later\n"
     "  --for SECONDS     end then; status 2 if fewer than --wait N have come\n"
     "  --log             what goes on, on stderr\n"
     "Without --wait or --for it stays, also after the last line: who comes later gets\n"
     "the newest value. First it prints KEY@HOST:PORT, for --from of emz sub; over Tor\n"
     "HOST is your onion address (examples/onion makes one). A value replaces the one\n"
     "before: of many in one moment, readers may see only the last.\n"
     "Example: emz pub --key my.key --every 10 uptime --text /proc/uptime\n"},
    {"sub", cmd_sub,
     "emz sub [OPTION]... [TITLE]...    without TITLE: the catalogue, what there is\n"
     "  --from PEER     'KEY@HOST:PORT', or a name in the peers file; again for more\n"
     "  --peers FILE    lines: name public-key address port (examples/peers.example);\n"
     "                  without --from, all of them\n"
     "  --key FILE      our secret key (emz keys FILE), for peers with a whitelist\n"
     "  --tor HOST:PORT Tor's SOCKS port, for onion addresses (127.0.0.1:9050)\n"
     "  --format text   parts with tabs between; \\n \\t \\r \\\\ \\xHH for what a terminal\n"
     "                  could obey, a backslash, and bytes that are no UTF-8\n"
     "  --format hex    parts with blanks between; - is an empty one\n"
     "  --format json   an object a line: peer, key, title, t_out (us since 1970), age\n"
     "                  (s), parts; one that is no UTF-8 is {\"hex\": \"...\"}\n"
     "  --format raw    the bytes, and nothing between; not to a terminal\n"
     "  --long          before text or hex: t_out, age, peer, title; tabs between\n"
     "  --once          one value of each title of each peer, then end\n"
     "  --count N       end after N values\n"
     "  --timeout SEC   end when for so long nothing came: status 2, and why on stderr\n"
     "  --log           what goes on, on stderr\n"
     "Of several titles or peers, peer and title stand before text and hex. Who asks\n"
     "late gets the newest value; one that is replaced before we see it is skipped.\n"
     "Example: temp=$(emz sub --from \"$peer\" --once --timeout 60 temp) || exit\n"},
    {"watch", cmd_watch,
     "emz watch [OPTION]... [TITLE]...\n"
     "A live table: how each connection stands and, when it does not, why; of each\n"
     "title age, size and rate. Without TITLE, all titles that a peer's catalogue\n"
     "names. When the output is not a terminal: a line for each change.\n"
     "\n"
     "  --from PEER      'KEY@HOST:PORT', or a name in the peers file; again for more\n"
     "  --peers FILE     lines: name public-key address port (examples/peers.example);\n"
     "                   without --from, all of them\n"
     "  --key FILE       our secret key (emz keys FILE), for peers with a whitelist\n"
     "  --tor HOST:PORT  Tor's SOCKS port, for onion addresses (127.0.0.1:9050)\n"
     "  --for SECONDS    end then\n"
     "  --log            what goes on, on stderr (add 2>FILE)\n"
     "\n"
     "Keys: Q quits.\n"},
    {"check", cmd_check,
     "emz check [OPTION]... [KEY | ONION | KEY@HOST:PORT]...\n"
     "Tells every mistake, with its line and what to do; status 1 if there is one.\n"
     "\n"
     "  KEY ...            is it a public key, an onion address, a peer, well copied?\n"
     "  --peers FILE       the peers file; with onion addresses, also Tor's SOCKS port\n"
     "  --key FILE         our secret key: valid, and for our eyes only?\n"
     "  --allow-file FILE  the file of keys for emz pub\n"
     "  --tor HOST:PORT    does a SOCKS proxy answer there?\n"
     "  --port N           is the port free (60847)?\n"
     "  --bind HOST        on this address?\n"
     "\n"
     "Whether a peer answers, emz watch tells.\n"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static int find_command(const char *name) {
    int i = 0;
    while (i < COMMANDS && strcmp(commands[i].name, name) != 0)
        i++;
    if (i == COMMANDS)
        DIE("there is no command %s: keys, pub, sub, watch, check or help", name);
    return i;
}

int main(int argc, char **argv) {
    options o = {.command = "help"};
    int which = 0, help = argc < 2;
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("emz %s\n", emz_version());
        return DONE;
    }
    if (argc > 1 && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0)
        which = find_command(argv[1]);
    if (which == 0 && argc > 2)
        which = find_command(argv[2]);
    else if (which > 0 && argc > 2)
        help = strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0;
    if (argc < 2 || help || which == 0 || strcmp(argv[1], commands[which].name) != 0) {
        fputs(commands[which].help, argc < 2 ? stderr : stdout);
        return argc < 2 ? WRONG : DONE;
    }
    signal(SIGPIPE, SIG_IGN); /* write() tells it */
    o.command = commands[which].name;
    parse_options(&o, argv + 2, argc);
    if (strchr("psw", *o.command))
        catch_signals();
    const int status = commands[which].run(&o);
    return got_signal ? 128 + got_signal : status;
}
