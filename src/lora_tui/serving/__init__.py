"""Servers that load adapters: vLLM and llama.cpp's llama-server.

docs/serving.md tells how they behave, and what is done about it. It may import `transfers`,
`deployments`, `adapters`, `gateway` and the layers below them.
"""
