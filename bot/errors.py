"""What a platform's refusal means for the delivery. A platform translates every error of its library into one of these.

    PlatformError
    ├── Retry    not now: wait ``after_s`` in this chat, others go on (429, 5xx, reset, time-out)
    ├── Reject   never: this message, or with ``chat_gone`` the whole chat (blocked, kicked, deleted), which is parked
    ├── Moved    the chat has another id now: what it watches and what it is owed move with it
    └── Fatal    no chat can be served (token revoked, another copy has taken over): the process ends, non-zero

Any other exception is a fault of ours: logged, retried a few times, then the delivery is dead.
"""
# ruff: noqa: N818 - the names say what to do, and are read in `except` clauses


class PlatformError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(PlatformError):
    """``ambiguous``: the message may have arrived all the same, so the next one says that it may be a repeat.
    ``everywhere``: the platform told the bot as a whole to wait, not this chat alone."""

    def __init__(self, reason: str, after_s: float, *, ambiguous: bool = False, everywhere: bool = False) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.ambiguous = ambiguous
        self.everywhere = everywhere


class Reject(PlatformError):
    def __init__(self, reason: str, *, chat_gone: bool = False) -> None:
        super().__init__(reason)
        self.chat_gone = chat_gone


class Moved(PlatformError):
    def __init__(self, reason: str, chat_id: str) -> None:
        super().__init__(reason)
        self.chat_id = chat_id


class Fatal(PlatformError):
    pass
