#!/usr/bin/env python3
"""README's picture: run a program in a terminal of its own (tmux) for a while, and write what is on the
screen as SVG.

    tests/picture.py OUT.svg SECONDS COLUMNSxROWS PROGRAM [ARGUMENT]...
    tests/picture.py OUT.svg SECONDS COLUMNSxROWS watch     emz watch, with two peers and one that is not there
"""
import html
import re
import subprocess
import sys
import tempfile
import time

W, H = 7, 14  # of a character cell
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


def main():
    out, seconds, size, *program = sys.argv[1:]
    if program == ["watch"]:
        with tempfile.NamedTemporaryFile() as file:
            beside = list(peers(file.name))
            picture(out, seconds, size, ["build/emz", "watch", "--peers", file.name])
            for pub in beside:
                pub.terminate()
    else:
        picture(out, seconds, size, program)


def picture(out, seconds, size, program):
    columns, rows = size.split("x")
    tmux = ["tmux", "-L", f"picture-{time.time_ns()}", "-f", "/dev/null"]
    subprocess.run(tmux + ["-u", "new-session", "-d", "-x", columns, "-y", rows] + program, check=True)
    time.sleep(float(seconds))
    screen = subprocess.run(tmux + ["capture-pane", "-e", "-p"], check=True, capture_output=True).stdout
    subprocess.run(tmux + ["kill-server"], check=True)
    shapes = []
    for y, line in enumerate(screen.decode().splitlines()):
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
            shapes.append(f'<path fill="{fill}" d="{path}"/>')
        for (fill, bold), x, word in runs:
            weight = ' font-weight="bold"' if bold else ""
            shapes.append(f'<text fill="{fill}"{weight} x="{x * W}" y="{y * H + 11}" textLength="{len(word) * W}">'
                          f'{html.escape(word)}</text>')
    width, height = int(columns) * W, int(rows) * H
    with open(out, "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                f'font-family="monospace" font-size="11">\n<rect width="100%" height="100%" fill="#101014"/>\n'
                + "\n".join(shapes) + "\n</svg>\n")


main()
