"""Checks every record of a dataset, or of older raw files.

from imagenet_val_tfrec import verify

report = verify.verify('data/imagenet_val_tfrec/imagenet2012/1.0.0')
for finding in report.findings:
print(finding)
"""

from imagenet_val_tfrec.verify.check_records import Finding
from imagenet_val_tfrec.verify.report import Report, verify

__all__ = ['Finding', 'Report', 'verify']
