"""How deliveries end. All functions run inside the caller's transaction."""
# ruff: noqa: S608 - only names from these files are formatted into a statement; every value is bound

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import assert_never

from storage import sql_queues, totals
from storage.outbox import Dead, Delivery, Expired, Later, Sent, Settlement
from storage.sql import Connection, listed, parts
from storage.sql_queues import CLAIMED

_ENDS: Mapping[type, str] = {Sent: "sent", Dead: "dead", Expired: "expired"}


def return_claimed(connection: Connection) -> int:
    """At a start: what was being sent may have arrived; an edit can be made twice without harm; waiting is over."""
    connection.execute(
        f"UPDATE deliveries SET state = 'sent', edit_due_at_ms = 0 WHERE {CLAIMED} AND state = 'editing'"
    )
    connection.execute("UPDATE deliveries SET edit_due_at_ms = 0 WHERE edit_due_at_ms > 0")
    returned = connection.execute(
        f"UPDATE deliveries SET state = 'pending', possible_repeat = 1 WHERE {CLAIMED} AND state = 'sending'"
    ).rowcount
    sql_queues.rebuild(connection)
    return returned


def return_unheard(connection: Connection, heard: Collection[int]) -> None:
    """Give back claims that were committed while the connection broke, so that nobody heard of them. None was sent."""
    claimed = connection.execute(f"SELECT id, chat, state FROM deliveries WHERE {CLAIMED}").fetchall()
    for delivery_id, chat_row, state in claimed:
        if delivery_id in heard:
            continue
        back = "'pending'" if state == "sending" else "'sent', edit_due_at_ms = 0"
        connection.execute(
            f"UPDATE deliveries SET state = {back}, attempts = attempts - 1 WHERE id = ?", (delivery_id,)
        )
        sql_queues.refresh(connection, {chat_row: 0})


def settle(connection: Connection, settled: Sequence[tuple[Sequence[Delivery], Settlement]]) -> None:
    """Only what is still claimed changes; all at once, since each statement is a round trip where the database is
    elsewhere."""
    found = _claimed(connection, [delivery.delivery_id for deliveries, _ in settled for delivery in deliveries])
    chats: dict[int, int] = {}
    ended: Counter[tuple[str, str]] = Counter()
    for deliveries, settlement in settled:
        for delivery in deliveries:
            if delivery.delivery_id not in found:
                continue
            chat_row, state, newest = found.pop(delivery.delivery_id)
            wait_until_ms = 0
            if state == "sending":
                _settle_send(connection, delivery, settlement, newest, grouped=len(deliveries) > 1)
                wait_until_ms = settlement.due_at_ms if isinstance(settlement, Later) else 0
                if (end := _ENDS.get(type(settlement))) is not None:
                    ended[delivery.chat.platform, end] += 1
            else:  # an edit told to wait holds no alert back
                _settle_edit(connection, delivery, settlement, newest)
            chats[chat_row] = max(wait_until_ms, chats.get(chat_row, 0))
    sql_queues.refresh(connection, chats)
    totals.add(connection, totals.DELIVERIES, ended)


def _claimed(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, str, int]]:
    """(chat, state, the event's newest revision) of those that are claimed."""
    found: dict[int, tuple[int, str, int]] = {}
    for part in parts(ids):
        marks, values = listed([(one,) for one in part])
        rows = connection.execute(
            "SELECT d.id, d.chat, d.state, e.revision FROM deliveries d JOIN events e ON e.id = d.event_id "
            f"WHERE d.id IN ({marks}) AND d.{CLAIMED}",
            values,
        ).fetchall()
        found.update({row: (chat_row, state, newest) for row, chat_row, state, newest in rows})
    return found


def _settle_send(
    connection: Connection, delivery: Delivery, settlement: Settlement, newest: int, *, grouped: bool
) -> None:
    match settlement:
        case Sent(message_id, late_by_ms):
            stale = delivery.revision < newest and not grouped
            _set(
                connection,
                delivery,
                "sent",
                message_id=message_id,
                late_by_ms=late_by_ms,
                editable=not grouped,
                edit_due_at_ms=0 if stale else None,
            )
        case Later(due_at_ms, reason, ambiguous):
            repeat = delivery.possible_repeat or ambiguous
            _set(connection, delivery, "pending", due_at_ms=due_at_ms, note=reason, possible_repeat=repeat)
        case Dead(reason):
            _set(connection, delivery, "dead", note=reason)
        case Expired(reason):
            _set(connection, delivery, "expired", note=reason)
        case _:
            assert_never(settlement)


def _settle_edit(connection: Connection, delivery: Delivery, settlement: Settlement, newest: int) -> None:
    match settlement:
        case Sent():
            again = 0 if delivery.revision < newest else None
            _set(connection, delivery, "sent", edit_due_at_ms=again)
        case Later(due_at_ms, reason):
            _set(connection, delivery, "sent", edit_due_at_ms=due_at_ms, note=reason)
        case Dead(reason) | Expired(reason):
            _set(connection, delivery, "sent", edit_due_at_ms=None, note=reason, editable=False)
        case _:
            assert_never(settlement)


def _set(connection: Connection, delivery: Delivery, state: str, **columns: str | int | None) -> None:
    assignments = "".join(f", {name} = ?" for name in columns)
    connection.execute(
        f"UPDATE deliveries SET state = ?{assignments} WHERE id = ?",
        (state, *(int(v) if isinstance(v, bool) else v for v in columns.values()), delivery.delivery_id),
    )
