"""A stream that says it is a terminal, for tests of what is wrapped there."""

import io
import re


class Terminal(io.StringIO):
    """Text in memory, read without its colours."""

    def isatty(self):
        """Return True, as no pipe does."""
        return True

    def getvalue(self):
        """Return what was written, without colours."""
        return re.sub("\x1b\\[[0-9;]*m", "", super().getvalue())
