"""`urls`: print signed URLs of the files of a model."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from lora_tui.commands.context import Context
from lora_tui.commands.download import require_model
from lora_tui.errors import ExitCode, HiddenFilesError, LoraTuiError, NotFoundError

URL_SECONDS: Final = 3600
"""How long a printed URL is valid."""


def print_urls(context: Context) -> ExitCode:
    """Print signed URLs, for curl or aria2c. They are not stored."""
    context.require_network()
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.transfers.download import choose_files

    with closing(OnlineWriters(context.profile)) as online:
        model = require_model(context, context.arguments.model)
        files = choose_files(model, context.arguments.file or None)
        signed = online.sign_many([file.path for file in files])
    urls: dict[str, str] = {}
    for file in files:
        answer = signed[file.path]
        if isinstance(answer, LoraTuiError):
            context.say(f"{file.label}: {answer}")
        else:
            urls[file.name] = answer
    if not urls:
        hidden = [error for error in signed.values() if isinstance(error, HiddenFilesError)]
        raise (
            hidden[0]
            if hidden
            else NotFoundError(
                "None of the files is available", remedy="run `lora-tui sync`, then try again"
            )
        )
    if context.json:
        data: dict[str, Any] = {
            "model_id": model.id,
            "model_name": model.name,
            "download_urls": urls,
            "expires_in_seconds": URL_SECONDS,
        }
        context.print_data(data)
    else:
        context.out.writelines(f"{url}\n" for url in urls.values())
    return ExitCode.OK if len(urls) == len(files) else ExitCode.PARTLY_FAILED
