"""Second opinions on what the shared library argv[1] has from emyzelium.h: argv[2] says on what."""
import base64
import ctypes
import hashlib
import random
import sys

ours = ctypes.CDLL(sys.argv[1])
seed = random.randrange(1 << 32)
random.seed(seed)


def sha3(data):
    digest = ctypes.create_string_buffer(32)
    ours.sha3_256(digest, data, ctypes.c_size_t(len(data)))
    return digest.raw


def address(key, version=3):
    check = hashlib.sha3_256(b".onion checksum" + key + bytes([version])).digest()[:2]
    return base64.b32encode(key + check + bytes([version])).decode().lower()


def valid(text):
    """As Tor's rend-spec-v3, section 6, has it."""
    text = text.lower()
    text = text[:56] if len(text) == 62 and text.endswith(".onion") else text
    if len(text) != 56 or not set(text) <= set("abcdefghijklmnopqrstuvwxyz234567"):
        return False
    return address(base64.b32decode(text.upper())[:32]) == text


def accepted(text):
    return ours.emz_onion_check(text.encode("latin-1")) == 0


def changed():
    text = address(random.randbytes(32), random.choice([3, 3, 3, 3, 2, 4, 0, 35, 131]))
    text += random.choice(["", ".onion", ".onion", ".onio", ".onionn", "x", "."])
    text = random.choice([text, text.upper(), text.title()])
    if random.random() < 0.7:
        i = random.randrange(len(text))
        text = text[:i] + chr(random.randrange(1, 256)) + text[i + random.randrange(2):]
    return text


def agree(count, make, law):
    good = 0
    for n in range(count):
        what = make(n)
        if not law(what):
            sys.exit(f"seed {seed}, number {n}: {what!r}")
        good += isinstance(what, str) and valid(what)
    print(f"{count} agree, {good} valid addresses among them")


if sys.argv[2] == "sha3":
    agree(2720, lambda n: random.randbytes(n % 136), lambda d: sha3(d) == hashlib.sha3_256(d).digest())
else:
    agree(20000, lambda n: changed() if n % 4 else address(random.randbytes(32)),
          lambda t: accepted(t) == valid(t))
