"""The proxy of `docker-compose.yml` accepts its configuration."""

import os
import shutil
import subprocess

import pytest

from tests.house.test_packaging import COMPOSE, ROOT


def test_caddy_accepts_the_configuration_of_the_proxy() -> None:
    program = shutil.which("caddy")
    if program is None and os.environ.get("CI"):
        pytest.fail("caddy was not found (apt-get install caddy)", pytrace=False)
    if program is None:
        pytest.skip("caddy was not found (apt-get install caddy)")
    command = [program, "validate", "--adapter", "caddyfile", "--config", "deploy/Caddyfile"]
    environ = {**os.environ, "DOMAIN": "delivery.example.com"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_proxy_listens_on_every_port_that_its_container_publishes() -> None:
    published = {port.rpartition(":")[2] for port in COMPOSE["services"]["proxy"]["ports"]}
    listening = {port for port in ("8000", "8001") if f"http://:{port} {{" in (ROOT / "deploy/Caddyfile").read_text()}
    assert published == {"80", "443", *listening}
