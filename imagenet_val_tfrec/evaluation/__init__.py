"""Scores a model on a dataset, image by image."""

from imagenet_val_tfrec.evaluation.measures import Evaluation
from imagenet_val_tfrec.evaluation.scoring import evaluate

__all__ = ['Evaluation', 'evaluate']
