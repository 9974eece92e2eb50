# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C while the core runs.

Python runs its signal handlers only between its own bytecodes, and a guest that never touches a Python device would keep them
waiting for ever. So, while the core runs, a thread waits for the interpreter's wake-up byte and tells the core to stop; back
in Python the handler then does what it always does (raise KeyboardInterrupt, unless somebody set another).
"""

import signal
import socket
import threading
from collections.abc import Callable


class StopOnSignal:
    """Context manager: any signal Python handles also calls `interrupt`. Does nothing outside the main thread."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._active = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._old = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._active = True
        self._thread = threading.Thread(target=self._watch, name="stop-on-signal", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            received = self._reader.recv(64)
            if not received or 0 in received:  # 0: leave
                return
            self._interrupt()

    def __exit__(self, *exception: object) -> None:
        if not self._active:
            return
        signal.set_wakeup_fd(self._old)
        self._writer.setblocking(True)
        self._writer.send(b"\0")
        self._thread.join()
        self._reader.close()
        self._writer.close()
        self._active = False
