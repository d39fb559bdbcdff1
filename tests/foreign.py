#!/usr/bin/env python3
"""A peer "of another language", on PyZMQ, written from Emyzelium's wire contract alone. For tests.

    foreign.py pub [options]              an efunguz that publishes
    foreign.py sub --server KEY --port N  an ehypha of one
    foreign.py realm NAME [options]       stands in for Alien, John or Mary of the demo
    foreign.py --selftest                 TAP

All on 127.0.0.1. Options of all roles: --secret KEY (none: a fresh pair; realm: its own), --seconds N (then ends),
--quiet (of the lines below no ZAP, SUB, UNSUB, EVENT; no OK for emit and raw), --ignore-stdin (else its end ends us).
stdin: a command a line, each answered by OK [...] or ERR <reason>. All roles: quit; repeat N COMMAND..., which is
answered once. Bytes are hex, - is none of them; HEX*N is HEX N times over. Keys may begin with -.

pub: --port N (0: chosen by the system), --whitelist KEY (again for each), --whitelist-only (an empty whitelist lets
nobody in), --xpub (a socket of type XPUB), --events, --hwm N (0: no limit)
    READY <publickey> <port>                first
    emit TITLE T_OUT|now [PART]...          OK <t_out>; now: strictly increasing
    raw FRAME...                            exactly these frames, whatever they are
    allow KEY, deny KEY                     OK <size of the whitelist>; whoever is connected stays so
    zap                                     OK <attempted> <permitted>
    ZAP accept|refuse <key>                 a subscriber asked; the key is - if it brought none
    SUB <bytes>, UNSUB <bytes>              with --xpub: as XPUB reports them
sub: --server KEY, --port N, --host HOST; --socks HOST:PORT (libzmq's own SOCKS client) and --onion NAME for the host
    READY <publickey>                       first
    sub TITLE, unsub TITLE                  subscribe as the contract says
    sub-raw BYTES, unsub-raw BYTES          exactly this prefix
    reconnect                               disconnect, connect: libzmq does not come back from a refusal by itself
    MSG <t_in> <frame>...                   a message, every frame as it came
    EVENT <NAME> [value]                    from the socket's monitor; value: of HANDSHAKE_FAILED_*
realm: --port N (its own), --peer NAME=HOST:PORT (127.0.0.1 and the realm's own), --socks HOST:PORT (for peers in
.onion), --every S (1: seconds between emits), --zone HxW (24x16), --seconds N (10)
    READY <publickey> <port>                first
    ZONE from <name> <h> <w> <alive>        a zone
    CATALOGUE from <name>                   the catalogue, as it must be
    BAD from <name> <reason>                anything else
    RECEIVED <name>=<zones> <name>=<zones>  last; exit status 1 when one of them is 0, or something was BAD
"""
import argparse
import os
import random
import struct
import sys
import time

try:
    import zmq
    from zmq.utils import z85
    from zmq.utils.monitor import parse_monitor_message
except ImportError:
    if sys.argv[1:] == ["--selftest"]:
        print("1..0 # SKIP PyZMQ is not installed for this Python")
        sys.exit(0)
    sys.exit("foreign.py: PyZMQ is not installed for this Python")

HOST = "127.0.0.1"
REALMS = {  # secret key, public key, port
    "Alien": ("gr6Y.04i(&Y27ju0g7m0HvhG0:rDmx<Y[FvH@*N(", "iGxlt)JYh!P9xPCY%BlY4Y]c^<=W)k^$T7GirF[R", 60847),
    "John": ("gbMF0ZKztI28i6}ax!&Yw/US<CCA9PLs.Osr3APc", "(>?aRHs!hJ2ykb?B}t6iGgo3-5xooFh@9F/4C:DW", 60848),
    "Mary": ("7C*zh5+-8jOI[+^sh[dbVnW{}L!A&7*=j/a*h5!Y", "WR)%3-d9dw)%3VQ@O37dVe<09FuNzI{vh}Vfi+]0", 60849),
}
CATALOGUE = [b"zone", "2B height (h), 2B width (w), h×wB zone by rows".encode()]
EVENTS = {getattr(zmq, name): name[6:] for name in dir(zmq) if name.startswith("EVENT_")}
DAY = 86400 * 10**6


def say(*words):
    try:
        print(*words, flush=True)
    except BrokenPipeError:  # whoever started us has gone
        os._exit(1)


def now():
    return time.time_ns() // 1000


def from_hex(word):
    digits, _, times = word.partition("*")
    return b"" if word == "-" else bytes.fromhex(digits) * int(times or 1)


def to_hex(data):
    return data.hex() or "-"


def key_pair(secret):
    public, secret = (zmq.curve_public(secret.encode()), secret.encode()) if secret else zmq.curve_keypair()
    return public, secret


def key_text(text):
    if len(text) != 40:
        raise ValueError("%s does not have 40 characters" % text)
    return text


class Loop:
    """One thread for everything: sockets, stdin, clocks."""

    def __init__(self, args):
        self.context = zmq.Context()
        self.quiet = args.quiet
        self.poller, self.handlers = zmq.Poller(), {}
        self.clocks = []  # [when, every, action]
        self.commands = {"quit": self.stop, "repeat": self.repeat}
        self.text = bytearray()
        self.running = True
        if args.seconds is not None:
            self.every(args.seconds, self.stop, args.seconds)
        if not args.ignore_stdin:
            self.watch(0, self.read_stdin)

    def watch(self, source, handler):
        self.poller.register(source, zmq.POLLIN)
        self.handlers[source] = handler

    def receive(self, socket, handler):
        def drain():
            for _ in range(1000):  # the others want their turn
                try:
                    handler(socket.recv_multipart(zmq.NOBLOCK))
                except zmq.Again:
                    return
        self.watch(socket, drain)

    def monitor(self, socket):
        def report(frames):
            event = parse_monitor_message(frames)
            name = EVENTS.get(event["event"], "%d" % event["event"])
            self.event("EVENT", name, *([int(event["value"])] if name.startswith("HANDSHAKE_FAILED") else []))
        self.receive(socket.get_monitor_socket(), report)

    def event(self, *words):
        if not self.quiet:
            say(*words)

    def every(self, seconds, action, first=0):
        self.clocks.append([time.monotonic() + first, seconds, action])

    def stop(self):
        self.running = False

    def run(self):
        while self.running:
            pause = min((clock[0] for clock in self.clocks), default=float("inf")) - time.monotonic()
            for source, _ in self.poller.poll(None if pause == float("inf") else max(0, pause * 1000)):
                self.handlers[source]()
            for clock in self.clocks:
                if clock[0] <= time.monotonic():
                    clock[0] += clock[1]
                    clock[2]()

    def read_stdin(self):
        data = os.read(0, 65536)
        if not data:
            return self.stop()
        searched = len(self.text)  # so that a line of many megabytes does not take the square of its time
        self.text += data
        while self.running and (end := self.text.find(b"\n", searched)) >= 0:
            line, searched = bytes(self.text[:end]), 0
            del self.text[:end + 1]
            words = line.decode("utf-8", "replace").split()
            if words:
                self.answer(words)

    def answer(self, words):
        try:
            result = self.command(*words)
        except (TypeError, ValueError, struct.error, zmq.ZMQError) as e:
            return say("ERR", *str(e).split())
        if not (self.quiet and words[0] in ("emit", "raw")):
            say("OK", *(result or ()))

    def command(self, name, *words):
        if name not in self.commands:
            raise ValueError("no command " + name)
        return self.commands[name](*words)

    def repeat(self, times, *words):
        result = None
        for _ in range(int(times)):
            result = self.command(*words)
        return result


class Publisher:
    def __init__(self, loop, secret, port, whitelist=(), whitelist_only=False, kind=zmq.PUB, hwm=0, events=False):
        self.loop = loop
        self.whitelist, self.whitelist_only = set(whitelist), whitelist_only
        self.attempted = self.permitted = 0
        self.t_out = 0
        self.publickey, secret = key_pair(secret)
        self.session_id = os.urandom(32)  # tells our ZAP requests from any other socket's of this context

        self.zap = loop.context.socket(zmq.REP)
        self.zap.linger = 0
        self.zap.bind("inproc://zeromq.zap.01")
        loop.receive(self.zap, self.judge)

        self.socket = loop.context.socket(kind)
        self.socket.linger = 500
        self.socket.sndhwm = hwm
        self.socket.setsockopt(zmq.ROUTING_ID, self.session_id)
        self.socket.setsockopt(zmq.ZAP_DOMAIN, b"emyz")
        self.socket.curve_server = True
        self.socket.curve_secretkey = secret
        if kind == zmq.XPUB:
            loop.receive(self.socket, self.subscription)
        if events:
            loop.monitor(self.socket)
        self.socket.bind("tcp://%s:%s" % (HOST, port or "*"))
        self.port = int(self.socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def judge(self, request):
        """RFC 27: version, request id, domain, address, identity, mechanism, credentials."""
        version, request_id, _, _, identity, mechanism, *credentials = request
        key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" else "-"
        accepted = (version == b"1.0" and mechanism == b"CURVE" and identity == self.session_id
                    and (key in self.whitelist or not (self.whitelist or self.whitelist_only)))
        self.attempted += 1
        self.permitted += accepted
        verdict = [b"200", b"OK", key.encode(), b""] if accepted else [b"400", b"FAILED", b"", b""]
        self.zap.send_multipart([b"1.0", request_id] + verdict)
        self.loop.event("ZAP", "accept" if accepted else "refuse", key)

    def subscription(self, frames):
        if frames[0][:1] in (b"\0", b"\1"):
            self.loop.event("SUB" if frames[0][0] else "UNSUB", to_hex(frames[0][1:]))

    def emit(self, title, parts, t_out=None):
        if t_out is None:
            t_out = self.t_out = max(now(), self.t_out + 1)
        self.socket.send_multipart([title + b"\0", struct.pack("<q", t_out)] + parts)
        return t_out

    # Commands

    def do_emit(self, title, t_out, *parts):
        return [self.emit(from_hex(title), [from_hex(part) for part in parts], None if t_out == "now" else int(t_out))]

    def do_raw(self, frame, *frames):
        self.socket.send_multipart([from_hex(f) for f in (frame,) + frames])

    def do_allow(self, key):
        self.whitelist.add(key_text(key))
        return [len(self.whitelist)]

    def do_deny(self, key):
        self.whitelist.discard(key)
        return [len(self.whitelist)]

    def do_zap(self):
        return [self.attempted, self.permitted]


class Subscriber:
    def __init__(self, loop, secret, serverkey, host, port, handler, socks=None):
        self.publickey, secret = key_pair(secret)
        self.socket = loop.context.socket(zmq.SUB)
        self.socket.linger = 0
        self.socket.rcvhwm = 0
        self.socket.curve_serverkey = serverkey.encode()
        self.socket.curve_publickey, self.socket.curve_secretkey = self.publickey, secret
        if socks:
            self.socket.setsockopt_string(zmq.SOCKS_PROXY, socks)
        self.endpoint = "tcp://%s:%d" % (host, port)
        loop.receive(self.socket, handler)

    def connect(self):
        self.socket.connect(self.endpoint)

    def reconnect(self):
        self.socket.disconnect(self.endpoint)
        self.connect()

    def subscribe(self, prefix):
        self.socket.setsockopt(zmq.SUBSCRIBE, prefix)

    def unsubscribe(self, prefix):
        self.socket.setsockopt(zmq.UNSUBSCRIBE, prefix)


def pub(args):
    loop = Loop(args)
    publisher = Publisher(loop, args.secret, args.port, args.whitelist, args.whitelist_only,
                          zmq.XPUB if args.xpub else zmq.PUB, args.hwm, args.events)
    for name in ("emit", "raw", "allow", "deny", "zap"):
        loop.commands[name] = getattr(publisher, "do_" + name)
    say("READY", publisher.publickey.decode(), publisher.port)
    loop.run()
    loop.context.destroy()


def sub(args):
    loop = Loop(args)
    subscriber = Subscriber(loop, args.secret, args.server, args.onion or args.host, args.port,
                            lambda frames: say("MSG", now(), *map(to_hex, frames)), args.socks)
    loop.commands.update({
        "sub": lambda title: subscriber.subscribe(from_hex(title) + b"\0"),
        "unsub": lambda title: subscriber.unsubscribe(from_hex(title) + b"\0"),
        "sub-raw": lambda prefix: subscriber.subscribe(from_hex(prefix)),
        "unsub-raw": lambda prefix: subscriber.unsubscribe(from_hex(prefix)),
        "reconnect": subscriber.reconnect})
    loop.monitor(subscriber.socket)
    say("READY", subscriber.publickey.decode())
    subscriber.connect()
    loop.run()
    if args.socks:
        os._exit(0)  # libzmq aborts when a socket is closed while its SOCKS connection is being retried
    loop.context.destroy()


class Other:
    """One of the other realms, and what it sends."""

    def __init__(self, loop, name, secret, host, port, socks):
        self.name, self.zones, self.bad = name, 0, 0
        self.newest = {}  # t_out of each title
        self.subscriber = Subscriber(loop, secret, REALMS[name][1], host, port, self.take,
                                     socks if host.endswith(".onion") else None)
        self.subscriber.subscribe(b"zone\0")
        self.subscriber.subscribe(b"\0")
        self.subscriber.connect()

    def take(self, frames):
        try:
            self.check(frames)
        except ValueError as e:
            self.bad += 1
            say("BAD from", self.name, e)

    def check(self, frames):
        if len(frames) < 2:
            raise ValueError("%d frame" % len(frames))
        title, parts = frames[0], frames[2:]
        if title not in (b"zone\0", b"\0"):
            raise ValueError("first frame %r" % title)
        if len(frames[1]) != 8:
            raise ValueError("second frame of %d bytes" % len(frames[1]))
        t_out, = struct.unpack("<q", frames[1])
        if abs(t_out - now()) > DAY:
            raise ValueError("t_out %d is not the microseconds since 1970" % t_out)
        if t_out == self.newest.get(title):  # the retained value once more
            return
        if t_out < self.newest.get(title, 0):
            raise ValueError("t_out goes back")
        self.newest[title] = t_out
        if title == b"zone\0":
            self.check_zone(parts)
        elif parts == CATALOGUE:
            say("CATALOGUE from", self.name)
        else:
            raise ValueError("catalogue %r" % parts)

    def check_zone(self, parts):
        if [len(part) for part in parts[:2]] != [2, 2] or len(parts) != 3:
            raise ValueError("zone with parts of %s bytes" % [len(part) for part in parts])
        h, w = (int.from_bytes(part, "little") for part in parts[:2])
        cells = parts[2]
        if len(cells) != h * w:
            raise ValueError("zone of %d bytes for %d x %d" % (len(cells), h, w))
        alive = cells.count(1)
        if alive + cells.count(0) != len(cells):
            raise ValueError("zone with cells other than 0 and 1")
        self.zones += 1
        say("ZONE from", self.name, h, w, alive)


def realm(args):
    loop = Loop(args)
    secret, _, port = REALMS[args.name]
    secret = args.secret or secret
    publisher = Publisher(loop, secret, port if args.port is None else args.port)
    loop.quiet = True  # its ZAP is nobody's business
    peers = {name: (HOST, REALMS[name][2]) for name in REALMS if name != args.name}
    peers.update(args.peer)
    say("READY", publisher.publickey.decode(), publisher.port)
    others = [Other(loop, name, secret, *peers[name], args.socks) for name in peers]
    h, w = args.zone

    def emit():
        zone = bytes(random.choices((0, 1), (2, 1), k=h * w))
        publisher.emit(b"zone", [h.to_bytes(2, "little"), w.to_bytes(2, "little"), zone])
        publisher.emit(b"", CATALOGUE)

    loop.every(args.every, emit)
    loop.run()
    say("RECEIVED", *("%s=%d" % (other.name, other.zones) for other in others))
    sys.stdout.flush()
    # Not destroy(): as in sub()
    os._exit(any(other.bad or not other.zones for other in others))


def name_of_realm(text):
    if text not in REALMS:
        raise argparse.ArgumentTypeError("no realm " + text)
    return text


def peer(text):
    name, _, target = text.partition("=")
    host, _, port = target.rpartition(":")
    if not host:
        raise argparse.ArgumentTypeError("%s is not NAME=HOST:PORT" % text)
    return name_of_realm(name), (host, int(port))


def size(text):
    h, w = map(int, text.split("x"))
    return h, w


def parse(words):
    parser = argparse.ArgumentParser(prog="foreign.py", description="The file's head says more.")
    roles = parser.add_subparsers(dest="role", required=True)

    def add(name, run, seconds=None):
        role = roles.add_parser(name)
        role.set_defaults(run=run)
        role.add_argument("--secret", type=key_text)
        role.add_argument("--seconds", type=float, default=seconds)
        role.add_argument("--quiet", action="store_true")
        role.add_argument("--ignore-stdin", action="store_true")
        return role

    role = add("pub", pub)
    role.add_argument("--port", type=int, default=0)
    role.add_argument("--whitelist", type=key_text, action="append", default=[])
    role.add_argument("--whitelist-only", action="store_true")
    role.add_argument("--xpub", action="store_true")
    role.add_argument("--events", action="store_true")
    role.add_argument("--hwm", type=int, default=0)

    role = add("sub", sub)
    role.add_argument("--server", type=key_text, required=True)
    role.add_argument("--port", type=int, required=True)
    role.add_argument("--host", default=HOST)
    role.add_argument("--socks")
    role.add_argument("--onion")

    role = add("realm", realm, seconds=10)
    role.add_argument("name", type=name_of_realm)
    role.add_argument("--port", type=int)
    role.add_argument("--peer", type=peer, action="append", default=[])
    role.add_argument("--socks")
    role.add_argument("--every", type=float, default=1)
    role.add_argument("--zone", type=size, default=(24, 16))

    joined = []
    for word in words:  # argparse takes a key that begins with - for an option, unless it is joined by =
        if joined and joined[-1] in ("--secret", "--whitelist", "--server"):
            joined[-1] += "=" + word
        else:
            joined.append(word)
    return parser.parse_args(joined)


def main():
    args = parse(sys.argv[1:])
    try:
        args.run(args)
    except zmq.ZMQError as e:  # the port is taken, or a key is none
        sys.exit("foreign.py: %s" % e)


def selftest():
    import re
    import socket
    import subprocess
    sys.dont_write_bytecode = True
    from socks import Child, Tap
    tap = Tap()
    ok = tap.ok
    here = os.path.abspath(__file__)
    socks_py = os.path.join(os.path.dirname(here), "socks.py")
    onion = "a" * 56 + ".onion"

    def hexed(text):
        return text.encode().hex()

    def start_pub(*words):
        child = Child(here, "pub", *words)
        child.publickey, child.port = child.expect(r"READY (\S{40}) (\d+)").groups()
        return child

    def start_sub(server, *words, port=None):
        child = Child(here, "sub", "--server", server.publickey, "--port", port or server.port, *words)
        child.publickey = child.expect(r"READY (\S{40})")[1]
        return child

    def finish(*children):
        ok(all([child.end() == 0 for child in children]), "stdin ends: they end, with 0")

    def free_port():
        with socket.create_server((HOST, 0)) as s:
            return s.getsockname()[1]

    def flows(publisher, subscriber, title="tick"):
        """A message gets through; a PUB does not say when a subscription has arrived, so there are several."""
        for _ in range(100):
            publisher.ask("emit %s now" % hexed(title))
            if subscriber.expect(r"MSG \d+ %s00 [0-9a-f]{16}" % hexed(title), 0.1):
                return True
        return False

    # The wire, byte by byte
    secret = REALMS["John"][0]
    p = start_pub("--secret", secret, "--xpub", "--events")
    ok(p.publickey == REALMS["John"][1], "pub: the public key of the secret key")
    s = start_sub(p)
    ok(s.expect("EVENT CONNECTED"), "sub: EVENT CONNECTED")
    ok(p.expect("ZAP accept (.*)")[1] == s.publickey, "pub: ZAP accept, with the subscriber's key")
    ok(s.expect("EVENT HANDSHAKE_SUCCEEDED"), "sub: EVENT HANDSHAKE_SUCCEEDED")
    ok(p.expect("EVENT HANDSHAKE_SUCCEEDED"), "pub --events")
    ok(s.ask("sub " + hexed("zone")) == "OK" and p.expect("SUB 7a6f6e6500"), "sub: the title's bytes and one NUL")
    ok(s.ask("sub -") == "OK" and p.expect("SUB 00"), "sub: the empty title")
    ok(p.ask("emit %s 258 01ff - 02*3" % hexed("zone")) == "OK 258", "emit")
    got = s.expect(r"MSG (\d+) (.*)")
    ok(got[2] == "7a6f6e6500 0201000000000000 01ff - 020202", "MSG: title and NUL, t_out little-endian, parts")
    ok(abs(int(got[1]) - now()) < 10**7, "MSG: t_in")
    for t_out, wire in (("-2", "feffffffffffffff"), (str(2**63 - 1), "ff" * 7 + "7f"), (str(-2**63), "00" * 7 + "80")):
        p.ask("emit - %s" % t_out)
        ok(s.expect(r"MSG \d+ (.*)")[1] == "00 " + wire, "t_out %s, the empty title, no parts" % t_out)
    times = [int(p.ask("emit - now").split()[1]) for _ in range(3)]
    ok(times[0] < times[1] < times[2] and abs(times[0] - now()) < 10**7, "now: strictly increasing")
    ok(all(s.expect(r"MSG \d+ 00 (.*)")[1] == struct.pack("<q", t).hex() for t in times), "... and on the wire")
    for frames in ("7a6f6e6500", "00 01", "7a6f6e650061 - -", "00 - 0102"):
        ok(p.ask("raw " + frames) == "OK" and s.expect(r"MSG \d+ (.*)")[1] == frames, "raw " + frames)
    p.ask("raw 7a6f6e65")
    p.ask("emit 7a6f now")
    p.ask("emit 7a6f6e6573 now")
    p.ask("emit - 1")
    ok(s.expect(r"MSG \d+ (.*)")[1] == "00 0100000000000000", "other titles, and one without NUL, do not come")
    ok(s.ask("sub-raw 7a6f") == "OK" and p.expect("SUB 7a6f"), "sub-raw: the bytes alone")
    p.ask("emit 7a6f6e6573 1")
    ok(s.expect(r"MSG \d+ (.*)")[1] == "7a6f6e657300 0100000000000000", "sub-raw: matches the longer title")
    ok(s.ask("unsub-raw 7a6f") == "OK" and p.expect("UNSUB 7a6f"), "unsub-raw")
    ok(s.ask("unsub 7a6f6e65") == "OK" and p.expect("UNSUB 7a6f6e6500"), "unsub")
    s.ask("sub-raw -")
    ok(p.expect("SUB -"), "sub-raw -: everything")
    p.ask("raw -")
    ok(s.expect(r"MSG \d+ (.*)")[1] == "-", "one empty frame")
    ok(p.ask("raw 00 01 " + "02 " * 5000) == "OK" and s.expect(r"MSG .*")[0].count("02") >= 5000, "5000 parts")
    ok(p.ask("emit - 1 ab*3000000") == "OK 1" and len(s.expect(r"MSG .*")[0]) > 6000000, "a part of 3 MB, by *")
    p.send("emit - 1 " + "cd" * 3000000)
    ok(p.expect("OK 1", 30) and s.expect(r"MSG .*")[0].count("cd") >= 3000000, "a part of 3 MB, in hex")
    ok(p.ask("repeat 10000 emit - now 01*100").startswith("OK "), "repeat")
    last = 0
    for _ in range(10000):
        t_out, = struct.unpack("<q", bytes.fromhex(s.expect(r"MSG \d+ 00 ([0-9a-f]{16}) (01){100}")[1]))
        if t_out <= last:
            break
        last = t_out
    else:
        last = -1
    ok(last == -1, "10,000 messages in order, t_out rising")
    for line in ("emit", "emit - soon", "emit - %d" % 2**63, "emit x now", "raw", "raw 0", "sing", "repeat",
                 "zap 1", "allow x"):
        ok(p.ask(line).startswith("ERR "), "a wrong command is an ERR: " + line)
    ok(p.ask("zap") == "OK 1 1", "zap: one attempted, one permitted")
    finish(s)
    ok(p.expect("EVENT DISCONNECTED"), "pub: EVENT DISCONNECTED")
    finish(p)

    # The gate
    friend = REALMS["Mary"]
    p = start_pub("--whitelist", friend[1])
    s = start_sub(p, "--secret", friend[0])
    s.ask("sub " + hexed("tick"))
    ok(flows(p, s), "whitelist: who is in it gets in, to a plain PUB")
    t = start_sub(p)
    t.ask("sub " + hexed("tick"))
    ok(t.expect("EVENT HANDSHAKE_FAILED_AUTH 400") and p.expect("ZAP refuse (.*)")[1] == t.publickey,
       "whitelist: who is not, does not")
    ok(t.expect("EVENT DISCONNECTED"), "... and is disconnected")
    ok(p.ask("zap") == "OK 2 1", "zap: two attempted, one permitted")
    ok(p.ask("allow " + t.publickey) == "OK 2" and t.ask("reconnect") == "OK", "allow, reconnect")
    ok(flows(p, t), "... and it is in, subscription and all")
    ok(p.ask("deny " + t.publickey) == "OK 1" and flows(p, t), "deny: who is connected stays")
    t.ask("reconnect")
    ok(t.expect("EVENT HANDSHAKE_FAILED_AUTH 400"), "... until it connects again")
    ok(p.ask("deny " + friend[1]) == "OK 0" and t.ask("reconnect") == "OK" and flows(p, t), "empty: everyone")
    finish(s, t, p)
    p = start_pub("--whitelist-only", "--quiet")
    s = start_sub(p)
    ok(s.expect("EVENT HANDSHAKE_FAILED_AUTH 400") and p.ask("zap") == "OK 1 0", "--whitelist-only: empty is nobody")
    p.ask("allow " + s.publickey)
    s.ask("sub -")
    s.ask("reconnect")
    s.expect("EVENT HANDSHAKE_SUCCEEDED")
    time.sleep(0.2)  # for the subscription, as --quiet answers no emit
    p.send("emit - 1")
    ok(s.expect(r"MSG \d+ 00 0100000000000000"), "--whitelist-only: allow")
    p.send("zap")
    ok(p.lines.get(timeout=10) == "OK 2 1", "--quiet: no ZAP, no OK for emit")
    finish(s, p)
    p = start_pub()
    s = Child(here, "sub", "--server", REALMS["Alien"][1], "--port", p.port)
    ok(s.expect("EVENT CONNECTED") and not s.expect("EVENT HANDSHAKE_SUCCEEDED", 1), "a wrong server key: no handshake")
    context = zmq.Context()
    stranger = context.socket(zmq.SUB)
    monitor = stranger.get_monitor_socket()
    stranger.connect("tcp://%s:%s" % (HOST, p.port))
    seen, until = set(), time.monotonic() + 1
    while time.monotonic() < until and monitor.poll(1000):  # it tries again and again
        seen.add(EVENTS[parse_monitor_message(monitor.recv_multipart())["event"]])
    ok("CONNECTED" in seen and "HANDSHAKE_SUCCEEDED" not in seen, "a client without CURVE: no handshake")
    context.destroy(linger=0)
    ok(p.ask("zap") == "OK 0 0", "... and neither comes as far as ZAP")
    finish(s, p)
    while True:
        public, secret = zmq.curve_keypair()
        if secret[:1] == b"-":
            break
    brief = Child(here, "sub", "--server", public.decode(), "--port", free_port(), "--seconds", "0.5", "--ignore-stdin",
                  stdin=subprocess.DEVNULL)
    ok(brief.process.wait(10) == 0, "--seconds: ends with 0")
    p = start_pub("--secret", secret.decode(), "--port", free_port())
    ok(p.publickey == public.decode(), "a key that begins with -, a chosen port")
    clash = Child(here, "pub", "--port", p.port)
    ok(clash.end() == 1, "a taken port: exit status 1")
    ok(p.ask("quit") == "OK" and p.process.wait(10) == 0, "quit")

    # Through SOCKS
    p = start_pub("--xpub")
    for words in (("working",), ("working", "--merge"),
                  ("slow", "--delay", "1"), ("slow", "--slow-data", "--delay", "1"),
                  ("long-reply", "--length", "127"),  # more, and libzmq 4.3.4 waits for ever
                  ("long-reply", "--atyp", "4")):
        proxy = Child(socks_py, *words, "--map", "%s=%s:%s" % (onion, HOST, p.port))
        port = proxy.expect(r"READY (\d+)")[1]
        s = start_sub(p, "--socks", "%s:%s" % (HOST, port), "--onion", onion, port=60847)
        s.ask("sub " + hexed("tick"))
        name = " ".join(words)
        ok(proxy.expect("(CONNECT|BAD) .*")[0] == "CONNECT %s 60847" % onion, "socks %s: CONNECT" % name)
        ok(s.expect("EVENT HANDSHAKE_SUCCEEDED", 30) and flows(p, s), "socks %s: flows" % name)
        if name == "working":
            ok(proxy.ask("freeze") == "OK" and p.ask("emit %s 7" % hexed("tick")) == "OK 7"
               and not s.expect("MSG .*", 0.5), "socks: frozen")
            ok(proxy.ask("thaw") == "OK" and s.expect(r"MSG \d+ \S+ 0700000000000000"), "socks: thawed")
            proxy.ask("refuse 4")
            proxy.ask("drop")
            ok(s.expect("EVENT DISCONNECTED") and proxy.expect("CONNECT .*"), "socks: dropped, it comes again")
            ok(not s.expect("EVENT HANDSHAKE_SUCCEEDED", 1), "socks: refused")
            proxy.ask("accept")
            ok(s.expect("EVENT HANDSHAKE_SUCCEEDED", 30) and flows(p, s), "socks: accepted, it flows again")
        finish(s, proxy)
    finish(p)

    # Realms
    ports = {name: free_port() for name in REALMS}
    peers = [word for name in REALMS for word in ("--peer", "%s=%s:%d" % (name, HOST, ports[name]))]

    def start_realm(name, *words):
        return Child(here, "realm", name, "--port", ports[name], *words,
                     *(w for n, pair in zip(REALMS, zip(peers[::2], peers[1::2])) if n != name for w in pair))

    realms = {name: start_realm(name, "--every", "0.2", "--seconds", "3", "--zone", "5x%d" % w)
              for name, w in zip(REALMS, (4, 1, 0))}
    for name, child in realms.items():
        ok(child.expect(r"READY (\S+) (\d+)").groups() == (REALMS[name][1], str(ports[name])), name + ": READY")
    for name, child in realms.items():
        first, second = (other for other in REALMS if other != name)
        seen = []
        while (line := child.lines.get(timeout=10)) and not line.startswith("RECEIVED"):
            seen.append(line)
        for other, w in zip(REALMS, (4, 1, 0)):
            if other != name:
                ok(any(line.startswith("ZONE from %s 5 %d " % (other, w)) for line in seen)
                   and "CATALOGUE from " + other in seen, "%s: zone and catalogue of %s" % (name, other))
        ok(not [line for line in seen if line.startswith("BAD")], name + ": nothing bad")
        match = re.fullmatch(r"RECEIVED %s=(\d+) %s=(\d+)" % (first, second), line)
        ok(match and min(map(int, match.groups())) > 3, "%s: %s" % (name, line))
        ok(child.process.wait(10) == 0, name + ": exit status 0")
    alone = start_realm("Mary", "--seconds", "0.5")
    ok(alone.expect("RECEIVED Alien=0 John=0") and alone.process.wait(10) == 1, "a realm alone: exit status 1")

    john = start_pub("--secret", REALMS["John"][0], "--port", ports["John"], "--xpub")
    mary = start_realm("Mary", "--every", "0.2", "--seconds", "60")
    ok({john.expect("SUB (.*)")[1] for _ in "12"} == {"7a6f6e6500", "00"}, "realm: subscribes to zone and catalogue")
    zone = hexed("zone")
    for line, reply in (
            ("emit %s now 0200 0300 01*6" % zone, "ZONE from John 2 3 6"),
            ("emit %s now 0001 0100 00*256" % zone, "ZONE from John 256 1 0"),
            ("emit %s now 0200 0300 01*5" % zone, "BAD from John zone of 5 bytes .*"),
            ("emit %s now 0200 0300 02*6" % zone, "BAD from John zone with cells .*"),
            ("emit %s now 02 0300 01*6" % zone, "BAD from John zone with parts .*"),
            ("emit %s now 0200 0300" % zone, "BAD from John zone with parts .*"),
            ("emit %s now 0200 0300 01*6 -" % zone, "BAD from John zone with parts .*"),
            ("emit %s 1 0200 0300 01*6" % zone, "BAD from John t_out 1 is not .*"),
            ("emit %s %d 0200 0300 01*6" % (zone, now() - DAY // 2), "BAD from John t_out goes back"),
            ("raw %s00" % zone, "BAD from John 1 frame"),
            ("raw %s00 0102 -" % zone, "BAD from John second frame of 2 bytes"),
            ("raw %s0061 0102030405060708" % zone, "BAD from John first frame .*"),
            ("emit - now %s 00" % zone, "BAD from John catalogue .*"),
            ("emit - now %s %s" % (zone, CATALOGUE[1].hex()), "CATALOGUE from John")):
        john.ask(line)
        got = mary.expect("(ZONE|BAD|CATALOGUE) .*")
        ok(got and re.fullmatch(reply, got[0]), "realm: " + (got[0] if got else "nothing for " + line))
    stamp = now()
    john.ask("emit %s %d 0000 0000 -" % (zone, stamp))
    john.ask("emit %s %d 0000 0000 -" % (zone, stamp))
    john.ask("emit %s %d 0000 0000 -" % (zone, stamp + 1))
    ok([mary.expect("(ZONE|BAD).*")[0] for _ in range(2)] == ["ZONE from John 0 0 0"] * 2,
       "realm: a repeated value is one")
    ok(mary.end() == 1 and mary.expect("RECEIVED Alien=0 John=4"), "realm: ends with stdin, RECEIVED all the same")
    finish(john)
    return tap.done()


if __name__ == "__main__":
    try:
        sys.exit(selftest() if sys.argv[1:] == ["--selftest"] else main())
    except KeyboardInterrupt:
        pass
