"""What can be wrong with a store, each with its fix.

StoreError
├── WrongSource        the database was filled from another source: another kind, recording or simulation
├── DatabaseLost       it is corrupt or missing, and no backup could take its place
├── NotOurs            the file is another program's, or a newer version's
├── NotWritable        the file can be neither made nor used where it was asked for: rights, or no such place
├── StoreUnavailable   locked, unreachable, or the disk is full: the same call may succeed later
├── Superseded         another copy took over while the connection was lost: this process has to end
└── QuotaExceeded      a chat asks for more subscriptions than it may have
"""
# ruff: noqa: N818 - the names are read in `except` clauses and say what happened


class StoreError(Exception):
    """The text is for the operator and names the file or key and the fix."""


class WrongSource(StoreError):
    def __init__(self, where: str, bound: str, asked: str, otherwise: str = "") -> None:
        """``bound`` and ``asked`` name the sources, each with its article; ``otherwise`` what else it could take."""
        go_on = f"{bound} or {otherwise}" if otherwise else bound
        super().__init__(
            f"{where} holds {bound} and cannot take {asked}: "
            f"name another database ([store] path, --db or DATABASE_URL), or go on with {go_on}."
        )


class DatabaseLost(StoreError):
    pass


class NotOurs(StoreError):
    pass


class NotWritable(StoreError):
    def __init__(self, where: object, why: str) -> None:
        super().__init__(
            f"{where} cannot be made or used ({why}): give the account that runs the bot the right to write there, or "
            "name another place ([store] path, --db, --to)."
        )


class StoreUnavailable(StoreError):
    pass


class Superseded(StoreError):
    def __init__(self, where: str) -> None:
        super().__init__(f"Another copy of Clusterwatch took {where} over while this one had lost it: this one ends.")


class QuotaExceeded(StoreError):
    def __init__(self, limit: int, text: str = "A chat can watch {limit} markets at most: /unwatch one first.") -> None:
        super().__init__(text.format(limit=limit))
