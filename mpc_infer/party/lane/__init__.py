"""The worker process of a lane: one link to the same lane of every other party, one session at a time."""
