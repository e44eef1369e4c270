"""
Whose process is at the other end of a connection on this machine.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

TABLE = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _USER = 1, 2, 7  # columns of the kernel's table

Address = tuple[str, int]


def is_of_this_user(peer: Address, here: Address) -> bool:
    """
    Tell whether the other end of a connection belongs to a process of the user who runs this one.

    False where the system does not tell, as it does on Linux alone.

    Args:
        peer: The other end's address, of IPv4.
        here: Our own end's.
    """
    wanted = [_as_in_the_table(peer), _as_in_the_table(here)]
    try:
        lines = TABLE.read_text().splitlines()[1:]
    except OSError:
        return False
    rows = [line.split() for line in lines]
    users = {int(row[_USER]) for row in rows if [row[_LOCAL], row[_REMOTE]] == wanted}
    return users == {os.geteuid()}


def _as_in_the_table(address: Address) -> str:
    host, port = address
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"
