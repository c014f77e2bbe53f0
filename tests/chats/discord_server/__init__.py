"""A strict local Discord for tests, in this process (`DiscordServer`) or as one of its own:

python -m tests.chats.discord_server --port 0 --record FILE
"""

from tests.chats.discord_server.faults import Fault, Trouble
from tests.chats.discord_server.server import DiscordServer
from tests.chats.discord_server.world import World

__all__ = ["DiscordServer", "Fault", "Trouble", "World"]
