"""The table of commands: what runs each, its summary, its options, and examples to copy.

Imports only what `list` needs, not even `typing` or `dataclasses` (docs/architecture.md, "Fast
lists, first frame, and `list`").
"""

from __future__ import annotations

from argparse import ArgumentParser

from lora_tui.cli import file_options, options
from lora_tui.cli.command import Command
from lora_tui.cli.keep_commands import KEEP_COMMANDS
from lora_tui.cli.load_commands import LOAD_COMMANDS
from lora_tui.cli.mark_commands import MARK_COMMANDS
from lora_tui.cli.server_commands import SERVER_COMMANDS


def sql_arguments(parser: ArgumentParser) -> None:
    """Add those of `sql`, which no other command loads."""
    from lora_tui.cli.sql_options import sql_options

    sql_options(parser)


def try_arguments(parser: ArgumentParser) -> None:
    """Add those of `try`, which no other command loads."""
    from lora_tui.cli.try_options import try_options

    try_options(parser)


COMMANDS = (
    Command(
        "demo",
        "demo:demo",
        "Try the application on generated data",
        options.demo_options,
        examples=(
            ("demo", "open the application with generated data"),
            ("demo --hostile", "use names that break careless programs"),
            ("demo --serve-only", "run only its backend, for commands in another shell"),
            ("--profile demo list", "list its models, even after it has ended"),
        ),
    ),
    Command(
        "login",
        "account:login",
        "Sign in and store the session",
        options.login_options,
        examples=(
            ("login", "ask for e-mail and password"),
            ("login --email me@example.com --profile work", "sign in to another project"),
        ),
    ),
    Command(
        "logout",
        "account:logout",
        "Sign out and delete the session",
        options.logout_options,
        examples=(("logout --clear-cache", "also remove the cached models"),),
    ),
    Command(
        "whoami",
        "account:whoami",
        "Show who is signed in",
        examples=(("whoami --json", "id, e-mail, profile and project"),),
    ),
    Command(
        "sync",
        "sync:sync_cache",
        "Update the cache",
        options.sync_options,
        examples=(
            ("sync", "fetch what changed since the last sync"),
            ("sync --full", "fetch everything"),
        ),
    ),
    Command(
        "list",
        "list:list_models",
        "List models (from the cache)",
        options.list_options,
        examples=(
            ("list --sort rating --min-stars 4", "the best models"),
            ("list --search support --csv", "a table for a spreadsheet"),
            ("list --where 'rank >= 16 and cost < 2'", "those for which a condition holds"),
            ("list --columns name,rank,learning_rate", "other columns; `help` lists all"),
            ("list --json --limit 100 --page 2", "for a script"),
            ("list --jsonl --limit 1000", "one object per line, for jq"),
            ("list --view best --limit 3", "the first of a saved view"),
            ("list --deleted", "deleted models, which `restore` brings back"),
        ),
    ),
    Command(
        "view",
        "",
        "Save, list or delete views of the list of models",
        examples=(
            ("view save best --sort rating --min-stars 4", "an order and filters under a name"),
            ("view save radiology", "what the application has shown last"),
            ("view list", "the saved views; the first nine have keys in the application"),
            ("view delete best", "remove one"),
        ),
        inner=(
            Command(
                "save",
                "view:save",
                "Save an order and filters under a name, else what the application showed last",
                options.view_save_options,
                examples=(
                    ("view save best --sort rating --min-stars 4", "an order and filters"),
                    ("view save radiology", "what the application has shown last"),
                ),
            ),
            Command(
                "list",
                "view:list_views",
                "List the saved views",
                examples=(("view list", "names, orders and filters"),),
            ),
            Command(
                "delete",
                "view:delete",
                "Delete a view",
                options.view_name_options,
                examples=(("view delete best", "remove this view"),),
            ),
        ),
    ),
    Command(
        "sql",
        "sql:sql",
        "Query models, jobs, metrics and costs in SQL (from the cache)",
        sql_arguments,
        examples=(
            ("sql --schema", "the views and their columns"),
            ("sql 'select name, rank from models order by rank desc'", "a table"),
            ("sql - --csv", "the query is read from stdin, the result is for a spreadsheet"),
        ),
    ),
    Command(
        "costs",
        "costs:show_costs",
        "Show what runs have cost (from the cache)",
        options.costs_options,
        examples=(
            ("costs", "by month, with bars on a terminal"),
            ("costs --by gpu --since 2026-11-01", "what each kind of GPU cost since that day"),
            ("costs --by status", "what failed and cancelled runs cost"),
            ("costs --by dataset --csv", "a table for a spreadsheet"),
        ),
    ),
    Command(
        "show",
        "show:show_model",
        "Show one model (from the cache)",
        options.show_options,
        examples=(("show 3f2a9c1e", "the model with this id in `lora-tui list`"),),
    ),
    Command(
        "jobs",
        "jobs:list_jobs",
        "List training jobs (from the cache)",
        options.jobs_options,
        examples=(
            ("jobs", "all jobs; those that run come first"),
            ("jobs --status failed --since 2026-11-01", "what failed, and why"),
            ("jobs --watch", "follow them; Ctrl+C stops it"),
            ("jobs --status active --watch 5 --json", "each change as one JSON object"),
            ("jobs --columns id,dataset,step,loss,left", "only these columns"),
            ("jobs show b81d4e07", "every fact about one job"),
            ("jobs cancel b81d4e07", "stop a run that costs money for nothing"),
        ),
        inner=(
            Command(
                "show",
                "show_job:show_job",
                "Show one training job (from the cache)",
                options.show_job_options,
                examples=(("jobs show b81d4e07", "the job with this id in `lora-tui jobs`"),),
            ),
            Command(
                "cancel",
                "cancel_job:cancel",
                "Cancel a training job that waits or runs",
                options.show_job_options,
                examples=(("jobs cancel b81d4e07", "stop the job with this id at the GPU worker"),),
            ),
        ),
    ),
    Command(
        "metrics",
        "metrics:metrics",
        "Print every logged metric of a run",
        options.metrics_options,
        examples=(
            ("metrics 3f2a9c1e", "first, last, best, least and greatest of each metric"),
            ("metrics 3f2a9c1e --csv", "every point, for a spreadsheet"),
            ("metrics 3f2a9c1e --jsonl --offline", "every cached point, for jq"),
        ),
    ),
    Command(
        "report",
        "report:report",
        "Write a report on a model, or on several compared (from the cache)",
        options.report_options,
        examples=(
            ("report 3f2a9c1e", "Markdown for GitHub and Slack, on stdout"),
            ("report 3f2a9c1e --output model.html", "one page, with the loss curve"),
            ("report 3f2a9c1e --output m.md --picture m.svg", "Markdown, and the curve as SVG"),
            ("report 3f2a9c1e 77c0d8b4", "what two models differ in, which is better and why"),
        ),
    ),
    Command(
        "compare",
        "compare:compare_models",
        "Compare 2 to 100 models (from the cache)",
        options.compare_options,
        examples=(
            ("compare 3f2a9c1e 77c0d8b4", "two models side by side; more than 6 as a table"),
            ("compare 3f2a9c1e 77c0d8b4 --markdown", "a report for GitHub and Slack"),
        ),
    ),
    Command(
        "leaderboard",
        "leaderboard:show_leaderboard",
        "Show the best models of each dataset and base model (from the cache)",
        options.leaderboard_options,
        examples=(
            ("leaderboard", "the best three of each, and in what the first differs"),
            ("leaderboard --limit 1 --json", "the best of each, for a script"),
            ("leaderboard --where 'cost < 5' --csv", "the best of those, for a spreadsheet"),
        ),
    ),
    *MARK_COMMANDS,
    *KEEP_COMMANDS,
    *LOAD_COMMANDS,
    Command(
        "effect",
        "effect:show_effect",
        "Show what a hyperparameter did over many models (from the cache)",
        options.effect_options,
        examples=(
            ("effect rank best_validation_loss", "a chart, a table by rank, and the correlation"),
            ("effect learning_rate best_validation_loss --by preset", "a letter for each preset"),
            (
                "effect preset cost --where 'created_at >= 2026-11-01'",
                "what each preset cost since that day",
            ),
            ("effect epochs validation_gap --json", "for a script"),
        ),
    ),
    Command(
        "download",
        "download:download_model",
        "Download a model and verify its files",
        file_options.download_options,
        examples=(
            ("download 3f2a9c1e", "all files of a model"),
            ("download 3f2a9c1e adapter_config.json --to .", "one file, into this directory"),
            ("download 3f2a9c1e '*.json'", "the files whose names match a pattern"),
            ("download 3f2a9c1e --limit-rate 5M", "at most 5 MB per second"),
        ),
    ),
    Command(
        "verify",
        "library:verify",
        "Verify downloaded files, byte by byte",
        file_options.verify_options,
        examples=(("verify ./adapters", "checksums and structure of all files in a directory"),),
    ),
    Command(
        "library",
        "library:library",
        "List or remove downloaded adapters",
        file_options.library_options,
        examples=(
            ("library", "the adapters on this disk"),
            ("library remove 3f2a9c1e", "delete the files of one"),
            ("library remove --archived", "delete those of archived models"),
        ),
    ),
    Command(
        "urls",
        "download:print_urls",
        "Print signed URLs, valid for an hour",
        file_options.urls_options,
        examples=(("urls 3f2a9c1e adapter_model.safetensors", "a link for curl or aria2c"),),
    ),
    Command(
        "push",
        "push:push",
        "Upload a locally trained adapter as a model",
        file_options.push_options,
        examples=(
            ("push ./out --dataset 'Customer Support Emails' --dry-run", "check it, send nothing"),
            ("push ./out --dataset 'Customer Support Emails'", "upload it with its metrics"),
            ("push ./out --update", "change the stored model after a correction"),
            (
                "push ./out --job b81d4e07-5b0a-4d6a-8d4c-0a1b2c3d4e5f",
                "upload as the result of this job",
            ),
        ),
    ),
    Command(
        "inspect",
        "inspect:inspect",
        "Show an adapter's metadata from its header",
        file_options.inspect_options,
        examples=(
            ("inspect 3f2a9c1e", "a model in the bucket, without downloading it"),
            ("inspect ./adapter_model.safetensors", "a local file"),
            ("inspect ./my-adapter --json", "a local directory, for a script"),
        ),
    ),
    Command(
        "spectrum",
        "spectrum:spectrum",
        "Analyse an adapter's weights: damage, norms, effective ranks",
        file_options.spectrum_options,
        examples=(
            ("spectrum 3f2a9c1e", "a downloaded model, a line a layer"),
            ("spectrum ./my-adapter --json", "a local directory, every module"),
        ),
    ),
    Command(
        "prove",
        "prove:prove",
        "Show that a server's answers change with an adapter, or why they don't",
        file_options.prove_options,
        examples=(
            ("prove 3f2a9c1e --on gpu-1", "ask built-in prompts with and without it"),
            ("prove @production --on gpu-1 --prompts questions.txt", "ask your own prompts"),
            ("prove 3f2a9c1e --on cpu --as terse", "by the name that the server has for it"),
        ),
    ),
    Command(
        "serve-config",
        "serve_config:serve_config",
        "Print a snippet that loads a model in another program",
        file_options.serve_config_options,
        examples=(
            ("serve-config 3f2a9c1e --for vllm", "a command to paste"),
            ("serve-config 3f2a9c1e --for ollama", "a Modelfile"),
        ),
    ),
    *SERVER_COMMANDS,
    Command(
        "try",
        "try_models:try_models",
        "Ask the base model and adapters of a server the same, side by side",
        try_arguments,
        examples=(
            (
                "try 3f2a9c1e 77c0d8b4 --on gpu --prompt 'What is LoRA?'",
                "two adapters and the base",
            ),
            ("try 3f2a9c1e --on gpu --prompts questions.txt --blind", "names are hidden"),
            ("try @production --on gpu --prompts q.jsonl --transcript q.md", "keep the answers"),
            ("try --tally", "what your blind choices add up to"),
        ),
    ),
    Command(
        "serve",
        "serve:serve",
        "Serve the application to a browser on this machine",
        file_options.serve_options,
        examples=(
            ("serve", "print the link to open; Ctrl+C stops it"),
            ("serve --port 8123 --offline", "another port, and only the cache"),
        ),
    ),
    Command(
        "doctor",
        "doctor:doctor",
        "Check the setup and suggest fixes",
        examples=(
            ("doctor", "exit code 0: no problem, 7 if a check failed"),
            ("doctor --offline", "check only this machine"),
            ("doctor --json", "for a script"),
        ),
    ),
    Command(
        "harvest",
        "",
        "Show what the harvest imports, or retry failed imports",
        examples=(
            ("harvest status", "finished jobs: what waits, is imported, or failed to be"),
            ("harvest retry b81d4e07", "retry one failed import"),
            ("--harvest --once", "harvest: turn completed jobs into models"),
        ),
        inner=(
            Command(
                "status",
                "harvest:status",
                "Show finished jobs: which wait for the import, were imported, or failed to be",
                examples=(("harvest status", "what waits, is imported, or failed to be"),),
            ),
            Command(
                "retry",
                "harvest:retry",
                "Retry failed imports",
                options.retry_options,
                examples=(
                    ("harvest retry b81d4e07", "retry the job with this id in `harvest status`"),
                    ("harvest retry --all", "retry all failed imports"),
                ),
            ),
        ),
    ),
    Command(
        "alerts",
        "",
        "Try the alerts of failed, finished and troubled runs",
        examples=(("alerts test", "send a trial message to the webhook or the command"),),
        inner=(
            Command(
                "test",
                "alerts:test",
                "Send a trial message to the configured webhook or command",
                examples=(
                    ("config set alert_url", "the URL of a webhook, asked for without an echo"),
                    ("alerts test", "send a trial message"),
                ),
            ),
        ),
    ),
    Command(
        "config",
        "config:config",
        "Show or change the configuration",
        options.config_options,
        examples=(
            ("config", "the settings in force, secrets masked"),
            ("config set url https://project.supabase.co", "a setting of the default profile"),
            ("config set service_key - --profile work", "ask for a secret without showing it"),
        ),
    ),
    Command(
        "cache",
        "cache:cache",
        "Show or remove the local cache",
        options.cache_options,
        examples=(
            ("cache", "its path, size and age"),
            ("cache clear", "remove it; the next sync fetches everything"),
        ),
    ),
    Command(
        "schema",
        "scripts:schema",
        "Print the SQL migration for a project",
        examples=(("schema", "SQL to run in the project's SQL editor"),),
    ),
    Command(
        "completion",
        "scripts:print_script",
        "Print a shell completion script",
        options.completion_options,
        examples=(
            ("completion bash", "source <(…) in ~/.bashrc"),
            ("completion zsh", "source <(…) in ~/.zshrc, after compinit"),
            ("completion fish", "> ~/.config/fish/completions/lora-tui.fish"),
        ),
    ),
)
"""In the order of `lora-tui --help`."""
