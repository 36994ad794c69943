"""The weights of downloaded models are analysed once for each state of their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

import numpy as np
import pytest

from lora_tui.adapters.weight_facts import facts_from
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.downloaded import delete_downloaded, put_downloaded
from lora_tui.cache.metadata import Owner
from lora_tui.cache.models import put_models
from lora_tui.cache.weights import get_weight_summary, get_weights, weight_stamps, weights_of_peers
from lora_tui.domain import WeightSummary
from lora_tui.engine.idle_work import IdleWork
from lora_tui.engine.weights import analyse_downloads
from lora_tui.errors import CancelledError, ending_error
from tests.adapters.weight_files import pair, write_tensors
from tests.tui.library import USER, identifier, model_row

OWNER = Owner(USER, "https://project.example")
MODEL = identifier("model", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite3"


@pytest.fixture
def db(path: Path) -> Iterator[Connection]:
    with closing(open_cache(path, OWNER)) as opened:
        yield opened


def downloaded(db: Connection, directory: Path, value: float = 1.0) -> Path:
    directory.mkdir(exist_ok=True)
    tensors = pair("model.layers.0.q_proj", np.ones((2, 4)), np.full((4, 2), value))
    weights = write_tensors(directory / "adapter_model.safetensors", tensors)
    (directory / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 4}))
    with transaction(db):
        put_downloaded(db, MODEL, directory)
    return weights


def go_on() -> None:
    pass


def test_a_downloaded_model_gets_its_figures_with_the_scaling_of_its_configuration(
    db: Connection, tmp_path: Path
) -> None:
    downloaded(db, tmp_path / "a")
    analyse_downloads(db, go_on)
    facts = facts_from(get_weights(db, MODEL))
    assert facts is not None
    (module,) = facts.modules
    assert (module.name, module.scaling, module.norm) == ("model.layers.0.q_proj", 2.0, 16.0)
    summary = get_weight_summary(db, MODEL)
    assert summary is not None
    assert summary.norm == 16.0


def test_a_file_that_changed_is_analysed_again_and_one_that_did_not_is_not(
    db: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded(db, tmp_path / "a")
    analyse_downloads(db, go_on)
    with monkeypatch.context() as patch:
        patch.setattr("lora_tui.adapters.weights.measure_file", None)
        analyse_downloads(db, go_on)
    downloaded(db, tmp_path / "a", 3.0).touch()
    analyse_downloads(db, go_on)
    summary = get_weight_summary(db, MODEL)
    assert summary is not None
    assert summary.norm == 48.0


def test_the_figures_of_a_removed_copy_are_removed(db: Connection, tmp_path: Path) -> None:
    downloaded(db, tmp_path / "a")
    analyse_downloads(db, go_on)
    with transaction(db):
        delete_downloaded(db, MODEL, tmp_path / "a")
    analyse_downloads(db, go_on)
    assert get_weights(db, MODEL) is None
    assert weight_stamps(db) == {}


def test_weights_that_can_not_be_read_are_tried_once(db: Connection, tmp_path: Path) -> None:
    downloaded(db, tmp_path / "a").write_bytes(b"no safetensors")
    analyse_downloads(db, go_on)
    assert get_weights(db, MODEL) is None
    assert list(weight_stamps(db)) == [MODEL]


def test_an_analysis_that_is_stopped_is_done_the_next_time(db: Connection, tmp_path: Path) -> None:
    downloaded(db, tmp_path / "a")

    def stop() -> None:
        raise CancelledError("The application is ending")

    with pytest.raises(CancelledError):
        analyse_downloads(db, stop)
    assert weight_stamps(db) == {}
    analyse_downloads(db, go_on)
    assert list(weight_stamps(db)) == [MODEL]


def test_the_engine_analyses_in_a_thread_and_ends_it(
    db: Connection, path: Path, tmp_path: Path
) -> None:
    downloaded(db, tmp_path / "a")
    analysis = IdleWork("weights", analyse_downloads, lambda: closing(open_cache(path, OWNER)))
    analysis.start()
    analysis.start()
    analysis.wait()
    assert get_weights(db, MODEL) is not None
    analysis.stop()
    analysis.start()
    analysis.wait()


@pytest.mark.parametrize("ends", [False, True])
def test_work_that_fails_is_logged_but_not_if_it_fails_because_the_engine_ends(
    path: Path, caplog: pytest.LogCaptureFixture, ends: bool
) -> None:
    def fail(_db: Connection, _stop: Callable[[], None]) -> None:
        if ends:
            work.stop()
        raise ending_error()

    work = IdleWork("weights", fail, lambda: closing(open_cache(path, OWNER)))
    work.start()
    work.wait()
    assert len(caplog.records) == (0 if ends else 1)


def test_a_damaged_entry_of_the_cache_is_no_entry(db: Connection, tmp_path: Path) -> None:
    downloaded(db, tmp_path / "a")
    analyse_downloads(db, go_on)
    for text in ("{", "[]", '{"version": 1, "modules": [7, null]}', "\x00"):
        with transaction(db):
            db.execute("UPDATE weights SET document = ?, summary = ?", [text, text])
        facts = facts_from(get_weights(db, MODEL))
        assert facts is None or all(module.norm is None for module in facts.modules)
        assert get_weight_summary(db, MODEL) is None


def test_peers_are_models_of_the_same_dataset_and_base(db: Connection) -> None:
    def row(number: int, norm: float, **changes: object) -> dict[str, object]:
        summary = WeightSummary(tensors=2, modules=1, evaluated=1, rank=4, norm=norm)
        found = model_row(number, **changes)
        configuration = {**found["configuration"], "weights": summary.as_json()}
        return {**found, "dataset_id": "d", "configuration": configuration, **changes}

    rows = [row(0, 1.0), row(1, 2.0), row(2, 3.0, dataset_id="other")]
    with transaction(db):
        put_models(db, rows)
    (base,) = db.execute("SELECT base_model FROM models WHERE id = ?", [rows[0]["id"]]).fetchone()
    peers = weights_of_peers(db, str(rows[0]["id"]), "d", base)
    assert [peer.norm for peer in peers] == [2.0]
    assert weights_of_peers(db, str(rows[0]["id"]), "d", "another base") == []
