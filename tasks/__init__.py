"""The imperative shell: one short function for each thing that can be asked of us."""
