"""The accounts of the sandbox, and the datasets that they fine-tune on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Person:
    """An account that can sign in."""

    id: str
    email: str
    password: str


DEMO: Final = Person(
    "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "demo@lora-tui.example", "make-believe-demo"
)
OTHER: Final = Person(
    "a3d90f64-1b58-5e2c-8f77-64c2be1908d5", "other@lora-tui.example", "make-believe-other"
)


@dataclass(frozen=True)
class DatasetText:
    """A dataset that somebody would fine-tune on."""

    name: str
    description: str
    training_pairs: int


DATASETS: Final = (
    DatasetText("Customer Support Emails", "Tier-1 replies with resolution notes", 18_420),
    DatasetText("SQL Assistant", "Question to query, three dialects", 42_910),
    DatasetText("Radiology Reports", "Findings to impressions, de-identified", 9_730),
    DatasetText("Legal Clause Review", "Risk labels with reasons for contract clauses", 6_215),
    DatasetText("Python Code Review", "Diffs with review comments", 27_344),
    DatasetText("Product Descriptions", "Attributes to catalogue copy, five languages", 51_008),
    DatasetText("Meeting Minutes", "Transcripts to decisions and actions", 12_560),
    DatasetText("Incident Postmortems", "Timelines to causes and remedies", 3_182),
)

OTHER_DATASET: Final = DatasetText("Field Service Notes", "Another account's dataset", 2_048)
