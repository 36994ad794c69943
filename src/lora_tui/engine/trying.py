"""Trials of the Try screen: prompts that go to several models of a server, and blind choices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from lora_tui import clock
from lora_tui.cache.metadata import Owner
from lora_tui.config.servers import find_server
from lora_tui.config.table import Profile
from lora_tui.deployments.record import is_recorded, open_deployments, owner_key
from lora_tui.domain.answers import Answer, Contestant, Progress, Settings, to_document
from lora_tui.domain.servers import Vote
from lora_tui.engine.protocol import TRYING
from lora_tui.errors import NotConfiguredError, offline_error

if TYPE_CHECKING:
    from lora_tui.serving.client import Client

EVENT_SECONDS: Final = 0.1
"""The least time between two events: each has all answers."""
LET_GO_SECONDS: Final = 5.0
"""The longest wait for a cancelled trial to let go of its server, before the next one asks."""


class _Trial:
    """One trial that runs: its answers, and whether it should end."""

    def __init__(self, models: int) -> None:
        self.changed = threading.Condition()
        """Guards the fields below."""
        self.answers = [Answer()] * models
        self.is_cancelled = False
        self.has_ended = False
        self.clients: list[Client] = []

    def is_over(self) -> bool:
        """Whether nobody waits for it any longer; call it with `changed` held."""
        return self.has_ended or self.is_cancelled

    def cancel(self) -> None:
        """End it: a request that waits for the server ends with its connection."""
        with self.changed:
            self.is_cancelled = True
            clients = list(self.clients)
            self.changed.notify_all()
        for client in clients:
            with suppress(Exception):  # it may be closing itself
                client.close()


class Trials:
    """The requests of the Try screen. Safe to call from any thread."""

    def __init__(
        self,
        profile: Callable[[], Profile],
        owner: Owner | None,
        tell: Callable[[str, Any], None],
        *,
        is_offline: bool,
    ) -> None:
        """`profile` has the servers as they are now; it raises NotConfiguredError."""
        self._profile, self._owner, self._tell = profile, owner, tell
        self._is_offline = is_offline
        self._lock = threading.Lock()
        """Guards `_running`."""
        self._running: dict[str, _Trial] = {}
        self._askers: dict[str, threading.Thread] = {}
        """Server → the thread that asked there last; only `try_models` changes it."""

    @property
    def calls(self) -> tuple[Callable[..., Any], ...]:
        """The requests; see `Requests`."""
        return (self.try_models, self.cancel_try, self.note_vote, self.votes)

    def stop(self) -> None:
        """Cancel all trials."""
        with self._lock:
            running = list(self._running.values())
        for trial in running:
            trial.cancel()

    def try_models(
        self,
        *,
        trial: str,
        server: str,
        contestants: Sequence[Sequence[Any]],
        messages: Sequence[Sequence[str]],
        settings: Sequence[Any],
    ) -> list[dict[str, Any]]:
        """Ask them all; see `Writers.try_models`. Returns as soon as it is cancelled."""
        if self._is_offline:
            raise offline_error()
        profile = self._profile()
        find_server(profile, server)
        asked = [Contestant(*one) for one in contestants]
        one = _Trial(len(asked))
        with self._lock:
            before = self._askers.get(server)
            thread = threading.Thread(
                target=self._ask,
                args=(one, profile, server, asked, messages, Settings(*settings), before),
                name="trial",
                daemon=True,
            )
            self._askers[server] = thread
            self._running[trial] = one
        try:
            thread.start()
            self._follow(trial, one)
        finally:
            with self._lock:
                self._running.pop(trial, None)
        with one.changed:
            return [to_document(_ended(answer)) for answer in one.answers]

    def cancel_try(self, *, trial: str) -> None:
        """End this trial; what came stays."""
        with self._lock:
            running = self._running.get(trial)
        if running is not None:
            running.cancel()

    def note_vote(
        self, *, server: str, prompt: str, winner: str, contestants: Sequence[str]
    ) -> None:
        """Keep a blind choice."""
        profile = self._profile()
        url = find_server(profile, server).url
        at = clock.timestamp_text(clock.now())
        vote = Vote(self._key(), server, url, at, prompt, winner, tuple(contestants))
        with open_deployments(profile.paths) as deployments:
            deployments.note_vote(vote)

    def votes(self) -> list[list[Any]]:
        """All blind choices of this account."""
        profile = self._profile()
        if not is_recorded(profile.paths):
            return []
        with open_deployments(profile.paths) as deployments:
            return [list(vote) for vote in deployments.votes(self._key())]

    def _follow(self, name: str, trial: _Trial) -> None:
        """Tell what has come, not too often, until it has ended or was cancelled."""
        told: list[Answer] = []
        told_at = 0.0
        while True:
            pause = max(0.0, told_at + EVENT_SECONDS - time.monotonic())
            with trial.changed:
                trial.changed.wait_for(trial.is_over, pause)
                while trial.answers == told and not trial.is_over():
                    trial.changed.wait()
                if trial.is_over():
                    return
                told = list(trial.answers)
            told_at = time.monotonic()
            answers = [to_document(answer) for answer in told]
            self._tell(TRYING, {"trial": name, "answers": answers})

    def _ask(
        self,
        trial: _Trial,
        profile: Profile,
        server: str,
        contestants: Sequence[Contestant],
        messages: Sequence[Sequence[str]],
        settings: Settings,
        before: threading.Thread | None,
    ) -> None:
        """Ask, in a thread of its own: a request that waits for the server can't be interrupted."""
        from lora_tui.engine.unexpected_errors import unexpected
        from lora_tui.serving.answers import ask_all, error_text
        from lora_tui.serving.client import Message
        from lora_tui.serving.connect import open_server
        from lora_tui.serving.prompts import Prompt

        @contextmanager
        def connect() -> Iterator[Client]:
            with open_server(profile, server) as client:
                with trial.changed:
                    trial.clients.append(client)
                try:
                    yield client
                finally:
                    with trial.changed:
                        trial.clients.remove(client)

        def take(place: int, answer: Answer) -> None:
            with trial.changed:
                if not trial.answers[place].progress.has_ended:
                    trial.answers[place] = answer
                    trial.changed.notify_all()

        try:
            if before is not None:  # two requests at once would mix the models up
                before.join(LET_GO_SECONDS)
            prompt = Prompt(tuple(Message(*one) for one in messages))
            ask_all(
                connect,
                contestants,
                prompt,
                settings,
                take=take,
                is_cancelled=lambda: trial.is_cancelled,
            )
        except Exception as error:
            for place in range(len(contestants)):
                take(place, Answer(Progress.FAILED, error=error_text(unexpected(error))))
        finally:
            with trial.changed:
                trial.has_ended = True
                trial.changed.notify_all()

    def _key(self) -> str:
        if self._owner is None:
            raise NotConfiguredError("Nobody has signed in yet")
        return owner_key(self._profile(), self._owner.user_id)


def _ended(answer: Answer) -> Answer:
    """The answer of a trial that has ended: what has not come by then was cancelled."""
    if answer.progress.has_ended:
        return answer
    return answer._replace(progress=Progress.CANCELLED)
