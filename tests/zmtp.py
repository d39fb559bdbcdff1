#!/usr/bin/env python3
"""A hostile peer: ZMTP 3.1 (RFC 23) and CURVE (RFC 26) by hand, so that every byte can be wrong. For tests.

    zmtp.py pub ATTACK [ARGUMENT]...             is subscribed to, and attacks
    zmtp.py sub KEY PORT ATTACK [ARGUMENT]...    subscribes to KEY at 127.0.0.1:PORT, and attacks

It says READY (pub: READY KEY PORT) first, then what the attack says, and DONE when it is over; it ends with its
standard input. The cryptography is libsodium's, through ctypes: libzmq needs it too.
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

    def serve(self, secret, transient=None):
        """The server's side of the handshake; transient: the public key to claim for it."""
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
        """The next message, all frames of it."""
        frames, more = [], True
        while more:
            _, body = self.frame()
            prefix = b"CurveZMQMESSAGEC" if self.prefix[-1:] == b"S" else b"CurveZMQMESSAGES"
            plain = unbox(body[16:], prefix + body[8:16], self.key)
            if not plain[0] & 2:  # no command, such as PING
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


# Attacks of a publisher, on each that connects

def pub_low_order(peer, secret, which):
    peer.serve(secret, LOW_ORDER[int(which)])


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


def main():
    role, words = sys.argv[1], sys.argv[2:]
    if role == "pub":
        public, secret = key_pair()
        attack = globals()["pub_" + words[0]]
        listener = socket.create_server(("127.0.0.1", 0))
        say("READY", z85_encode(public), listener.getsockname()[1])

        def serve(sock):
            peer = Peer(sock)
            try:
                attack(peer, secret, *words[1:])
                say("DONE")
                drained(peer)
            except (OSError, ValueError) as e:
                say("ENDED", e)

        def work():
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    else:
        server, port = z85_decode(words[0]), int(words[1])
        attack = globals()["sub_" + words[2]]
        say("READY")

        def work():
            attack(lambda: Peer(socket.create_connection(("127.0.0.1", port))), server, *words[3:])
            say("DONE")

    threading.Thread(target=work, daemon=True).start()
    while os.read(0, 65536):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
