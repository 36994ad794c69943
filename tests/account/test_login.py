"""One account is in force for every command, and signing out ends that account's session only."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from lora_tui import clock
from lora_tui.account import login, sessions
from lora_tui.account.login import Login
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.engine.requests import Requests
from lora_tui.errors import AuthenticationError, UnreachableError, UsageError
from lora_tui.gateway import auth
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.conftest import Run
from tests.front import Front
from tests.push.adapter import write_adapter


def use(
    account: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, *, password: bool = True
) -> None:
    """Name Alice (the sandbox's user) or Bob (its other user) in the environment, or nobody."""
    for name in ("LORA_TUI_EMAIL", "LORA_TUI_PASSWORD", "LORA_TUI_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if account == "nobody":
        return
    email, secret = credentials(account, sandbox)
    monkeypatch.setenv("LORA_TUI_EMAIL", email)
    if password:
        monkeypatch.setenv("LORA_TUI_PASSWORD", secret)


def credentials(account: str, sandbox: Sandbox) -> tuple[str, str]:
    return {
        "alice": (sandbox.email, sandbox.password),
        "bob": (sandbox.other_email, sandbox.other_password),
    }[account]


def token_of(account: str, sandbox: Sandbox) -> str:
    """An access token that was made elsewhere."""
    email, password = credentials(account, sandbox)
    answer = httpx.post(
        f"{sandbox.url}/auth/v1/token",
        params={"grant_type": "password"},
        headers={"apikey": sandbox.anon_key},
        json={"email": email, "password": password},
    ).raise_for_status()
    return str(answer.json()["access_token"])


def sign_ins(sandbox: Sandbox) -> int:
    """How many times a password was sent since the requests were last forgotten."""
    return sum("grant_type=password" in str(one["query"]) for one in sandbox.requests())


def stored(home: Path) -> list[dict[str, str]]:
    files = sorted((home / "state" / "sessions").glob("*.json"))
    return [json.loads(file.read_text()) for file in files]


@pytest.fixture
def alice_stored_and_bob_by_token(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> Sandbox:
    assert run("sync").code == 0
    use("nobody", configured, monkeypatch)
    monkeypatch.setenv("LORA_TUI_ACCESS_TOKEN", token_of("bob", configured))
    return configured


@pytest.mark.usefixtures("alice_stored_and_bob_by_token")
@pytest.mark.parametrize("words", [(), ("--clear-cache",), ("--offline",)])
def test_logout_with_an_access_token_deletes_nobody_s_session(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    before, caches = stored(home), list(home.rglob("*.sqlite3"))
    ran = run("logout", *words)
    assert ran.code == 4
    assert "LORA_TUI_ACCESS_TOKEN" in ran.err
    assert ran.err.count("\n") == 1
    assert stored(home) == before
    assert list(home.rglob("*.sqlite3")) == caches
    assert run("whoami").out == "test-two@example.test\n" or "@" in run("whoami").out
    monkeypatch.delenv("LORA_TUI_ACCESS_TOKEN")
    assert run("sync").code == 0  # the stored session still works


def test_signing_out_in_the_application_with_an_access_token_ends_no_session(
    alice_stored_and_bob_by_token: Sandbox, home: Path
) -> None:
    before = stored(home)
    with pytest.raises(AuthenticationError, match="LORA_TUI_ACCESS_TOKEN"):
        login.sign_out(load_profile())
    assert stored(home) == before
    assert token_works(alice_stored_and_bob_by_token)


def token_works(sandbox: Sandbox) -> bool:
    token = load_profile().access_token
    assert token is not None
    headers = {"apikey": sandbox.anon_key, "Authorization": f"Bearer {token.reveal()}"}
    return httpx.get(f"{sandbox.url}/auth/v1/user", headers=headers).status_code == 200


def test_login_with_an_access_token_replaces_nobody_s_session(
    alice_stored_and_bob_by_token: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(home)
    monkeypatch.setenv("LORA_TUI_EMAIL", alice_stored_and_bob_by_token.other_email)
    monkeypatch.setenv("LORA_TUI_PASSWORD", alice_stored_and_bob_by_token.other_password)
    ran = run("login")
    assert ran.code == 4
    assert "LORA_TUI_ACCESS_TOKEN" in ran.err
    assert stored(home) == before


def test_whoami_and_doctor_name_the_account_of_the_access_token(
    alice_stored_and_bob_by_token: Sandbox, run: Run, home: Path
) -> None:
    before, bob = stored(home), alice_stored_and_bob_by_token.other_email
    assert run("whoami").out == f"{bob}\n"
    found = {c["check"]: c for c in run("doctor", "--json").data["checks"]}
    assert found["auth"]["evidence"] == f"signed in as {bob}; the session is given"
    assert "session" not in found
    assert stored(home) == before


CACHED: dict[str, Callable[[str], tuple[str, ...]]] = {
    "list": lambda model: ("list", "--json"),
    "list with a filter": lambda model: ("list", "--min-stars", "1", "--json"),
    "show": lambda model: ("show", model, "--json"),
    "report": lambda model: ("report", model),
    "compare": lambda model: ("compare", model, model[:-1] + model[-1], "--json"),
    "library": lambda model: ("library", "--json"),
    "verify": lambda model: ("verify",),
    "serve-config": lambda model: ("serve-config", model, "--for", "peft"),
    "cache": lambda model: ("cache", "info", "--json"),
}


@pytest.mark.parametrize("source", ["environment", "file of a secret", "profile"])
def test_email_and_password_serve_every_command_that_reads_the_cache(
    configured: Sandbox,
    run: Run,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    name_account(source, configured, tmp_path, monkeypatch, run)
    assert run("sync").code == 0
    models = run("list", "--json").data["models"]
    assert len(models) == 6
    for file in (home / "state" / "sessions").glob("*.json"):
        file.unlink()  # as on a machine whose state is not kept, or after `logout --keep-cache`
    configured.stop()
    for command, words in CACHED.items():
        if command == "compare":
            ran = run("compare", models[0]["id"], models[1]["id"], "--json")
        else:
            ran = run(*words(models[0]["id"]))
        assert ran.code == 0, (command, ran)
    assert not stored(home)


def name_account(
    source: str,
    sandbox: Sandbox,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
) -> None:
    if source == "environment":
        return
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    if source == "profile":
        monkeypatch.delenv("LORA_TUI_EMAIL")
        assert run("config", "set", "email", sandbox.email).code == 0
        assert run("config", "set", "password", sandbox.password).code == 0
    else:
        file = directory / "password"
        file.write_text(f"{sandbox.password}\n")
        monkeypatch.setenv("LORA_TUI_PASSWORD_FILE", str(file))


def test_commands_that_need_the_network_sign_in_once_and_share_the_session(
    configured: Sandbox, run: Run, tmp_path: Path, adapter: Path
) -> None:
    configured.forget_requests()
    ran = run("push", str(adapter), "--dry-run")
    assert "Nobody is signed in" not in ran.err
    assert run("whoami").out == f"{configured.email}\n"
    assert run("sync").code == 0
    model = run("list", "--json").data["models"][0]["id"]
    assert run("urls", model).code in (0, 7)
    assert run("inspect", model).code in (0, 3, 6)
    assert run("doctor").code in (0, 7)
    assert sign_ins(configured) == 1


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an adapter; it is the working directory."""
    directory = write_adapter(tmp_path / "adapter")
    monkeypatch.chdir(directory)
    return directory


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize("words", [("whoami",), ("push", "."), ("sync",), ("whoami", "--json")])
def test_the_first_command_signs_in_whatever_it_is(
    configured: Sandbox, run: Run, words: tuple[str, ...], home: Path
) -> None:
    ran = run(*words)
    assert ran.code != 4, ran
    assert [session["email"] for session in stored(home)] == [configured.email]


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize("words", [("whoami",), ("push", "."), ("sync",), ("serve",)])
def test_a_wrong_password_is_exit_code_4_everywhere(
    configured: Sandbox, run: Run, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_PASSWORD", "wr0ng-and-secret")
    ran = run(*words)
    assert ran.code == 4
    assert "Wrong e-mail address or password" in ran.err
    assert "wr0ng-and-secret" not in ran.err


def test_offline_nobody_is_signed_in_where_no_cache_is_known(configured: Sandbox, run: Run) -> None:
    before = len(configured.requests())
    for words in (("list",), ("--offline", "whoami"), ("show", "x")):
        ran = run(*words)
        assert ran.code == 4
        assert "lora-tui sync" in ran.err
    assert len(configured.requests()) == before


def test_another_e_mail_does_not_use_the_stored_session_and_does_not_replace_it(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = configured.email, configured.other_email
    use("alice", configured, monkeypatch)
    assert run("login").code == 0
    assert run("sync").code == 0
    before = stored(home)
    use("bob", configured, monkeypatch)
    assert run("list").code == 4
    configured.forget_requests()
    for _ in range(2):
        assert run("sync").code == 0
        assert run("whoami").out == f"{bob}\n"
        assert len(run("list", "--json").data["models"]) == 3
    assert sign_ins(configured) == 1
    assert sorted(session["email"] for session in stored(home)) == sorted([alice, bob])
    assert before[0] in stored(home)
    use("nobody", configured, monkeypatch)
    assert run("whoami").out == f"{alice}\n"
    assert len(run("list", "--json").data["models"]) == 6


def test_logout_ends_the_session_of_the_account_in_force_alone(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("login").code == 0
    use("bob", configured, monkeypatch)
    assert run("sync").code == 0
    ran = run("logout", "--clear-cache")
    assert ran.code == 0
    assert "LORA_TUI_PASSWORD" in ran.err  # the next command signs in again
    assert [session["email"] for session in stored(home)] == [configured.email]
    assert run("logout").code == 4
    use("nobody", configured, monkeypatch)
    assert run("sync").code == 0


def test_logout_without_a_session_says_so_and_still_clears_the_cache_of_the_account(
    configured: Sandbox, run: Run, home: Path
) -> None:
    assert run("sync").code == 0
    assert run("logout", "--keep-cache").code == 0
    ran = run("logout")
    assert ran.code == 4
    assert "Nobody is signed in" in ran.err
    assert "no cache" not in ran.err
    assert run("list").code == 0
    ran = run("logout", "--clear-cache", "--json")
    assert ran.code == 0
    assert ran.data["cache_removed"] is True
    assert not list(home.rglob("*.sqlite3"))
    ran = run("logout", "--clear-cache")
    assert ran.code == 4
    assert "Nobody is signed in" in ran.err


def test_logout_without_a_session_of_this_account_names_the_other_one_and_leaves_it(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("login").code == 0
    use("bob", configured, monkeypatch)
    assert run("sync").code == 0
    assert run("logout", "--keep-cache").code == 0
    before = stored(home)
    ran = run("logout")
    assert ran.code == 4
    assert configured.email in ran.err
    ran = run("logout", "--clear-cache")
    assert ran.code == 0
    assert configured.email in ran.err
    assert "The cache was removed" in ran.err
    assert stored(home) == before


@pytest.mark.parametrize("as_file", [False, True])
def test_a_refused_access_token_of_the_configuration_names_where_it_is_set(
    configured: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_file: bool
) -> None:
    use("nobody", configured, monkeypatch)
    head, _, tail = token_of("alice", configured).rpartition(".")
    refused = f"{head}.{tail[::-1]}"
    for token in (refused, "not.a.token"):
        if as_file:
            (tmp_path / "token").write_text(token)
            monkeypatch.setenv("LORA_TUI_ACCESS_TOKEN_FILE", str(tmp_path / "token"))
        else:
            monkeypatch.setenv("LORA_TUI_ACCESS_TOKEN", token)
        ran = run("sync")
        assert ran.code == 4
        assert "LORA_TUI_ACCESS_TOKEN" in ran.err
        assert (str(tmp_path / "token") in ran.err) is as_file
        assert "remove it and run `lora-tui login`" in ran.err


def test_an_e_mail_alone_that_differs_says_whose_session_is_stored(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    use("bob", configured, monkeypatch, password=False)
    for command in ("list", "whoami", "sync"):
        ran = run(command)
        assert ran.code == 4, command
        assert configured.email in ran.err
        assert configured.other_email in ran.err
        assert "lora-tui login" in ran.err


def test_the_case_of_an_e_mail_makes_no_difference(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    monkeypatch.setenv("LORA_TUI_EMAIL", configured.email.upper())
    configured.forget_requests()
    assert run("sync").code == 0
    assert run("list").code == 0
    assert sign_ins(configured) == 0


def test_login_as_another_than_the_configured_account_says_so(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_PASSWORD", configured.other_password)
    ran = run("login", "--email", configured.other_email)
    assert ran.code == 0
    assert configured.email in ran.err
    assert [session["email"] for session in stored(home)] == [configured.other_email]


def test_login_replaces_the_session_that_the_configured_account_had_of_its_own(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("login").code == 0
    use("bob", configured, monkeypatch)
    assert run("sync").code == 0
    assert len(stored(home)) == 2
    assert run("login").code == 0
    assert [session["email"] for session in stored(home)] == [configured.other_email]


def test_the_writers_of_the_application_sign_in_the_same_way(
    profile: Profile, configured: Sandbox
) -> None:
    session = login.sign_in(profile)
    assert login.sign_in(profile) == session
    assert sign_ins(configured) == 1
    assert sessions.signed_in(profile) == sessions.SignedIn(session.user_id, configured.email)


def test_a_session_that_was_ended_elsewhere_is_replaced_with_the_configured_password(
    configured: Sandbox, run: Run, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    end_elsewhere(profile, configured)
    configured.forget_requests()
    assert run("sync").code == 0
    assert run("sync").code == 0
    assert sign_ins(configured) == 1
    monkeypatch.setenv("LORA_TUI_PASSWORD", "wr0ng")
    end_elsewhere(profile, configured)
    ran = run("sync")
    assert (ran.code, "Wrong e-mail address or password" in ran.err) == (4, True)
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    ran = run("sync")
    assert (ran.code, "The session has ended" in ran.err) == (4, True)


def end_elsewhere(profile: Profile, sandbox: Sandbox) -> None:
    """End the stored session at the backend, and let its access token expire here."""
    session = sessions.load_session(profile)
    assert session is not None
    auth.sign_out(sandbox.url, sandbox.anon_key, session)
    sessions.save_session(profile, session._replace(expires_at=clock.now()))


def test_an_account_that_the_backend_gives_another_address_is_found_by_the_configured_one(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(path: str, body: bytes) -> bytes:
        is_login = path.startswith("/auth/v1/token")
        return body.replace(configured.email.encode(), b"new@name.example") if is_login else body

    with Front(configured.url, rewrite=rename) as front:
        monkeypatch.setenv("SUPABASE_URL", front.url)
        configured.forget_requests()
        assert run("sync").code == 0
        assert run("sync").code == 0
        assert sign_ins(configured) == 1
        assert run("whoami").out == f"{configured.email}\n"
        assert len(run("list", "--json").data["models"]) == 6
        for file in (home / "state" / "sessions").glob("*.json"):
            file.unlink()
        assert len(run("list", "--json").data["models"]) == 6


@pytest.mark.usefixtures("alice_stored_and_bob_by_token")
def test_a_form_signs_in_nobody_while_an_access_token_is_configured(
    configured: Sandbox, home: Path
) -> None:
    before, token = stored(home), load_profile().access_token
    assert token is not None
    form = Login(load_profile())
    with pytest.raises(AuthenticationError, match="LORA_TUI_ACCESS_TOKEN"):
        form.with_password(configured.other_email, Secret(configured.other_password))
    with pytest.raises(AuthenticationError, match="LORA_TUI_ACCESS_TOKEN"):
        form.with_token(token)
    assert stored(home) == before


def test_a_form_signs_in_only_the_account_whose_models_are_shown(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    use("nobody", configured, monkeypatch)
    before = stored(home)
    with pytest.raises(AuthenticationError, match="whose models are shown"):
        Login(load_profile()).with_password(
            configured.other_email, Secret(configured.other_password)
        )
    assert stored(home) == before


def test_a_form_signs_in_only_the_account_whose_models_are_shown_where_its_session_is_lost_too(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    use("nobody", configured, monkeypatch)
    profile = load_profile()
    account = sessions.signed_in(profile)
    assert account is not None
    sessions.delete_session(profile)
    owner = sessions.cache_owner(profile, account.user_id)
    requests = Requests(profile.paths, profile, owner, connect=None, tell=lambda *_: None)
    email, password = configured.other_email, configured.other_password
    with pytest.raises(AuthenticationError, match="whose models are shown"):
        requests.sign_in(email=email, password=password, token="")
    assert stored(home) == []
    requests.sign_in(email=configured.email, password=configured.password, token="")
    assert len(stored(home)) == 1


def test_a_form_signs_in_only_the_account_that_the_configuration_names(
    configured: Sandbox, home: Path
) -> None:
    with pytest.raises(AuthenticationError, match=f"than {configured.email}, which"):
        Login(load_profile()).with_password(
            configured.other_email, Secret(configured.other_password)
        )
    assert not stored(home)


def test_two_that_sign_in_at_once_send_the_password_once(
    profile: Profile, configured: Sandbox
) -> None:
    configured.faults(path="/auth/v1/token", latency=0.3)
    with ThreadPoolExecutor() as threads:
        first, second = threads.map(login.sign_in, [profile, profile])
    assert first == second
    assert sign_ins(configured) == 1


def test_a_renewed_session_does_not_replace_that_of_another_account(
    configured: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use("nobody", configured, monkeypatch)
    profile = load_profile()
    alice, bob = (
        login.new_session(profile, email, Secret(password))
        for email, password in (credentials("alice", configured), credentials("bob", configured))
    )
    sessions.save_session(profile, alice._replace(expires_at=clock.now()))
    of_alice = login.session_auth(profile)
    sessions.save_session(profile, bob)
    headers = {"apikey": configured.anon_key}
    user = httpx.get(f"{configured.url}/auth/v1/user", auth=of_alice, headers=headers).json()
    assert user["email"] == configured.email
    assert [session["email"] for session in stored(home)] == [configured.other_email]


@pytest.mark.parametrize("words", [("logout",), ("logout", "--offline")])
def test_logout_ends_the_session_at_the_backend_unless_it_is_offline(
    configured: Sandbox, run: Run, profile: Profile, words: tuple[str, ...]
) -> None:
    assert run("login").code == 0
    session = sessions.load_session(profile)
    assert session is not None
    assert run(*words).code == 0
    renewal = httpx.post(
        f"{configured.url}/auth/v1/token",
        params={"grant_type": "refresh_token"},
        headers={"apikey": configured.anon_key},
        json={"refresh_token": session.refresh_token.reveal()},
    )
    assert renewal.is_success is ("--offline" in words)


def test_signing_out_ends_no_session_of_another_account_that_signed_in_meanwhile(
    configured: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use("nobody", configured, monkeypatch)
    profile = load_profile()
    alice = login.new_session(profile, configured.email, Secret(configured.password))
    owner = sessions.cache_owner(profile, alice.user_id)
    bob = login.new_session(profile, configured.other_email, Secret(configured.other_password))
    sessions.save_session(profile, bob)
    before = stored(home)
    shows_alice = Requests(profile.paths, profile, owner, connect=None, tell=lambda *_: None)
    with pytest.raises(UsageError, match="Another account has signed in"):
        shows_alice.call("sign_out", {})
    token = {"email": "", "password": "", "token": token_of("alice", configured)}
    with pytest.raises(UsageError, match="Another account has signed in"):
        shows_alice.call("sign_in", token)  # it would be stored, and never used
    assert stored(home) == before


def test_signing_out_removes_the_session_before_the_backend_is_told(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend may take its time, and the user may end the program meanwhile."""
    assert run("sync").code == 0
    profile = load_profile()

    def is_unreachable(*_: object, **__: object) -> None:
        assert stored(home) == []
        raise UnreachableError("Could not sign out: no answer")

    monkeypatch.setattr(auth, "sign_out", is_unreachable)
    requests = Requests(profile.paths, profile, None, connect=None, tell=lambda *_: None)
    assert requests.call("sign_out", {}) == "Could not sign out: no answer"
    assert stored(home) == []
