"""Run a program that dies with the process that started it: ``python -I -S follow.py PROGRAM ARGUMENT...``.

The kernel keeps the promise (PR_SET_PDEATHSIG), so it holds when the starter is killed too. It watches the *thread* that
started this one: start it from a thread that lives as long as its process.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  (that is the purpose)
