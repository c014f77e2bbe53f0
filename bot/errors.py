"""What a platform's refusal means for the delivery. A platform translates every error of its library into one of these.

    PlatformError
    ├── Retry    not now: wait ``after_s`` in this chat, others go on (429, 5xx, reset, time-out)
    ├── Reject   never: this message, or with ``chat_gone`` the whole chat (blocked, kicked, deleted), which is parked
    └── Fatal    no chat can be served (token revoked, another copy has taken over): the process ends, non-zero

Any other exception is a fault of ours: logged, retried a few times, then the delivery is dead.
"""
# ruff: noqa: N818 - the names say what to do, and are read in `except` clauses


class PlatformError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(PlatformError):
    """``ambiguous``: the message may have arrived all the same, so the next one says that it may be a repeat."""

    def __init__(self, reason: str, after_s: float, *, ambiguous: bool = False) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.ambiguous = ambiguous


class Reject(PlatformError):
    def __init__(self, reason: str, *, chat_gone: bool = False) -> None:
        super().__init__(reason)
        self.chat_gone = chat_gone


class Fatal(PlatformError):
    pass
