/*
    terminal.h - text in a terminal, drawn again and again; for the examples

        while (!signalled()) {
            while ((key = view_key()) != 0) ...   // a byte, an arrow, or -1: the end
            view_measure();                       // the window may have another size now
            put_text(0, 0, 20, WHITE, "hello");   // line, column, width, colour
            view_flush();                         // writes what differs from before
        }

    between view_enter() and view_leave(). What is put is cut at the edges, and of text only printable
    ASCII is shown, so that nobody's data can command the terminal. One program, one terminal, no
    threads. POSIX: define _POSIX_C_SOURCE as 200809L before the first include.
*/
#ifndef TERMINAL_H
#define TERMINAL_H

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { GREY = 245, WHITE = 231, RED = 196 }; /* of 256 colours */
enum { LINE = 0x2500 };                      /* of Unicode */
enum { UP = 256, DOWN, RIGHT, LEFT };        /* keys, in the order of what comes: ESC [ A to D */

static inline int64_t clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline int smaller(int a, int b) {
    return a < b ? a : b;
}

static inline int locale_is_utf8(void) {
    setlocale(LC_CTYPE, "");
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

typedef struct glyph {
    int code;   /* of Unicode */
    int fg, bg; /* of 256 colours; 0: the terminal's own */
} glyph;

static struct {
    int open, unicode, rows, columns;
    glyph *front, *back; /* what the terminal shows, what it shall show */
    char *bytes;         /* that make the one of the other */
    struct termios before;
} view;

static inline void write_all(const char *bytes, size_t size) {
    while (size > 0) {
        const ssize_t n = write(STDOUT_FILENO, bytes, size);
        if (n < 0 && errno != EINTR)
            return; /* no terminal any more; who reads keys will see it too */
        bytes += n > 0 ? n : 0;
        size -= (size_t)(n > 0 ? n : 0);
    }
}

static inline void view_enter(void) {
    static const char text[] = "\033[?1049h\033[?25l\033[?7l\033[2J"; /* alternate screen */
    tcgetattr(STDIN_FILENO, &view.before);
    struct termios raw = view.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* keys one by one; Ctrl-C remains a signal */
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    write_all(text, sizeof text - 1);
    view.open = 1;
    view.rows = 0; /* draw all of the next frame */
}

static inline void view_leave(void) {
    static const char text[] = "\033[0m\033[?7h\033[?25h\033[?1049l";
    if (!view.open)
        return;
    view.open = 0;
    write_all(text, sizeof text - 1);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &view.before);
}

/* Zeroed memory, or the end. */
static inline void *take(size_t count, size_t size) {
    void *memory = calloc(count + 1, size); /* + 1: no size is zero */
    if (!memory) {
        view_leave();
        fputs("out of memory; end other programs\n", stderr);
        exit(1);
    }
    return memory;
}

/* Asked before each frame, so that a resized window needs no signal. */
static inline void view_measure(void) {
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_row || !size.ws_col) {
        size.ws_row = 24;
        size.ws_col = 80;
    }
    const size_t cells = (size_t)size.ws_row * size.ws_col;
    if (view.rows != size.ws_row || view.columns != size.ws_col) {
        view.rows = size.ws_row;
        view.columns = size.ws_col;
        free(view.front);
        free(view.back);
        free(view.bytes);
        view.front = take(cells, sizeof *view.front); /* all 0: differs from all that is drawn */
        view.back = take(cells, sizeof *view.back);
        view.bytes = take(cells + 1, 48);
    }
    for (size_t i = 0; i < cells; i++)
        view.back[i] = (glyph){' ', 0, 0};
}

static inline void put_glyph(int y, int x, glyph g) {
    if (y >= 0 && y < view.rows && x >= 0 && x < view.columns)
        view.back[y * view.columns + x] = g;
}

static inline void put_line(int y, int x, int width, int fg) {
    for (int i = 0; i < width; i++)
        put_glyph(y, x + i, (glyph){view.unicode ? LINE : '-', fg, 0});
}

static inline void put_text(int y, int x, int width, int fg, const char *text) {
    for (int i = 0; i < width && text[i]; i++)
        put_glyph(y, x + i, (glyph){text[i] >= ' ' && text[i] <= '~' ? text[i] : '?', fg, 0});
}

#define PUT(y, x, width, fg, ...)                 \
    do {                                          \
        char put_[256];                           \
        snprintf(put_, sizeof put_, __VA_ARGS__); \
        put_text(y, x, width, fg, put_);          \
    } while (0)

/* One write() of all that differs from the frame before. */
static inline void view_flush(void) {
    char *out = view.bytes + sprintf(view.bytes, "\033[0m");
    int fg = 0, bg = 0, at = -1; /* the terminal's colours and cursor */
    for (int i = 0; i < view.rows * view.columns; i++) {
        const glyph g = view.back[i];
        if (memcmp(&g, &view.front[i], sizeof g) == 0)
            continue;
        if (i != at || i % view.columns == 0)
            out += sprintf(out, "\033[%d;%dH", i / view.columns + 1, i % view.columns + 1);
        if (g.fg != fg || g.bg != bg) {
            out += sprintf(out, "\033[0");
            out += g.fg ? sprintf(out, ";38;5;%d", g.fg) : 0;
            out += g.bg ? sprintf(out, ";48;5;%d", g.bg) : 0;
            *out++ = 'm';
        }
        if (g.code < 128) {
            *out++ = (char)g.code;
        } else { /* UTF-8; all that the view uses have three bytes */
            *out++ = (char)(0xE0 | g.code >> 12);
            *out++ = (char)(0x80 | (g.code >> 6 & 0x3F));
            *out++ = (char)(0x80 | (g.code & 0x3F));
        }
        view.front[i] = g;
        fg = g.fg;
        bg = g.bg;
        at = i + 1;
    }
    write_all(view.bytes, (size_t)(out - view.bytes));
}

/* A key that was pressed; 0: no more, it does not wait; -1: the terminal is gone. Sequences are read
   to their end: the 3 of "ESC [ 3 ~", Delete, is not the key 3. */
static inline int view_key(void) {
    static enum { PLAIN, ESCAPE, SEQUENCE } state = PLAIN;
    struct pollfd keyboard = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&keyboard, 1, 0) > 0) {
        unsigned char c;
        const ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n == 0 || (n < 0 && errno != EINTR))
            return -1;
        if (n < 0)
            continue;
        if (c == 27) {
            state = ESCAPE;
        } else if (state == ESCAPE && (c == '[' || c == 'O')) {
            state = SEQUENCE;
        } else if (state == PLAIN || state == ESCAPE) {
            state = PLAIN;
            return c;
        } else if (c >= '@') {
            state = PLAIN;
            if (c >= 'A' && c <= 'D')
                return UP + c - 'A';
        }
    }
    return 0;
}

/* ---- signals ---- */

static volatile sig_atomic_t got_signal;

static inline void on_signal(int number) {
    got_signal = number;
}

/* From now on these only set got_signal; those that were ignored (nohup, a job in the background)
   stay so. */
static inline void catch_signals(void) {
    static const int signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP};
    for (int i = 0; i < 5; i++) {
        struct sigaction action;
        sigaction(signals[i], NULL, &action);
        if (action.sa_handler == SIG_IGN)
            continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigaction(signals[i], &action, NULL);
    }
}

/* The signal that shall end the program, or 0. With Ctrl-Z it stops here, without the terminal. */
static inline int signalled(void) {
    if (got_signal == SIGTSTP) {
        const int open = view.open;
        got_signal = 0;
        view_leave();
        raise(SIGSTOP);
        if (open)
            view_enter();
    }
    return got_signal;
}

#endif
