"""What the tests in a terminal share: TAP, and a program in a terminal of its own."""
import codecs
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
# Whoever is started in the background may ignore these, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in signal.SIGQUIT, signal.SIGHUP:
    signal.signal(number, signal.SIG_DFL)
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
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.place, self.colours, self.rest = (0, 0), (0, 0), ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", LC_ALL="C.UTF-8")
            os.execv(argv[0], argv)
        self.size(rows, columns)
        self.before = termios.tcgetattr(self.fd)

    def size(self, rows, columns):
        """The window has this size from now on; what it shows is forgotten."""
        self.seen, self.rows, self.columns, self.cells = "", rows, columns, {}
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        """What has come within 0.2 s; false: nothing will come any more."""
        if not select.select([self.fd], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        text = self.decode(data)
        self.seen += text
        self.show(text)
        return data

    def show(self, text):
        """Put it on the screen. Of the sequences we know those that examples/terminal.h writes."""
        text = self.rest + text
        self.rest = re.search(r"(\x1b(\[[?\d;]*)?)?\Z", text)[0]
        for command, numbers, name, char in re.findall(r"(\x1b\[([?\d;]*)([A-Za-z]))|([^\x1b])",
                                                       text[:len(text) - len(self.rest)]):
            if name == "H":
                # At Ctrl-C the terminal drops what waits to be shown: a sequence may be torn.
                if re.fullmatch(r"\d+;\d+", numbers):
                    self.place = tuple(int(n) - 1 for n in numbers.split(";"))
            elif name == "m":
                self.colours = tuple(int((re.search(rf"{n};5;(\d+)", numbers) or "00")[1]) for n in (38, 48))
            elif not command:
                if self.place[0] < self.rows and self.place[1] < self.columns:
                    self.cells[self.place] = char, self.colours
                self.place = self.place[0], self.place[1] + 1

    def drawn(self, seconds=30):
        """Wait until each place of the window has been written since it has its size."""
        return self.wait(lambda: len(self.cells) == self.rows * self.columns, seconds)

    def on_screen(self, pattern, colours=None):
        """Is there a line with it, all of it in these (of text, of background; 0: the terminal's own)?"""
        for row in range(self.rows):
            line = [self.cells.get((row, column), (" ", (0, 0))) for column in range(self.columns)]
            for match in re.finditer(pattern, "".join(char for char, _ in line)):
                if all(colours in (None, of) for char, of in line[match.start():match.end()]):
                    return True
        return False

    def shows(self, pattern, colours=None, seconds=30):
        """Wait for that."""
        return self.wait(lambda: self.on_screen(pattern, colours), seconds)

    def until(self, pattern, seconds=30):
        """Read until what was written since the last key or resizing matches; the match, or None."""
        return self.wait(lambda: re.search(pattern, self.seen, re.S), seconds)

    def wait(self, condition, seconds):
        end, more = time.monotonic() + seconds, True
        while not (found := condition()) and more and time.monotonic() < end:
            more = self.read()
        return found

    def screen(self):
        return "\n".join("".join(self.cells.get((row, column), " ")[0] for column in range(self.columns)).rstrip()
                         for row in range(self.rows))

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
