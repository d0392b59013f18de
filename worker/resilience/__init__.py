"""Whether an account may be called now: paused or shut out, down, without a thread for it, or over its budget."""
