"""For gunicorn's threads: any of them takes a connection's next request.

Calls go through one `requests.Session`. The hop is a queue to a single background thread.
"""

import queue
import threading
import time

from concurrent.futures import Future, ThreadPoolExecutor

import requests

from requests.adapters import HTTPAdapter

import plan

SESSION = requests.Session()
SESSION.trust_env = False
SESSION.mount("http://", HTTPAdapter(pool_maxsize=32))
POOL = ThreadPoolExecutor(32)
JOBS = queue.Queue()


def call(target):
    """One call, after a while."""
    time.sleep(plan.wait())
    SESSION.get("http://%s:%d%s" % (*plan.LEAF, target)).raise_for_status()


def in_turn(targets):
    """One after the other."""
    for target in targets:
        call(target)


def parallel(targets):
    """All at once."""
    list(POOL.map(call, targets))


def hop(targets):
    """By the background thread."""
    done = Future()
    JOBS.put((targets, done))
    done.result()


def background():
    """Does what was queued, a job at a time."""
    while True:
        targets, done = JOBS.get()
        in_turn(targets)
        done.set_result(None)


MAKE = {"turn": in_turn, "parallel": parallel, "hop": hop}[plan.HOW]
if plan.HOW == "hop":
    threading.Thread(target=background, daemon=True).start()


def application(environ, start_response):
    """Calls, then answers."""
    MAKE(plan.calls(environ["PATH_INFO"]))
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
