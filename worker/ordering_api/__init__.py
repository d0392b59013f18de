"""The Ordering platform: its API as a codec, and the policy of the statuses to write back.

Pure, like a carrier's codec.
"""
