#!/usr/bin/env python3
"""Becomes a command that is passed sockets, as systemd does it (sd_listen_fds(3)).

`passing.py NAME=WHERE... -- COMMAND...`: WHERE is `stdin` (the socket that this has as its standard
input), `HOST:PORT`, a path, `udp`, or `connection`. With `LISTEN_PID=PID` in front that is whose they are.
"""

import os
import socket
import sys


def opened(where):
    if where == "stdin":
        return socket.socket(fileno=os.dup(0))
    if where == "udp":
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if where == "connection":
        return socket.socketpair()[0]
    if "/" in where:
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(where)
    else:
        host, port = where.rsplit(":", 1)
        bound = socket.socket()
        bound.bind((host, int(port)))
    bound.listen(100)
    return bound


def main():
    end = sys.argv.index("--")
    wanted, command = [word.partition("=") for word in sys.argv[1:end]], sys.argv[end + 1:]
    pid = os.getpid()
    if wanted and wanted[0][0] == "LISTEN_PID":
        wanted, pid = wanted[1:], wanted[0][2]
    # Out of the way first: their numbers may be those that they are to have.
    sockets = [os.dup2(opened(where).detach(), 100 + place) for place, (_, _, where) in enumerate(wanted)]
    for place, number in enumerate(sockets):
        os.dup2(number, 3 + place)
        os.close(number)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    names = ":".join(name for name, _, _ in wanted)
    passed = {"LISTEN_PID": str(pid), "LISTEN_FDS": str(len(wanted)), "LISTEN_FDNAMES": names}
    os.execve(command[0], command, os.environ | passed)


main()
