"""Input pipelines for evaluation and training, at the speed of the decoder."""

from imagenet_val_tfrec.pipeline.datasets import (
  evaluation_dataset,
  training_dataset,
)
from imagenet_val_tfrec.pipeline.preprocessing import preprocess

__all__ = ['evaluation_dataset', 'preprocess', 'training_dataset']
