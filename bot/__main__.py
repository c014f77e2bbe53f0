"""``python -m bot`` and the ``clusterwatch`` command."""

from bot.cli import main

if __name__ == "__main__":
    main(prog_name="python -m bot")
