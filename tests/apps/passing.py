"""A server whose connections are not served by the descriptor that accepted them: `passing.py MODE PORT`.

fork: a child of the accepting process serves. dup: another descriptor of the same process. pass: another
process, which got the descriptor as a message over a unix socket.
"""

import os
import socket
import sys


def serve(connection):
    """Answers until the client closes."""
    pending = b""
    while data := connection.recv(65536):
        pending += data
        while b"\r\n\r\n" in pending:
            _, pending = pending.split(b"\r\n\r\n", 1)
            body = str(os.getpid()).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    connection.close()


def by_fork(connection):
    if os.fork() == 0:
        serve(connection)
        os._exit(0)
    connection.close()


def by_dup(connection):
    other = socket.socket(fileno=os.dup(connection.fileno()))
    connection.close()
    serve(other)


def worker():
    """A process that serves the connections it is passed."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        while True:
            _, descriptors, _, _ = socket.recv_fds(theirs, 1, 1)
            serve(socket.socket(fileno=descriptors[0]))
    return ours


def main(mode, port):
    to_worker = worker() if mode == "pass" else None
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        if mode == "fork":
            by_fork(connection)
        elif mode == "dup":
            by_dup(connection)
        else:
            socket.send_fds(to_worker, [b"x"], [connection.fileno()])
            connection.close()


main(sys.argv[1], int(sys.argv[2]))
