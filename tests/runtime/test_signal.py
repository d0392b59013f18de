"""What a worker says of itself when it is asked where it is."""

import subprocess
import sys

ASKED = """
import os, signal
from celery import signals
from celery.apps.worker import install_cry_handler
import worker.app
install_cry_handler()
signals.worker_ready.send(sender=None)
def carry(phone):
    os.kill(os.getpid(), signal.SIGUSR1)
carry("+4566112233")
"""


def test_a_signal_shows_where_each_thread_is_and_none_of_its_variables() -> None:
    asked = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert "in carry" in asked.stderr
    assert "66112233" not in asked.stdout + asked.stderr
