"""What is known about a run beside its points: cost, epochs, kind of data, step of the weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lora_tui.domain import Job, Model

_CHAT_WORDS: Final = frozenset(
    (
        *("chat", "chatml", "conversation", "conversational", "conversations", "dialog"),
        *("dialogue", "messages", "turn", "multiturn", "sharegpt", "openai"),
        *("instruct", "instruction", "instructions", "alpaca", "sft", "qa", "brightrun"),
    )
)


@dataclass(frozen=True)
class RunFacts:
    """The facts about a run that its points don't tell."""

    cost: float | None = None
    """US dollars, of the whole run."""
    epochs: float | None = None
    is_chat: bool = False
    """Whether the data are conversations or instructions with answers."""
    weights_step: float | None = None
    """The step that the weights are of; None where it is the last one, or unknown."""
    weights_step_is_certain: bool = False
    is_rated: bool = True
    """Whether the pipeline has stored a rating, which it does with the model of a run."""

    @classmethod
    def of(cls, model: Model) -> RunFacts:
        """The facts in the rows of a model, its dataset and its job."""
        training, job = model.training, model.job
        cost = training.total_cost
        if cost is None and job is not None:
            cost = job.final_cost
        epochs = training.epochs_completed or model.hyperparameters.epochs
        return cls(
            cost=cost if cost is not None and cost > 0 else None,
            epochs=epochs if epochs is not None and epochs > 0 else None,
            is_chat=is_chat_format(model.dataset.format if model.dataset else None),
            weights_step=training.weights_step,
            weights_step_is_certain=training.weights_step_is_certain,
        )

    @classmethod
    def of_running_job(cls, job: Job, dataset_format: str | None) -> RunFacts:
        """The facts about a job that goes on; `epochs` are those that are done so far."""
        epochs, share = job.total_epochs or job.hyperparameters.epochs, None
        if job.current_step is not None and job.total_steps and job.total_steps > 0:
            share = job.current_step / job.total_steps
        done = epochs * share if epochs is not None and share is not None else None
        return cls(
            epochs=done if done and done > 0 else None,
            is_chat=is_chat_format(dataset_format),
            is_rated=False,
        )

    @property
    def rating(self) -> str:
        """The rating of the pipeline in a sentence: `the stored rating`."""
        return "the stored rating" if self.is_rated else "a rating of the pipeline"

    def is_after_first_epoch(self, step: float, last_step: float) -> bool:
        """Whether a step is at the end of the first epoch or later; also where that is unknown."""
        return self.epochs is None or step >= _NEARLY * last_step / self.epochs


_NEARLY: Final = 0.9
"""Evaluations rarely fall on the very end of an epoch."""


def is_chat_format(name: str | None) -> bool:
    """Whether a dataset's format holds prompts and answers, by the words of its name.

    `brightrun_lora_v4`, the format of the pipeline, does: a system prompt, the turns before, the
    user's input and the answer to it. An unknown format is not taken for one.
    """
    return name is not None and bool(_CHAT_WORDS & set(re.split(r"[^a-z]+", name.lower())))
