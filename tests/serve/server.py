"""A server for tests: started on a free port, watched by its log, always ended."""

import atexit
import os
import re
import shlex
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

PATIENCE_S = 60

# Files of caches outlive their servers; not their tests.
_files = set()


@atexit.register
def _remove_files():
    for path in _files:
        if os.path.exists(path):
            os.remove(path)


def parse_logfmt(line):
    """The fields of a line of the log."""
    fields = {}
    for name, quoted, plain in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line):
        fields[name] = quoted.replace('\\"', '"') if quoted else plain
    return fields


class Server:
    """`quarry serve` in a folder of its own."""

    program = None  # set by the test's main: a list

    def __init__(self, *arguments, folder=None, environment=None, memcached="127.0.0.1:0",
                 memory="256m", resp="off", http="off"):
        self.own_folder = None if folder else tempfile.TemporaryDirectory(prefix="quarry-serve-")
        self.folder = folder or self.own_folder.name
        # Not in the folder, whose disk a test may have filled.
        self.log_file = tempfile.NamedTemporaryFile(prefix="quarry-serve-log-")
        self.log_path = self.log_file.name
        command = self.program + ["serve", "--data", os.path.join(self.folder, "data")]
        if memcached:
            command += ["--memcached", memcached]
        if resp:
            command += ["--resp", resp]
        if http:
            command += ["--http", http]
        if memory:
            command += ["--memory", memory]
        variables = {key: value for key, value in os.environ.items()
                     if not key.startswith("QUARRY_") and key != "NOTIFY_SOCKET"}
        variables["QUARRY_CACHE_FILE"] = "off"  # unless the test says so
        variables.update(environment or {})
        self.process = subprocess.Popen(command + list(arguments), cwd=self.folder,
                                        env=variables, stdin=subprocess.DEVNULL,
                                        stdout=self.log_file, stderr=self.log_file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        _files.update(re.findall(r"/dev/shm/quarry-\w+-\w+\.cache", self.log()))
        self.log_file.close()
        if self.own_folder:
            self.own_folder.cleanup()
        return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def lines(self, message):
        """The fields of all lines of the log with that message."""
        found = [parse_logfmt(line) for line in self.log().splitlines()]
        return [fields for fields in found if fields.get("msg") == message]

    def wait_for(self, message, count=1):
        """Waits for lines of the log. Returns: the fields of the last of them."""
        end = time.monotonic() + PATIENCE_S
        while True:
            lines = self.lines(message)
            if len(lines) >= count:
                return lines[count - 1]
            if time.monotonic() > end or self.process.poll() is not None:
                lines = self.lines(message)  # what was written last
                if len(lines) >= count:
                    return lines[count - 1]
                raise AssertionError(f"no line '{message}' in the log:\n{self.log()}")
            time.sleep(0.01)

    def ready(self):
        self.wait_for("ready")
        return self

    def doors(self):
        self.ready()
        return self.lines("door")

    def connect(self, door=0, tls=None):
        """A connection to one of the doors."""
        address = self.doors()[door]["address"]
        if address.startswith("unix:"):
            link = socket.socket(socket.AF_UNIX)
            link.settimeout(PATIENCE_S)
            link.connect(address[len("unix:"):])
        else:
            host, port = address.rsplit(":", 1)
            link = socket.create_connection((host.strip("[]").replace("0.0.0.0", "127.0.0.1"),
                                             int(port)), timeout=PATIENCE_S)
        if tls:
            link = tls.wrap_socket(link, server_hostname="localhost")
        return Link(link)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Returns: its exit status."""
        return self.process.wait(PATIENCE_S)

    def end(self):
        self.signal(signal.SIGTERM)
        return self.wait()


class Link:
    """A connection, line by line."""

    def __init__(self, link):
        self.socket = link
        self.file = link.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()
        return False

    def send(self, text):
        self.socket.sendall(text.encode())

    def line(self):
        """The next line without its end; None when the server has closed."""
        try:
            line = self.file.readline()
        except (ConnectionResetError, BrokenPipeError):
            return None
        return line.decode().rstrip("\r\n") if line else None

    def ask(self, text):
        self.send(text + "\r\n")
        return self.line()


def run(*arguments, stdin=None, environment=None):
    """Runs the program to its end. Returns: status, stdout, stderr."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("QUARRY_")}
    variables.update(environment or {})
    done = subprocess.run(Server.program + list(arguments), input=stdin, env=variables,
                          capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return done.returncode, done.stdout, done.stderr


def set_program(text):
    Server.program = shlex.split(text)


def wait_until_read(link):
    """Waits until the server has read all that was sent: the kernel holds nothing of it for its socket."""
    own, peer = ("%08X:%04X" % (struct.unpack("=I", socket.inet_aton(host))[0], port)
                 for host, port in (link.getsockname(), link.getpeername()))
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with open("/proc/net/tcp", encoding="ascii") as table:
            for fields in map(str.split, table):
                if fields[1:3] == [peer, own] and fields[4].endswith(":00000000"):
                    return
        time.sleep(0.01)
    raise AssertionError("the server does not read")


def cpu_seconds(server):
    """The processor's time that the server has taken: the same however busy the machine is."""
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as facts:
        fields = facts.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def client_tls(authority, own=None):
    """A context that trusts one certificate. `own`: a certificate and a key to show."""
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    if own:
        context.load_cert_chain(*own)
    return context


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def make_certificate(folder, name, common_name="localhost"):
    """A self-signed certificate and its key."""
    certificate, key = (os.path.join(folder, name + end) for end in (".pem", ".key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=" + common_name, "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key
