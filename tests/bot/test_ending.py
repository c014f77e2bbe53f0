"""What still runs is ended in a bounded time (P2)."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.ending import cancelled, ends_when_told, stop_signals


async def ends() -> None:
    await asyncio.sleep(60)


async def swallows(times: int) -> None:
    """As a library that takes a cancellation for its own time-out."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def fails() -> None:
    raise ValueError("broken")


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    tasks = [asyncio.create_task(ends()), asyncio.create_task(swallows(2))]
    await asyncio.sleep(0)
    await cancelled(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_a_task_that_never_ends_is_named_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    stubborn = asyncio.create_task(swallows(5), name="stubborn")
    await asyncio.sleep(0)
    began_s = time.monotonic()
    await cancelled([stubborn], give_up_s=0.4)
    assert time.monotonic() - began_s < 2
    assert "stubborn does not end" in caplog.text
    await cancelled([stubborn])


async def test_what_a_task_raised_is_raised_once_all_have_ended() -> None:
    tasks = [asyncio.create_task(fails()), asyncio.create_task(ends())]
    await asyncio.sleep(0.01)
    with pytest.raises(ValueError, match="broken"):
        await cancelled(tasks)
    assert tasks[1].cancelled()


async def test_nothing_to_end_is_no_error() -> None:
    await cancelled([])


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
async def test_before_the_loop_listens_and_after_it_does_a_signal_ends_the_process_well(sign: signal.Signals) -> None:
    before = signal.getsignal(sign)
    with ends_when_told():
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), sign)
        assert ended.value.code == 0
        with stop_signals() as stopping:
            os.kill(os.getpid(), sign)
            await asyncio.wait_for(stopping.wait(), 5)
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), sign)
    assert signal.getsignal(sign) == before


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_while_the_past_of_local_venues_is_made_it_says_so_and_ends_at_once_with_exit_code_0(
    sign: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('[source]\nkind = "local"\n[store]\npath = ""\n')
    order = [sys.executable, "-m", "bot", "--config", str(tmp_path / "config.toml")]
    with subprocess.Popen(
        order, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        assert "Making 30 days of a simulated market" in said
        time.sleep(0.5)  # thirty days take far longer
        process.send_signal(sign)
        told_s = time.monotonic()
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert time.monotonic() - told_s < 8
    assert rest == ""
