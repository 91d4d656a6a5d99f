"""Ends what a test or the demo started, however that run ends: return, exception, Ctrl-C, SIGTERM or SIGKILL.

A Reaper is a child process in a session of its own. It reads from a pipe what exists (processes by pid and start time, folders);
when the pipe closes, because close() was called or because the parent is gone, it ends the processes in reverse order, waits for
them and removes the folders. Not for use from several threads at once without the lock it brings.
"""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time


def start_time(pid):
    """Clock ticks since boot at which the process started, or None when there is none: tells a pid from its reuse."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid, started):
    return started is not None and start_time(pid) == started


class Reaper:
    def __init__(self):
        self._lock = threading.Lock()
        read_end, self._pipe = os.pipe()
        self._child = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(os.getpid())], stdin=read_end, cwd="/",
                                       start_new_session=True)
        os.close(read_end)

    def _say(self, line):
        with self._lock:
            os.write(self._pipe, line.encode() + b"\n")

    def process(self, pid, how=signal.SIGKILL):
        """`how`: the signal that ends it at once; PostgreSQL wants SIGQUIT."""
        self._say(f"process {pid} {start_time(pid)} {int(how)}")

    def folder(self, path):
        self._say(f"folder {path}")

    def keep(self):
        """Forget everything: what was started lives on (deploy/demo --keep)."""
        self._say("keep")

    def close(self):
        os.close(self._pipe)
        self._child.wait()


def _end(pid, started, how):
    if alive(pid, started):
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            pass


def _reap(processes):
    for pid, started, how in reversed(processes):
        _end(pid, started, how)
    deadline = time.monotonic() + 10
    while any(alive(pid, started) for pid, started, _ in processes):
        if time.monotonic() > deadline:
            for pid, started, _ in processes:
                _end(pid, started, signal.SIGKILL)
        time.sleep(0.02)


def main():
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    processes, folders = [], []
    for line in sys.stdin:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if verb == "process":
            pid, started, how = rest.split()
            processes.append((int(pid), None if started == "None" else int(started), int(how)))
        elif verb == "folder":
            folders.append(rest)
        else:
            processes, folders = [], []
    _reap(processes)
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
