"""A site that puts a stranger's name into a field of its answer: `greeting.py PORT`, under Werkzeug.

Werkzeug encodes the name only when it writes the head. A name that is no Latin-1 ends that with an exception, half
a head after it began. Up to 3.0.1 the connection is kept then, with the content of the request still unread on it.
"""

import json
import os
import sys

from urllib.parse import parse_qs

from werkzeug.serving import run_simple

LOG = os.environ.get("TRUTH_LOG", os.devnull)


def application(environ, start_response):
    """Writes a line and answers; reads no content."""
    method, target = environ["REQUEST_METHOD"], environ["REQUEST_URI"]
    with open(LOG, "a") as log:
        log.write(json.dumps({"method": method, "target": target}) + "\n")
    name = parse_qs(environ["QUERY_STRING"]).get("name", ["stranger"])[0]
    secret = "the keys of the house: " if environ["PATH_INFO"] == "/admin" else ""
    body = f"{secret}{method} {target}\n".encode()
    fields = [("X-Greeting", f"Hello {name}"), ("Content-Length", str(len(body)))]
    start_response("200 OK", [("Content-Type", "text/plain"), *fields])
    return [body]


run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True)
