"""A shop in one file: the handler of /order asks /stock of the same server, then launches a shell."""

import subprocess
import sys
import urllib.request

from werkzeug.serving import run_simple

PORT = int(sys.argv[1])


def application(environ, start_response):
    """Answers /order and /stock, everything else with 404."""
    path = environ["PATH_INFO"]
    if path == "/order":
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/stock?item=7") as stock:
            left = stock.read().decode()
        user = subprocess.run(["sh", "-c", "id"], capture_output=True, text=True, check=True).stdout
        return respond(start_response, "200 OK", f"ordered by {user.strip()}, {left} left\n")
    if path == "/stock":
        return respond(start_response, "200 OK", "41")
    return respond(start_response, "404 Not Found", "no such page\n")


def respond(start_response, status, text):
    """One answer with its length."""
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


run_simple("127.0.0.1", PORT, application, threaded=True)
