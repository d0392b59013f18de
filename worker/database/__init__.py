"""All SQL. The database holds the whole state, including the time of every next step.

Every change of a delivery locks its row, decides, and writes the row, its attempts and its events in one commit.
Services decide; this package stores.
"""
