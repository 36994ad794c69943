"""Where a model is loaded and what was proved there, on its page; `P` proves it again."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

from lora_tui import clock
from lora_tui.cache.connection import open_existing, transaction
from lora_tui.cache.served import Served, put_served
from lora_tui.domain.servers import Loaded, Proof
from lora_tui.errors import CancelledError, NotFoundError
from lora_tui.widgets.served_panel import ServedPanel, panel_lines
from tests.tui.conftest import Open, model_page, screen_text, toasts, until
from tests.tui.library import NOW, FakeWriters, Library, failing
from tests.tui.whole_model import HIGH, MODEL, NARROW

AT = clock.timestamp_text(NOW - timedelta(hours=2))
ON_GPU = Loaded("me", "gpu-1", "http://gpu", "support@1a2b", MODEL, "Support", "1a2b", "/srv/a",
                "", AT)  # fmt: skip
PROVED = Proof("me", MODEL, "gpu-1", "http://gpu", "support@1a2b", "1a2b", "effect", 0.21, 0.003,
               8, 312, (), "", AT)  # fmt: skip


def keep(library: Library, loaded: list[Loaded], proofs: list[Proof]) -> None:
    with closing(open_existing(library.path)) as db, transaction(db):
        put_served(db, loaded, proofs)


async def test_the_page_tells_where_a_model_is_loaded_and_what_was_proved(
    model: Library, open_app: Open
) -> None:
    nothing = PROVED._replace(
        server="cpu", verdict="no effect", difference=0.0, reasons=("B is zero in all 14 modules",)
    )
    keep(model, [ON_GPU, ON_GPU._replace(server="gpu-2")], [PROVED, nothing])
    app = open_app()
    async with model_page(app, HIGH):
        shown = " ".join(screen_text(app).split())
    assert "On servers" in shown
    assert "changes the answers," in shown
    assert "0.210 nats a token (noise 0.00300)" in shown
    assert "not proved yet" in shown
    assert "loaded without effect" in shown


async def test_without_servers_the_page_has_no_panel_and_p_says_why(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        assert not app.screen.query_one(ServedPanel).display
        await pilot.press("P")
        await until(pilot, lambda: "lora-tui load" in str(toasts(app)))


async def test_p_proves_on_each_server_and_tells_what_was_found(
    model: Library, open_app: Open
) -> None:
    keep(model, [ON_GPU, ON_GPU._replace(server="gpu-2")], [])
    writers = FakeWriters(on_prove=lambda _, server: f"changes the answers of {server}")
    app = open_app(writers=writers)
    async with model_page(app, HIGH) as pilot:
        await pilot.press("P")
        await until(pilot, lambda: "Changes the answers of gpu-2" in str(toasts(app)))
    asked = [call for call in writers.asked if call[0] == "prove_model"]
    assert asked == [("prove_model", MODEL, "gpu-1"), ("prove_model", MODEL, "gpu-2")]


async def test_a_proof_that_goes_on_is_shown_and_x_cancels_it(
    model: Library, open_app: Open
) -> None:
    keep(model, [ON_GPU], [])
    writers = FakeWriters(proving={(MODEL, "gpu-1"): (7, 25), ("another", "gpu-1"): (1, 25)})
    app = open_app(writers=writers)
    async with model_page(app, HIGH) as pilot:
        assert "gpu-1: asking, 7 of 25 answers; x cancels it" in " ".join(screen_text(app).split())
        await pilot.press("x")
        await until(pilot, lambda: ("cancel_proof", MODEL) in writers.asked)


async def test_why_nothing_was_proved_is_a_toast(model: Library, open_app: Open) -> None:
    keep(model, [ON_GPU], [])
    writers = FakeWriters(on_prove=failing(NotFoundError("gpu-1 has not loaded this model")))
    app = open_app(writers=writers)
    async with model_page(app, HIGH) as pilot:
        await pilot.press("P")
        await until(pilot, lambda: "gpu-1 has not loaded this model" in str(toasts(app)))
        writers.on_prove = failing(CancelledError("The proof was cancelled"))
        await pilot.press("P")
        await until(pilot, lambda: "The proof was cancelled" in str(toasts(app)))


def test_each_line_fits_and_ascii_stays_ascii() -> None:
    served = Served((ON_GPU,), (PROVED._replace(warning="garbage", reasons=("naïve – text",)),))
    for width in (24, 51, 100):
        lines = panel_lines(served, {"gpu-1": "asking"}, width, ascii_only=True)
        texts = ["".join(text for text, _ in line) for line in lines]
        assert all(len(text) <= width and text.isascii() for text in texts)
