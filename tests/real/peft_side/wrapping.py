"""Puts an adapter on a base and gives its weights values, as a training would."""

from __future__ import annotations

import warnings
from typing import Any, Final

import peft
import torch
from peft import PeftModel
from torch import nn

from tests.real.peft_side.bases import open_base, tokenizer
from tests.real.peft_side.lora_cases import Case

_BATCHES: Final = 4


def wrapped(case: Case, seed: int) -> PeftModel:
    """A new PEFT model of the case, with small random values in everything that is trained."""
    base = base_of(case)
    settings: dict[str, Any] = {"peft_type": "LORA", **case.settings}
    config = peft.get_peft_config(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if case.data_driven:
            return _nudged(_data_driven(base, config), seed)
        return _nudged(peft.get_peft_model(base, config), seed)


def base_of(case: Case) -> nn.Module:
    """The base of the case, with its extra tokens."""
    base = open_base(case.base, case.auto_class, **case.options)
    if case.extra_tokens:
        torch.manual_seed(13)
        base.resize_token_embeddings(len(tokenizer()) + case.extra_tokens)
    return base


def _data_driven(base: nn.Module, config: Any) -> PeftModel:
    draw = torch.Generator().manual_seed(17)
    batches = [
        {"input_ids": (ids := torch.randint(4, 90, (4, 12), generator=draw)), "labels": ids}
        for _ in range(_BATCHES)
    ]

    def run_model() -> None:  # one text at a time, as preprocess_corda wants it
        for batch in batches:
            for ids in batch["input_ids"].split(1):
                base(input_ids=ids)

    if config.init_lora_weights == "corda":
        from peft.tuners.lora.config import CordaConfig
        from peft.tuners.lora.corda import preprocess_corda

        config.corda_config = CordaConfig(corda_method="kpm")
        preprocess_corda(base, config, run_model=run_model)
        return peft.get_peft_model(base, config)
    if config.init_lora_weights == "lora_ga":
        from peft.tuners.lora.loraga import preprocess_loraga

        def train_step() -> None:
            for batch in batches:
                base(**batch).loss.backward()

        preprocess_loraga(base, config, train_step)
        return peft.get_peft_model(base, config)
    model = peft.get_peft_model(base, config)
    peft.initialize_lora_eva_weights(model, batches, show_progress_bar=False)
    return model


@torch.no_grad()
def _nudged(model: PeftModel, seed: int) -> PeftModel:
    """Add noise to what is trained: B is no longer zero, and magnitudes stay positive."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.add_((0.03 * noise).to(parameter.dtype))
    return model
