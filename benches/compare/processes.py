"""Programs that run while something is measured, each on its cores."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess

from client import wait_until_listening

CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[0], CORES[-1]


@contextlib.contextmanager
def running(command, cores, port, log):
    """Runs a command pinned to cores until it listens and the caller is done, and ends it with all its children."""

    def prepare():
        os.sched_setaffinity(0, cores)
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: it ends when the bench is killed

    complaints = pathlib.Path(f"{log}.err")
    with open(log, "ab") as output, open(complaints, "ab") as errors:
        process = subprocess.Popen([str(part) for part in command], cwd=log.parent, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=errors, preexec_fn=prepare, start_new_session=True)
    try:
        if not wait_until_listening(port, process):
            raise RuntimeError(f"{command[0]} does not listen; it said:\n{complaints.read_text()[-2000:]}")
        yield process
    finally:
        stop(process)


def stop(process):
    """Asks the process and its children to end, and insists after ten seconds.

    It asks again every two seconds: nginx overlooks a signal that comes just before it goes to sleep.
    """
    for sign in (signal.SIGTERM,) * 5 + (signal.SIGKILL,):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
            return
