"""Compares lora-tui with the real PEFT, on adapters and runs that this PEFT makes (`make real`).

The files `test_vllm_*` load adapters into a real vLLM instead (`make real-vllm`).

Two Pythons take part. The real environment has PEFT, transformers and torch: the modules in
`tests/real/peft_side` run there, write their cases and what PEFT says about them, and never import
lora_tui. The tests run in the project's environment and never import torch.
"""
