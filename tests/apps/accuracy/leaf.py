"""What the applications of the accuracy measurement call: `leaf.py PORT`, a thread for each connection."""

import random
import sys
import time

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Leaf(BaseHTTPRequestHandler):
    """Answers after a random time, so that answers overtake each other."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        """One answer."""
        time.sleep(random.uniform(0, 0.003))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        """No log."""


class Server(ThreadingHTTPServer):
    """Takes all connections that arrive at once."""

    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Leaf).serve_forever()
