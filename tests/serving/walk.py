"""What somebody with a vLLM types: load models, see their effect, unload them, try them.

The same on the sandbox's stand-in (`make test`) and on a real vLLM (`make real-vllm`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.real.commands import Typed, User
from tests.serving.adapter_folders import matrices, renamed, write_adapter
from tests.serving.vllm_contract import Server

KEY_VARIABLE: Final = "LORA_TUI_SERVER_KEY_GPU"
_PARTLY_FAILED: Final = 7

ADAPTERS: Final[Mapping[str, Callable[[Path], Path]]] = {
    "good": lambda folder: write_adapter(folder),
    "second": lambda folder: write_adapter(folder, matrices(1)),
    "b-zero": lambda folder: write_adapter(folder, matrices(spread=0.0)),
    "prefix-transformer": lambda folder: write_adapter(
        folder, renamed(matrices(), "model.model.layers", "model.transformer.layers")
    ),
    "prefix-h": lambda folder: write_adapter(folder, renamed(matrices(), "layers", "h")),
    "wider-base": lambda folder: write_adapter(folder, matrices(hidden_size=128)),
}
"""The models of the walk: for a base of 64 channels and 2 layers."""


@dataclass(frozen=True)
class Walk:
    """Where it has come to: the user's models are in the project, the server is named `gpu`."""

    user: User
    server: Server
    models: Mapping[str, str]
    """Ids by the names of `ADAPTERS`."""

    def types(self, *words: str | Path) -> Typed:
        """Run `lora-tui WORDS…`."""
        return self.user.types(*words)

    def loads(self, name: str, *more: str) -> Typed:
        """Type `load` for a model."""
        return self.types("load", self.models[name], "--to", "gpu", "--json", *more)

    def unloads(self, name: str) -> None:
        """Type `unload` for a model that is loaded."""
        typed = self.types("unload", self.models[name], "--from", "gpu", "--json")
        assert (typed.code, len(typed.data["unloaded"])) == (0, 1), typed.err


def begin(user: User, server: Server, place: Path) -> Walk:
    """Push the adapters into the user's project, and add the server, whose kind is asked for."""
    dataset = user.dataset()
    models = {}
    for name, write in ADAPTERS.items():
        pushed = user.types(
            "push", write(place / name), "--dataset", dataset, "--name", name, "--json"
        )
        assert pushed.code == 0, pushed.err
        models[name] = str(pushed.data["model_id"])
    assert user.types("sync").code == 0
    added = user.types("servers", "add", "gpu", server.url)
    assert added.code == 0, added.err
    return Walk(user, server, models)


def check_the_server_is_listed_as_vllm_with_its_base(walk: Walk) -> None:
    """`servers` asks it what it is."""
    (listed,) = walk.types("servers", "--json").data["servers"]
    assert (listed["name"], listed["kind"], listed["base_model"]) == (
        "gpu",
        "vllm",
        walk.server.base,
    )


def check_a_loaded_model_is_shown_to_have_an_effect(walk: Walk) -> None:
    """It is loaded under a name of its version, from a path of its own; `unload` takes it away."""
    typed = walk.loads("good")
    assert typed.code == 0, typed.err
    loaded, proof = typed.data["loaded"], typed.data["proof"]
    assert proof["verdict"] == "effect"
    assert proof["difference"] > 0
    assert walk.server.models()[loaded["name"]]["root"] == loaded["path"]
    (listed,) = walk.types("list", "--json", "--where", "on = gpu").data["models"]
    assert listed["id"] == walk.models["good"]
    walk.unloads("good")
    assert loaded["name"] not in walk.server.models()
    assert walk.types("list", "--json", "--where", "on = gpu").data["models"] == []


def check_b_of_zero_is_found_out(walk: Walk) -> None:
    """The server takes it with 200; the proof says `no effect`, with the likely reason."""
    _check_no_effect(walk, "b-zero", "B is zero")


def check_names_that_begin_with_transformer_are_found_out(walk: Walk) -> None:
    """The server skips such names without an error."""
    _check_no_effect(walk, "prefix-transformer", "begin with transformer.")


def check_names_with_h_for_layers_are_found_out(walk: Walk) -> None:
    """The server skips these too."""
    _check_no_effect(walk, "prefix-h", ".h. in place of .layers.")


def check_a_refusal_is_told_in_the_servers_own_words(walk: Walk) -> None:
    """The engine refuses an adapter of another base."""
    typed = walk.types("load", walk.models["wider-base"], "--to", "gpu", "--anyway")
    assert typed.code not in (0, _PARTLY_FAILED)
    assert "must match the size of tensor" in typed.err
    assert walk.server.models().keys() == {walk.server.base}


def check_a_folder_that_a_server_may_read_is_not_changed(walk: Walk) -> None:
    """`download --force` and `library remove` leave it alone until the model is unloaded."""
    loaded = walk.loads("good").data["loaded"]
    directory, name = Path(loaded["directory"]), loaded["name"]
    before, answers = _files(directory), walk.server.logprobs(name)
    model = walk.models["good"]
    for words in (
        ("download", model, "--force"),
        ("library", "remove", model, "--yes"),
        ("library", "remove", str(directory), "--yes"),
    ):
        walk.types(*words)
        assert _files(directory) == before, words
    refused = walk.types("library", "remove", model, "--yes")
    assert refused.code != 0
    assert "gpu" in refused.err
    second = walk.loads("second").data["loaded"]["name"]  # the first is evicted, then read again
    walk.server.logprobs(second)
    assert walk.server.logprobs(name) == answers
    removed = walk.types("library", "remove", model, "--yes", "--unload")
    assert removed.code == 0, removed.err
    assert name not in walk.server.models()
    assert not directory.exists()
    walk.unloads("second")
    assert walk.server.get("/health").status_code == 200


def check_two_models_and_the_base_are_tried_side_by_side(walk: Walk) -> None:
    """`try` prints what each of them answers."""
    names = [walk.loads(name).data["loaded"]["name"] for name in ("good", "second")]
    typed = walk.types(
        *("try", walk.models["good"], walk.models["second"], "--on", "gpu", "--prompt", "Hello"),
        *("--max-tokens", "12", "--json"),
    )
    assert typed.code == 0, typed.err
    answers = {row["adapter"]: row["answer"] for row in typed.data["answers"]}
    assert answers == {
        None: _chat(walk.server, walk.server.base),
        **{name: _chat(walk.server, name) for name in names},
    }
    for name in ("good", "second"):
        walk.unloads(name)


STEPS: Final = (
    check_the_server_is_listed_as_vllm_with_its_base,
    check_a_loaded_model_is_shown_to_have_an_effect,
    check_b_of_zero_is_found_out,
    check_names_that_begin_with_transformer_are_found_out,
    check_names_with_h_for_layers_are_found_out,
    check_a_refusal_is_told_in_the_servers_own_words,
    check_a_folder_that_a_server_may_read_is_not_changed,
    check_two_models_and_the_base_are_tried_side_by_side,
)
"""Each leaves no model loaded."""


def _check_no_effect(walk: Walk, name: str, reason: str) -> None:
    typed = walk.loads(name, "--anyway")
    assert typed.code == _PARTLY_FAILED, typed.err
    proof = typed.data["proof"]
    assert proof["verdict"] == "no effect"
    assert reason in " ".join(proof["reasons"])
    walk.unloads(name)


def _chat(server: Server, model: str) -> str:
    fields = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12}
    answer = server.post("/v1/chat/completions", {"model": model, "temperature": 0, **fields})
    return str(answer.json()["choices"][0]["message"]["content"])


def _files(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Inode and content of each file that a server reads."""
    return {
        file.name: (file.stat().st_ino, file.read_bytes())
        for file in sorted(directory.glob("adapter_*"))
    }
