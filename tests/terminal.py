"""What the tests in a terminal share: TAP, and a program in a terminal of its own."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

sys.dont_write_bytecode = True
count = failed = 0


def ok(good, name, more=""):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good and more:
        print("# " + repr(more[-600:]), flush=True)


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, argv, rows=40, columns=120):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", LC_ALL="C.UTF-8")
            os.execv(argv[0], argv)
        self.size(rows, columns)
        self.before = termios.tcgetattr(self.fd)

    def size(self, rows, columns):
        self.seen = ""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, pattern, seconds=30):
        """Read until what was written since the last key or resizing matches; the match, or None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            match = re.search(pattern, self.seen, re.S)
            if match:
                return match
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    return re.search(pattern, self.seen, re.S)
                self.seen += data.decode("utf-8", "replace")
        return None

    def key(self, keys):
        self.seen = ""
        os.write(self.fd, keys.encode())

    def restored(self):
        """The settings are as they were, the cursor is back, the alternate screen has been left."""
        self.until(r"\Z(?!)", 0.5)
        same = termios.tcgetattr(self.fd) == self.before
        return same and "\x1b[?1049l" in self.seen and "\x1b[?25h" in self.seen

    def end(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            self.until(r"\Z(?!)", 0.05)  # whatever it still says
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        return None


def finish():
    print(f"1..{count}")
    sys.exit(failed != 0)
