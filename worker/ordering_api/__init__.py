"""The Ordering platform: its API as a codec, and the policy of what is written back to it. Pure, like a carrier's."""
