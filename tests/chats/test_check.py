"""``python -m bot check`` asks every platform that has a token."""

import pytest

from bot.check_live import _platform_rows
from bot.config import NoticesSection, embedded
from tests.chats.telegram_server import TelegramServer


async def test_a_good_token_and_a_refused_one_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TelegramServer() as server:
        monkeypatch.delenv("DISCORD_TOKEN", raising=False)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        rows = await _platform_rows(embedded())
        assert rows
        assert all(row.ok for row in rows)
        monkeypatch.setenv("TELEGRAM_TOKEN", "4242:AAanother-token-that-nobody-gave-out-00")
        (row, *_) = await _platform_rows(embedded())
        assert not row.ok
        assert row.fix
        monkeypatch.setenv("TELEGRAM_TOKEN", "no token at all")
        (row,) = await _platform_rows(embedded())
        assert not row.ok
        monkeypatch.delenv("TELEGRAM_TOKEN")
        assert await _platform_rows(embedded()) == []


async def test_the_operators_chats_for_notices_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TelegramServer() as server:
        monkeypatch.delenv("DISCORD_TOKEN", raising=False)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        ann = server.world.started("Ann")
        chats = (f"telegram:{ann}", "telegram:-100777", "discord:1199")
        rows = await _platform_rows(embedded().model_copy(update={"notices": NoticesSection(chats=chats)}))
        wrong = {row.what: row for row in rows if not row.ok}
        assert set(wrong) == {"Telegram chat -100777", "notices"}
        assert wrong["notices"].said == "discord:1199 gets none: discord is not on"
        assert "DISCORD_TOKEN" in wrong["notices"].fix
