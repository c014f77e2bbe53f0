"""The arrows and house rules of `docs/ARCHITECTURE.md`, each shown to turn red on a planted fault."""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
RINGS = ("detectors", "storage", "bot")
MOST_LINES = 400
# fmt: off
PURE_LIBRARIES = frozenset({
    "abc", "base64", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "heapq", "importlib", "itertools", "json", "math", "numpy", "operator", "pkgutil", "re",
    "statistics", "string", "struct", "textwrap", "typing", "zlib",
})
# fmt: on
"""What the core may lean on. Neither I/O nor a clock nor randomness is among them."""
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "__import__"})
IMPURE_NAMES = frozenset({"numpy.random", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"})
HOMES = {
    "ccxt": ("bot/markets/",),
    "telegram": ("bot/platforms/telegram.py", "bot/platforms/telegram/"),
    "discord": ("bot/platforms/discord.py", "bot/platforms/discord/"),
    "apscheduler": ("bot/schedule.py",),
    "matplotlib": ("bot/chart.py", "bot/chart/"),
    "sqlite_utils": ("storage/",),
    "sqlite3": ("storage/",),
}
"""The only places in the three rings that may import a library."""
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|work|mnt)/\w|[A-Z]:\\Users\\")
REGISTRY = re.compile(
    r"(?i)(?:extra-)?index[-_]url\s*=|find[-_]links\s*=|--(?:extra-)?index[-]url|--find[-]links|trusted[-]host"
    r"|https?://[^\s/\"']*(?:[a]rtifactory|[n]exus|[d]evpi|\.internal\b|\.corp\b)"
)


def module_name(path: str) -> str:
    """``bot/markets/__init__.py`` is ``bot.markets``."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: str, source: str) -> Iterator[str]:
    """Every module or name that the source imports, anywhere in it, with its full dotted path."""
    package = PurePosixPath(path).parent.parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def import_faults(path: str, source: str) -> list[str]:
    """What is wrong with the imports of one file of the three rings, one sentence each."""
    ring, name = path.split("/")[0], module_name(path)
    faults = []
    for imported in sorted(set(imports(path, source))):
        top = imported.split(".")[0]
        homes = HOMES.get(top)
        if homes and not path.startswith(homes):
            faults.append(f"{path} imports {top}, whose place is {homes[0]}")
        if imported.startswith("matplotlib.pyplot"):
            faults.append(f"{path} imports pyplot, which keeps every figure for ever")
        if ring == "detectors" and top != "detectors" and top not in PURE_LIBRARIES:
            faults.append(f"{path} imports {top}: the core is pure and knows nothing outside itself")
        if ring == "storage" and (top == "bot" or imported.startswith(("detectors.kinds", "detectors.registry"))):
            faults.append(f"{path} imports {imported}: storage knows neither the shell nor any event kind")
        if (
            path.startswith("detectors/kinds/")
            and imported.startswith("detectors.kinds.")
            and name != "detectors.kinds"
        ):
            faults.append(f"{path} imports {imported}: kinds never import kinds")
        if ring == "bot" and imported.startswith("detectors.kinds."):
            faults.append(f"{path} imports {imported}: the shell knows kinds through the registry only")
    return faults


def impurities(path: str, source: str) -> list[str]:
    """Calls and names in the core that do I/O, read the clock or draw at random."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            faults.append(f"{path}:{node.lineno} calls {node.func.id}")
        if isinstance(node, ast.Attribute):
            dotted = re.sub(r"^np\.", "numpy.", ast.unparse(node))
            if any(dotted == name or dotted.endswith(f".{name}") for name in IMPURE_NAMES):
                faults.append(f"{path}:{node.lineno} uses {dotted}")
    return faults


def import_cycle(sources: Mapping[str, str]) -> list[str]:
    """Modules along one import cycle among these files, empty where there is none."""
    modules = {module_name(path): path for path in sources}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        wanted = set()
        for imported in imports(path, sources[path]):
            target = imported if imported in modules else imported.rpartition(".")[0]
            if target in modules and target != module:
                wanted.add(target)
        graph[module] = wanted
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def line_faults(path: str, source: str) -> list[str]:
    lines = source.count("\n")
    return [f"{path} has {lines} lines, over {MOST_LINES}"] if lines > MOST_LINES else []


def text_faults(path: str, text: str) -> list[str]:
    """Paths of one machine and hosts of one registry; neither belongs in a repository."""
    found = [match for pattern in (MACHINE_PATH, REGISTRY) for match in pattern.finditer(text)]
    return [f"{path}:{text.count(chr(10), 0, m.start()) + 1} holds {m.group()!r}" for m in found]


def read(*folders: str) -> dict[str, str]:
    """Source text of every Python file under these folders, by path from the checkout."""
    files = (file for folder in folders for file in sorted((CHECKOUT / folder).rglob("*.py")))
    return {file.relative_to(CHECKOUT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def faults_of(planted: dict[str, str]) -> list[str]:
    return [fault for path, source in planted.items() for fault in import_faults(path, source)]


def test_every_import_follows_the_arrows() -> None:
    sources = read(*RINGS)
    assert {path.split("/")[0] for path in sources} == set(RINGS)
    assert faults_of(sources) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("detectors/clusters.py", "from storage.store import Store"),
        ("detectors/clusters.py", "import bot.policy"),
        ("detectors/clusters.py", "def late():\n    import time"),
        ("detectors/clusters.py", "from random import random"),
        ("detectors/clusters.py", "import pathlib"),
        ("detectors/clusters.py", "from ..bot import policy"),
        ("storage/store.py", "from bot.policy import decide"),
        ("storage/store.py", "from detectors.kinds import funding_shock"),
        ("storage/store.py", "from detectors.registry import find_kinds"),
        ("detectors/kinds/cluster_formed.py", "from detectors.kinds.funding_shock import Settings"),
        ("detectors/kinds/cluster_formed.py", "from detectors.kinds import funding_shock"),
        ("detectors/kinds/cluster_formed.py", "from . import funding_shock"),
        ("bot/message.py", "from detectors.kinds.funding_shock import Settings"),
        ("bot/chart/picture.py", "from matplotlib import pyplot"),
        ("bot/chart/picture.py", "import matplotlib.pyplot as plt"),
    ],
)
def test_a_planted_import_against_the_arrows_is_found(path: str, source: str) -> None:
    assert import_faults(path, source)


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_only_in_its_own_place(library: str) -> None:
    assert import_faults("bot/commands.py", f"import {library}")
    assert import_faults("bot/platforms/other.py", f"from {library}.part import name")
    home = HOMES[library][0]
    assert import_faults(home if home.endswith(".py") else f"{home}inside.py", f"import {library}") == []


def test_a_file_that_only_sounds_like_the_home_of_a_library_is_not_it() -> None:
    assert import_faults("bot/platforms/telegram_extras.py", "import telegram")
    assert import_faults("bot/charts.py", "import matplotlib")


def test_the_core_does_no_io_reads_no_clock_and_draws_nothing_at_random() -> None:
    assert [fault for path, source in read("detectors").items() for fault in impurities(path, source)] == []


@pytest.mark.parametrize(
    "source",
    [
        "open('a')",
        "print(1)",
        "np.random.default_rng(1)",
        "numpy.random.normal()",
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "def f(): return date.today()",
    ],
)
def test_a_planted_impurity_is_found(source: str) -> None:
    assert impurities("detectors/clusters.py", source)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert import_cycle(read(*RINGS)) == []


def test_a_planted_circle_is_found_however_it_is_written() -> None:
    planted = {
        "bot/a.py": "from bot import b",
        "bot/b.py": "def late():\n    from bot.c import thing",
        "bot/c.py": "from .a import other",
    }
    assert set(import_cycle(planted)) == {"bot.a", "bot.b", "bot.c"}
    del planted["bot/c.py"]
    assert import_cycle(planted) == []


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    sources = read(*RINGS, "tests", "benchmarks")
    assert [fault for path, source in sources.items() for fault in line_faults(path, source)] == []
    assert line_faults("bot/long.py", "\n" * 401)


def test_pyproject_lists_every_package() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    inits = (file for ring in RINGS for file in (CHECKOUT / ring).rglob("__init__.py"))
    there = {file.parent.relative_to(CHECKOUT).as_posix().replace("/", ".") for file in inits}
    assert set(project["tool"]["setuptools"]["packages"]) == there


def test_every_folder_with_python_in_it_is_a_package() -> None:
    folders = {(CHECKOUT / path).parent for path in read(*RINGS, "tests")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_tracked_file_names_a_path_of_one_machine_or_a_registry() -> None:
    git = shutil.which("git")
    if git is None or not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout, so there is no list of tracked files")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    faults = []
    for path in filter(None, listed.split("\0")):
        file = CHECKOUT / path
        if file.is_file() and b"\0" not in (raw := file.read_bytes()):
            faults += text_faults(path, raw.decode())
    assert faults == []


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "home/someone/project",
        "open('/" + "work/shared/markets')",
        "--index" + "-url https://example.org/simple",
        "find" + "-links = /wheels",
        "https://art" + "ifactory.example.org/pypi",
    ],
)
def test_a_planted_machine_path_or_registry_is_found(text: str) -> None:
    assert text_faults("README.md", f"first line\n{text}\n")
    assert ":2 " in text_faults("README.md", f"first line\n{text}\n")[0]


def test_an_address_on_the_web_is_no_machine_path() -> None:
    assert text_faults("README.md", "https://example.org/home/page and ../shared/markets") == []
