"""From examples to finished shards: plan, run, write, publish."""
