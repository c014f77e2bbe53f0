"""What is counted beside the deliveries is what counting them would give, whatever happened to them."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from detectors.event import Event
from storage.chats import Chat, Subscription
from storage.outbox import Claim, Dead, Expired, Later, Sent, Settlement
from storage.postgres import PostgresStore
from storage.sql import Connection
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from storage.store import NewAlert, NewDelivery, Silence, TickCommit
from tests.storage.make import alert, event, look, released, tick
from tests.storage.steps_taken import steps_taken

CHATS = [Chat(platform, str(n)) for platform in ("telegram", "discord") for n in range(4)]
HOUR_MS = 3_600_000


@pytest.fixture(params=[("sqlite", 1), ("sqlite", 2), ("sqlite", 3), ("postgres", 4)], ids=str)
async def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[], SqlStore], int]:
    kind, seed = request.param
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
        return lambda: PostgresStore(url, "recorded"), seed
    return lambda: SqliteStore(tmp_path / "bot.db", "recorded"), seed


def counted_one_by_one(connection: Connection) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    rows = connection.execute("SELECT c.platform, d.state FROM deliveries d JOIN chats c ON c.id = d.chat").fetchall()
    for platform, state in rows:
        found.setdefault(platform, Counter())[state] += 1
    silences: Counter[str] = Counter()
    for reason, n in connection.execute("SELECT reason, n FROM silences").fetchall():
        silences[reason] += n
    return {platform: dict(states) for platform, states in found.items()}, dict(silences)


async def test_after_anything_that_can_happen_to_deliveries_the_totals_are_right(
    made: tuple[Callable[[], SqlStore], int],
) -> None:
    make, seed = made
    chance = random.Random(seed)
    store = make()
    await store.open()
    for chat in CHATS:
        await store.watch(chat, Subscription("BTC"))
    claimed: list[Claim] = []
    told: list[Event] = []
    seen, at_ms = Counter[str](), 0
    for n in range(160):
        uses = ["alert", "alert", "claim", "settle", "settle", "edit", "park", "move", "hold", "drop", "start"]
        what = chance.choice(uses)
        match what:
            case "alert":
                chats = chance.sample(CHATS, 3)
                new = event(n, subject=f"s{n}")
                at_ms = new.taken_at_ms
                held = tuple(
                    NewDelivery(chat, chance.choice(["first", "quiet"]), None, at_ms + HOUR_MS if k else None)
                    for k, chat in enumerate(chats)
                )
                silent = tuple(Silence(chat, "k", chance.choice(["far", "small"])) for chat in chats)
                await store.commit_tick(tick(n, NewAlert(new, held), silences=silent))
                told.append(new)
            case "claim":
                claimed += await store.claim(0, 3)
            case "settle" if claimed:
                ends: list[Settlement] = [Sent("m"), Sent("m"), Dead("no"), Expired("late"), Later(0, "wait")]
                await store.settle(claimed.pop().deliveries, chance.choice(ends))
            case "edit" if told:
                newer = replace(chance.choice(told), headline=f"newer {n}")
                await store.commit_tick(TickCommit(look(10**13 + n), completed=(newer,)))
            case "park":
                chat = chance.choice(CHATS)
                await store.park(chat, "blocked")
                await store.claim(0, 1, platform="nowhere")
                await store.unpark(chat)
            case "move":
                old, new_chat = chance.sample(CHATS[:4], 2)
                await store.migrate_chat(old, new_chat)
                await store.unpark(old)
            case "hold":
                await released(store, at_ms + chance.choice([0, 2 * HOUR_MS]))
            case "drop":
                await store.drop_held((await store.held_due(at_ms + 2 * HOUR_MS))[:1], "not watched")
            case "start" if chance.random() < 0.5:
                await store.close()
                store, claimed = make(), []
                await store.open()
        seen[what] += 1
        counts = await store.counts()
        deliveries, silences = await store._read(counted_one_by_one)
        assert (counts.by_platform, counts.silences) == (deliveries, silences), (n, what)
    states = set(counts.deliveries)
    await store.close()
    assert {"sent", "dead", "expired"} <= states
    assert len(seen) == 9


async def test_counting_costs_the_same_however_much_was_sent_before(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "bot.db", "recorded")
    await store.open()
    chats, steps = [Chat("telegram", str(n)) for n in range(1000)], []
    for n in range(3):
        await store.commit_tick(tick(n, alert(event(n, subject=f"s{n}"), *chats)))
        while claims := await store.claim(0, 64):
            await store.settle_all([(claim.deliveries, Sent("m")) for claim in claims])
        steps.append(await steps_taken(store, store.counts))
    await store.close()
    assert steps[2] < steps[0] + 50  # looking at each of two thousand more would be a thousand
