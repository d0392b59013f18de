import json
import re
import subprocess
import sys

import pytest

from worker.log import CONTROLS, drop_private

SCRIPT = """
import logging, sys
from worker import log
log.setup("INFO", sys.argv[1])
log.get("x").info("delivery.booked", order_id="2011", token="s3cret", phone="+4551234567")
log.get("x").debug("never.seen")
logging.getLogger("library").warning("said %s", "this", extra={"Authorization": "s3cret"})
logging.getLogger("httpx").info("never seen")
try:
    address = "s3cret Street 1"
    raise ValueError("broken")
except ValueError:
    log.get("x").exception("task.failed")
"""


@pytest.mark.quirk("X-15")
@pytest.mark.parametrize("name", ["token", "Token", "X-DV-Auth-Token", "password", "Phone", "body", "headers"])
def test_private_keys_are_dropped_by_name(name: str) -> None:
    event = {"event": "x", name: "s3cret", "order_id": "2011"}
    assert drop_private(None, "info", event) == {"event": "x", name: "<dropped>", "order_id": "2011"}


def written(form: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, form], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.quirk("X-15")
def test_a_json_log_has_one_line_for_each_event_and_no_secret() -> None:
    lines = [json.loads(line) for line in written("json").splitlines()]
    stamps = [line.pop("timestamp") for line in lines]
    trace = lines[2].pop("exception")
    assert [stamp[-1] for stamp in stamps] == ["Z"] * 3
    assert (trace.splitlines()[-1], "s3cret" in trace) == ("ValueError: broken", False)
    assert lines == [
        {"event": "delivery.booked", "level": "info", "order_id": "2011", "token": "<dropped>", "phone": "<dropped>"},
        {"event": "said this", "level": "warning", "Authorization": "<dropped>"},
        {"event": "task.failed", "level": "error"},
    ]


def test_a_traceback_on_a_console_shows_no_local_variables() -> None:
    text = written("console")
    assert ("ValueError: broken" in text, "s3cret" in text) == (True, False)


HOSTILE = """
import sys
from worker import log
if sys.argv[1] != "command":
    log.setup("INFO", sys.argv[1])
try:
    raise ValueError("a\\x1b[2Jb")
except ValueError:
    log.get("x").exception("task.failed", text="\\x1b[2J\\u202e\\nforged", texts=["\\x1b", "\\u2066"])
"""


@pytest.mark.fault("F-82")
@pytest.mark.parametrize("form", ["console", "json", "command"])
def test_a_log_line_cannot_control_the_terminal_that_shows_it(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", HOSTILE, form], capture_output=True, text=True, check=True)
    plain = re.sub(r"\x1b\[\d*m", "", done.stderr)  # the colours are ours
    assert CONTROLS.findall(plain.replace("\n", "")) == []
    assert "forged" not in [line[:6] for line in plain.splitlines()]
    assert r"\u001b[2J\u202e" in plain


def test_a_command_writes_its_logs_to_standard_error_and_without_secrets() -> None:
    script = SCRIPT.replace('log.setup("INFO", sys.argv[1])', 'print("the output")')
    done = subprocess.run([sys.executable, "-c", script, ""], capture_output=True, text=True, check=True)
    assert done.stdout == "the output\n"
    assert "delivery.booked" in done.stderr
    assert "ValueError: broken" in done.stderr
    assert "s3cret" not in done.stderr
