"""All SQL. The database is the truth and the clock.

Every change of a delivery locks its row, decides, and writes the row, its attempts and its events in one commit.
Services decide; this room stores.
"""
