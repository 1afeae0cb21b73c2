"""What hosts and their copies do in tests."""

import os
import signal
import threading
import time
from pathlib import Path

from harness.processes import child

READ: list[str] = []


def read(text: str) -> None:
    READ.append(text)


def fail(text: str) -> None:
    raise ValueError(text)


def leave(text: str) -> None:
    os._exit(1)


def begin_a_thread(text: str) -> None:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def tell(path: Path) -> None:
    """Write the parent's number and what was read, and try to change it for the next."""
    path.write_text(f"{os.getppid()} {READ}")
    READ.append("something else")


def tell_and_wait(path: Path) -> None:
    child.die_with_parent()
    tell(path)
    time.sleep(600)


def be_killed(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exit_with_3(path: Path) -> None:
    os._exit(3)
