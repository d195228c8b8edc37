"""A server that leaves content unread on the socket, as many small ones do: `unread.py PORT`.

What it left it takes for the next request. So whoever's request it was answers twice.
"""

import http.server
import json
import os
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with open(os.environ["TRUTH_LOG"], "a") as log:
            log.write(json.dumps({"method": self.command, "target": self.path, "status": 200}) + "\n")
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
