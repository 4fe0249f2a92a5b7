"""Scores a model on a dataset, as its authors did."""

from imagenet_val_tfrec.evaluation.measures import Evaluation

__all__ = ['Evaluation']
