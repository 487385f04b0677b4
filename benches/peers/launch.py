"""Runs a command once, and prints microseconds from exec to exit and the peak of its memory in KiB.

A program of its own, as small as can be: Linux counts what a process held before exec, which is its
parent's memory, towards its peak, and to copy a large parent takes time.
"""

import os
import subprocess
import sys
import time

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
printed = process.stdout.read()
_, status, usage = os.wait4(process.pid, 0)
elapsed = time.perf_counter() - start
process.returncode = os.waitstatus_to_exitcode(status)
if process.returncode or not printed.strip():
    sys.exit(f"exit status {process.returncode}, printed {printed[:80]!r}")
print(elapsed * 1e6, usage.ru_maxrss)
