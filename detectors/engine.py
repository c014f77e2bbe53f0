"""One market, step by step: screen, look, update the estimate, track clusters, ask every kind.

Pure: the same snapshots give the same events. Two kinds of state: the `MarketEstimate`, which follows from the
series alone and is checkpointed now and then, and the decisions (tracker, kinds' memory), which are small and kept
with every tick.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectors.cluster import ClusterChange
from detectors.clusters import BandFinder, ClusterSettings
from detectors.estimate import EstimateSettings, MarketEstimate
from detectors.event import Event
from detectors.market import HOUR_MS, Bar, Market, MarketSnapshot
from detectors.realised import RealisedShare
from detectors.registry import EventKind, Memory
from detectors.screening import Screen
from detectors.tracker import ClusterTracker
from detectors.view import MarketView

QUIET_BARS_AFTER_GAP = 12
COMPLETED_WITHIN_MS = 2 * HOUR_MS
"""An event that is not complete by then stays as it is."""
STATE_VERSION = 8
"""Raised when what checkpoints or decisions hold changes; older ones are then built anew from the series."""


@dataclass(frozen=True)
class EngineSettings:
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    clusters: ClusterSettings = field(default_factory=ClusterSettings)
    kinds: Mapping[str, Any] = field(default_factory=dict)
    """Settings by kind; a kind that is missing uses its defaults."""
    realised_share: RealisedShare | None = None
    """As measured on this market; None: the configured one."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one snapshot led to. ``snapshot`` is what was believed of it."""

    snapshot: MarketSnapshot
    view: MarketView
    events: tuple[Event, ...]
    completed: tuple[Event, ...] = ()
    """Events of earlier steps, with newer facts."""


class MarketEngine:
    def __init__(self, market: Market, settings: EngineSettings, kinds: Mapping[str, EventKind]) -> None:
        self.market = market
        self.settings = settings
        self.kinds = kinds
        self.estimate = MarketEstimate.empty(settings.estimate)
        self.tracker = ClusterTracker(settings.clusters)
        self.finder = BandFinder(settings.clusters, settings.estimate.map.grid.log_step)
        self.screen = Screen()
        self.memories: dict[str, Memory] = {}
        self.quiet_bars = 0
        """Bars for which nothing is said, after a gap or before the baseline is ready."""
        self.adopted = False
        """Whether the clusters that were there when detection began have been taken in."""
        self.gaps = 0
        self.incomplete: list[Event] = []
        """Told, and still to be completed by what becomes known later."""
        self._last: MarketView | None = None

    @property
    def refused(self) -> Mapping[str, int]:
        return self.screen.refused

    # --- running

    def step(self, snapshot: MarketSnapshot) -> Step | None:
        """Takes one snapshot; None where it was refused altogether."""
        believed = self.screen.pass_through(snapshot)
        if believed is None:
            return None
        self.market = snapshot.market  # venues join and leave
        changes = self._look(believed)
        if believed.bar is not None:
            changes += self._bar(believed, believed.bar)
        else:
            self.estimate.apply(believed)
        view = self._view(believed, [] if self.quiet_bars else changes)
        completed = self._complete(view)
        if self.quiet_bars:
            return Step(believed, view, (), completed)
        events: list[Event] = []
        for name, kind in self.kinds.items():
            told, self.memories[name] = kind.detect(
                view, self.settings.kinds.get(name, kind.settings), self.memories.get(name, {})
            )
            events += told
        self.incomplete += [event for event in events if self.kinds[event.kind].complete is not None]
        return Step(believed, view, tuple(events), completed)

    def _complete(self, view: MarketView) -> tuple[Event, ...]:
        """What became known of events told before; those that are complete are waited for no longer."""
        completed: list[Event] = []
        kept: list[Event] = []
        for event in self.incomplete:
            kind = self.kinds.get(event.kind)
            if kind is None or kind.complete is None:
                continue
            found = kind.complete(event, view, self.settings.kinds.get(event.kind, kind.settings))
            if found.event is not None:
                completed.append(found.event)
            if not found.final and view.taken_at_ms < event.taken_at_ms + COMPLETED_WITHIN_MS:
                kept.append(found.event or event)
        self.incomplete = kept
        return tuple(completed)

    def view(self) -> MarketView | None:
        """The market as of the last snapshot, for commands; None before the first."""
        return self._last

    def _look(self, snapshot: MarketSnapshot) -> list[ClusterChange]:
        return self.tracker.look(self.estimate.map, snapshot.taken_at_ms, snapshot.price, snapshot.low, snapshot.high)

    def _bar(self, snapshot: MarketSnapshot, bar: Bar) -> list[ClusterChange]:
        before = self.estimate.map.last_bar_opened_at_ms
        missed = before is not None and bar.opened_at_ms - before > (
            (self.settings.estimate.map.longest_gap_bars + 1) * bar.interval_ms
        )
        hours = self.estimate.baseline.hours
        change = self.estimate.apply(snapshot)
        self.quiet_bars = max(0, self.quiet_bars - 1)
        if missed or (change is not None and change.gap) or self._open_interest_is_stale(bar):
            self.gaps += self.quiet_bars == 0
            self.quiet_bars = QUIET_BARS_AFTER_GAP
        if change is None:
            return []
        if self.estimate.baseline.hours != hours or not self.finder.ready:
            self.finder.learn(self.estimate.baseline)
        if change.rebased != 1:
            self.tracker.rebase(change.rebased, bar.close)
        self.tracker.absorb(self.estimate.map, change)
        changes = self.tracker.detect(
            self.estimate.map, self.estimate.trail, bar.opened_at_ms, bar.close, self.finder, self.estimate.shares
        )
        if self.finder.ready and not self.adopted:
            self.adopted = True
            return []
        return changes

    def _open_interest_is_stale(self, bar: Bar) -> bool:
        estimate = self.estimate.map
        if estimate.open_interest_base is None:
            return False
        return bar.closed_at_ms - estimate.open_interest_at_ms > estimate.longest_gap_ms(bar.interval_ms)

    def _view(self, snapshot: MarketSnapshot, changes: Sequence[ClusterChange]) -> MarketView:
        opened = snapshot.bar.opened_at_ms if snapshot.bar else self._bar_of(snapshot)
        self._last = MarketView(
            market=self.market,
            taken_at_ms=snapshot.taken_at_ms,
            bar_opened_at_ms=opened,
            price=snapshot.price,
            low=snapshot.low,
            high=snapshot.high,
            estimate=self.estimate,
            tracked=self.tracker.clusters,
            changes=changes,
            new_funding=snapshot.funding,
            by_venue=snapshot.by_venue,
            realised_share=self.settings.realised_share,
        )
        return self._last

    def _bar_of(self, snapshot: MarketSnapshot) -> int:
        last = self.estimate.map.last_bar_opened_at_ms
        interval = self.estimate.map.bar_interval_ms
        if last is None or not interval:
            return snapshot.taken_at_ms
        return last + max(1, (snapshot.taken_at_ms - last) // interval) * interval

    # --- state

    def decisions(self) -> bytes:
        """Tracker, memories and counters: what must be stored with every tick."""
        state = {
            "tracker": self.tracker.state(),
            "memories": self.memories,
            "quiet_bars": self.quiet_bars,
            "adopted": self.adopted,
            "gaps": self.gaps,
            "incomplete": [event.to_json() for event in self.incomplete],
            "suspects": [self.screen.suspect_price, self.screen.suspect_open_interest],
        }
        return json.dumps(state, separators=(",", ":")).encode()

    def recover(
        self,
        checkpoint: bytes | None,
        since: Iterable[MarketSnapshot],
        decisions: bytes | None,
        *,
        adopt: bool = False,
    ) -> None:
        """Start-up: the checkpoint, the stored snapshots since it (without detection), then the decisions.

        Equals never having stopped. With ``adopt``, after an upgrade or a change of settings, the clusters there are
        taken in anew and silently, and only the kinds' memories are kept. Raises ValueError where the checkpoint was
        made with other settings of size.
        """
        for _ in self.recovering(checkpoint, since, decisions, adopt=adopt):
            pass

    def recovering(
        self,
        checkpoint: bytes | None,
        since: Iterable[MarketSnapshot],
        decisions: bytes | None,
        *,
        adopt: bool = False,
    ) -> Iterator[None]:
        """As `recover`, a snapshot at a time; done when it ends."""
        if checkpoint is not None:
            self.estimate = MarketEstimate.from_bytes(self.settings.estimate, checkpoint)
            self.finder.learn(self.estimate.baseline)
            self._recall_estimate()
        for snapshot in since:
            hours = self.estimate.baseline.hours
            self.estimate.apply(snapshot)
            if self.estimate.baseline.hours != hours:
                self.finder.learn(self.estimate.baseline)
            self._recall(snapshot)
            yield
        if decisions is not None:
            state = json.loads(decisions)
            self.memories = state["memories"]
            if adopt:
                return
            self.tracker = ClusterTracker.from_state(self.settings.clusters, state["tracker"])
            self.quiet_bars, self.adopted, self.gaps = state["quiet_bars"], state["adopted"], state["gaps"]
            self.incomplete = [Event.from_json(text) for text in state["incomplete"]]
            self.screen.suspect_price, self.screen.suspect_open_interest = state["suspects"]

    def _recall_estimate(self) -> None:
        estimate, screen = self.estimate, self.screen
        screen.last_price = estimate.recent_closes[-1] if estimate.recent_closes else None
        screen.last_bar_opened_at_ms = estimate.map.last_bar_opened_at_ms
        screen.last_open_interest = estimate.map.open_interest_base
        screen.last_funding_at_ms = estimate.funding[-1].taken_at_ms if estimate.funding else 0

    def _recall(self, snapshot: MarketSnapshot) -> None:
        """The screen's memory of what was believed."""
        screen = self.screen
        screen.last_price = snapshot.price
        if snapshot.bar is not None:
            screen.last_bar_opened_at_ms = snapshot.bar.opened_at_ms
        if snapshot.open_interest is not None:
            screen.last_open_interest = snapshot.open_interest.base
        if snapshot.funding:
            screen.last_funding_at_ms = snapshot.funding[-1].taken_at_ms
        self._view(snapshot, ())
