"""A page with a flaw: /ping puts what it is asked for into a shell's command line."""

import subprocess
import sys

from urllib.parse import parse_qs

from werkzeug.serving import run_simple


def application(environ, start_response):
    """Answers /ping with what the shell printed, everything else with a greeting."""
    query = parse_qs(environ["QUERY_STRING"])
    text = "hello\n"
    if environ["PATH_INFO"] == "/ping":
        command = f"echo pinging {query['host'][0]}"
        text = subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout
    body = text.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True)
