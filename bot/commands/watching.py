"""What a chat watches: ``/watch``, ``/unwatch``, ``/watching``."""

from dataclasses import replace

from bot import asking, replies
from bot.asking import NotUnderstood
from bot.commands import menus
from bot.commands.registry import Asked, Command, House
from bot.markets.live_views import NoView
from bot.message import Button, Message
from bot.platforms.seam import Choices, CommandSpec, Option
from bot.policy import subscription_for
from storage.chats import EVERY_MARKET, Subscription, set_size


async def watch(asked: Asked) -> Message:
    """Without a word: a page to choose on. By a button: the page of what is told of that market."""
    house, request = asked.house, asked.request
    if not asked.words:
        return menus.choose_market(house)
    wanted = await _wanted(asked)
    asset = wanted.market.partition("@")[0]
    is_new = house.following is not None and any(asset == one.base for one in house.following.offers())
    if "@" in wanted.market or is_new:
        wanted = await _begun(house, wanted)
    if request.user_id is not None:
        await house.store.note_owner(asked.chat, request.user_id, house.most_chats)
    await house.store.watch(asked.chat, wanted)
    title = f"Watching {menus.told(wanted.market)}."
    if is_new and house.following is not None:
        title = f"{title} {house.following.outlook(wanted.market)}"
    elif "@" in wanted.market and (why := house.waiting_for(wanted.market)) is not None:
        title = f"{title} {why}"
    if request.pressed:
        return menus.options_page(house, wanted, title)
    whole = await watching(asked)
    change = (Button("Change", f"/adjust {menus.word_of(wanted.market)}"), Button("Settings", "/settings"))
    return Message(title, whole.lines, whole.footer, whole.table, buttons=(change,))


async def _wanted(asked: Asked) -> Subscription:
    """Of a market that is followed or could be; one that is on no list may have been listed just now."""
    house = asked.house

    def read() -> Subscription:
        offers = house.following.offers() if house.following else []
        return asking.subscription(asked.words, [*house.markets, *offers], house.kinds, house.defaults)

    try:
        return read()
    except NotUnderstood as error:
        word = asked.words[0].partition("@")[0]
        if error.instead[0] != word or house.following is None:
            raise
        if not await house.following.refresh():
            raise house.not_followed(word) or error from error
    try:
        return read()
    except NotUnderstood as error:
        raise house.not_followed(word) or error from error


async def _begun(house: House, wanted: Subscription) -> Subscription:
    """The subscription once that market, or the view of that venue, is followed. Raises NotUnderstood."""
    if house.following is None:
        asset, _, venue = wanted.market.partition("@")
        venues = next(one.venues for one in house.markets if one.base == asset)
        if venues == (venue,):
            return replace(wanted, market=asset)  # there is nothing else in it
        raise NotUnderstood("Not accepted: this source has no view of one venue alone. Leave the venue out.")
    try:
        await house.following.open(wanted.market)
    except NoView as error:
        raise NotUnderstood(str(error)) from error
    return wanted


async def unwatch(asked: Asked) -> Message:
    store = asked.house.store
    words = asking.with_venue(asking.with_set(asked.words))
    base = await asked.one_or_all(words, "/unwatch BTC")
    everything = base == EVERY_MARKET
    watched = [one.subscription.market for one in await store.subscriptions(asked.chat)] if everything else []
    removed = await store.unwatch(asked.chat, None if everything else base)
    if everything:
        # It can be fifty of them, and one press of a button.
        ended = (f"Watched until now: {', '.join(sorted(map(menus.word_of, watched)))}.",) if removed else ()
        return Message("Nothing is watched here now." if removed else "Nothing was watched here.", ended)
    rest = [watch.subscription for watch in await store.subscriptions(asked.chat)]
    covering = subscription_for(base, rest, set_size(base) or asked.house.watcher.ranks().get(base))
    if covering is None:
        return Message(f"No more of {base}." if removed else f"{base} was not watched here.")
    word = menus.word_of(covering.market)
    text = f"{'All markets are' if word == 'all' else f'{word} is'} still watched, and so this one: "
    if set_size(base) is None and word != "all":
        text += f"/mute {base} for a while, or "
    text += f"/unwatch {word}, then /watch those you want."
    return Message(f"{base} has no settings of its own now.", (text,))


async def watching(asked: Asked) -> Message:
    watches = tuple(await asked.house.store.subscriptions(asked.chat))
    buttons = ((Button("Add a market", "/watch"), Button("Settings", "/settings")),)
    page = replies.watching(watches)
    return replace(page, buttons=buttons, menus=menus.change_menu(watches), in_place=True)


COMMANDS = (
    Command(
        CommandSpec(
            "watch",
            "/watch [SYMBOL] [kinds] [within N%] [min $5M] [fast|medium|slow]",
            "alerts on a market, the top10, or all; a menu without a word",
            (
                Option("symbol", "a market such as BTC, top10 or all; a menu without it", choices=Choices.MARKET),
                Option("kinds", "kinds of alert, such as formed; the usual ones without it", choices=Choices.KIND),
                Option("within", "approaches are told within this distance, such as 2%", prefix="within"),
                Option("min", "no cluster smaller than this, such as $5M", prefix="min"),
                Option("build", "only clusters that built up so", choices=Choices.BUILD_CLASS),
            ),
            changes=True,
        ),
        watch,
    ),
    Command(
        CommandSpec(
            "unwatch",
            "/unwatch SYMBOL",
            "no more of a market, or of all",
            (Option("symbol", "a market that is watched, or all", required=True, choices=Choices.WATCHED),),
            changes=True,
        ),
        unwatch,
    ),
    Command(CommandSpec("watching", "/watching", "what this chat watches"), watching),
)
