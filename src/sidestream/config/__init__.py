"""The configuration: `load(path)` gives a `Configuration` or everything that is wrong with the file."""

from sidestream.config.load import Loaded, load, parse
from sidestream.config.model import Configuration
from sidestream.config.problems import ConfigError, Finding, Problem

__all__ = ["ConfigError", "Configuration", "Finding", "Loaded", "Problem", "load", "parse"]
