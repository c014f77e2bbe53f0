"""Telegram, through python-telegram-bot. Imported only where a token is configured: the library is large."""

from bot.platforms.telegram.platform import TelegramPlatform

__all__ = ["TelegramPlatform"]
