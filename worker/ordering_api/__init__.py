"""The Ordering platform's API as a codec, and the policy of what is written back to it."""
