"""Trains tiny adapters with the real Trainer, so that its logs are what users have."""

from __future__ import annotations

import itertools
import json
import shutil
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import peft
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from tests.real.peft_side.bases import WORDS, open_base, tokenizer

_LENGTH: Final = 12
_STEPS: Final = 60


class Sentences(Dataset[dict[str, list[int]]]):
    """Token ids that repeat a short pattern, so that a tiny model learns something in 40 steps."""

    def __init__(self, count: int, seed: int, *, chat: bool = False) -> None:
        words = tokenizer()
        self.rows = []
        for number in range(count):
            start = (number * 7 + seed * 3) % (len(WORDS) - 8)
            pattern = itertools.cycle(WORDS[start : start + 3])
            text = " ".join(itertools.islice(pattern, _LENGTH))
            if chat:
                turns = [
                    {"role": "user", "content": text[: len(text) // 2].strip()},
                    {"role": "assistant", "content": text[len(text) // 2 :].strip()},
                ]
                text = words.apply_chat_template(turns, tokenize=False)
            ids = words(text)["input_ids"][:_LENGTH]
            ids += [0] * (_LENGTH - len(ids))
            self.rows.append({"input_ids": ids, "labels": ids, "attention_mask": [1] * _LENGTH})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        return self.rows[number]


class _Poison(TrainerCallback):  # type: ignore[misc]
    """Writes NaN into one of the weights before a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == self.step:
            with torch.no_grad():
                next(p for p in given["model"].parameters() if p.requires_grad).fill_(float("nan"))


def _trained(
    directory: Path,
    *,
    evaluated: Dataset[Any] | Mapping[str, Dataset[Any]] | None = None,
    chat: bool = False,
    rows: int = 64,
    rank: int = 4,
    callbacks: list[TrainerCallback] | None = None,
    before: Callable[[nn.Module], None] | None = None,
    **arguments: Any,
) -> None:
    base = open_base("llama")
    set_seed(zlib.crc32(directory.name.encode()) % 1000)
    model = peft.get_peft_model(
        base,
        peft.LoraConfig(r=rank, lora_alpha=8, target_modules=["q_proj", "v_proj"],
                        task_type="CAUSAL_LM"),
    )  # fmt: skip
    if before is not None:
        before(model)
    work = directory.with_name(f"{directory.name}-work")
    settings: dict[str, Any] = {
        "output_dir": str(work), "max_steps": _STEPS, "per_device_train_batch_size": 8,
        "learning_rate": 5e-3, "logging_steps": 2, "report_to": [], "use_cpu": True,
        "save_strategy": "no", "disable_tqdm": True, "eval_strategy": "no", "seed": 1,
        **arguments,
    }  # fmt: skip
    if evaluated is not None and "eval_strategy" not in arguments:
        settings |= {"eval_strategy": "steps", "eval_steps": 10}
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**settings),
        train_dataset=Sentences(rows, 1, chat=chat),
        eval_dataset=evaluated,
        processing_class=tokenizer(),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()
    trainer.save_model(str(directory))
    trainer.save_state()
    shutil.copy(work / "trainer_state.json", directory)
    shutil.rmtree(work)


def make_runs(root: Path) -> dict[str, Any]:
    """Train every run below `root`; returns what its log says, by the name of the run."""
    held_out = Sentences(16, 5)
    _trained(root / "plain", evaluated=held_out)
    _trained(root / "no_validation")
    _trained(root / "constant_rate", evaluated=held_out, lr_scheduler_type="constant")
    _trained(root / "several_sets", evaluated={"easy": Sentences(16, 1), "hard": Sentences(16, 9)})
    _trained(
        root / "best_at_end", evaluated=held_out, load_best_model_at_end=True,
        save_strategy="steps", save_steps=10, learning_rate=0.2, lr_scheduler_type="constant",
        rows=4,  # its validation loss rises from step 10 on
    )  # fmt: skip
    _trained(root / "chat", evaluated=Sentences(16, 5, chat=True), chat=True, num_train_epochs=3,
             max_steps=-1
             , eval_strategy="epoch")  # fmt: skip
    _trained(root / "logged_too_seldom", logging_steps=500)
    _trained(root / "nan_filtered", callbacks=[_Poison(0)], evaluated=held_out)
    _trained(root / "nan_from_the_middle", rank=5, callbacks=[_Poison(30)], evaluated=held_out,
             logging_nan_inf_filter=False)  # fmt: skip
    _trained(root / "nan_filtered_from_the_middle", rank=6, callbacks=[_Poison(30)])
    return {path.name: _said(path) for path in sorted(root.iterdir())}


def _said(directory: Path) -> dict[str, Any]:
    """Facts of the run that don't need lora-tui's own reading of the log."""
    state = json.loads((directory / "trainer_state.json").read_text())
    history = state["log_history"]
    weights = torch.cat(
        [tensor.flatten() for tensor in _weights(directory / "adapter_model.safetensors")]
    )
    return {
        "losses": [[e["step"], e["loss"]] for e in history if "loss" in e],
        "best_step": state.get("best_global_step"),
        "weights_finite": bool(torch.isfinite(weights).all()),
    }  # fmt: skip


def _weights(file: Path) -> list[torch.Tensor]:
    from safetensors.torch import load_file

    return [tensor.float() for tensor in load_file(file).values()]
