"""What the Python applications of the accuracy measurement share.

`GET /ID` is answered after one to three calls `GET /call/SHOWN/N` to the leaf. SHOWN is the id, or, where
a call shall share no word with its request (IDS=opaque), the id read backwards. HOW the calls are made is
each application's own business: in turn, parallel, or after a hop to another thread or turn of the loop.
"""

import os
import random

HOW = os.environ["HOW"]
IDS = os.environ["IDS"]
LEAF = ("127.0.0.1", int(os.environ["LEAF"]))


def calls(path):
    """The targets of the calls that a request makes."""
    request = path.removeprefix("/")
    shown = request if IDS == "plain" else request[::-1]
    return [f"/call/{shown}/{n}" for n in range(1 + int(request, 16) % 3)]


def wait():
    """Seconds until the next call: requests that are open at the same time overtake each other."""
    return random.uniform(0, 0.003)
