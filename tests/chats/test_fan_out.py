"""One alert to many chats of both platforms at once, through the real clients."""

from pathlib import Path

from tests.chats.fan_out import fan_out


async def test_an_alert_reaches_every_chat_of_both_platforms_within_their_limits(tmp_path: Path) -> None:
    """How fast is measured by ``python -m benchmarks fanout``."""
    result = await fan_out(tmp_path, telegram=40, discord=20)
    assert result.states == {"sent": 60}
    assert result.refused == {"telegram": 0, "discord": 0}
    assert result.uploads == 1
    assert all(result.answers_s[name] for name in ("telegram", "discord"))
