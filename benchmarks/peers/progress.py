"""Says on standard error how many events are done, from a thread, ten times a second."""

import sys
import threading
import time
from typing import Final

_EVERY_SECONDS: Final = 0.1


class Progress:
    """Counts; a plain attribute, so that counting costs next to nothing."""

    def __init__(self) -> None:
        self.done = 0
        threading.Thread(target=self._say, daemon=True).start()

    def _say(self) -> None:
        while True:
            time.sleep(_EVERY_SECONDS)
            print(f"done {self.done}", file=sys.__stderr__, flush=True)
