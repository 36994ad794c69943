"""A stand-in for vLLM: the server of the demo and the tests that loads adapters.

It follows docs/contract.md ("Servers that load adapters"), the traps too. Its answers are made of
hashes, but whether and how much an adapter changes them follows from the adapter's weights. It may
import `clock`, and of the sandbox the server, faults and middleware; it has a reader of safetensors
of its own, so that it can test ours.
"""

from lora_tui.sandbox.vllm.base_model import LLAMA_8B, BaseModel
from lora_tui.sandbox.vllm.settings import Behavior
from lora_tui.sandbox.vllm.stand_in import VllmStandIn

__all__ = ["LLAMA_8B", "BaseModel", "Behavior", "VllmStandIn"]
