"""Answers one request, run by uWSGI. What the query says it does before: `call` names a host that it calls for
`/leaf/ID`, `say` is what it has a shell say. `/status-N` answers with that status code.

The response has no length: the end of the connection is its end.
"""

import os
import urllib.request

from urllib.parse import parse_qs


def application(environ, start_response):
    """Answers one request."""
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    action = environ["PATH_INFO"].rsplit("/", 1)[-1]
    content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if "call" in query:
        with urllib.request.urlopen(f"http://{query['call']}/leaf/{query['id']}") as response:
            response.read()
    if "say" in query:
        os.system(f": {query['say']}")
    status = action.removeprefix("status-") if action.startswith("status-") else "200"
    start_response(f"{status} Status", [("Content-Type", "text/plain")])
    return [b"x" * len(content)]
