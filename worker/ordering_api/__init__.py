"""The Ordering platform: its API as a codec, and the policy of writing statuses back.

Pure, like a carrier's codec.
"""
