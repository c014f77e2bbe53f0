"""What a planted fault is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """``old`` occurs once in ``file`` and becomes ``new``; every one of ``tests`` (pytest's ids) then fails."""

    promise: str
    breaks: str
    """One plain sentence for the operator who wonders what would be seen."""
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def planted(self, source: str) -> str:
        """The file's text with the fault in it. Raises ValueError where it does not occur exactly once."""
        found = source.count(self.old)
        if found != 1:
            raise ValueError(
                f"{self.promise}, {self.breaks!r}: the text to replace occurs {found} times in {self.file}; "
                "bring tests/promises in line with the code"
            )
        return source.replace(self.old, self.new)
