"""Runs a command to its end and writes what it used: wall and CPU seconds, and the peak of its resident memory.

usage.py REPORT COMMAND [ARGUMENT ...]
"""

import json
import os
import sys
import time

report, command = sys.argv[1], sys.argv[2:]
started = time.monotonic()
pid = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(pid, 0)
wall = time.monotonic() - started
unit = 1 if sys.platform == "darwin" else 1024
with open(report, "w") as file:
    json.dump(
        {
            "wallS": wall,
            "userS": usage.ru_utime,
            "systemS": usage.ru_stime,
            "rssBytes": usage.ru_maxrss * unit,
        },
        file,
    )
sys.exit(os.waitstatus_to_exitcode(status) % 256)
