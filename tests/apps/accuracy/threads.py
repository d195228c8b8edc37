"""A thread for each connection, as in `http.server`: `threads.py PORT`.

Parallel calls go through a pool of threads, the hop is a `threading.Timer`: a thread of its own.
"""

import http.client
import sys
import threading
import time

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import plan

POOL = ThreadPoolExecutor(32)
# Connections that nobody uses now; any thread takes any.
IDLE = deque()


def call(target):
    """One call, after a while."""
    time.sleep(plan.wait())
    try:
        connection = IDLE.pop()
    except IndexError:
        connection = http.client.HTTPConnection(*plan.LEAF)
    connection.request("GET", target)
    connection.getresponse().read()
    IDLE.append(connection)


def in_turn(targets):
    """One after the other."""
    for target in targets:
        call(target)


def parallel(targets):
    """All at once."""
    list(POOL.map(call, targets))


def hop(targets):
    """By another thread, after a while."""
    done = Future()
    threading.Timer(plan.wait(), lambda: done.set_result(in_turn(targets))).start()
    done.result()


MAKE = {"turn": in_turn, "parallel": parallel, "hop": hop}[plan.HOW]


class Handler(BaseHTTPRequestHandler):
    """Calls, then answers."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        """One request."""
        MAKE(plan.calls(self.path))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        """No log."""


class Server(ThreadingHTTPServer):
    """Takes all connections that arrive at once."""

    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
