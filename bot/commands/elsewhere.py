"""``/in @channel COMMAND``: a channel or group is set up from a private chat, by whoever may change it."""

from dataclasses import replace

from bot.asking import NotUnderstood, shortened
from bot.message import Button, Message
from bot.platforms.seam import CommandSpec, Handle, Option, Request

NAME = "in"
_LONGEST_COMMAND = 64
SPEC = CommandSpec(
    NAME,
    "/in @channel COMMAND",
    "a command for a channel or group that you are an admin of",
    (
        Option("chat", "the channel or group: @name, link or id", required=True),
        Option("command", "such as /watch BTC", required=True),
    ),
)


async def answer_elsewhere(request: Request, words: tuple[str, ...], handle: Handle) -> Message:
    """The answer of that chat, told here. Who may not change it does not see its settings either.

    Raises NotUnderstood.
    """
    if len(words) < 2:
        raise NotUnderstood("In which chat, and what?", "/in @channel /watch BTC")
    if request.elsewhere is None:
        raise NotUnderstood("Write the command in the chat that it is for: it cannot be reached from here.")
    name, command = words[0], " ".join(words[1:])
    if words[1].lstrip("/").lower() == NAME:
        raise NotUnderstood("One chat at a time.", "/in @channel /watch BTC")
    other = await request.elsewhere(name)
    if other is None:
        raise NotUnderstood(
            f'No chat "{shortened(name)}" was found. The bot must be in it, as an admin where it is a channel.'
        )
    verdict = await other.may_change()
    if not verdict.allowed:
        return Message("That is for admins of that chat.", (verdict.why,) if verdict.why else (), private=True)
    answer = await handle(replace(other, text=command, pressed=request.pressed, elsewhere=None))
    names = name, other.chat.chat_id
    rows = tuple(tuple(_there(button, *names) for button in row) for row in answer.buttons)
    menus = tuple(
        replace(menu, choices=tuple(one for one in (_there(button, *names) for button in menu.choices) if _fits(one)))
        for menu in answer.menus
    )
    return replace(
        answer,
        title=f"In {shortened(name)}: {answer.title}",
        buttons=tuple(fit for row in rows if (fit := tuple(one for one in row if _fits(one)))),
        menus=tuple(menu for menu in menus if menu.choices),
    )


def _there(button: Button, name: str, chat_id: str) -> Button:
    """The button for that chat: by its name where there is room for it, else by its id, which is shorter."""
    named = Button(button.label, f"/{NAME} {name} {button.command}")
    return named if _fits(named) else Button(button.label, f"/{NAME} {chat_id} {button.command}")


def _fits(button: Button) -> bool:
    return len(button.command.encode()) <= _LONGEST_COMMAND
