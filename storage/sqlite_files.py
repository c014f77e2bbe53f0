"""A SQLite database file's life: checked before it is used, set aside when corrupt, backed up, restored.

A marker file beside the database says that one was made. Without it a lost file could not be told from a first start,
and SQLite would silently make an empty one.
"""

import errno
import fcntl
import glob
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import DatabaseLost, NotOurs, NotWritable
from storage.migrations import APPLICATION_ID
from storage.sql import Connection

_MAGIC = b"SQLite format 3\x00"
_KEEP = 3
_BALLAST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """The database at ``path`` and the files beside it."""

    path: Path
    _lock: list[int] = field(default_factory=list, compare=False)
    """The lock file, open while this process leads."""
    _made: list[Path] = field(default_factory=list, compare=False)
    """Folders that were made for it, the innermost first."""

    def lock(self) -> bool:
        """Whether this process is now the only one that may open the database; it ends with the process.

        Raises NotWritable.
        """
        if self._lock:
            return True
        with _usable(self.path):
            return self._take_lock()

    def _take_lock(self) -> bool:
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self._make_folder()
        file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = self._lock_path.exists() and os.path.samestat(os.fstat(file), self._lock_path.stat())
        except BlockingIOError:
            held = False
        except BaseException:
            os.close(file)
            raise
        if held:
            self._lock.append(file)
        else:  # another's, or one that was removed between our opening and locking it
            os.close(file)
        return held

    def unlock(self) -> None:
        if self._lock:
            self._lock_path.unlink(missing_ok=True)
            os.close(self._lock.pop())
        while self._made:  # a start that fails leaves nothing behind
            with suppress(OSError):  # there is something in it now
                self._made.pop(0).rmdir()

    def _make_folder(self) -> None:
        folders = [self.path.parent, *self.path.parent.parents]
        self._made.extend(folder for folder in folders if not folder.exists())
        self.path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    @property
    def marker(self) -> Path:
        return self.path.with_name(self.path.name + ".marker")

    def backups(self) -> list[Path]:
        """Newest first."""
        return sorted(self._beside(".backup-*[0-9]"), reverse=True)

    def ready(self) -> list[str]:
        """Make sure that ``path`` is sound, or absent because none was ever made; what was done about it.

        Raises DatabaseLost, NotOurs, NotWritable.
        """
        with _usable(self.path):
            return self._make_sound()

    def _make_sound(self) -> list[str]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        known = self.marker.exists() or bool(self.backups())
        if not self.path.exists() or (self.path.stat().st_size == 0 and not known):
            if not known:
                return []
            aside = self._set_aside("orphan")  # a write-ahead log without its database must not meet another one
            return self._restore(f"{self.path} is missing", aside)
        problem = _problem(self.path, ours=known)
        if problem is None:
            return []
        return self._restore(f"{self.path} is damaged ({problem})", self._set_aside("corrupt"))

    def keep_ballast(self) -> bool:
        """Hold some room on the disk back; False where there is none left to hold."""
        ballast, part = self._ballast, self._ballast.with_name(self._ballast.name + ".part")
        if ballast.exists():
            return True
        try:
            with part.open("wb") as file:
                file.write(bytes(_BALLAST_BYTES))
                file.flush()
                os.fsync(file.fileno())
            part.replace(ballast)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            return False
        return True

    def give_up_ballast(self) -> bool:
        """Free that room; whether there was any. On a full disk a write-ahead log cannot even delete."""
        there = self._ballast.exists()
        self._ballast.unlink(missing_ok=True)
        return there

    @property
    def _ballast(self) -> Path:
        return self.path.with_name(self.path.name + ".ballast")

    def mark(self) -> None:
        """Raises NotWritable."""
        with _usable(self.marker):
            self.marker.write_text(
                f"{self.path.name} was made by Clusterwatch. If it is lost, the bot refuses to start on an empty one;\n"
                "delete this file and the backups to start afresh.\n"
            )

    def backup(self, connection: Connection) -> Path:
        """A compact copy; complete and checked before it takes its name, and the oldest beyond three go."""
        backups = self.backups()
        number = int(backups[0].name.rpartition("-")[2]) + 1 if backups else 1
        target = self.path.with_name(f"{self.path.name}.backup-{number:06d}")
        part = target.with_name(target.name + ".part")
        part.unlink(missing_ok=True)
        try:
            connection.execute("VACUUM INTO ?", (str(part),))
            problem = _problem(part, ours=True)
            if problem is not None:
                raise DatabaseLost(f"The backup of {self.path} is not sound ({problem}): see to the disk.")
            _publish(part, target)
        finally:
            part.unlink(missing_ok=True)  # a full disk has no room for half a backup
        for old in self.backups()[_KEEP:]:
            old.unlink()
        return target

    def _beside(self, tail: str) -> Iterator[Path]:
        return self.path.parent.glob(glob.escape(self.path.name) + tail)

    def _set_aside(self, suffix: str) -> Path | None:
        """Rename the database and its logs; where the database is now, None where there was none."""
        number = 1
        while any(self._beside(f"*.{suffix}-{number}")):
            number += 1
        for tail in ("-wal", "-shm", ""):
            file = self.path.with_name(self.path.name + tail)
            if file.exists():
                file.rename(file.with_name(f"{file.name}.{suffix}-{number}"))
        aside = self.path.with_name(f"{self.path.name}.{suffix}-{number}")
        return aside if aside.exists() else None

    def _restore(self, found: str, aside: Path | None) -> list[str]:
        where = f" It was set aside as {aside}." if aside else ""
        for backup in self.backups():
            if _problem(backup, ours=True) is None:
                part = self.path.with_name(self.path.name + ".part")
                shutil.copyfile(backup, part)
                _publish(part, self.path)
                return [f"{found}.{where} The backup {backup.name} took its place; later changes are lost."]
        raise DatabaseLost(
            f"{found}, and there is no sound backup beside it.{where} Bring the file back from elsewhere, or, "
            f"to start afresh with no subscriptions and no history, delete {self.marker} and start again."
        )


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """What the system refuses is for the operator to put right. Raises NotWritable."""
    try:
        yield
    except OSError as error:
        raise NotWritable(path, error.strerror or str(error)) from error


def _publish(part: Path, target: Path) -> None:
    """Make the bytes last before the name does."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def _problem(path: Path, *, ours: bool) -> str | None:
    """What is wrong with a database file; None when it is sound. Raises NotOurs for another program's file."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            if ours:
                return "not a database"
            raise NotOurs(f"{path} is not a database of Clusterwatch: name another file.")
    try:
        with closing(sqlite3.connect(path)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        raise  # locked or not readable, which says nothing about what is in it
    except sqlite3.DatabaseError as error:
        return str(error)
    if verdict != "ok":
        return str(verdict).splitlines()[0]
    if ours:
        return "it is empty" if not tables else None
    if tables and application != APPLICATION_ID:
        raise NotOurs(f"{path} is not a database of Clusterwatch: name another file.")
    return None
