"""
What our scripts share in dbt's interpreter.
"""

from __future__ import annotations

import subprocess
import sys

FAILING = """
import time
from multiprocessing.pool import ThreadPool
from cosmos_async.dbt.scripts.common import end_where_a_thread_fails

def node():
    raise TypeError("call_runner() takes 2 arguments")

{before}
pool = ThreadPool(1)
pool.apply_async(node, callback=print)
time.sleep({wait})
print("still here")
"""


def run(before: str, wait: float) -> subprocess.CompletedProcess[str]:
    script = FAILING.format(before=before, wait=wait)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_error_in_a_thread_of_dbt_ends_it():
    """
    dbt would wait for its node for ever; so a dbt that is built otherwise than we know ends in words.
    """
    ended = run("end_where_a_thread_fails()", 30)

    assert ended.returncode == 2
    assert "Error: dbt was stopped by an error in one of its threads: call_runner() takes 2" in ended.stdout
    assert "still here" not in ended.stdout


def test_it_would_go_on_otherwise():
    """
    Python keeps a thread's error for whoever asks for its result.
    """
    assert run("", 0.1).stdout == "still here\n"
