"""A request's parameters, read strictly: whatever a venue would not understand is refused in the venue's words."""

from collections.abc import Callable, Iterable, Mapping

Document = dict[str, object] | list[object] | str


class Refusal(Exception):  # noqa: N818 - a venue's answer, not a fault of ours
    """A venue says no: its status, body and headers."""

    def __init__(self, status: int, body: Document, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class Query:
    """Parameters by name. ``refuse(name, problem)`` makes the venue's refusal; problem is missing, bad or unknown."""

    def __init__(self, given: Mapping[str, str], refuse: Callable[[str, str], Refusal]) -> None:
        self._given = given
        self._refuse = refuse
        self._read: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str:
        """Raises `Refusal` when it is missing and has no default."""
        self._read.add(name)
        value = self._given.get(name, default)
        if value is None or (value == "" and default is None):
            raise self._refuse(name, "missing")
        return value

    def choice(self, name: str, options: Iterable[str], default: str | None = None) -> str:
        value = self.text(name, default)
        if value not in options:
            raise self._refuse(name, "bad")
        return value

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number in ``low`` .. ``high``."""
        value = self.optional(name)
        if value is None:
            return default
        if not low <= value <= high:
            raise self._refuse(name, "bad")
        return value

    def optional(self, name: str) -> int | None:
        self._read.add(name)
        text = self._given.get(name)
        if text is None:
            return None
        if not text.removeprefix("-").isdecimal():
            raise self._refuse(name, "bad")
        return int(text)

    def finish(self) -> None:
        """Raises `Refusal` for the first parameter that nobody has read."""
        for name in self._given:
            if name not in self._read:
                raise self._refuse(name, "unknown")
