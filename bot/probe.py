"""``python -m bot.probe``: exit code 0 where the bot on ``PORT`` of this machine is healthy, for containers."""

import os
import sys
from http.client import HTTPConnection, HTTPException

WITHIN_S = 4.0


def probe(port: str) -> int:
    connection = HTTPConnection("127.0.0.1", int(port), timeout=WITHIN_S)
    try:
        connection.request("GET", "/healthz")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(probe(os.environ.get("PORT", "8080")))
