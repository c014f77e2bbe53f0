"""How a chat is told: ``/settings`` and what it sets, ``/mute``, ``/quiet``, ``/silent``, ``/cap``, ``/notices``."""

from dataclasses import replace

from bot.asking import NotUnderstood
from bot.asking_times import OFF, ON, duration_ms, quiet_hours, whole_number
from bot.commands.registry import Asked, Command
from bot.digests import silent_until_ms
from bot.message import Button, Message
from bot.platforms.seam import Choices, CommandSpec, Option
from bot.policy import Reason, capped_until_ms, subscription_for
from bot.quiet import clock_minutes, local_minute, quiet_until_ms, zone_in_words
from detectors import figures
from detectors.market import DAY_MS
from storage.chat_settings import USUAL, ChatSettings, Sound

USUAL_MUTE_MS = DAY_MS
LARGEST_CAP = 1000
_SOUNDS = {
    Sound.ALL: "every alert arrives with a sound",
    Sound.SEVERE: "only warnings and worse arrive with a sound",
    Sound.NONE: "alerts arrive without a sound",
}


async def mute(asked: Asked) -> Message:
    """``/mute``, ``/mute 2h``, ``/mute BTC``, ``/mute BTC 2h``, ``/mute off``."""
    words = list(asked.words)
    if words and words[0].lower() in OFF:
        return await unmute(replace(asked, words=tuple(words[1:])))
    length_ms = duration_ms(words) if words else USUAL_MUTE_MS
    base = None
    if length_ms is None:
        base = await asked.base_of(words[0])
        length_ms = duration_ms(words[1:]) if words[1:] else USUAL_MUTE_MS
    if length_ms is None:
        raise NotUnderstood("For how long?", "/mute 2h")
    until_ms = asked.house.now_ms + length_ms
    settings = await asked.settings()
    if base is None:
        await asked.house.store.mute(asked.chat, until_ms)
    else:
        muted = {name: at for name, at in settings.muted_markets.items() if at > asked.house.now_ms}
        await asked.house.store.set_chat_settings(
            asked.chat, replace(settings, muted_markets={**muted, base: until_ms})
        )
    back = Button("Unmute", f"/unmute {base}" if base else "/unmute")
    said = f"{base or 'All alerts'} muted until {figures.moment(until_ms)}."
    return await _said(asked, said, ((back,),))


async def unmute(asked: Asked) -> Message:
    store, settings = asked.house.store, await asked.settings()
    if asked.words:
        base = await asked.base_of(asked.words[0])
        rest = {name: at for name, at in settings.muted_markets.items() if name != base}
        await store.set_chat_settings(asked.chat, replace(settings, muted_markets=rest))
        watches = await store.subscriptions(asked.chat)
        muted_until_ms = silent_until_ms(USUAL, watches, asked.house.now_ms)
        if muted_until_ms is not None:
            until = figures.moment(muted_until_ms)
            return await _said(asked, f"{base} is muted no longer, but everything is until {until}: /unmute.")
        own = [watch.subscription for watch in watches]
        if subscription_for(base, own, asked.house.watcher.ranks().get(base)) is None:
            return await _said(asked, f"{base} is not muted, and not watched: /watch {base}.")
        return await _said(asked, f"{base} is told again.")
    await store.mute(asked.chat, None)
    await store.set_chat_settings(asked.chat, replace(settings, muted_markets={}))
    return await _said(asked, "Nothing is muted now.")


async def quiet(asked: Asked) -> Message:
    store, settings = asked.house.store, await asked.settings()
    if not asked.words:
        return await show_settings(asked)
    if asked.words[0].lower() in OFF:
        await store.set_chat_settings(asked.chat, replace(settings, quiet=None))
        held = await store.put_off_held(asked.chat, Reason.QUIET, 0)
        return await _said(asked, f"No quiet hours.{await _coming(asked, held)}")
    hours, zone = quiet_hours(asked.words)
    settings = replace(settings, quiet=hours, time_zone=zone or settings.time_zone)
    await store.set_chat_settings(asked.chat, settings)
    now_ms = asked.house.now_ms
    await store.put_off_held(asked.chat, Reason.QUIET, quiet_until_ms(hours, settings.time_zone, now_ms) or 0)
    return await _said(asked, f"Quiet from {_hours(settings)}. What comes meanwhile is told in one message after.")


async def silent(asked: Asked) -> Message:
    if not asked.words:
        return await show_settings(asked)
    word = asked.words[0].lower()
    if word in ON:
        sound = Sound.NONE
    elif word in OFF:
        sound = Sound.ALL
    elif word in {"severe", "mild", "some"}:
        sound = Sound.SEVERE
    else:
        raise NotUnderstood("On, off, or severe: a sound for warnings and worse alone.", "/silent on")
    await asked.house.store.set_chat_settings(asked.chat, replace(await asked.settings(), sound=sound))
    return await _said(asked, f"From now on {_SOUNDS[sound]}.")


async def cap(asked: Asked) -> Message:
    if not asked.words:
        return await show_settings(asked)
    word = asked.words[0].lower()
    number = whole_number(word, LARGEST_CAP)
    if number is None and word not in OFF:
        raise NotUnderstood(f"How many alerts a day, {LARGEST_CAP} at most?", "/cap 10")
    settings = replace(await asked.settings(), daily_cap=number)
    await asked.house.store.set_chat_settings(asked.chat, settings)
    if number is None:
        held = await asked.house.store.put_off_held(asked.chat, Reason.CAPPED, 0)
        return await _said(asked, f"No daily cap.{await _coming(asked, held)}")
    minute = local_minute(settings.time_zone, capped_until_ms(settings, asked.house.now_ms))
    told_at = f"{clock_minutes(minute)} {zone_in_words(settings.time_zone)}"
    return await _said(
        asked, f"{figures.counted(number, 'alert')} a day at most; what is over is told in one message at {told_at}."
    )


async def notices(asked: Asked) -> Message:
    if not asked.words:
        return await show_settings(asked)
    word = asked.words[0].lower()
    if word not in ON | OFF:
        raise NotUnderstood("On or off?", "/notices on")
    wanted = word in ON
    await asked.house.store.set_chat_settings(asked.chat, replace(await asked.settings(), notices=wanted))
    said = "No notices about the data any more."
    if wanted:
        said = (
            "This chat is told when data of a venue go stale and are back, when a venue is out, and when markets come "
            "and go: /notices off."
        )
    return await _said(asked, said)


async def show_settings(asked: Asked, note: str = "") -> Message:
    """The page: what holds, and a button for what is changed most."""
    settings, now_ms = await asked.settings(), asked.house.now_ms
    watches = await asked.house.store.subscriptions(asked.chat)
    muted_until_ms = silent_until_ms(USUAL, watches, now_ms)
    muted = [f"{base} until {figures.moment(at)}" for base, at in settings.muted_markets.items() if at > now_ms]
    if muted_until_ms is not None:
        muted.insert(0, f"everything until {figures.moment(muted_until_ms)}")
    lines = (
        *((note,) if note else ()),
        f"Watching: {', '.join(_name(one.subscription.market) for one in watches) or 'nothing yet'}",
        f"Muted: {', '.join(muted) or 'nothing'}",
        f"Quiet hours: {_hours(settings) if settings.quiet else 'none'}",
        f"Sound: {_SOUNDS[settings.sound]}",
        f"Daily cap: {settings.daily_cap or 'none'}",
        f"Notices about the data: {'on' if settings.notices else 'off'}",
    )
    return Message("Settings of this chat", lines, buttons=_page(settings, bool(muted)), in_place=True)


def _page(settings: ChatSettings, muted: bool) -> tuple[tuple[Button, ...], ...]:
    hush = Button("Unmute", "/unmute") if muted else Button("Mute 2 h", "/mute 2h")
    night = Button("No quiet hours", "/quiet off") if settings.quiet else Button("Quiet 22-7", "/quiet 22:00-07:00")
    sounds = {Sound.ALL: ("Silent", "on"), Sound.NONE: ("Sound if severe", "severe"), Sound.SEVERE: ("Sound", "off")}
    label, word = sounds[settings.sound]
    limit = Button("No cap", "/cap off") if settings.daily_cap else Button("Cap 10 a day", "/cap 10")
    warn = Button("No notices", "/notices off") if settings.notices else Button("Data notices", "/notices on")
    return (
        (Button("What is watched", "/watching"), Button("Add a market", "/watch")),
        (hush, Button("Mute 24 h", "/mute 24h")),
        (night, Button(label, f"/silent {word}"), limit),
        (Button("Test alert", "/test"), warn),
    )


async def _coming(asked: Asked, held: int) -> str:
    """What becomes of so many alerts that are held back no longer."""
    if not held:
        return ""
    watches = await asked.house.store.subscriptions(asked.chat)
    until_ms = silent_until_ms(await asked.settings(), watches, asked.house.now_ms)
    when = f" after {figures.moment(until_ms)}" if until_ms is not None else ""
    come = "comes" if held == 1 else "come"
    return f" {figures.counted(held, 'alert')} held back until now {come} in one message{when}."


async def _said(asked: Asked, text: str, buttons: tuple[tuple[Button, ...], ...] = ()) -> Message:
    """Where a page's button was pressed the page comes again; what was typed is answered in a line."""
    if not asked.request.pressed or asked.request.text.split()[0].lstrip("/") == "mute":
        return Message(text, buttons=buttons)
    return await show_settings(asked, text)


def _hours(settings: ChatSettings) -> str:
    if settings.quiet is None:
        return "none"
    begins, ends = clock_minutes(settings.quiet.from_minute), clock_minutes(settings.quiet.to_minute)
    return f"{begins} to {ends} {zone_in_words(settings.time_zone)}"


def _name(market: str) -> str:
    return "all others" if market == "*" else market


_MARKET = Option("symbol", "one market; everything without it", choices=Choices.WATCHED)
COMMANDS = (
    Command(CommandSpec("settings", "/settings", "how this chat is told, with buttons"), show_settings),
    Command(
        CommandSpec(
            "mute",
            "/mute [SYMBOL] [2h]",
            "nothing for a while, of one market or all",
            (_MARKET, Option("time", "how long, such as 2h or 3d; a day without it")),
            changes=True,
        ),
        mute,
    ),
    Command(CommandSpec("unmute", "/unmute [SYMBOL]", "tell again what was muted", (_MARKET,), changes=True), unmute),
    Command(
        CommandSpec(
            "quiet",
            "/quiet 22:00-07:00 [Europe/Berlin]",
            "hours without alerts; one digest after. /quiet off",
            (
                Option("hours", "such as 22:00-07:00, or off", required=True),
                Option("zone", "time zone, such as Europe/Berlin", choices=Choices.TIME_ZONE),
            ),
            changes=True,
        ),
        quiet,
    ),
    Command(
        CommandSpec(
            "silent",
            "/silent on|off|severe",
            "alerts without a sound; severe: only warnings have one",
            (Option("level", "on, off or severe", required=True),),
            changes=True,
        ),
        silent,
    ),
    Command(
        CommandSpec(
            "cap",
            "/cap 10",
            "alerts a day at most; the rest in one message. /cap off",
            (Option("number", "how many, or off", required=True),),
            changes=True,
        ),
        cap,
    ),
    Command(
        CommandSpec(
            "notices",
            "/notices on|off",
            "say when data of a venue go stale or are back, and when markets come and go",
            (Option("switch", "on or off", required=True),),
            changes=True,
        ),
        notices,
    ),
)
