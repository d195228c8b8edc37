"""A server that turns to others while it serves: `outbound.py PORT`.

POST /relay/PORT: what comes in goes to that port, chunk by chunk, and the answers come back the same way.
GET /push/PORT: 20 MB go to that port. GET /talk/PORT: the same, after a talk in which both sides compose what they say.
GET /scan/PORT: a connect to each of the ten ports from that one on.
"""

import socket
import socketserver
import sys
from http.server import BaseHTTPRequestHandler

MEGABYTE = b"x" * 1_000_000


def to(port):
    return socket.create_connection(("127.0.0.1", port))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        peer = to(int(self.path.split("/")[-1]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while length := int(self.rfile.readline(), 16):
            peer.sendall(self.rfile.read(length))
            self.rfile.readline()
            answer = peer.recv(65536)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(answer), answer))
        self.rfile.readline()
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        _, what, port = self.path.split("/")
        if what == "scan":
            for offset in range(10):
                try:
                    to(int(port) + offset).close()
                except OSError:
                    pass
        else:
            peer = to(int(port))
            for turn in range(8 if what == "talk" else 0):
                peer.sendall(b"command %d" % turn)
                peer.recv(65536)
            for _ in range(20):
                peer.sendall(MEGABYTE)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
