#!/usr/bin/env python3
"""emz, the command line tool, as scripts and people have it: the real binary, end to end. TAP."""
import atexit
import base64
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, "tests")
from terminal import Terminal, finish, ok  # noqa: E402

EMZ = os.path.abspath("build/emz")
FOREIGN = [os.environ.get("PYTHON", "python3"), os.path.abspath("tests/foreign.py")]
COMMANDS = "keys", "pub", "sub", "watch", "check"
BOB = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
os.chdir(tempfile.mkdtemp())


def emz(*args, **more):
    return subprocess.run([EMZ, *args], capture_output=True, timeout=100, **more)


def wrong(name, words, *args, **more):
    """Status 1, nothing on stdout, and on stderr one line with these words."""
    p = emz(*args, **more)
    said = p.stderr.decode()
    ok(p.returncode == 1 and not p.stdout and said.count("\n") == 1 and re.search(words, said), name,
       f"{p.returncode} {said}")


class Pub:
    """emz pub; address is what it prints first, for --from."""

    def __init__(self, *args, **more):
        self.process = subprocess.Popen([EMZ, "pub", "--port", "0", *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, **more)
        atexit.register(self.process.kill)  # should a test fail
        self.address = self.process.stdout.readline().decode().strip()

    def once(self, *args):
        p = emz("sub", "--from", self.address, "--once", "--timeout", "60", *args)
        if p.returncode:
            print("#", p.stderr.decode())
        return p.stdout

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process.stdout.close()
        return code


def write(name, data):
    with open(name, "wb") as f:
        f.write(data)
    return name


def unescape(text):
    return re.sub(rb"\\(x..|.)", lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" else
                  {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"\\": b"\\"}[m[1]], text)


def from_json(part):
    return bytes.fromhex(part["hex"]) if isinstance(part, dict) else part.encode()


def test_words():
    for words in (["help"], ["--help"], *(["help", c] for c in COMMANDS), *([c, "--help"] for c in COMMANDS)):
        p = emz(*words)
        lines = p.stdout.decode().splitlines()
        ok(p.returncode == 0 and 5 < len(lines) <= 24 and max(map(len, lines)) <= 80 and not p.stderr,
           f"emz {' '.join(words)} fits a screen", f"{len(lines)} lines")
    ok(b"ps" in emz("help", "keys").stdout, "the help says why no secret key is an argument")
    ok(emz().returncode == 1, "without arguments: the help, and status 1")
    for words, args in {
        "no command sup": ["sup"], "no option --nonsense": ["sub", "--nonsense"],
        "no option --every": ["sub", "--every", "1"], "--timeout needs a value": ["sub", "--timeout"],
        "--timeout takes seconds": ["sub", "--timeout", "soon"], "not nan": ["sub", "--timeout", "nan"],
        "not -1": ["sub", "--count", "-1"], "--count takes a number": ["sub", "--count", "1x"],
        "not 65536": ["pub", "--port", "65536", "t"], "--once takes no value": ["sub", "--once=1"],
        "what is to be published": ["pub"], "title comes first": ["pub", "-", "t"],
        "without --every": ["pub", "--lines", "--every", "1"], "whom to read": ["sub", "t"],
        "neither a name": ["sub", "--from", "Bob"], "public key has a mistake": ["sub", "--from", BOB[:-1] + "~@h:1"],
        "number from 1": ["sub", "--from", BOB + "@localhost:0"], "named already": ["sub", "--from", BOB + "@h:1", "--from", BOB + "@h:2"],
        "text, hex, json or raw": ["sub", "--from", BOB + "@h:1", "--format", "xml"],
        "--tor takes HOST:PORT": ["sub", "--from", BOB + "@h:1", "--tor", "9050"],
        "no IP address": ["sub", "--from", BOB + "@h:1", "--tor", "tor.example:9050"],
        "No such file": ["sub", "--from", BOB + "@h:1", "--key", "nowhere"],
        "cannot read nowhere": ["pub", "--port", "0", "t", "--file", "nowhere"],
        "--allow me: no public key": ["pub", "--allow", "me", "t"], "--allow : it is empty": ["pub", "--allow", "", "t"],
        "--from : it is empty": ["sub", "--from", "", "t"], "say what to check": ["check"],
        "this machine has no address 192.0.2.1": ["pub", "--port", "0", "--bind", "192.0.2.1", "t"],
    }.items():
        wrong(f"emz {' '.join(args)[:60]}", words, *args)


def test_keys():
    os.umask(0)
    p = emz("keys", "my.key")
    public = p.stdout.decode().strip()
    with open("my.key", encoding="ascii") as f:
        secret = f.read().strip()
    ok(p.returncode == 0 and len(public) == 40 == len(secret) and secret != public, "emz keys FILE")
    ok(os.stat("my.key").st_mode & 0o777 == 0o600, "its mode is 0600, whatever the umask")
    os.umask(0o022)
    wrong("it is never overwritten", "stays as it is", "keys", "my.key")
    os.symlink("my.key", "link")
    os.symlink("new.key", "dangling")
    wrong("nor through a symbolic link", "stays as it is", "keys", "link")
    wrong("nor is one followed to a new file", "stays as it is", "keys", "dangling")
    with open("my.key", encoding="ascii") as f:
        ok(f.read().strip() == secret and not os.path.exists("new.key"), "both times nothing was written")
    ok(emz("keys", "--public", "my.key").stdout.decode().strip() == public, "emz keys --public FILE")
    pair = dict(line.split(": ") for line in emz("keys").stdout.decode().splitlines())
    write("pair", pair["secret key"].encode())
    ok(emz("keys", "--public", "pair").stdout.decode().strip() == pair["public key"], "emz keys: a pair")
    for name, data in ("empty", b""), ("short", b"abc\n"), ("long", secret.encode() + b"x\n"), ("zero", bytes(99)):
        wrong(f"a {name} key file", "no secret key", "keys", "--public", write("bad", data))
    p = emz("pub", "--key", secret, "t")
    ok(p.returncode == 1 and b"all users" in p.stderr and secret.encode() not in p.stderr,
       "a secret key as an argument is refused, and not repeated")
    os.chmod("pair", 0o644)
    ok(b"chmod 600" in emz("pub", "--key", "pair", "--port", "0", "--for", "0.01", "t").stderr, "one that others can read: a warning")
    return public


def test_round_trips(public):
    pub = Pub("--key", "my.key", "--about", "what it is", "temp", "21.5", "-5", "", "--", "--x")
    ok(pub.address.startswith(public + "@127.0.0.1:"), "pub prints what --from takes", pub.address)
    ok(pub.once("temp") == b"21.5\t-5\t\t--x\n", "parts as text, with an empty one")
    ok(pub.once("--format=hex", "temp") == b"32312e35 2d35 - 2d2d78\n", "as hex")
    value = json.loads(pub.once("--format", "json", "temp"))
    ok(value["parts"] == ["21.5", "-5", "", "--x"] and value["key"] == public and value["title"] == "temp", "as JSON")
    ok(abs(value["t_out"] / 1e6 - time.time()) < 1000 and 0 <= value["age"] < 1000, "with its time and age")
    ok(pub.once() == b"temp\twhat it is\n", "without a title: the catalogue")
    ok(re.fullmatch(rb"\d{4}-\d\d-\d\dT[\d:.]+Z\t\d+\.\d+\t.{8}\ttemp\t21.5\t-5\t\t--x\n", pub.once("--long", "temp")), "--long")
    lines = pub.once("temp", "").splitlines()
    ok(sorted(line.split(b"\t")[1] for line in lines) == [b"", b"temp"], "of two titles: each with its name")
    ok(secret_is_hidden(pub.process.pid), "the secret key is not among the process's arguments")
    ok(pub.end() == 128 + signal.SIGTERM, "SIGTERM ends it: 143")

    rng = random.Random(1)
    parts = [bytes(range(256)), b"a\nb\tc\r\\n\x00\x1b[31m\x7f", "zoë €😀 \u0085\u202e\u2028 \ufeff".encode(),
             b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\\x41", b'"', b"\x9b31m"]
    parts += [bytes(rng.choice((rng.randrange(256), 0xC3, 0xA9, 0x5C)) for _ in range(rng.randrange(12))) for _ in range(990)]
    for i, part in enumerate(parts):
        write(f"part{i}", part)
    pub = Pub("any", *(f"--file=part{i}" for i in range(len(parts))))
    text, coded, said = pub.once("any"), pub.once("--format", "hex", "any"), pub.once("--format", "json", "any")
    ok([unescape(p) for p in text[:-1].split(b"\t")] == parts, "1000 parts of any bytes: text loses nothing")
    ok([bytes.fromhex(p.strip("-")) for p in coded.decode().split(" ")] == parts, "nor hex")
    ok([from_json(p) for p in json.loads(said)["parts"]] == parts, "nor JSON")
    for form, out in ("text", text), ("JSON", said):
        ok(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", out.decode()[:-1]),
           f"{form} is UTF-8 without a control character or a turn of direction")
    pub.end()

    big = write("big", rng.randbytes(1000000))
    with open(big, "rb") as f:
        pub = Pub("big", "-", "x", stdin=f)
    with open(big, "rb") as f:
        ok(pub.once("--format", "raw", "big") == f.read() + b"x", "1 MB of standard input, and raw out")
    ok(len(pub.once("--format", "hex", "big")) == 2000004, "as hex")
    with open("/dev/full", "w", encoding="ascii") as full:
        p = subprocess.run([EMZ, "sub", "--from", pub.address, "--once", "big"], stdout=full, stderr=subprocess.PIPE,
                           timeout=100, check=False)
    ok(p.returncode == 1 and b"cannot write: No space" in p.stderr, "a full disk is told")
    with open("/dev/full", "w", encoding="ascii") as full:
        p = subprocess.run([EMZ, "pub", "--port", "0", "t"], stdout=full, stderr=subprocess.PIPE, timeout=100, check=False)
    ok(p.returncode == 1 and b"cannot write: No space" in p.stderr, "pub tells it as well")
    pub.end()


def secret_is_hidden(pid):
    with open("my.key", "rb") as key, open(f"/proc/{pid}/cmdline", "rb") as line:
        arguments = line.read()
        return b"my.key" in arguments and key.read().strip() not in arguments


def test_streams():
    r, w = os.pipe()
    pub = Pub("--lines", "n", stdin=r)
    os.close(r)
    os.write(w, b"one\n")
    sub = subprocess.Popen([EMZ, "sub", "--from", pub.address, "--timeout", "60", "n"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ok(sub.stdout.readline() == b"one\n", "--lines: a line is a value")
    os.write(w, b"tw")
    os.write(w, b"o\n")
    ok(sub.stdout.readline() == b"two\n", "one that comes in pieces; each is flushed")
    os.write(w, b"".join(b"%d\n" % i for i in range(3000)) + b"last")
    os.close(w)
    while (line := sub.stdout.readline()) not in (b"last\n", b""):
        pass
    ok(line, "the last one of many, without an end of line, arrives")
    ok(pub.once("n") == b"last\n", "and is there for who comes after the end of the input")
    sub.stdout.close()
    ok(sub.wait(30) == 0 and not sub.stderr.read(), "a closed pipe ends sub quietly, even if nothing more comes")
    sub.stderr.close()
    pub.end()

    pub = Pub("--lines", stdin=subprocess.PIPE)
    pub.process.stdin.write(b"temp\t21\t22\nbad\0title\tx\nhum\t50\nnone\nlast\tx\n")
    pub.process.stdin.close()
    ok(pub.once("last") == b"x\n" and pub.once("temp") == b"21\t22\n", "--lines without a title: title and parts in each line")
    titles = json.loads(pub.once("--format", "json"))["parts"][::2]
    ok(titles == ["temp", "hum", "none", "last"], "the catalogue names them all")
    ok(json.loads(pub.once("--format", "json", "none"))["parts"] == [], "a value without parts")
    pub.end()

    write("sensor", b"1\n\n")
    pub = Pub("--wait", "1", "s", "--file", "sensor", "--text", "sensor")
    ok(pub.once("s") == b"1\\n\\n\t1\\n\n", "--file: all bytes; --text: without the last end of line")
    pub.end()
    write("sensor", b"1\n")
    pub = Pub("--every", "0.05", "s", "--text", "sensor")
    first = pub.once("s")
    write("new", b"2\n")
    os.rename("new", "sensor")
    p = emz("sub", "--from", pub.address, "--timeout", "60", "--count", "30", "s")
    ok(first == b"1\n" and p.stdout.count(b"\n") == 30 and p.stdout.endswith(b"2\n"), "--every reads the file anew; --count")
    script = f"""{EMZ} sub --from '{pub.address}' s | head -2 | while read -r v; do echo "[$v]"; done
        v=$({EMZ} sub --from '{pub.address}' --once --timeout 60 s) && echo "got $v" """
    p = subprocess.run(["sh", "-c", script], capture_output=True, timeout=100, check=False)
    ok(p.stdout == b"[2]\n[2]\ngot 2\n" and not p.stderr, "in a pipeline, a loop and a substitution", repr(p))
    pub.end(signal.SIGINT)

    pub = Pub("--wait", "2", "t", "v")
    ok(pub.once("t") == pub.once("t") == b"v\n" and pub.process.wait(60) == 0, "--wait 2: ends after two have come")
    pub.process.stdout.close()
    p = emz("pub", "--port", "0", "--wait", "1", "--for", "0.1", "t")
    ok(p.returncode == 2 and b"0 of 1 subscribers" in p.stderr, "nobody came in time: 2")


def reason(name, words, *args):
    """Status 2, and the reason, once it is known."""
    for seconds in "1", "5", "25":
        p = emz("sub", "--once", "--timeout", seconds, *args, "t")
        if re.search(words, p.stderr.decode()):
            break
    ok(p.returncode == 2 and not p.stdout and re.search(words, p.stderr.decode()), f"status 2: {name}", p.stderr.decode())


def test_reasons(public):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        wrong("a taken port", "port %d: Address already in use .by a program" % port, "pub", "--port", str(port), "t")
    reason("nobody there", "Cannot be reached", "--from", f"{public}@127.0.0.1:{port}")
    pub = Pub("--key", "my.key", "other", "v")
    host = pub.address[40:]
    reason("no such title", "published nothing under that title", "--from", pub.address)
    reason("another key", "not the peer with this public key", "--from", BOB + host)
    pub.end()
    friend = emz("keys", "friend.key").stdout.decode().strip()
    write("friends", f"# who may\n\n{friend} a friend\n".encode())
    for option in ("--allow", friend), ("--allow-file", "friends"):
        pub = Pub(*option, "t", "v")
        reason("refused, with our key", "does not let us in.* Ours is .{40}", "--from", pub.address)
        ok(pub.once("--key", "friend.key", "t") == b"v\n", f"pub {option[0]}: a friend gets it")
        pub.end()
    pub = Pub("--allow-file", "/dev/null", "t", "v")
    reason("an empty whitelist lets nobody in", "does not let us in", "--from", pub.address)
    pub.end()
    reason("no Tor", "SOCKS port does not answer", "--from", f"{BOB}@{ONION}:60847", "--tor", "127.0.0.1:1")
    one, two = Pub("t", "1"), Pub("t", "2")
    rows = [f"{name} {p.address[:40]} 127.0.0.1 {p.address.rpartition(':')[2]}\n" for name, p in (("one", one), ("two", two))]
    write("peers", "".join(rows).encode())
    out = emz("sub", "--peers", "peers", "--once", "--timeout", "60", "t").stdout
    ok(sorted(out.splitlines()) == [b"one\tt\t1", b"two\tt\t2"], "all of a peers file", out.decode())
    ok(emz("sub", "--peers", "peers", "--from", "two", "--once", "--timeout", "60", "t").stdout == b"2\n", "one of it, by name")
    with open("peers", "a", encoding="ascii") as f:
        f.write(f"me {friend} 127.0.0.1 1\n")
    out = emz("sub", "--key", "friend.key", "--peers", "peers", "--once", "--timeout", "60", "t").stdout
    ok(sorted(out.splitlines()) == [b"one\tt\t1", b"two\tt\t2"], "a line of our own is skipped", out.decode())
    write("peers", "".join(rows).encode())
    write("me", f"me {friend} 127.0.0.1 1\n".encode())
    wrong("nobody else is in it", "me names nobody but ourselves", "sub", "--key", "friend.key", "--peers", "me")
    two.end()
    p = emz("sub", "--peers", "peers", "--once", "--timeout", "2", "t")
    ok(p.returncode == 2 and p.stdout == b"one\tt\t1\n" and b"two" in p.stderr and b"from one" not in p.stderr,
       "one of two is missing: 2, and only that one is named", p.stderr.decode())
    one.end()


def onion(key):
    check = hashlib.sha3_256(b".onion checksum" + key + b"\3").digest()[:2]
    return base64.b32encode(key + check + b"\3").decode().lower() + ".onion"


ONION = onion(bytes(range(32)))


def test_check():
    fine = f"A {BOB} 127.0.0.1 1 # here\n\n#\nJohn 127.0.0.1 60848\n\tB iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R {ONION} 5\r\n"
    write("fine", b"\xef\xbb\xbf" + fine.encode())
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        p = emz("check", "--peers", "fine", "--key", "my.key", "--allow-file", "friends", "--port", str(port), BOB, ONION)
        ok(p.returncode == 1 and f"port {port}: Address already in use".encode() in p.stderr, "check: a taken port")
        ok(p.stdout.count(b"ok: ") == 5 and b"fine: 3 peers" in p.stdout, "all else is fine", p.stdout.decode())
    p = emz("check", "--port", str(port), "--tor", f"127.0.0.1:{port}")
    ok(p.returncode == 1 and f"ok: 127.0.0.1, port {port}".encode() in p.stdout and b"Connection refused; start Tor" in p.stderr,
       "check: a free port, and no proxy there", p.stderr.decode())
    pub = Pub("t")
    p = emz("check", "--tor", pub.address[41:])
    ok(p.returncode == 1 and b"not with SOCKS5" in p.stderr, "check: no SOCKS proxy, but something else", p.stderr.decode())
    pub.end()
    mistakes = [f"Bob short 127.0.0.1 1", f"Bob {BOB} 127.0.0.1 0", f"Bob {BOB} 127.0.0.1 65536", f"Bob {BOB} 127.0.0.1 1 junk",
                f"{'x' * 16} {BOB} 127.0.0.1 1", f"Bob {BOB} {ONION[:55]}b 1", f"Bob {BOB} a/b 1", f"Bob {BOB}", "only",
                f"Alien 127.0.0.1", f"Bob {BOB[:-1]}~ 127.0.0.1 1", f"a {BOB} 127.0.0.1 1"[:-1] + "\0" + "1", "x" * 2000,
                f"Bob {BOB} {'h' * 256} 1", f"Alien 127.0.0.1 7", f"alien {BOB} 127.0.0.1 7", f"Zoe {'iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R'} h 7"]
    good = {15}  # the one that the two behind it stand twice with
    write("bad", "\n".join(mistakes).encode())
    p = emz("check", "--peers", "bad")
    lines = p.stderr.decode().splitlines()
    named = {int(line.split(":")[1]) for line in lines if line.startswith("bad:")}
    ok(p.returncode == 1 and named == set(range(1, len(mistakes) + 1)) - good and len(lines) == len(named),
       "check names every mistaken line of a peers file, once", p.stderr.decode())
    ok(all(len(line.split(": ", 1)[1]) > 20 for line in lines), "and says what to do")
    write("bad", f"{BOB}\n{BOB[:-1]}\nx {BOB}\n# x\n{BOB} Bob\n".encode() + b"\1\n")
    p = emz("check", "--allow-file", "bad")
    ok(re.findall(r"^bad:(\d+)", p.stderr.decode(), re.M) == ["2", "3", "6"], "and of a file of keys", p.stderr.decode())
    for word in BOB[:-1], BOB[:-1] + "~", ONION.replace("a", "b", 1), BOB + "@h", BOB + "@h:0", ONION[:-6][:55]:
        wrong(f"check {word[:50]}", "mistake|must be|neither", "check", "--", word)
    os.chmod("friend.key", 0o640)
    wrong("check: a key that others can read", "chmod 600", "check", "--key", "friend.key")
    for name in "/nonexistent", ".":
        wrong(f"check --peers {name}", "cannot be read", "check", "--peers", name)


def test_watch():
    pub = Pub("--lines", stdin=subprocess.PIPE)
    pub.process.stdin.write(b"temp\t21\t22\n\x1b]0;evil\x07\t1\n")
    pub.process.stdin.close()
    plain = subprocess.Popen([EMZ, "watch", "--from", pub.address], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    seen = b""
    while not (b"\tConnected.\n" in seen and b"\ttemp\t" in seen and b"\t\\x1B]0;evil\\x07\t" in seen):
        line = plain.stdout.readline()
        seen += line
        if not line:
            break
    ok(line and b"\x1b" not in seen, "watch without a terminal: a line a change, titles from the catalogue", repr(seen))
    plain.stdout.close()
    ok(plain.wait(30) == 0, "a closed pipe ends it")
    for name, finish_it in (("Q", lambda: t.key("q")), ("SIGTERM", lambda: os.kill(t.pid, signal.SIGTERM))):
        t = Terminal([EMZ, "watch", "--from", pub.address], 12, 90)
        ok(t.until("\x1b\\[\\?1049h") and t.until("temp"), "watch in a terminal", t.seen)
        ok(t.until("evil") and "\x1b]0" not in t.seen, "a title commands nothing")
        t.key("\x1bOQ")  # F2, which is not the key Q
        for rows, columns in (1, 1), (4, 30), (40, 160):
            t.size(rows, columns)
            ok(t.until("\x1b\\[\\d+;\\d+H"), f"resized to {columns} x {rows}: drawn again", t.seen)
        ok(t.until("Connected\\..*temp +[\\d.]+ s +4 B in 2 +-"), "a row: title, age, size, parts, rate", t.seen)
        t.seen = ""
        finish_it()
        ok(t.end() == (0 if name == "Q" else 143), f"{name} ends it")
        ok(t.restored(), "the terminal is as it was", t.seen)
    pub.end()
    t = Terminal([EMZ, "watch", "--from", BOB + "@127.0.0.1:1"], 12, 60)
    ok(t.until("Cannot.*online\\?.*Retrying\\."), "in a small window too, the whole sentence is there", t.seen)
    t.key("q")
    t.end()
    t = Terminal([EMZ, "sub", "--from", BOB + "@127.0.0.1:1", "--format", "raw", "t"])
    ok(t.until("obey") and t.end() == 1, "sub --format raw: not to a terminal", t.seen)


def test_foreign(public):
    """A peer in another language, both ways."""
    if subprocess.run([FOREIGN[0], "-c", "import zmq"], stderr=subprocess.DEVNULL, check=False).returncode:
        skip = not os.environ.get("EMZ_TEST_NO_SKIP")
        return ok(skip, "# SKIP PyZMQ is missing (Debian: python3-zmq)" if skip else "PyZMQ is missing")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([*FOREIGN, "pub", "--quiet"], **pipes) as other:
        _, key, port = other.stdout.readline().split()
        other.stdin.write("emit 7469746c65 -1 4142 - ff00\n")
        with subprocess.Popen([EMZ, "sub", "--from", f"{key}@127.0.0.1:{port}", "--format", "hex", "--count", "1", "title"],
                              stdout=subprocess.PIPE) as sub:
            os.set_blocking(sub.stdout.fileno(), False)
            end, got = time.monotonic() + 60, None
            while not got and time.monotonic() < end:
                other.stdin.write("emit 7469746c65 now 4142 - ff00\n")
                time.sleep(0.05)
                got = sub.stdout.read()
            ok(got == b"4142 - ff00\n", "emz sub reads a peer in another language")
        other.stdin.write("quit\n")
    pub = Pub("--key", "my.key", "title", "AB", "")
    with subprocess.Popen([*FOREIGN, "sub", "--quiet", "--server", public, "--port", pub.address.rpartition(":")[2]],
                          **pipes) as other:
        other.stdin.write("sub 7469746c65\n")
        line = ""
        while not line.startswith("MSG") and (line := other.stdout.readline()):
            pass
        ok(line.split()[2:3] + line.split()[4:] == ["7469746c6500", "4142", "-"], "one reads emz pub", line)
        other.stdin.write("quit\n")
    return pub.end()


try:
    test_words()
    PUBLIC = test_keys()
    test_round_trips(PUBLIC)
    test_streams()
    test_reasons(PUBLIC)
    test_check()
    test_watch()
    test_foreign(PUBLIC)
finally:
    shutil.rmtree(os.getcwd())
finish()
