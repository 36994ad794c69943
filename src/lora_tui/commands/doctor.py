"""`doctor`: check this machine, the project and the worker, and suggest fixes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

from lora_tui.account import sessions
from lora_tui.commands.context import Context
from lora_tui.commands.prose import label_lines
from lora_tui.commands.style import width_of
from lora_tui.config.paths import find_paths
from lora_tui.config.table import Profile
from lora_tui.doctor import machine
from lora_tui.doctor.alerts import check_alerts
from lora_tui.doctor.findings import Finding, Verdict, attempt, failed, failure, skipped
from lora_tui.errors import (
    AuthenticationError,
    ConfigError,
    ExitCode,
    LoraTuiError,
    NotConfiguredError,
    UnreachableError,
)
from lora_tui.formats import counted

_WIDTH = 26
_START = 8 + 1 + _WIDTH


def doctor(context: Context) -> ExitCode:
    """Print each finding as it comes, or with --json all of them in one document."""
    findings: list[Finding] = []
    for finding in _findings(context):
        findings.append(finding)
        if not context.json:
            _print(context, finding)
    failures = sum(finding.verdict is Verdict.FAILED for finding in findings)
    if context.json:
        context.print_data(
            {
                "ok": not failures,
                "checks": [
                    {
                        "check": finding.check,
                        "verdict": finding.verdict.value,
                        "evidence": finding.evidence,
                        "remedy": finding.remedy,
                    }
                    for finding in findings
                ],
            }
        )
    else:
        warnings = sum(finding.verdict is Verdict.WARNING for finding in findings)
        warned = counted(warnings, "warning")
        context.say(f"{counted(len(findings), 'check')}: {failures} failed, {warned}")
    return ExitCode.PARTLY_FAILED if failures else ExitCode.OK


def _findings(context: Context) -> Iterator[Finding]:
    paths = find_paths(config_file=context.arguments.config)
    profile: Profile | None = None
    missing = "nothing is configured"
    try:
        profile = context.profile
        yield machine.check_config(profile)
    except ConfigError as error:
        if not isinstance(error, NotConfiguredError):
            missing = str(error)
        asked = context.arguments.profile or context.arguments.config
        there = os.path.exists(paths.config_file)  # noqa: PTH110 - False where it can't be seen
        if asked or there or not isinstance(error, NotConfiguredError):
            yield failure("config", error)
        else:
            yield machine.check_unconfigured(paths)
    downloads = profile.downloads_dir if profile else paths.downloads_dir
    yield from machine.check_directories(paths, downloads)
    yield from machine.check_logs(paths.state_dir)
    yield machine.check_terminal(context.out)
    if profile is None:
        for name in ("alerts", "cache", "network", "auth"):
            yield skipped(name, missing)
        return
    yield check_alerts(profile)
    yield from _cache(profile)
    if context.arguments.offline:
        yield skipped("network", "--offline was given", "leave out --offline")
        return
    try:
        context.require_network()
    except UnreachableError as error:  # the demo is not running
        yield failure("network", error)
        return
    yield from _project(profile)


def _cache(profile: Profile) -> Iterator[Finding]:
    try:
        signed_in = sessions.account_of(profile)
        if sessions.is_damaged(profile):
            yield failed(
                "session",
                f"the stored session of profile {profile.name} is damaged",
                "run `lora-tui login`, which replaces it, or `lora-tui logout`",
            )
    except LoraTuiError as error:
        yield failure("session", error)
        signed_in = None
    if signed_in is None:
        yield skipped("cache", "nobody is signed in, and each user has a separate cache")
        return
    path = profile.cache_path(signed_in.user_id)
    found = attempt("cache", lambda: machine.check_cache(path))
    yield found
    if found.verdict is Verdict.OK:
        yield from machine.check_rows(path)


def _project(profile: Profile) -> Iterator[Finding]:
    from lora_tui.account.login import session_auth
    from lora_tui.doctor import large_files, project, rls_checks
    from lora_tui.doctor.project import ProjectView
    from lora_tui.gateway.auth import KeyAuth

    reached = True
    for finding in project.check_network(profile):
        reached = reached and not (finding.check == "network" and finding.verdict is Verdict.FAILED)
        yield finding
    if reached:
        with ExitStack() as stack:
            service = None
            if profile.service_key is not None:
                service = stack.enter_context(
                    ProjectView(profile.url, KeyAuth(profile.service_key))
                )
            accepted = attempt("service key", lambda: project.check_service_key(service))
            if accepted.verdict is not Verdict.OK:
                service = None
            public = stack.enter_context(ProjectView(profile.url, KeyAuth(profile.anon_key)))
            try:
                auth = session_auth(profile)
                signed_in = project.check_account(profile, auth)
            except AuthenticationError as error:
                yield failed("auth", str(error), error.remedy or "run `lora-tui login`")
                yield from rls_checks.check_without_session(public)
            except LoraTuiError as error:
                yield failure("auth", error)
            else:
                yield signed_in
                user = stack.enter_context(ProjectView(profile.url, auth))
                user_id = auth.session.user_id
                yield from project.check_tables(user, user_id)
                yield from rls_checks.check_rls(user, public, service, user_id)
            yield accepted
            yield attempt("bucket", lambda: project.check_bucket(profile))
            yield from large_files.check_large_files(profile)
    yield attempt(
        "worker",
        lambda: project.check_worker(profile),
        "check that GPU_CLUSTER_API_URL and GPU_CLUSTER_API_KEY belong to the same endpoint",
    )


def _print(context: Context, finding: Finding) -> None:
    verdict = finding.verdict.value
    if finding.verdict is Verdict.FAILED:
        verdict = verdict.upper()
    width, start = width_of(context), f"{verdict:<8} {finding.check:<{_WIDTH}}"
    lines = label_lines(start, finding.evidence, width, start=_START)
    if finding.remedy and finding.verdict is not Verdict.OK:
        lines += label_lines("", f"-> {finding.remedy}", width, start=_START)
    context.out.writelines(f"{line}\n" for line in lines)
    context.out.flush()
