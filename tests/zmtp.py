#!/usr/bin/env python3
"""A hostile peer: ZMTP 3.1 (RFC 23) and CURVE (RFC 26) by hand, so that every byte can be wrong. For tests.

    zmtp.py pub ATTACK [ARGUMENT]...             is subscribed to, and attacks: READY KEY PORT
    zmtp.py pubs                                 the same in all ways of PUBLISHERS: READY COUNT, then for each
                                                 AT KEY PORT LINK VALUE NAME, with what its reader must come to
    zmtp.py sub KEY PORT ATTACK [ARGUMENT]...    subscribes to KEY at 127.0.0.1:PORT, and attacks: READY, what the
                                                 attack says, DONE

It ends with its standard input. The cryptography is libsodium's, through ctypes: libzmq needs it too.
"""
import ctypes
import os
import socket
import struct
import sys
import threading

try:
    sodium = ctypes.CDLL("libsodium.so.23")
except OSError as e:
    sys.exit("zmtp.py: %s" % e)
sodium.sodium_init()

P = 2**255 - 19
ORDER_8 = (325606250916557431795983626356110631294008115727848805560023387167927233504,
           39382357235489614581723060781553021112529911719440698176882885853963445705823)
# Every public key whose product with any secret is nothing; also not reduced, and with the bit that is ignored
LOW_ORDER = [(point | top).to_bytes(32, "little") for top in (0, 2**255)
             for point in (0, 1, *ORDER_8, P - 1, P, P + 1)]
Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def say(*words):
    try:
        print(*words, flush=True)
    except BrokenPipeError:
        os._exit(1)


def z85_encode(data):
    text = ""
    for value in struct.unpack(">%dI" % (len(data) // 4), data):
        text += "".join(Z85[value // 85**i % 85] for i in range(4, -1, -1))
    return text


def z85_decode(text):
    groups = [text[i:i + 5] for i in range(0, len(text), 5)]
    return b"".join(sum(Z85.index(c) * 85**(4 - i) for i, c in enumerate(g)).to_bytes(4, "big") for g in groups)


def key_pair():
    public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    sodium.crypto_box_keypair(public, secret)
    return public.raw, secret.raw


def shared(public, secret):
    """The key of a box between two. A point of low order gives what it would without libsodium's check."""
    key, point = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    if sodium.crypto_box_beforenm(key, public, secret):
        sodium.crypto_core_hsalsa20(key, bytes(16), point, None)
    return key.raw


def box(data, nonce, key):
    out = ctypes.create_string_buffer(len(data) + 16)
    sodium.crypto_box_easy_afternm(out, data, ctypes.c_ulonglong(len(data)), nonce, key)
    return out.raw


def unbox(data, nonce, key):
    out = ctypes.create_string_buffer(max(len(data) - 16, 0))
    if sodium.crypto_box_open_easy_afternm(out, data, ctypes.c_ulonglong(len(data)), nonce, key):
        raise ValueError("a box that cannot be opened")
    return out.raw


def metadata(**properties):
    return b"".join(bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
                    for name, value in ((name.replace("_", "-").encode(), value.encode())
                                        for name, value in properties.items()))


def greeting(mechanism=b"CURVE", version=(3, 1), server=0):
    return b"\xff" + bytes(8) + b"\x7f" + bytes(version) + mechanism.ljust(20, b"\0") + bytes([server]) + bytes(31)


class Peer:
    """One connection."""

    def __init__(self, sock):
        self.sock, self.nonce = sock, 0

    def read(self, size):
        data = b""
        while len(data) < size:
            got = self.sock.recv(size - len(data))
            if not got:
                raise ConnectionError("closed by the other end")
            data += got
        return data

    def frame(self):
        """The next frame: its flags and body."""
        flags, = self.read(1)
        size, = struct.unpack(">Q", self.read(8)) if flags & 2 else self.read(1)
        return flags, self.read(size)

    @staticmethod
    def framed(body, flags=0):
        size = len(body)
        return (bytes([flags | 2]) + struct.pack(">Q", size) if size > 255 else bytes([flags, size])) + body

    def command(self, body):
        self.sock.sendall(self.framed(body, 4))

    def short_nonce(self):
        self.nonce += 1
        return struct.pack(">Q", self.nonce)

    def expect(self, name):
        flags, body = self.frame()
        if not body.startswith(bytes([len(name)]) + name):
            raise ValueError("%r for %r" % (body[:9], name))
        return body[len(name) + 1:]

    def greet(self, server):
        self.sock.sendall(greeting(server=server))
        self.read(64)

    def serve(self, secret, transient=None, answer=None):
        """The server's side of the handshake; transient: the public key to claim for it; answer: sends READY."""
        self.greet(1)
        hello = self.expect(b"HELLO")
        client = hello[74:106]
        public, own = key_pair()
        nonce = os.urandom(16)
        self.command(b"\7WELCOME" + nonce + box((transient or public) + bytes(96), b"WELCOME-" + nonce,
                                                shared(client, secret)))
        initiate = self.expect(b"INITIATE")
        self.key = shared(client, own)
        unbox(initiate[104:], b"CurveZMQINITIATE" + initiate[96:104], self.key)
        if answer:
            return answer()
        self.ready(metadata(Socket_Type="XPUB", Identity=""))
        self.prefix = b"CurveZMQMESSAGES"

    def ready(self, properties):
        nonce = self.short_nonce()
        self.command(b"\5READY" + nonce + box(properties, b"CurveZMQREADY---" + nonce, self.key))

    def hello(self, server, transient=None):
        self.greet(0)
        self.public, self.own = key_pair()
        public = transient or self.public
        nonce = self.short_nonce()
        key = shared(transient, self.own) if transient else shared(server, self.own)
        self.command(b"\5HELLO\1\0" + bytes(72) + public + nonce + box(bytes(64), b"CurveZMQHELLO---" + nonce, key))

    def subscribe_to(self, server, keys=None, transient=None, long_term=None, properties=None):
        """The client's side of the handshake; transient, long_term: public keys to claim."""
        public, secret = keys or key_pair()
        self.hello(server, transient)
        welcome = self.expect(b"WELCOME")
        plain = unbox(welcome[16:], b"WELCOME-" + welcome[:16], shared(server, self.own))
        theirs, cookie = plain[:32], plain[32:]
        vouch_nonce, nonce = os.urandom(16), self.short_nonce()
        vouch = box(self.public + server, b"VOUCH---" + vouch_nonce,
                    shared(long_term, secret) if long_term else shared(theirs, secret))
        self.key = shared(theirs, self.own)
        if properties is None:
            properties = metadata(Socket_Type="XSUB", Identity="")
        self.command(b"\x08INITIATE" + cookie + nonce + box(
            (long_term or public) + vouch_nonce + vouch + properties, b"CurveZMQINITIATE" + nonce, self.key))
        self.expect(b"READY")
        self.prefix = b"CurveZMQMESSAGEC"

    def sealed(self, data, more=False, command=False):
        """A frame as it goes over the wire after the handshake."""
        nonce = self.short_nonce()
        flags = bytes([more | command << 1])
        return self.framed(b"\7MESSAGE" + nonce + box(flags + data, self.prefix + nonce, self.key))

    def message(self, *frames):
        return b"".join(self.sealed(data, i + 1 < len(frames)) for i, data in enumerate(frames))

    def send(self, *frames):
        self.sock.sendall(self.message(*frames))


    def receive(self):
        """The next message, all frames of it; or a command that is not of the heartbeat."""
        frames, more = [], True
        while more:
            _, body = self.frame()
            prefix = b"CurveZMQMESSAGEC" if self.prefix[-1:] == b"S" else b"CurveZMQMESSAGES"
            plain = unbox(body[16:], prefix + body[8:16], self.key)
            if plain[1:6] not in (b"\4PING", b"\4PONG"):
                frames.append(plain[1:])
                more = plain[0] & 1
        return frames

    def served(self, title=b"t\0"):
        """Subscribe: does the value come?"""
        try:
            self.send(b"\1" + title)
            while self.receive()[0] != title:
                pass
            return True
        except OSError:
            return False


def drained(peer):
    """Read until the other end closes."""
    try:
        while peer.sock.recv(65536):
            pass
    except OSError:
        pass


# Attacks of a publisher, on each that connects; with what its reader must come to: a link and the value of "t"

UP, DENIED, LOST, WRONG_KEY, SILENT = 1, -3, -4, -5, -6
DEAF = 9  # LOST; or UP and nothing comes any more: libzmq 4.3.4 does not always end the connection then
VALUE = [b"t\0", bytes(8)]
PUBLISHERS = []


def pub_low_order(peer, secret, which):
    peer.serve(secret, LOW_ORDER[int(which)])


def pub_endless(peer, secret, size):
    """A message that never ends; its reader gets all of it or nothing."""
    peer.serve(secret)
    peer.receive()
    peer.sock.sendall(peer.sealed(b"t\0", True) + peer.sealed(bytes(8), True))
    sent = 0
    try:
        while sent < 400e6:
            peer.sock.sendall(peer.sealed(bytes(int(size)), True))
            sent += int(size)
    except OSError:
        pass
    say("SENT", sent)


def add_greetings():
    for name, link, data in (
            ("nothing", SILENT, b""), ("half a greeting", SILENT, greeting(server=1)[:20]),
            ("HTTP", WRONG_KEY, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
            ("TLS", WRONG_KEY, b"\x15\3\1\0\2\2\x28"), ("SSH", WRONG_KEY, b"SSH-2.0-x\r\n"),
            ("zeros", WRONG_KEY, bytes(500)), ("random bytes", WRONG_KEY, os.urandom(5000)),
            ("ZMTP 1.0", WRONG_KEY, b"\1\0" * 100),
            ("ZMTP 2.0", WRONG_KEY, b"\xff" + bytes(8) + b"\x7f\1\1\0\0" + b"\0\1x" * 50),
            ("NULL", WRONG_KEY, greeting(b"NULL") + Peer.framed(b"\5READY" + metadata(Socket_Type="XPUB"), 4)),
            ("PLAIN", WRONG_KEY, greeting(b"PLAIN", server=1) + Peer.framed(b"\7WELCOME", 4)),
            ("no mechanism", WRONG_KEY, greeting(b"")),
            ("a greeting alone", SILENT, greeting(server=1)),
            ("a command of 2^63 bytes", WRONG_KEY, greeting(server=1) + b"\6\x7f" + b"\xff" * 7),
            ("a command of 2^64 bytes", WRONG_KEY, greeting(server=1) + b"\6" + b"\xff" * 8),
            ("an empty command", WRONG_KEY, greeting(server=1) + b"\4\0"),
            ("a message before the handshake", WRONG_KEY, greeting(server=1) + b"\0\2t\0"),
            ("a WELCOME too short", WRONG_KEY, greeting(server=1) + Peer.framed(b"\7WELCOME" + bytes(159), 4)),
            ("a WELCOME too long", WRONG_KEY, greeting(server=1) + Peer.framed(b"\7WELCOME" + bytes(161), 4)),
            ("a WELCOME of zeros", WRONG_KEY, greeting(server=1) + Peer.framed(b"\7WELCOME" + bytes(160), 4)),
            ("READY too early", WRONG_KEY, greeting(server=1) + Peer.framed(b"\5READY" + bytes(100), 4)),
            ("ERROR without a reason", WRONG_KEY, greeting(server=1) + Peer.framed(b"\5ERROR", 4)),
            ("ERROR with too long a reason", WRONG_KEY, greeting(server=1) + Peer.framed(b"\5ERROR\xff400", 4))):
        PUBLISHERS.append((name, lambda peer, secret, data=data: peer.sock.sendall(data), link, "-"))


def add_refusals():
    """Answers to INITIATE. Of READY's properties, libzmq ignores what it cannot read."""
    def refuse(reason):
        def attack(peer, secret):
            peer.serve(secret, answer=lambda: peer.command(b"\5ERROR" + bytes([len(reason)]) + reason))
        return attack
    for reason, link in (("400", DENIED), ("300", DENIED), ("500", DENIED), ("999", WRONG_KEY),
                         ("", WRONG_KEY), ("4", WRONG_KEY), ("\0\0\0", WRONG_KEY), ("x" * 255, WRONG_KEY)):
        PUBLISHERS.append(("ERROR with reason %r" % reason[:9], refuse(reason.encode()), link, "-"))
    for name, properties in (("a name that is longer than all", b"\xffx"), ("a name without value", b"\1x"),
                             ("a value of 4 GB", b"\1x\xff\xff\xff\xff"), ("a value of 2 GB", b"\1x\x7f\xff\xff\xff"),
                             ("no name", b"\0\0\0\0\0"), ("another socket type", metadata(Socket_Type="REP")),
                             ("200 kB", metadata(Socket_Type="XPUB", X_=200000 * "x"))):
        def attack(peer, secret, properties=properties):
            peer.serve(secret, answer=lambda: peer.ready(properties))
        PUBLISHERS.append(("READY with " + name, attack,
                           WRONG_KEY if name in ("a name that is longer than all", "another socket type") else UP, "-"))

    def unreadable(peer, secret):
        peer.serve(secret, answer=lambda: peer.command(b"\5READY" + bytes(100)))
    PUBLISHERS.append(("READY of zeros", unreadable, WRONG_KEY, "-"))


def add_messages():
    """After a good handshake."""
    def attack(make):
        def send(peer, secret):
            peer.serve(secret)
            peer.receive()  # the subscription
            peer.sock.sendall(make(peer) + peer.message(*VALUE, b"end"))
        return send

    def broken(sealed):
        return sealed[:-1] + bytes([sealed[-1] ^ 1])

    def again(peer):
        sealed = peer.message(*VALUE, b"1")
        return sealed + sealed

    def floods(title):
        return lambda peer: b"".join(peer.message(title, struct.pack("<q", i), b"x" * 100) for i in range(20000))

    for name, link, value, make in (
            ("a message in clear", LOST, "-", lambda peer: Peer.framed(b"t\0")),
            ("a box that was changed", DEAF, "-", lambda peer: broken(peer.sealed(b"t\0"))),
            ("the same box again", DEAF, "1", again),
            ("a box too short", DEAF, "-", lambda peer: Peer.framed(b"\7MESSAGE" + bytes(24))),
            ("a box of nothing", DEAF, "-", lambda peer: Peer.framed(
                b"\7MESSAGE" + peer.short_nonce() + box(b"", peer.prefix + struct.pack(">Q", peer.nonce), peer.key))),
            ("READY once more", DEAF, "-", lambda peer: Peer.framed(b"\5READY" + bytes(100), 4)),
            ("a part over the limit", LOST, "-", lambda peer: peer.sealed(b"t\0", True) + peer.sealed(bytes(8), True)
             + peer.sealed(bytes(1000001))),
            ("a part of 2^63 bytes", LOST, "-", lambda peer: b"\2\x7f" + b"\xff" * 7),
            ("a part of the limit", UP, "end", lambda peer: peer.message(*VALUE, bytes(1000000))),
            ("half a message", LOST, "-", lambda peer: peer.sealed(b"t\0", True) + peer.sealed(b"", True) + b"\xff\xff"),
            ("10,000 parts", UP, "end", lambda peer: peer.message(*VALUE, *[b"x"] * 10000)),
            ("10,000 parts and no title", UP, "end", lambda peer: peer.message(*[b""] * 10000)),
            ("one frame", UP, "end", lambda peer: b"".join(map(peer.message, (b"", b"\0", b"t", b"t\0", bytes(100000))))),
            ("no NUL, more than one, none but one", UP, "end", lambda peer: b"".join(
                peer.message(title, bytes(8), b"1") for title in (b"t", b"\0t\0", b"t\0\0", b"t\0t\0", b"\0", b""))),
            ("times of all sizes", UP, "end", lambda peer: b"".join(
                peer.message(b"t\0", bytes(i), b"1") for i in (*range(8), *range(9, 40), 100000))),
            ("titles that nobody asked for", UP, "end", lambda peer: b"".join(
                peer.message(title + b"\0", bytes(8), b"1") for title in (b"u", b"T", b"tt", b"t" * 70000, os.urandom(9)))),
            ("PING too short", UP, "end", lambda peer: peer.sealed(b"\4PING", command=True)),
            ("PING with 1,000 bytes", UP, "end", lambda peer: peer.sealed(b"\4PING\0\1" + bytes(1000), command=True)),
            ("PONG unasked", UP, "end", lambda peer: peer.sealed(b"\4PONG" + bytes(16), command=True)),
            ("SUBSCRIBE, CANCEL", UP, "end", lambda peer: peer.sealed(b"\x09SUBSCRIBEt\0", command=True)
             + peer.sealed(b"\6CANCELt\0", command=True)),
            ("a command that there is not", UP, "end", lambda peer: peer.sealed(b"\3XYZ", command=True)),
            ("an empty command in a box", UP, "end", lambda peer: peer.sealed(b"", command=True)),
            ("20,000 values at once", UP, "end", floods(b"t\0")),
            ("20,000 values of another title", UP, "end", floods(b"u\0"))):
        PUBLISHERS.append((name, attack(make), link, value))


# Attacks of a subscriber

def sub_low_order(connect, server):
    connect().subscribe_to(server)  # a good one, so that the refusals mean something
    refused = accepted = 0
    for point in LOW_ORDER:
        for what in ("transient", "long_term"):
            try:
                connect().subscribe_to(server, **{what: point})
                accepted += 1
            except (ConnectionError, ValueError):
                refused += 1
    say("REFUSED", refused, "ACCEPTED", accepted)


def sub_long(connect, server, *lengths):
    for length in lengths:
        peer = connect()
        peer.subscribe_to(server)
        title = b"o" * int(length) + b"\0"
        try:
            peer.send(b"\1" + title)
            peer.send(b"\0" + title)
        except OSError:
            pass
        say("LENGTH", length, "served" if peer.served() else "cut")


def sub_many(connect, server, count, length):
    peer = connect()
    peer.subscribe_to(server)
    count, length = int(count), int(length)
    batch = 1000000 // (length + 64) + 1
    for i in range(0, count, batch):
        peer.sock.sendall(b"".join(peer.sealed(b"\1" + os.urandom(length).replace(b"\0", b"o") + b"\0")
                                   for _ in range(min(batch, count - i))))
    say("MANY", count, "served" if peer.served() else "cut")


def listen(attack, *words):
    """Attack each that connects: the public key and the port."""
    public, secret = key_pair()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(sock):
        peer = Peer(sock)
        try:
            attack(peer, secret, *words)
        except (OSError, ValueError):
            pass
        drained(peer)

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return z85_encode(public), listener.getsockname()[1]


def sub_half(connect, server, count):
    """Connections that stop half way, or that are no such thing; all are held open."""
    def after_hello(peer):
        peer.hello(server)

    def wrong_key(peer):
        peer.hello(key_pair()[0])

    def wrong_cookie(peer):
        peer.hello(server)
        peer.expect(b"WELCOME")
        peer.command(b"\x08INITIATE" + bytes(300))

    def half_frame(peer):
        peer.greet(0)
        peer.sock.sendall(b"\4\xc8\5HELLO")

    def said(data):
        return lambda peer: peer.sock.sendall(data)

    ways = (after_hello, wrong_key, wrong_cookie, half_frame, said(b""), said(greeting()), said(greeting()[:11]),
            said(b"\xff"), said(b"GET / HTTP/1.1\r\n\r\n"), said(b"\x16\3\1\2\0\1\0\1\xfc\3\3" + os.urandom(512)),
            said(b"\1\0"), said(b"\xff" + bytes(8) + b"\x7f\1\2\0\0"), said(os.urandom(100)), said(b"\0" * 100),
            said(greeting(b"NULL") + Peer.framed(b"\5READY" + metadata(Socket_Type="SUB"), 4)),
            said(greeting(b"PLAIN") + Peer.framed(b"\5HELLO\1a\1b", 4)),
            said(greeting() + b"\6" + b"\xff" * 8), said(greeting() + Peer.framed(b"\5HELLO" + bytes(100000), 4)))
    peers = [connect() for _ in range(int(count))]
    for i, peer in enumerate(peers):
        try:
            ways[i % len(ways)](peer)
        except OSError:
            pass
    say("HALF", len(peers))
    for peer in peers:
        drained(peer)
    say("CLOSED", len(peers))


def sub_keys(connect, server, count):
    """As many handshakes, each with a key of its own."""
    let_in = 0
    for _ in range(int(count)):
        peer = connect()
        try:
            peer.subscribe_to(server)
            let_in += 1
        except (OSError, ValueError):
            pass
        peer.sock.close()
    say("IN", let_in, "OF", count)


def main():
    role, *words = sys.argv[1:]
    if role == "pub":
        say("READY", *listen(globals()["pub_" + words[0]], *words[1:]))
    elif role == "pubs":
        for add in (add_greetings, add_refusals, add_messages):
            add()
        say("READY", len(PUBLISHERS))
        for name, attack, link, value in PUBLISHERS:
            say("AT", *listen(attack), link, value, name)
    else:
        server, port, attack, *words = words
        say("READY")

        def work():
            globals()["sub_" + attack](lambda: Peer(socket.create_connection(("127.0.0.1", port))), z85_decode(server),
                                       *words)
            say("DONE")

        threading.Thread(target=work, daemon=True).start()
    while os.read(0, 65536):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
