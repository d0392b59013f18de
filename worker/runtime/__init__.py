"""Additions to the Celery worker: its threads, its watchdog and its broker transport."""
