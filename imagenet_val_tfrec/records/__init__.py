"""One record: the JPEG in it, its five fields, its frame, files of records."""
