"""A server that leaves content unread on the socket, as many small ones do: `unread.py PORT`.

What it left it takes for the next request. So whoever's request it was answers twice. A word of the path may change
that: `drained`, it reads all content; `capped`, at most a megabyte of it; `retried`, every other one fails.
"""

import http.server
import itertools
import json
import os
import sys

CAP = 1 << 20
LOG = os.open(os.environ["TRUTH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
COUNT = itertools.count()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        words = self.path.split("/")
        self.rfile.read(length if "drained" in words else min(length, CAP) if "capped" in words else 0)
        status = 503 if "retried" in words and next(COUNT) % 2 == 0 else 200
        line = {"method": self.command, "target": self.path, "status": status}
        os.write(LOG, json.dumps(line).encode() + b"\n")
        body = self.path.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # A content for HEAD, too: many do not know better.
    do_POST = do_HEAD = do_GET

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
