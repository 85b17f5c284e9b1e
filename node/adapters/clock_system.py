"""The `Clock` port on the machine's own clock and the running asyncio loop."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Wall-clock time and real sleeping."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait; a negative duration only yields to the loop."""
        await asyncio.sleep(max(0.0, seconds))
