#!/usr/bin/env python3
"""README's picture: the demo and, below, emz watch with two peers and one that is not there, each run in
a terminal of its own (tmux), and what they show written as one SVG. After make examples:

    tests/picture.py examples/demo.svg
"""
import html
import re
import subprocess
import sys
import tempfile
import time

W, H = 7, 14  # of a character cell
COLUMNS = 100
BASIC = ["#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5"]
BLOCKS = {"█": (0, H), "▀": (0, H // 2), "▄": (H // 2, H // 2)}  # from where, how high


def colour(n):
    if n < 16:
        return BASIC[n % 8]
    if n < 232:
        n -= 16
        return "#%02x%02x%02x" % tuple(0 if v == 0 else 55 + 40 * v for v in (n // 36, n // 6 % 6, n % 6))
    return "#%02x%02x%02x" % ((8 + 10 * (n - 232),) * 3)


def cells(line):
    """Each character of a line with its colours."""
    fg, bg, bold = None, None, False
    for escape, char in re.findall(r"\x1b\[([0-9;]*)m|(.)", line):
        if char:
            yield char, fg, bg, bold
            continue
        codes = [int(c or 0) for c in escape.split(";")]
        while codes:
            c = codes.pop(0)
            if c in (38, 48) and codes[:1] == [5]:
                value = colour(codes[1])
                codes = codes[2:]
                fg, bg = (value, bg) if c == 38 else (fg, value)
            elif c == 0:
                fg, bg, bold = None, None, False
            elif c == 1:
                bold = True
            elif 30 <= c <= 37:
                fg = BASIC[c - 30]
            elif c == 39:
                fg = None
            elif c == 49:
                bg = None


def peers(path):
    """Some peers for emz watch, and a file that names them."""
    with open(path, "w", encoding="ascii") as f:
        f.write("John 127.0.0.1 1\n")
        for name, *value in ("station", "2", "wind", "NW", "5.2"), ("greenhouse", "1", "temperature", "21.5"):
            pub = subprocess.Popen(["build/emz", "pub", "--port", "0", "--every", *value], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
            address = pub.stdout.readline().strip()
            f.write(f"{name} {address[:40]} {address[41:].replace(':', ' ')}\n")
            yield pub


def screen(columns, rows, seconds, command):
    """What a program shows in a terminal of its own after some seconds, line by line."""
    tmux = ["tmux", "-L", f"picture-{time.time_ns()}", "-f", "/dev/null"]
    subprocess.run(tmux + ["-u", "new-session", "-d", "-x", str(columns), "-y", str(rows), command], check=True)
    time.sleep(seconds)
    shown = subprocess.run(tmux + ["capture-pane", "-e", "-p"], check=True, capture_output=True).stdout
    subprocess.run(tmux + ["kill-server"], check=True)
    return shown.decode().rstrip().split("\n")


def draw(lines):
    """SVG shapes: a path for all cells of a line that have one colour, a text for each run of letters."""
    for y, line in enumerate(lines):
        rects, runs = {}, []
        for x, (char, fg, bg, bold) in enumerate(cells(line)):
            if bg:
                rects.setdefault((bg, 0, H), []).append(x)
            if char in BLOCKS:
                rects.setdefault((fg or "#cccccc", *BLOCKS[char]), []).append(x)
            elif char != " ":
                style = (fg or "#cccccc", bold)
                if not runs or runs[-1][0] != style or runs[-1][1] + len(runs[-1][2]) != x:
                    runs.append([style, x, ""])
                runs[-1][2] += char
        for (fill, top, height), xs in rects.items():
            path = "".join(f"M{x * W} {y * H + top}h{W}v{height}h-{W}z" for x in xs)
            yield f'<path fill="{fill}" d="{path}"/>'
        for (fill, bold), x, word in runs:
            weight = ' font-weight="bold"' if bold else ""
            yield (f'<text fill="{fill}"{weight} x="{x * W}" y="{y * H + 11}" textLength="{len(word) * W}">'
                   f'{html.escape(word)}</text>')


def main():
    lines = ["\x1b[1m$ make demo", *screen(COLUMNS, 33, 9, "build/demo")]  # 9: after the first import
    with tempfile.NamedTemporaryFile() as file:
        beside = list(peers(file.name))
        watch = screen(COLUMNS, 10, 9, f"build/emz watch --peers {file.name}")
        for pub in beside:
            pub.terminate()
            pub.wait()
    lines += ["", "\x1b[1m$ build/emz watch --peers FILE", *watch]
    width, height = COLUMNS * W, len(lines) * H
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                f'font-family="monospace" font-size="11">\n<rect width="100%" height="100%" fill="#101014"/>\n'
                + "\n".join(draw(lines)) + "\n</svg>\n")


main()
