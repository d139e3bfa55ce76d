"""Sidestream: an open, self-hosted voice-integration gateway."""

from sidestream._media import __version__

__all__ = ["__version__"]
