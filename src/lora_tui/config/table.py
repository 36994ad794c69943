"""The one table of settings: each row is one field of `Profile`, `Preferences` or `Variables`.

A row gives name, type and default, and its `Setting` the kind of value, the environment variable,
the help, and where it may be changed. The configuration file, the environment, `config`, the
Settings screen, docs/configuration.md and their tests read these rows; a new setting is a new row.
"""

# No `from __future__ import annotations` here: the annotations are the table.

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from lora_tui.config.kinds import (
    Amount,
    Choice,
    Directory,
    Key,
    Kind,
    Number,
    Rate,
    SecretUrl,
    Switch,
    Url,
    UrlOrOff,
)
from lora_tui.config.paths import HOME_VARIABLE, Paths, cache_name, marks_name, project_key
from lora_tui.config.setting import PROFILES, UI, Setting
from lora_tui.errors import ConfigError
from lora_tui.secret import Secret

THEME_NAMES: Final = ("dark", "light", "high-contrast", "ansi", "mono")
SYNC_INTERVAL: Final = 60.0
"""Seconds between two syncs, where no setting says otherwise."""
LIVE_INTERVAL: Final = 5.0
"""Seconds between two reads of the points of running jobs, where no setting says otherwise."""
WHOLE_RUNS: Final = 200
"""Runs whose points are all kept in the cache, where no setting says otherwise."""
PARALLEL_DOWNLOADS: Final = 3
"""Files that are downloaded at once, where no setting says otherwise."""
SPOOL_LIMIT: Final = 4 << 30
"""Bytes of all files that a harvest has in hand, where no setting says otherwise."""
ALERT_SENDERS: Final = ("application", "harvest")
DEMO_PROFILES: Final = ("demo", "demo-hostile")
"""Of `lora-tui demo` and `lora-tui demo --hostile`, where the file has none of these names."""
SERVERS: Final = "servers"
"""The key of a profile that holds its servers: [profiles.NAME.servers.SERVER]."""


class Profile(NamedTuple):
    """One Supabase project, with what is needed to reach it: the rows of [profiles.NAME]."""

    name: str
    paths: Paths
    url: Annotated[str, Setting(Url(), "the project's URL", variable="SUPABASE_URL")]
    anon_key: Annotated[
        str,
        Setting(
            Key(),
            "the project's public key (anon or publishable)",
            variable="SUPABASE_ANON_KEY",
            masked=True,
        ),
    ]
    email: Annotated[
        str | None,
        Setting(Kind(), "the e-mail address of the account", variable="LORA_TUI_EMAIL"),
    ] = None
    password: Annotated[
        Secret | None,
        Setting(Kind(), "the password of the account", variable="LORA_TUI_PASSWORD", secret=True),
    ] = None
    access_token: Annotated[
        Secret | None,
        Setting(
            Key(),
            "an access token to use instead of signing in",
            variable="LORA_TUI_ACCESS_TOKEN",
            secret=True,
        ),
    ] = None
    service_key: Annotated[
        Secret | None,
        Setting(
            Key(),
            "the service role key, for `--harvest` and `push`",
            variable="SUPABASE_SERVICE_ROLE_KEY",
            secret=True,
        ),
    ] = None
    storage_url: Annotated[
        str | None,
        Setting(
            UrlOrOff(),
            "the storage's own address, to which `--harvest` and `push` send large files, or `off`",
            variable="LORA_TUI_STORAGE_URL",
            unset="https://PROJECT.storage.supabase.co for https://PROJECT.supabase.co",
        ),
    ] = None
    s3_access_key_id: Annotated[
        Secret | None,
        Setting(
            Key(),
            "the id of an S3 access key, with which `--harvest` and `push` send large files faster",
            variable="LORA_TUI_S3_ACCESS_KEY_ID",
            secret=True,
        ),
    ] = None
    s3_secret_access_key: Annotated[
        Secret | None,
        Setting(
            Key(),
            "the secret of the S3 access key",
            variable="LORA_TUI_S3_SECRET_ACCESS_KEY",
            secret=True,
        ),
    ] = None
    s3_region: Annotated[
        str,
        Setting(Key(), "the region of the S3 access key", variable="LORA_TUI_S3_REGION"),
    ] = "us-east-1"
    gpu_url: Annotated[
        str | None,
        Setting(Url(), "the GPU worker, for `--harvest`", variable="GPU_CLUSTER_API_URL"),
    ] = None
    gpu_key: Annotated[
        Secret | None,
        Setting(Key(), "the key of the GPU worker", variable="GPU_CLUSTER_API_KEY", secret=True),
    ] = None
    allow_private_urls: Annotated[
        bool,
        Setting(
            Switch(),
            "whether the worker's files may come from a private network (for tests)",
            variable="LORA_TUI_ALLOW_PRIVATE_URLS",
        ),
    ] = False
    downloads: Annotated[
        Path | None,
        Setting(
            Directory(),
            "the directory for adapters",
            label="Downloads",
            hint="where adapters are saved",
            unset="`lora-tui` in your downloads directory",
        ),
    ] = None
    parallel_downloads: Annotated[
        int,
        Setting(
            Number(1, 16),
            "how many files are fetched at once, 1 to 16; with 2 and more, four times as many if"
            " they are small (up to 4 MiB)",
            label="Files at once",
            hint="files at the same time, 1 to 16; more of small ones",
        ),
    ] = PARALLEL_DOWNLOADS
    limit_rate: Annotated[
        float | None,
        Setting(
            Rate(),
            "the most bytes per second, for all downloads together: `800K`, `5M`",
            variable="LORA_TUI_LIMIT_RATE",
            label="Bandwidth",
            hint="for all downloads, like 800K or 5M; empty means no limit",
            unset="no limit",
            flag="--limit-rate",
        ),
    ] = None
    background_harvest: Annotated[
        bool,
        Setting(
            Switch(),
            "whether the application harvests in the background",
            label="Harvest",
            hint="harvest in the background while lora-tui is open",
        ),
    ] = False
    remove_deleted_after: Annotated[
        int | None,
        Setting(
            Number(1, 3_650),
            "days after which the harvest removes the files of deleted models",
            variable="LORA_TUI_REMOVE_DELETED_AFTER",
            unset="never",
            flag="--remove-deleted-after",
        ),
    ] = None
    spool_limit: Annotated[
        float,
        Setting(
            Amount(),
            "the most bytes that the files in hand of all jobs of a harvest have together: `500M`",
            variable="LORA_TUI_SPOOL_LIMIT",
            flag="--spool-limit",
        ),
    ] = SPOOL_LIMIT
    whole_runs: Annotated[
        int,
        Setting(
            Number(10, 1_000_000),
            "of how many runs the cache keeps every point; of older ones it keeps some hundreds",
            label="Whole runs",
            hint="runs whose points are all kept",
        ),
    ] = WHOLE_RUNS
    alert_url: Annotated[
        Secret | None,
        Setting(
            SecretUrl(),
            "the webhook that gets alerts",
            variable="LORA_TUI_ALERT_URL",
            secret=True,
            label="Alert webhook",
            hint="the URL of a webhook that hears of runs; a secret",
            unset="none",
            at_once=True,
        ),
    ] = None
    alert_format: Annotated[
        str | None,
        Setting(
            Choice(("slack", "discord", "plain"), "by the host"),
            "whose JSON the webhook takes: `slack`, `discord`, `plain`; else its host tells",
            variable="LORA_TUI_ALERT_FORMAT",
            label="Alert format",
            hint="whose JSON the webhook takes",
            unset="by the host",
            at_once=True,
        ),
    ] = None
    alert_command: Annotated[
        str | None,
        Setting(
            Kind(),
            "a program that gets each alert as JSON on its stdin",
            variable="LORA_TUI_ALERT_COMMAND",
            label="Alert command",
            hint="a program that gets each alert as JSON on its stdin",
            unset="none",
            at_once=True,
        ),
    ] = None
    alert_sender: Annotated[
        str,
        Setting(
            Choice(ALERT_SENDERS, ""),
            "who sends alerts: the `application` while it is open, or the `harvest` service",
            variable="LORA_TUI_ALERT_SENDER",
            label="Alert sender",
            hint="this application while it is open, or the service",
            at_once=True,
        ),
    ] = "application"
    alert_limit: Annotated[
        int | None,
        Setting(
            Number(1, 10_000_000),
            "US dollars a month; spending beyond them is an alert",
            variable="LORA_TUI_ALERT_LIMIT",
            label="Alert limit",
            hint="US dollars a month; beyond them an alert is sent",
            unset="no limit",
            at_once=True,
        ),
    ] = None
    identity: str = ""
    """What names the project instead of its URL; for the demo, whose port changes."""
    sources: Mapping[str, str] = {}
    """Field → where its value is set, in words for messages."""
    servers: Mapping[str, Any] = {}
    """The tables of its servers, as the file has them: see config/servers.py."""

    @property
    def key(self) -> str:
        """The name of the files that belong to this profile and this project."""
        return project_key(self.name, self.identity or self.url)

    def source(self, field: str) -> str:
        """Where the value of a field is set, in words: "LORA_TUI_EMAIL", "email of profile x"."""
        return self.sources.get(field) or f"{field} of profile {self.name}"

    @property
    def downloads_dir(self) -> Path:
        """The directory for adapters."""
        return self.downloads or self.paths.downloads_dir

    @property
    def view_state_path(self) -> Path:
        """The file of how the application shows its lists; saved views are beside it."""
        return self.paths.state_dir / "views" / f"{self.key}.json"

    def cache_path(self, user_id: str) -> Path:
        """The cache of one user of this project."""
        return self.paths.cache_dir / cache_name(self.key, user_id)

    def marks_path(self, user_id: str) -> Path:
        """The file of the own marks of one user of this project."""
        return self.paths.data_dir / "marks" / marks_name(self.key, user_id)


class Preferences(NamedTuple):
    """How the application looks, sounds and is operated: the rows of [ui]."""

    theme: Annotated[
        str | None,
        Setting(
            Choice(THEME_NAMES, "automatic"),
            f"the colours: {', '.join(f'`{name}`' for name in THEME_NAMES)}",
            label="Colours",
            hint="ansi uses the terminal's 16 colours, mono uses none",
            unset="automatic",
            at_once=True,
        ),
    ] = None
    ascii_only: Annotated[
        bool,
        Setting(
            Switch(),
            "ASCII characters only, for terminals and fonts that lack stars, dots and lines",
            variable="LORA_TUI_ASCII",
            key="ascii",
            label="Only ASCII",
            hint="for terminals and fonts that lack stars, dots and lines",
        ),
    ] = False
    bell: Annotated[
        bool,
        Setting(
            Switch(),
            "a sound when a download has ended",
            label="Bell",
            hint="a sound when a download has ended",
            at_once=True,
        ),
    ] = True
    sync_interval: Annotated[
        float,
        Setting(
            Number(15, 86_400, unit="s"),
            "seconds between two syncs, 15 or more",
            label="Sync every",
            hint="15 seconds or more; less often while offline",
            at_once=True,
        ),
    ] = SYNC_INTERVAL
    live_interval: Annotated[
        float,
        Setting(
            Number(1, 3_600, unit="s"),
            "seconds between two reads of the points of running jobs, 1 or more",
            label="Follow every",
            hint="new points of running jobs; 1 second or more",
            at_once=True,
        ),
    ] = LIVE_INTERVAL
    mouse: Annotated[
        bool,
        Setting(
            Switch(),
            "clicks and the wheel; when off, the terminal selects text",
            label="Mouse",
            hint="off: select text with the mouse as in other programs",
        ),
    ] = True
    terminal_alerts: Annotated[
        str | None,
        Setting(
            Choice(("bell", "osc9", "both"), "off"),
            "how the terminal tells of new notifications: `bell`, `osc9` (a message of the desktop,"
            " where the terminal can), `both`",
            label="Terminal alerts",
            hint="a bell or a message (OSC 9) for new notifications",
            unset="off",
            at_once=True,
        ),
    ] = None
    pager: Annotated[
        str | None,
        Setting(
            Kind(),
            "the program that shows long output of commands; `cat` is none",
            variable="LORA_TUI_PAGER",
            unset="PAGER, else less",
            flag="--no-pager",
        ),
    ] = None
    keys: Mapping[str, str] = {}
    """The actions that were moved to other keys ([keys]): action → keys with commas between."""


class Variables(NamedTuple):
    """What only the environment (or a flag) sets."""

    profile: Annotated[
        str,
        Setting(Kind(), "the profile to use", variable="LORA_TUI_PROFILE", flag="--profile"),
    ] = "default"
    home: Annotated[
        Path | None,
        Setting(
            Directory(),
            "one directory for all files: configuration, cache, sessions, downloads",
            variable=HOME_VARIABLE,
            unset="the directories of your system",
        ),
    ] = None
    no_keyring: Annotated[
        bool,
        Setting(
            Switch(),
            "whether the session is kept in a file although there is a keyring",
            variable="LORA_TUI_NO_KEYRING",
        ),
    ] = False
    no_color: Annotated[
        str,
        Setting(
            Kind(), "no colours, whatever its value is", variable="NO_COLOR", flag="--no-color"
        ),
    ] = ""


def _rows(fields: type[Any], table: str) -> Iterator[Setting]:
    for name, annotation in fields.__annotations__.items():
        for setting in getattr(annotation, "__metadata__", ()):
            setting.table, setting.field = table, name
            setting.key = setting.key or (name if table else "")
            setting.default = fields._field_defaults.get(name)
            yield setting


PROFILE_SETTINGS: Final = tuple(_rows(Profile, PROFILES))
UI_SETTINGS: Final = tuple(_rows(Preferences, UI))
VARIABLES: Final = tuple(_rows(Variables, ""))
SETTINGS: Final = (*PROFILE_SETTINGS, *UI_SETTINGS, *VARIABLES)

_BY_KEY: Final = {setting.key: setting for setting in (*PROFILE_SETTINGS, *UI_SETTINGS)}
KEYS: Final = tuple(sorted(_BY_KEY))
"""All that `config set` can set."""
SECRET_KEYS: Final = frozenset(setting.key for setting in SETTINGS if setting.secret)


def setting_of(key: str) -> Setting:
    """The row of a key in the file. Raises ConfigError where there is none."""
    if key not in _BY_KEY:
        raise ConfigError(
            f"There is no setting named {key!r}", remedy=f"known ones: {', '.join(KEYS)}"
        )
    return _BY_KEY[key]


def variables(environment: Mapping[str, str] = os.environ) -> Variables:
    """What the environment sets. Raises ConfigError."""
    found = {s.field: s.from_environment(environment) for s in VARIABLES}
    return Variables(**{field: value for field, value in found.items() if value is not None})
