"""Every planted fault, in the order of the promises."""

from tests.promises import faults_chats, faults_delivery, faults_market, faults_process, faults_store

PROMISES = tuple(f"P{n}" for n in range(1, 22))
FAULTS = tuple(
    sorted(
        (
            *faults_delivery.FAULTS,
            *faults_market.FAULTS,
            *faults_store.FAULTS,
            *faults_process.FAULTS,
            *faults_chats.FAULTS,
        ),
        key=lambda fault: int(fault.promise[1:]),
    )
)


def markdown() -> str:
    """As docs/RELIABILITY.md has it."""
    rows = [
        f"| {fault.promise} | {fault.breaks} | `{fault.file}` | {', '.join(f'`{test}`' for test in fault.tests)} |\n"
        for fault in FAULTS
    ]
    return "".join(["| # | what is broken | where | the test that turns red |\n|---|---|---|---|\n", *rows])
