"""What makes the shards a TFDS dataset: config, layout, provenance."""
