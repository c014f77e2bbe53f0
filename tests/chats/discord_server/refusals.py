"""What Discord answers when it refuses: a status and a body with its own code."""

from tests.chats.discord_server.world import Json


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the server
    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        super().__init__(f"{status} {code} {message} {errors or ''}")
        self.status = status
        self.body: Json = {"message": message, "code": code}
        if errors:
            self.body["errors"] = errors


def unauthorized() -> Refusal:
    return Refusal(401, 0, "401: Unauthorized")


def unknown(what: str) -> Refusal:
    codes = {
        "Member": 10007,
        "Channel": 10003,
        "Guild": 10004,
        "Message": 10008,
        "User": 10013,
        "Webhook": 10015,
        "interaction": 10062,
    }
    return Refusal(404, codes[what], f"Unknown {what}")


def missing_access() -> Refusal:
    return Refusal(403, 50001, "Missing Access")


def missing_permissions() -> Refusal:
    return Refusal(403, 50013, "Missing Permissions")


def invalid(path: str, code: str, message: str) -> Refusal:
    """``path`` such as ``embeds.0.title``; the body nests it as Discord's does."""
    tree: Json = {"_errors": [{"code": code, "message": message}]}
    for part in reversed(path.split(".")):
        tree = {part: tree}
    return Refusal(400, 50035, "Invalid Form Body", tree)


def too_long(path: str, most: int) -> Refusal:
    return invalid(path, "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {most} in length.")


def required(path: str) -> Refusal:
    return invalid(path, "BASE_TYPE_REQUIRED", "This field is required")
