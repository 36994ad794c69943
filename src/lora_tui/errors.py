"""The error family: errors that a user can act on.

Each error is one plain sentence, an optional detail, a one-line remedy, and the exit code that the
command line ends with (docs/architecture.md, "Exit codes").
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the commands."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTHENTICATION = 4
    UNREACHABLE = 5
    INTEGRITY = 6
    PARTLY_FAILED = 7
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class LoraTuiError(Exception):
    """The root of the family. `str(error)` is the sentence shown to the user."""

    exit_code: ExitCode = ExitCode.UNEXPECTED
    default_remedy: str | None = None

    def __init__(
        self, message: str, *, details: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.details = details
        self.remedy = remedy if remedy is not None else self.default_remedy


class UsageError(LoraTuiError):
    """The command line or the configuration is invalid."""

    exit_code = ExitCode.USAGE


class ConditionError(UsageError):
    """A condition can't be understood; it points at the word."""

    def __init__(
        self,
        message: str,
        *,
        condition: str = "",
        span: tuple[int, int] = (0, 0),
        details: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, details=details, remedy=remedy)
        self.condition = condition
        self.span = span
        """Where the word begins and ends in the condition, in characters from 0."""


def missing_extra(what: str, package: str, extra: str) -> UsageError:
    """The error for a part of lora-tui whose `package` is not installed."""
    return UsageError(
        f"{what} needs the package {package}",
        remedy=f"in the checkout, run `pip install '.[{extra}]'`,"
        f" or with pipx `pipx install --force '.[{extra}]'`",
    )


class ConfigError(UsageError):
    """The configuration is missing, unreadable or contradicts itself."""

    default_remedy = "run `lora-tui config path` to see which file is read"


class NotConfiguredError(ConfigError):
    """There is no configuration at all: the first run."""


class IncompleteConfigError(ConfigError):
    """A profile lacks a value that every profile needs, such as its key."""


class NotFoundError(LoraTuiError):
    """It does not exist or belongs to somebody else; the two are not distinguished."""

    exit_code = ExitCode.NOT_FOUND


class DeniedError(NotFoundError):
    """The backend understood, and refused (403, or a row-level security policy)."""


class HiddenFilesError(NotFoundError):
    """The bucket shows a user none of their own files: our migration was not applied."""

    default_remedy = (
        "ask the project's administrator to apply the SQL that `lora-tui schema` prints;"
        " `lora-tui doctor` checks whether it was applied"
    )


class NotMigratedError(DeniedError):
    """The project does not allow it, because our migration was not applied."""

    default_remedy = (
        "ask the project's administrator to apply the SQL that `lora-tui schema` prints;"
        " `lora-tui doctor` checks whether it was applied"
    )


class AuthenticationError(LoraTuiError):
    """Wrong credentials, no session, or a session that ended."""

    exit_code = ExitCode.AUTHENTICATION
    default_remedy = "run `lora-tui login`"


class NotSignedInError(AuthenticationError):
    """There is no session that can be used: none is stored, or it is damaged or out of reach."""


class WrongPasswordError(AuthenticationError):
    """The auth service knows no account with this e-mail address and password."""


class SessionEndedError(AuthenticationError):
    """The auth service has refused to renew the session."""


class UnreachableError(LoraTuiError):
    """No answer: DNS, connection, TLS, time-out, or 5xx after all the retries."""

    exit_code = ExitCode.UNREACHABLE
    default_remedy = "check the network; the cache still answers with `--offline`"


class InterceptedError(UnreachableError):
    """A proxy, a CDN or a login page answered in place of the service."""

    default_remedy = (
        "try again later; if it persists, check the configured URL, and whether a proxy, a firewall"
        " or the login page of a network is in between"
    )


class QueryTimeoutError(UnreachableError):
    """The database cancelled a query that took too long (57014)."""

    default_remedy = (
        "try again in a few minutes, when the database is less busy; the indexes of"
        " `lora-tui schema` make its queries faster"
    )


class BackendError(LoraTuiError):
    """The backend sent an unusable response (a 4xx, malformed JSON)."""


class TooLargeAnswerError(BackendError):
    """A response has too many bytes; fewer rows at once may help."""


class ConflictError(BackendError):
    """A unique constraint refused the row, or the object is already there."""


class MissingReferenceError(BackendError):
    """A row that this one refers to does not exist, or was deleted meanwhile (23503)."""


class TooLargeError(BackendError):
    """A file is larger than the bucket or the project allows."""

    default_remedy = "raise the limit in the project's storage settings"


class ExpiredLinkError(BackendError):
    """A signed URL has expired; ask for a new one."""


class IntegrityError(LoraTuiError):
    """Bytes differ from what was announced."""

    exit_code = ExitCode.INTEGRITY
    default_remedy = "download it again; if it fails again, the stored artifact is damaged"


class CacheError(LoraTuiError):
    """The local cache can't be opened, read or written."""

    default_remedy = "run `lora-tui cache clear`; it is rebuilt by the next sync"


class DamagedCacheError(CacheError):
    """The cache file is damaged; it is renamed and replaced by a new one."""


class DiskError(LoraTuiError):
    """The local file system refuses: full, read-only, or not permitted."""


class InUseError(LoraTuiError):
    """Another process keeps it; the details name the process."""

    default_remedy = "wait for the other process, or end it"


class LoadedError(InUseError):
    """A server has the files loaded and may read them again; they must not be changed."""

    exit_code = ExitCode.USAGE
    default_remedy = "unload it from the server first"


class CancelledError(LoraTuiError):
    """The user stopped the transfer; the `.part` file stays for a resume."""


class EngineEndedError(LoraTuiError):
    """The engine has ended, or can't be understood; what was asked of it may have happened."""

    default_remedy = "try again; `lora-tui doctor` names its log file"


class UpgradedError(LoraTuiError):
    """Another version of lora-tui was installed while this one is open."""

    default_remedy = "quit, and start lora-tui again"


class HangupError(LoraTuiError):
    """SIGHUP has ended the application, or its terminal is gone."""

    exit_code = ExitCode.HANGUP


class TerminatedError(LoraTuiError):
    """SIGTERM has ended the application. For SIGINT there is Python's own KeyboardInterrupt."""

    exit_code = ExitCode.TERMINATED


class PartlyFailedError(LoraTuiError):
    """A part failed; the message counts both parts."""

    exit_code = ExitCode.PARTLY_FAILED


def kind_name(error: LoraTuiError) -> str:
    """The name of the error's kind; of one of another module, that of the nearest kind here."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == __name__)


def error_of_kind(name: str | None, message: str, *, details: str | None = None) -> LoraTuiError:
    """The error of the kind with this name; a name that is not known here is a LoraTuiError."""
    kind = globals().get(name or "")
    if not (isinstance(kind, type) and issubclass(kind, LoraTuiError)):
        kind = LoraTuiError
    return kind(message, details=details)


def unexpected_error(
    error: BaseException, *, place: str | None = None, remedy: str = "please report this"
) -> LoraTuiError:
    """The error that is shown for one that nobody foresaw; `place`: where it was raised.

    The text of `error` is left out: it may hold a secret.
    """
    return LoraTuiError(
        f"Something unexpected happened: {type(error).__name__}", details=place, remedy=remedy
    )


def ending_error() -> UnreachableError:
    """The error of what is asked for while the application ends."""
    return UnreachableError("The application is ending")


def offline_error(remedy: str = "start without --offline") -> UnreachableError:
    """The error of what needs the network while --offline was given."""
    return UnreachableError("This needs the network, and --offline was given", remedy=remedy)


def not_enough_space(
    needed: int, free: int, directory: object, *, margin: int, instead: str
) -> DiskError:
    """The error where there is no room for `needed` bytes and a margin that must stay free."""
    with_margin = f", incl. a margin of {margin:,} that stays free" if margin else ""
    return DiskError(
        "There is not enough space on the disk",
        details=f"{needed + margin:,} bytes are needed{with_margin};"
        f" {free:,} are free in {directory}",
        remedy=f"free some space, or {instead}",
    )
