# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C while the core runs.

Python runs its signal handlers only between its own bytecodes, and a guest that never touches a Python device would keep them
waiting for ever. So, while the core runs, a thread waits for the interpreter's wake-up byte and tells the core to stop.

Nor may the handler run inside a device's callback: what it raises at the callback's very first bytecode is out of every `try`'s
reach, and lost. So Ctrl-C's own handler is held back meanwhile, and called when the core has stopped; a second Ctrl-C calls it
at once.
"""

import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType


class StopOnSignal:
    """Context manager: any signal Python handles also calls `interrupt`. Does nothing outside the main thread."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._active = False
        self._handler: Callable[[int, FrameType | None], object] | None = None
        self._held = 0

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._old = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._active = True
        self._thread = threading.Thread(target=self._watch, name="stop-on-signal", daemon=True)
        self._thread.start()
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            self._handler = handler
            signal.signal(signal.SIGINT, self._hold)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._held += 1
        if self._held > 1 and self._handler is not None:
            self._handler(number, frame)
        self._interrupt()

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
        if self._handler is not None:
            handler, self._handler, held, self._held = self._handler, None, self._held, 0
            signal.signal(signal.SIGINT, handler)
            if held:
                handler(signal.SIGINT, None)
