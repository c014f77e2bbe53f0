"""Fixtures that several folders of tests share."""

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_markets() -> Path:
    """The recorded markets, kept in the folder ``shared`` beside the checkout and never in it."""
    folder = CHECKOUT / "../shared/markets"
    if not folder.is_dir():
        pytest.skip("no recorded markets: ../shared/markets is not beside this checkout")
    return folder
