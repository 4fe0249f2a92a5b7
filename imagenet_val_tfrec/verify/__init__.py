"""Checks every record of a dataset, or of older raw files."""

from imagenet_val_tfrec.verify.check_records import Finding
from imagenet_val_tfrec.verify.report import Report, verify

__all__ = ['Finding', 'Report', 'verify']
