#!/usr/bin/env python3
"""The demo in a terminal, as a person has it: boards are drawn, each key does its work, the window may
be resized, and whichever way it ends, the terminal is as it was. TAP."""
import os
import signal
import sys

sys.path.insert(0, "tests")
from terminal import Terminal, finish, ok  # noqa: E402

t = Terminal(["build/demo"])
ok(t.until("\x1b\\[\\?1049h"), "it takes the alternate screen")
for name in "Alien", "John", "Mary":
    ok(t.until(name), f"{name} is shown", t.seen)
ok(t.until("[▀▄█]"), "cells are drawn", t.seen)
ok(t.until("SLE"), "since the last emit", t.seen)
ok(t.until(r"imported \d+ x \d+ cells from"), "a zone is imported without a key", t.seen)
t.key("p")
ok(t.until("(?i)paused"), "P pauses", t.seen)
t.key("q")
ok(t.end() == 0, "Q quits")
ok(t.restored(), "the terminal is as it was", t.seen)

t = Terminal(["build/demo"], 15, 40)
ok(t.until("Alien"), "a small window", t.seen)
for rows, columns in (3, 5), (1, 1), (60, 300), (24, 80):
    t.size(rows, columns)
    ok(t.until("\x1b\\["), f"resized to {columns} x {rows}: it goes on", t.seen)
t.key("crvvaeEp t \x1b[A\x1b[B\x1b[C\x1b[D 123456789p")
ok(t.until("\x1b\\["), "every key", t.seen)
t.key("\x03")
ok(t.end() in (130, -signal.SIGINT), "Ctrl-C ends it")
ok(t.restored(), "the terminal is as it was", t.seen)

for key, number in ("\x1c", signal.SIGQUIT), ("", signal.SIGTERM):
    t = Terminal(["build/demo"])
    t.until("SLE")
    t.key(key)
    if not key:
        os.kill(t.pid, number)
    ok(t.end() in (128 + number, -number), f"{number.name} ends it")
    ok(t.restored(), "the terminal is as it was", t.seen)
finish()
