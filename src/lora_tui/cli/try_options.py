"""The options of `lora-tui try`; loaded only with that command."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

from lora_tui.cli.options import MODEL_HELP, positive, wide_option
from lora_tui.domain.answers import HIGHEST_TEMPERATURE


def try_options(parser: ArgumentParser) -> None:
    """Add those of `try`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="*",
        default=[],
        help=f"up to six: {MODEL_HELP}, or the name of an adapter on the server",
    )
    parser.add_argument(
        "--on", metavar="SERVER", help="the server to ask; needed if the profile has several"
    )
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--prompt", metavar="TEXT", help="ask this")
    asked.add_argument(
        "--prompts",
        metavar="FILE",
        help="ask each line of FILE, or of stdin (-): text, or JSON with prompt or messages",
    )
    parser.add_argument("--system", metavar="TEXT", default="", help="the system message")
    parser.add_argument(
        "--max-tokens", type=positive, default=256, metavar="N", help="stop an answer there (256)"
    )
    parser.add_argument(
        "--temperature",
        type=_temperature,
        default=0.0,
        metavar="T",
        help="0 (the likeliest answer, the default) to 2",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the seed, for a temperature above 0")
    parser.add_argument(
        "--parallel",
        action="store_true",
        help="ask all at once; only on a GPU: on a CPU vLLM then mixes the models up",
    )
    parser.add_argument(
        "--blind", action="store_true", help="hide the names, and ask which answer is the best"
    )
    parser.add_argument(
        "--transcript", metavar="FILE", help="write prompts and answers to FILE.md or FILE.jsonl"
    )
    parser.add_argument(
        "--tally", action="store_true", help="show what the blind choices add up to; ask nothing"
    )
    wide_option(parser)
    parser.add_argument("--jsonl", action="store_true", help="print one JSON object per answer")


def _temperature(text: str) -> float:
    value = float(text)
    if not 0 <= value <= HIGHEST_TEMPERATURE:
        raise ArgumentTypeError(f"must be from 0 to {HIGHEST_TEMPERATURE}")
    return value


_temperature.__name__ = "temperature"  # argparse names it
