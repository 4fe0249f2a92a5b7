"""The version, in one place: packaging reads it without importing the rest."""

__version__ = '1.0.0'
