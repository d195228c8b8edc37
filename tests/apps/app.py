"""A WSGI application that writes down what it was asked. It runs under gunicorn, and under Werkzeug's
development server as `app.py PORT`.

The last part of the path says what it does. Its log is the tests' ground truth: what the WSGI server
parsed, and when the handler began and was done, which lies within the request's time on the wire.
"""

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time

from urllib.parse import parse_qs

from werkzeug.wsgi import get_input_stream

LOG = os.open(os.environ["TRUTH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

# A content that looks like a response: a tracer that does not frame would see two.
LOOKS_LIKE_RESPONSE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


def application(environ, start_response):
    """Answers one request and writes one line."""
    begin = time.time_ns()
    content = get_input_stream(environ).read()
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    action = environ["PATH_INFO"].rsplit("/", 1)[-1]
    status, headers, body = answer(action, query, content)
    time.sleep(float(query.get("ms", 0)) / 1000)
    line = {
        "pid": os.getpid(),
        "method": environ["REQUEST_METHOD"],
        "target": environ["RAW_URI"],
        "status": status,
        "content": hashlib.sha256(content).hexdigest(),
        "begin": begin,
        "end": time.time_ns(),
    }
    os.write(LOG, json.dumps(line).encode() + b"\n")
    start_response(f"{status} Status", headers)
    return body


def answer(action, query, content):
    """Status, header fields and content for an action."""
    if action.startswith("status-"):
        status = int(action.removeprefix("status-"))
        return status, [] if status in (204, 304) else [("Content-Length", "0")], []
    if action == "stream":
        # No length: chunked to an HTTP/1.1 client, delimited by the close to an older one.
        return 200, [], iter([b"one ", LOOKS_LIKE_RESPONSE, b" three"])
    if action == "echo":
        return 200, [("Content-Length", str(len(content)))], [content]
    if action in CALLS:
        for number in ("1", "2"):
            CALLS[action](query["host"], f"/leaf/{query['id']}/{number}")
    if action in LAUNCHES:
        LAUNCHES[action](query.get("say", ""))
    body = b"hello\n" * int(query.get("lines", 1))
    return 200, [("Content-Length", str(len(body)))], [body]


def double_fork(say):
    """A detached grandchild: its parent is gone before it starts its program."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sh", ["sh", "-c", f": {say}"])
        os._exit(0)
    os.waitpid(child, 0)


def in_memory(say):
    """A program that has no name in any directory."""
    descriptor = os.memfd_create("x")
    with open("/bin/true", "rb") as program:
        os.write(descriptor, program.read())
    subprocess.run([f"/proc/self/fd/{descriptor}"], pass_fds=[descriptor], check=True)


def on_a_terminal(_):
    """A shell on a terminal that the server does not have."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("bash", ["bash", "--norc", "-i"])
    os.write(terminal, b"exit\n")
    try:
        while os.read(terminal, 1024):
            pass
    except OSError:
        # Its other end is closed.
        pass
    os.waitpid(pid, 0)


def later(_):
    """A program for no request, a moment after the answer."""
    threading.Timer(0.5, lambda: subprocess.run(["id"], stdout=subprocess.DEVNULL, check=True)).start()


def with_a_library(_):
    """A program with a library before all others."""
    library = {"PATH": os.environ["PATH"], "LD_PRELOAD": "libm.so.6"}
    subprocess.run(["true"], env=library, check=True)


def remote(port):
    """A shell for whoever listens there."""
    with socket.create_connection(("127.0.0.1", int(port))) as end:
        subprocess.run(["sh"], stdin=end, stdout=end, stderr=end, check=True)


KEPT = threading.local()


def call(host, target):
    """One upstream request on a connection of its own."""
    connection = http.client.HTTPConnection(host)
    connection.request("GET", target)
    connection.getresponse().read()
    connection.close()


def call_kept(host, target):
    """One upstream request on a connection that this thread keeps."""
    if not hasattr(KEPT, "connection"):
        KEPT.connection = http.client.HTTPConnection(host)
    KEPT.connection.request("GET", target)
    KEPT.connection.getresponse().read()


CALLS = {"call": call, "call-kept": call_kept}


LAUNCHES = {
    "launch-id": lambda _: subprocess.run(["sh", "-c", "id"], stdout=subprocess.DEVNULL, check=True),
    "launch-fails": lambda _: subprocess.run(["sh", "-c", "exit 3"], check=False),
    "launch-says": lambda say: subprocess.run(["sh", "-c", f": {say}"], check=True),
    "launch-shell": lambda say: subprocess.run(["sh", "-c", say], stdout=subprocess.DEVNULL, check=True),
    "launch-data": lambda say: subprocess.run(["printf", "%s", say], stdout=subprocess.DEVNULL, check=True),
    "launch-memory": in_memory,
    "launch-remote": remote,
    "launch-terminal": on_a_terminal,
    "launch-later": later,
    "launch-library": with_a_library,
    "launch-many": lambda say: [subprocess.run(["true"], check=True) for _ in range(int(say))],
    "launch-system": lambda say: os.system(f": {say}"),
    "launch-detached": double_fork,
}


if __name__ == "__main__":
    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True)
