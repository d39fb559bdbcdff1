#!/usr/bin/env python3
"""Tanks: eight bots without a terminal; steered in one; six kinds of cheats by foreign peers, which nobody
falls for; a player who is killed and comes back. TAP."""
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, "tests")
from terminal import Terminal, finish, ok  # noqa: E402

PYTHON = os.environ.get("PYTHON", sys.executable)
GREY, DARK, BLACK, HUES = 245, 237, 16, (46, 51, 226, 213, 208, 75, 203, 231)
folder = tempfile.TemporaryDirectory()


def listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def row_of_ports():
    """The first of eight neighbouring ports that are free, where the system chooses none by itself."""
    while True:
        first = random.randrange(10000, 30000)
        try:
            for port in range(first, first + 8):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return first
        except OSError:
            pass


def friends(*names):
    """A peers file with system-chosen ports, and a key file for each: the first one's as genkeypair prints
    it, the others' as emz keys writes it."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    players = {}
    with open(f"{folder.name}/peers", "w") as peers:
        for name, s in zip(names, sockets):
            pair = subprocess.run(["build/genkeypair"], capture_output=True, text=True, check=True).stdout
            with open(f"{folder.name}/{name}", "w") as file:
                file.write(pair if not players else pair.split("secret key: ")[1])
            public, secret = (line.split(": ", 1)[1] for line in pair.splitlines())
            players[name] = (public, secret, s.getsockname()[1])
            peers.write(f"{name} {public} 127.0.0.1 {players[name][2]}\n")
            s.close()
    return players


def tanks(name, *more):
    return ["build/tanks", "--peers", f"{folder.name}/peers", "--key", f"{folder.name}/{name}", *more]


def start(name, seconds):
    return subprocess.Popen(tanks(name, "--seconds", str(seconds)), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True)


def stands(digit, name, hue):
    """Wait for this player's score in this colour."""
    return t.shows(rf"{digit} {name} \+\d+ -\d+", (hue, 0))


# One command: eight bots. A busy machine needs longer.
LINE = r"^P\d: \d+ hits, \d+ deaths;( P\d moved [1-9]\d*, lied 0 ;){7}$"
for seconds in 3, 6, 6, 12, 12:
    run = subprocess.run(["build/tanks", "--seconds", str(seconds), "--port", str(row_of_ports())],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)
    if run.returncode == 0 and len(re.findall(LINE, run.stdout, re.M)) == 8:
        break
ok(run.returncode == 0, "eight bots: each saw all others move", run.stdout + run.stderr)
ok(len(re.findall(LINE, run.stdout, re.M)) == 8, "a line each, and nobody is called a liar", run.stdout)
ok("\x1b" not in run.stdout, "no escape sequences")
for bad in ["--nonsense"], ["3"], ["--player", "9"], ["--seconds"], ["--peers", "/nonexistent"]:
    run = subprocess.run(["build/tanks", *bad], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    ok(run.returncode == 2 and run.stdout + run.stderr, f"tanks {' '.join(bad)}: says what is wrong")

# One command in a terminal: three bots play, and go when the game is left.
port = row_of_ports()
t = Terminal(["build/tanks", "--port", str(port)], 24, 80)
for n in 6, 7, 8:
    ok(stands(n, f"P{n}", HUES[n - 1]), f"bot P{n} plays", t.screen())
for rows, columns in (3, 5), (1, 1), (60, 300), (24, 80):
    t.size(rows, columns)
    ok(t.drawn(), f"resized to {columns} x {rows}: drawn again", t.screen())
t.key("q")
ok(t.end() == 0, "Q quits")
ok(t.restored(), "the terminal is as it was", t.seen)
deadline = time.monotonic() + 30
while any(listening(port + n) for n in range(8)) and time.monotonic() < deadline:
    time.sleep(0.05)
ok(time.monotonic() < deadline, "the bots have gone, too")

# With friends, by keys; one of them is killed and comes back.
friends("Ada", "Bob", "Cyd")
for bad in "127.0.0.1", "127.0.0.1:", "127.0.0.1:9050x", ":9050":
    run = subprocess.run(tanks("Ada") + ["--torproxy", bad], capture_output=True, text=True, timeout=30)
    ok(run.returncode and "HOST:PORT" in run.stderr, f"--torproxy {bad!r} is refused", run.stderr)
bob, cyd = start("Bob", 100), start("Cyd", 100)
t = Terminal(tanks("Ada"), 24, 80)
for i, name in (2, "Bob"), (3, "Cyd"):
    ok(stands(i, name, HUES[i - 1]), f"{name} plays", t.screen())
for key, shape in ("\x1b[C", " 1>"), ("s", "v1v"), ("\x1b[D", "<1 "), ("w", r"\^1\^"):
    t.key(key)
    ok(t.shows(shape, (BLACK, HUES[0])), f"{key!r} steers", t.screen())
for i in range(100):  # but not while it is dead, or loads; and into a wall is not seen
    t.key("wd"[i % 2] + " ")
    if t.shows("o", (HUES[0], 0), 0.3):
        break
ok(t.on_screen("o", (HUES[0], 0)), "the space bar shoots", t.screen())
cyd.kill()
cyd.wait()
t.key("d")
ok(stands(3, "Cyd", GREY), "killed: grey", t.screen())
ok(stands(3, "Cyd", DARK), "and off the field", t.screen())
ok(stands(2, "Bob", HUES[1]), "Bob goes on", t.screen())
cyd = start("Cyd", 100)
t.key("s")
ok(stands(3, "Cyd", HUES[2]), "back again", t.screen())
t.key("\x03")
ok(t.end() == 130, "Ctrl-C ends it")
ok(t.restored(), "the terminal is as it was", t.seen)
for p in bob, cyd:
    p.terminate()
report = bob.communicate()[0] + cyd.communicate()[0]
ok(re.search(r"^Bob: .* Cyd moved [1-9]\d*, lied 0 ; Ada moved [1-9]\d*, lied 0 ;", report, re.M),
   "Bob saw both, and took none of it for a lie", report)

# Cheats, each with a trick of its own; what they say is between honest states, so that they stay in the game.
def state(x=320, y=320, shot=0, deaths=0, by_shot=0, by="", dead=0, version=1, dir=1):
    return struct.pack("<4B2H3I41s", version, dir, 1, dead, x, y, shot, deaths, by_shot, by.encode())


players = friends("Ada", "Bob", "Trash", "Wall", "Jump", "Gun", "Victim", "Back")
ada_key = players["Ada"][0]
honest = state()
tricks = {  # what the i-th message is, what it is called
    "Trash": (lambda i: [b"", b"\1" * 57, b"\xff" * 500, state(version=0), state(dir=4), b"\0" * 61][i % 6], "not a tank"),
    "Wall": (lambda i: [honest, state(x=65535), state(y=640), state(x=152, y=80)][i % 4], "in a wall"),
    "Jump": (lambda i: [honest, state(x=1100)][i % 2], "too fast"),
    "Gun": (lambda i: state(shot=i), "shoots too often"),
    "Victim": (lambda i: state(deaths=i, by_shot=1000 + i, by=ada_key), "dies too often"),
    "Back": (lambda i: state(shot=5 - i % 2, deaths=5), "counts backwards")}
cheats = {name: subprocess.Popen([PYTHON, "tests/foreign.py", "pub", "--quiet", f"--secret={players[name][1]}",
                                  "--port", str(players[name][2])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
          for name in tricks}
if not all(cheat.stdout.readline().startswith("READY") for cheat in cheats.values()):
    ok(False, "PyZMQ (Debian: python3-zmq) is missing") if os.environ.get("EMZ_TEST_NO_SKIP") else \
        ok(True, "cheats # SKIP PyZMQ is missing")
    finish()
i = 0
for seconds in 4, 8, 8, 16, 16:  # a busy machine needs longer
    ada, bob = start("Ada", seconds), start("Bob", seconds)
    while ada.poll() is None or bob.poll() is None:
        i += 1
        for name, (say, _) in tricks.items():
            cheats[name].stdin.write(f"emit {b'tank'.hex()} now {say(i).hex() or '-'}\n")
            cheats[name].stdin.flush()
        time.sleep(0.05)  # as often as an honest player
    reports = {"Ada": ada.communicate()[0], "Bob": bob.communicate()[0]}
    verdicts = []
    for name, other in ("Ada", "Bob"), ("Bob", "Ada"):
        text = reports[name]
        verdicts.append((re.search(rf" {other} moved [1-9]\d*, lied 0 ;", text), f"{name} saw {other} play on", text))
        for cheat, (_, lie) in tricks.items():
            verdicts.append((re.search(rf" {cheat} moved 0, lied [1-9]\d* {lie};", text),
                             f"{cheat} is found out by {name}: {lie}", text))
    if all(good for good, *_ in verdicts):
        break
for verdict in verdicts:
    ok(*verdict)
for cheat in cheats.values():
    cheat.communicate()
hits, deaths = ({n: int(re.search(rf"{n}: (\d+) hits, (\d+) deaths", reports[n])[k]) for n in reports} for k in (1, 2))
ok(hits["Ada"] <= deaths["Bob"], "Victim's claims gave Ada no hit", repr(reports))
finish()
