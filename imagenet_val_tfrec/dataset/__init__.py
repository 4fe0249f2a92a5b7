"""What makes the shards a TFDS dataset: config, provenance, staging."""
