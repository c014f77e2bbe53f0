"""Commands, the same in every chat. A family of them is a file here; `FAMILIES` lists them in the order of the help."""

from bot.commands.core import FAMILIES as FAMILIES
from bot.commands.core import SPECS as SPECS
from bot.commands.core import Commands as Commands
