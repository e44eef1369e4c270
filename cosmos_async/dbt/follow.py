"""
Run a program that ends with whoever has started us, even if that is killed: a program cannot look after itself as our scripts do.

A script of its own that imports nothing of ours: ``python -I -S follow.py PROGRAM ARGUMENT...``. Its end is the program's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

SECONDS_TO_CANCEL = 10.0  # for the program, from SIGINT to SIGKILL


def main(command: list[str]) -> int:
    """Run *command* until it ends, or until the other end of our input is gone; return its exit code."""
    # Signals go to our whole process group. The program obeys them, and we go on until it has ended.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # unlike SIG_IGN, the program does not inherit it
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return 127

    def watch() -> None:
        while os.read(0, 1024):
            pass
        child.send_signal(signal.SIGINT)
        try:
            child.wait(SECONDS_TO_CANCEL)
        except subprocess.TimeoutExpired:
            child.kill()

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()
    exit_code = child.wait()
    if exit_code < 0:
        if -exit_code in (signal.SIGINT, signal.SIGTERM):
            signal.signal(-exit_code, signal.SIG_DFL)
        os.kill(os.getpid(), -exit_code)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
