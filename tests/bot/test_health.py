"""``/healthz``, ``/metrics`` and the dead man's switch."""

import asyncio
import gc
import io
import platform
import re
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from bot.app import App, make_feed
from bot.config import Config, ConfigError, HealthSection, parse
from bot.health import Health, _call, port_of, serving
from bot.lag import LoopLag
from bot.memory import give_back, resident_bytes, settle
from bot.platforms.console import Printer
from bot.probes import probes
from storage.errors import StoreUnavailable
from storage.sqlite import SqliteStore
from storage.store import Counts
from tests.bot.played import DAYS, SEED, config
from tests.conftest import CHECKOUT


class SteadyClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Failing(SqliteStore):
    error: Exception | None = None
    hangs = False

    async def counts(self) -> Counts:
        if self.hangs:
            await asyncio.sleep(60)
        if self.error is not None:
            raise self.error
        return await super().counts()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def settings(tmp_path: Path) -> Config:
    return config(
        source={"seed": SEED, "days": DAYS, "markets": ["BTC"]},
        charts={"draw": False},
        store={"path": str(tmp_path / "bot.db")},
    )


@asynccontextmanager
async def watched(tmp_path: Path, clock: SteadyClock) -> AsyncIterator[tuple[App, Health, Failing]]:
    made = settings(tmp_path)
    store = Failing(tmp_path / "bot.db", "simulated")
    printer = Printer(Console(file=io.StringIO(), width=160))
    health = Health(version="1.2.3", beat_every_s=30, ticks_within_s=60, steady_s=clock)
    async with App(made, make_feed(made), store=store, printer=printer) as app:
        health.watch(app)
        yield app, health, store


async def state(health: Health) -> tuple[str, tuple[str, ...]]:
    verdict, _ = await health.verdict()
    return verdict.state, tuple(reason.split(":")[0] for reason in verdict.reasons)


async def test_it_is_healthy_while_ticks_come_and_not_once_they_stop(tmp_path: Path) -> None:
    clock = SteadyClock()
    async with watched(tmp_path, clock) as (app, health, _):
        app.caught_up = True
        assert await state(health) == ("running", ())
        for _ in range(5):
            clock.now_s += 50
            await app.tick()
            app.beat_s = clock.now_s
            assert await state(health) == ("running", ())
        clock.now_s += 61
        app.beat_s = clock.now_s
        assert await state(health) == ("failing", ("ticks",))
        await app.tick()
        assert await state(health) == ("running", ())


async def test_before_the_past_is_taken_in_no_tick_is_missed_but_not_for_ever(tmp_path: Path) -> None:
    clock = SteadyClock()
    async with watched(tmp_path, clock) as (_, health, _store):
        clock.now_s += 30 * 60
        assert await state(health) == ("catching up", ())
        clock.now_s += 30 * 60
        assert await state(health) == ("failing", ("ticks",))


async def test_a_store_that_fails_hangs_or_takes_no_heartbeat_is_not_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteadyClock()
    async with watched(tmp_path, clock) as (app, health, store):
        app.caught_up, app.beat_s = True, clock.now_s
        for error in (StoreUnavailable("the disk is full"), RuntimeError("a fault")):
            store.error = error
            assert await state(health) == ("failing", ("store",))
        store.error = None
        assert await state(health) == ("running", ())
        monkeypatch.setattr("bot.health.STORE_WITHIN_S", 0.02)
        store.hangs = True
        assert await state(health) == ("failing", ("store",))
        store.hangs = False
        for _ in range(3):
            clock.now_s += 31
            await app.tick()
            (last,) = {(await state(health))}
        assert last == ("failing", ("store",))
        await app.beat()
        app.beat_s = clock.now_s
        assert await state(health) == ("running", ())


def test_until_there_is_an_app_it_is_starting_for_as_long_as_it_takes() -> None:
    health = Health(version="1", beat_every_s=30)
    assert asyncio.run(state(health)) == ("starting", ())


async def test_both_are_served_on_the_port_and_say_how_the_bot_is(tmp_path: Path) -> None:
    port, clock = free_port(), SteadyClock()
    async with (
        watched(tmp_path, clock) as (app, health, store),
        serving(health, HealthSection(), port),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        app.caught_up = True
        for _ in range(3):
            await app.tick()
        await app.beat()
        app.beat_s = clock.now_s
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"state": "running", "reasons": []})
        await asyncio.sleep(0.12)
        async with session.get("/metrics") as answer:
            text = await answer.text()
        store.error = StoreUnavailable("somewhere/secret.db is locked")
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (503, {"state": "failing", "reasons": ["store"]})
        async with session.get("/metrics") as answer:
            assert "clusterwatch_healthy 0.0" in await answer.text()
        store.error = None
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
    }
    assert samples["clusterwatch_ticks_total"] == 3
    assert samples["clusterwatch_healthy"] == 1
    assert samples["clusterwatch_heartbeat_age_seconds"] < 60
    assert samples["clusterwatch_event_loop_lag_seconds_count"] >= 1
    assert samples["process_resident_memory_bytes"] > 1e7
    assert 'clusterwatch_build_info{version="1.2.3"} 1.0' in text


async def test_the_dead_man_s_switch_is_called_while_all_is_well_and_only_then(tmp_path: Path) -> None:
    calls, clock = asyncio.Queue[str](), SteadyClock()
    refusing = [500, 500]

    async def called(request: web.Request) -> web.Response:
        calls.put_nowait(request.path)
        return web.Response(status=refusing.pop() if refusing else 200)

    server = web.Application()
    server.router.add_get("/ping/0123", called)
    runner = web.AppRunner(server)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    section = HealthSection(ping_url=f"http://127.0.0.1:{port}/ping/0123", ping_seconds=1.0)
    section = section.model_copy(update={"ping_seconds": 0.05})
    async with watched(tmp_path, clock) as (app, health, store):
        app.caught_up = True
        async with serving(health, section, None):
            async with asyncio.timeout(10):
                for _ in range(4):  # two of them are attempts that were refused
                    assert await calls.get() == "/ping/0123"
            store.error = StoreUnavailable("gone")
            await asyncio.sleep(0.1)
            while not calls.empty():
                calls.get_nowait()
            await asyncio.sleep(0.2)
            assert calls.empty()
            store.error = None
    await runner.cleanup()


async def test_a_switch_that_cannot_be_reached_is_given_up_on_and_its_address_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with aiohttp.ClientSession() as session:
        await _call(f"http://127.0.0.1:{free_port()}/secret-0123", session, wait_s=0.01)
    assert "the dead man's switch could not be called: ClientConnectorError" in caplog.text
    assert "secret-0123" not in caplog.text


@pytest.mark.parametrize("given", ["abc", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"PORT: .* is not a port"):
        port_of({"PORT": given})


async def test_a_port_that_is_taken_is_refused_with_the_fix() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"PORT: {port} cannot be opened"):
            async with probes(Config(), {"PORT": str(port)}):
                pass


async def test_without_a_port_and_a_switch_nothing_is_served_or_imported() -> None:
    assert port_of({"PORT": ""}) is None
    async with probes(Config(), {}) as watch_over:
        assert watch_over(None) is None  # type: ignore[arg-type]


def test_a_switch_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("health.ping_url")):
        parse({"health": {"ping_url": "ping.example.org"}}, "test")


def test_lag_is_counted_by_how_long_it_was() -> None:
    lag = LoopLag()
    for late_s in [0.0005] * 98 + [0.2, 9.0]:
        lag.note(late_s)
    assert (lag.counts[0], lag.counts[-1], sum(lag.counts)) == (98, 1, 100)
    assert lag.quantile_s(0.5) == 0.0005
    assert lag.quantile_s(0.99) == 9.0


async def test_a_loop_that_is_blocked_is_seen() -> None:
    lag = LoopLag(nap_s=0.005)
    lag.start()
    await asyncio.sleep(0.02)
    await asyncio.to_thread(lambda: None)
    time.sleep(0.1)  # noqa: ASYNC251 - that is what is measured
    await asyncio.sleep(0.02)
    await lag.stop()
    assert lag.quantile_s(1.0) > 0.05


async def test_memory_is_given_back() -> None:
    """Also from between what stays, where the allocator by itself gives nothing back."""
    ballast = [bytes(1000) for _ in range(100_000)]
    held, stays = resident_bytes(), ballast[::100]
    del ballast
    freed = resident_bytes()
    await give_back()
    left = resident_bytes()
    if held is None or freed is None or left is None:
        pytest.skip("this system does not say what a process holds")
    if held - freed > 50e6:
        pytest.skip("this allocator gives back at once")
    assert freed - left > 50e6
    assert len(stays) == 1000


def test_what_was_there_when_it_settled_is_not_looked_at_again_and_new_rubbish_is_still_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.memory.gc", gc)

    class Kept:
        pass

    before = gc.get_threshold()
    kept = [Kept() for _ in range(1000)]
    try:
        settle()
        assert not any(isinstance(one, Kept) for one in gc.get_objects())
        rubbish = Kept()
        rubbish.itself = rubbish  # type: ignore[attr-defined]
        gone = weakref.ref(rubbish)
        del rubbish
        gc.collect()
        assert gone() is None
        assert len(kept) == 1000
    finally:
        gc.set_threshold(*before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_threads_share_the_heaps_of_glibc() -> None:
    """In a process of its own, for it holds for good: what forty threads freed is there for the next ones."""
    code = (
        "import sys, threading\n"
        "from bot.memory import few_arenas, resident_bytes\n"
        "if sys.argv[1] == 'few': assert few_arenas()\n"
        "gate = threading.Barrier(41)\n"
        "def work():\n"
        "    held = [bytes(2000) for _ in range(500)]\n"
        "    gate.wait(); del held; gate.wait()\n"
        "threads = [threading.Thread(target=work) for _ in range(40)]\n"
        "[one.start() for one in threads]; gate.wait(); gate.wait(); [one.join() for one in threads]\n"
        "arenas = sum('rw-p 00000000 00:00 0' in line and int(line.split('-')[0], 16) % (1 << 26) == 0\n"
        "             for line in open('/proc/self/maps'))\n"
        "print(arenas)\n"
    )
    found = {
        how: int(
            subprocess.run([sys.executable, "-c", code, how], cwd=CHECKOUT, capture_output=True, check=True).stdout
        )
        for how in ("few", "many")
    }
    assert found["few"] <= 2 < found["many"], found


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_a_large_block_that_was_freed_goes_back_to_the_system_though_small_ones_lie_behind_it() -> None:
    """In a process of its own, for it holds for good. The first block is what glibc learns its own habit from."""
    code = (
        "import sys\n"
        "from bot.memory import large_blocks_apart, resident_bytes\n"
        "if sys.argv[1] == 'apart': assert large_blocks_apart()\n"
        "block = b'x' * (8 << 20); del block\n"
        "block = b'x' * (8 << 20)\n"
        "behind = [bytes(600) for _ in range(1000)]\n"
        "held = resident_bytes(); del block\n"
        "print(held - resident_bytes())\n"
    )
    given_back = {
        how: int(
            subprocess.run([sys.executable, "-c", code, how], cwd=CHECKOUT, capture_output=True, check=True).stdout
        )
        for how in ("apart", "as usual")
    }
    assert given_back["as usual"] < 1e6 < 8e6 < given_back["apart"], given_back
