"""The names in the seeded data: believable ones, and those that a careless program trips over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


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

# Index among the models → name. They are old ones, so that the first screen looks ordinary.
HOSTILE_NAMES: Final[dict[int, str]] = {
    20: "\x1b[2J\x1b[31mAll models deleted\x1b[0m\x07 \x1b]0;owned\x07(escape sequences)",
    21: "Invoices \u202egpj.exe\u202c \u2066left\u2069 (bidi\u200b \u200fmarks)",
    22: "[red]Markup[/red] [bold]is[/] [link=file:///x]not[/link] [/open [@click=quit]quit[/]",
    23: "A very long name " + "that goes on and on " * 9 + "→ ends",
    24: "客户支持邮件 · 均衡预设 · 第三版 顧客サポート 고객 지원",
    25: "🦙 LoRA 🚀 adapter 👩‍💻 👍🏽 🇫🇷 — emoji",
    26: "../../../etc/passwd\r\nX-Injected: yes\ttab",
    27: "'; DROP TABLE model_artifacts; -- %s {name} ${HOME} `id`",
}
