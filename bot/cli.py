"""The command line. Imports wait until a command needs them, so that ``--help`` is instant."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bot import VERSION

if TYPE_CHECKING:
    from bot.config import Config


class Fault(click.ClickException):
    """What the user can put right: the message alone, exit code 2."""

    exit_code = 2


class Moment(click.ParamType[int]):
    """ISO 8601 (UTC unless it says otherwise) or UTC milliseconds, as UTC milliseconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip()
        if text.isdecimal() and len(text) > 10:
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is not a time: write 2025-12-10T21:20, 2025-12-10 or UTC milliseconds.", param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)


DEFAULT_CONFIG = Path("config.toml")
MOMENT = Moment()
LONGEST_DAYS = 3650.0
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
LOCAL = click.option("--local", is_flag=True, help="Ask local venues, offline, in place of the real ones.")


@contextmanager
def faults_named() -> Iterator[None]:
    """Errors with a message for the user end the command with it and without a traceback."""
    from bot.config import ConfigError
    from bot.errors import Fatal
    from bot.markets.feed import NoVenue
    from bot.markets.names import UnknownMarket
    from bot.markets.recording import RecordingError
    from bot.redact import Redactor
    from storage.errors import StoreError, Superseded

    said = Redactor.of_environment(os.environ)
    try:
        yield
    except Superseded as error:  # nothing to put right: started again, it stands by
        raise click.ClickException(said(str(error))) from error
    except (ConfigError, UnknownMarket, RecordingError, StoreError) as error:
        raise Fault(said(str(error))) from error
    except Fatal as error:
        raise click.ClickException(said(error.reason)) from error
    except NoVenue as error:
        raise click.ClickException(said(str(error))) from error


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="clusterwatch")
@click.option("--config", "config_file", type=FILE, help="Config file. Default: config.toml, if there is one.")
@click.option("--local", is_flag=True, help="Local venues that trade a simulated market in place of real ones.")
@click.pass_context
def main(context: click.Context, config_file: Path | None, local: bool) -> None:
    """Clusterwatch: estimated liquidation clusters and funding shocks, as alerts with charts.

    Without a command it runs by its config; without a config it plays simulated markets.
    """
    context.obj = config_file
    if context.invoked_subcommand is None:
        from bot.ending import ends_when_told

        with ends_when_told(), faults_named():
            from bot import logs
            from bot.run import run

            config = _configured(config_file)
            logs.set_up_for(config, os.environ)
            asyncio.run(run(config, local=local))
    elif local:
        raise click.UsageError(f"Write --local after {context.invoked_subcommand}, where it takes it.")


@main.command()
@click.argument("recording", type=FOLDER)
@click.option("--market", "markets", multiple=True, metavar="SYMBOL", help="Only this market; may be repeated.")
@click.option("--from", "from_ms", type=MOMENT, help="Show alerts from then on; the warm-up is not cut short.")
@click.option("--to", "to_ms", type=MOMENT, help="Play no further than this.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, nothing else on standard output.")
@click.option("--charts", type=FOLDER, help="Draw each alert into this folder.")
@click.option("--db", "database", type=FILE, help="Keep everything in this database; a second replay adds nothing.")
@click.option("--preset", type=click.Choice(["adaptive", "strict", "sensitive"]), help="What counts as a cluster.")
@click.pass_obj
def replay(
    config_file: Path | None,
    recording: Path,
    markets: tuple[str, ...],
    from_ms: int | None,
    to_ms: int | None,
    as_json: bool,
    charts: Path | None,
    database: Path | None,
    preset: str | None,
) -> None:
    """Play RECORDING through the same code as a live market."""
    with faults_named():
        from bot.markets.recorded import RecordedFeed
        from bot.replay import Replay, run
        from bot.show import JsonShow, RichShow

        if from_ms is not None and to_ms is not None and from_ms > to_ms:
            raise click.UsageError("--from lies after --to: nothing would be shown.")
        if charts is not None:
            with _writable(charts):
                charts.mkdir(parents=True, exist_ok=True)
        config = _config(config_file, preset)
        feed = RecordedFeed(recording, markets or None)
        order = Replay(feed, config, from_ms, to_ms, charts, database)
        asyncio.run(run(order, JsonShow() if as_json else RichShow()))


@main.command()
@click.argument("recording", type=FOLDER)
@click.option("--market", "markets", multiple=True, metavar="SYMBOL", help="Only this market; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, nothing else on standard output.")
@click.option("--chart", type=FILE, help="Draw the reliability chart into this PNG file.")
@click.option("--preset", type=click.Choice(["adaptive", "strict", "sensitive"]), help="What counts as a cluster.")
@click.pass_obj
def scorecard(
    config_file: Path | None,
    recording: Path,
    markets: tuple[str, ...],
    as_json: bool,
    chart: Path | None,
    preset: str | None,
) -> None:
    """How the alerts of RECORDING turned out, against chance."""
    with faults_named():
        from rich.console import Console

        from bot import scoring_run
        from bot.markets.recorded import RecordedFeed
        from bot.platforms.console import Printer
        from bot.scorecard import to_json
        from detectors import figures

        console, played = Console(stderr=True), 0
        with console.status("playing") as status:

            def moved(at_ms: int) -> None:
                nonlocal played
                played += 1
                if console.is_terminal and played % 200 == 0:
                    status.update(f"playing {figures.moment(at_ms)}")

            feed = RecordedFeed(recording, markets or None)
            card = asyncio.run(scoring_run.run(feed, _config(config_file, preset), moved))
        if chart is not None:
            from bot.chart import draw_reliability

            with _writable(chart):
                chart.write_bytes(draw_reliability(card.scored, card.message().title, simulated=card.simulated))
        if as_json:
            click.echo(to_json(card.record()))
        else:
            Printer().show(card.message())


@main.command("map")
@click.argument("recording", type=FOLDER)
@click.option("--market", required=True, metavar="SYMBOL", help="Whatever /watch takes: BTC, btcusdt, BTC/USDT:USDT.")
@click.option("--at", "at_ms", type=MOMENT, required=True, help="The moment: the last bar closed by then.")
@click.option("--json", "as_json", is_flag=True, help="The map as one JSON object.")
@click.option("--chart", type=FILE, help="Draw it into this PNG file.")
@click.pass_obj
def show_map(
    config_file: Path | None, recording: Path, market: str, at_ms: int, as_json: bool, chart: Path | None
) -> None:
    """The estimated liquidation map of one market of RECORDING at one moment."""
    with faults_named():
        from bot.markets.recorded import RecordedFeed
        from bot.replies import liquidation_map
        from bot.snapshot_map import as_record, draw_map, map_at

        if as_json and chart is not None:
            raise click.UsageError("Give --json or --chart, not both.")
        feed = RecordedFeed(recording, [market])
        view = map_at(feed, _config(config_file).engine_settings(), at_ms)
        if view.open_interest_usd is None:
            click.echo(f"{view.market.base}: no open interest, so nothing is estimated.", err=True)
        if as_json:
            click.echo(json.dumps(as_record(view), allow_nan=False))
        elif chart is not None:
            with _writable(chart):
                draw_map(view, chart)
            click.echo(str(chart))
        else:
            from bot.platforms.console import Printer

            Printer().show(liquidation_map(view))


@main.command()
@click.argument("recording", type=FOLDER)
@click.option("--market", required=True, metavar="SYMBOL", help="Whatever /watch takes: BTC, btcusdt, BTC/USDT:USDT.")
@click.option(
    "--fit",
    type=click.Choice(["walk-forward", "none"]),
    default="walk-forward",
    help="Also fit leverage weights on the first half and judge them on the second. The default.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
@click.pass_obj
def truth(config_file: Path | None, recording: Path, market: str, fit: str, as_json: bool) -> None:
    """Hold the estimate of one market of RECORDING to what was really liquidated."""
    with faults_named():
        from rich.console import Console

        from bot import truth as truths

        found = truths.measure(recording, market, _config(config_file).estimate, fit=fit != "none")
        if as_json:
            click.echo(json.dumps(truths.as_record(found), allow_nan=False))
        else:
            truths.show(found, Console(width=None if sys.stdout.isatty() else 120))


@main.command()
@click.option("--seed", type=click.IntRange(min=0), required=True)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), required=True)
@click.option("--out", "out", type=FOLDER, required=True, help="A new folder for the recording and its truth.")
@click.option("--market", "markets", multiple=True, metavar="SYMBOL", help="Only this market; may be repeated.")
def simulate(seed: int, days: float, out: Path, markets: tuple[str, ...]) -> None:
    """Write a simulated market as a recording, with truth.csv.gz beside it."""
    if not days <= LONGEST_DAYS:  # nan too
        raise click.BadParameter(f"{days:g} is not a number of days up to {LONGEST_DAYS:g}.", param_hint="--days")
    with faults_named():
        from bot.markets.simulated import write_simulation

        try:
            made = write_simulation(seed, days, out, markets or None)
        except ValueError as error:
            raise Fault(str(error)) from error
        click.echo(f"{days:g} simulated days of {', '.join(market.base for market in made)} in {out}")


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """What cannot be written there is the user's to put right."""
    try:
        yield
    except OSError as error:
        raise Fault(f"{path} cannot be written ({error.strerror}): name a place you may write to.") from error


@main.command()
@LOCAL
@click.pass_obj
def check(config_file: Path | None, local: bool) -> None:
    """Try config, database, venues, markets and chats. Exit code 1 where something must be put right."""
    with faults_named():
        from bot import check_live

        rows = asyncio.run(check_live.check(config_file or DEFAULT_CONFIG, named=config_file is not None, local=local))
        check_live.print_rows(rows)
    if not all(row.ok for row in rows):
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("word", default="")
@LOCAL
@click.pass_obj
def markets(config_file: Path | None, word: str, local: bool) -> None:
    """What can be watched on the config's venues, the largest first; only names with WORD in them."""
    with faults_named():
        from bot import check_live

        found = asyncio.run(check_live.offers(_config(config_file), word, local=local))
        check_live.print_offers(found, word)
    if not found.offers:
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("out", type=FOLDER)
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="For so long. Default: until Ctrl-C.")
@LOCAL
@click.pass_obj
def record(config_file: Path | None, out: Path, hours: float | None, local: bool) -> None:
    """Write what the config's venues bring into OUT, a new folder: a recording that `replay` plays."""
    from bot.ending import ends_when_told

    with ends_when_told(), faults_named():
        from bot import check_live

        bars = asyncio.run(check_live.record(_config(config_file), out, hours, local=local))
        nothing = "Nothing was recorded: a bar comes at the end of each five minutes."
        click.echo(f"{bars:,} bars in {out}" if bars or out.exists() else nothing)


@main.command()
@click.option("--to", required=True, metavar="URL", help="postgresql:// address or SQLite file; it must be empty.")
@click.option("--from", "from_", metavar="URL", help="Default: the database that the bot works with.")
@click.pass_obj
def move(config_file: Path | None, to: str, from_: str | None) -> None:
    """Carry the whole database over, all or nothing, and compare both sides. Stop the bot first."""
    with faults_named():
        from bot import moving

        click.echo(moving.run(_config(config_file), os.environ, to, from_))


def _configured(config_file: Path | None) -> "Config | None":
    """The config named, or config.toml; None without either. Raises ConfigError."""
    from bot import config as configs

    found = config_file or DEFAULT_CONFIG
    return configs.load(found) if config_file or found.exists() else None


def _config(config_file: Path | None, preset: str | None = None) -> "Config":
    """As `_configured`, or the embedded default; ``preset`` in place of its own. Raises ConfigError."""
    from dataclasses import replace

    from bot import config as configs
    from detectors.clusters import Preset

    config = _configured(config_file) or configs.embedded()
    if preset is None:
        return config
    return config.model_copy(update={"clusters": replace(config.clusters, preset=Preset(preset))})
