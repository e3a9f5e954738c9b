"""portside.toml as frozen models: a file here per table."""

from portside.config.base import FILE
from portside.config.environment import Environment
from portside.config.load import GENERATED, load_config
from portside.config.observe import RECEIVER_KEYS, Observe, Receiver, Slo
from portside.config.service import Build, Images, Service
from portside.config.whole import Config

__all__ = [
    "FILE",
    "GENERATED",
    "RECEIVER_KEYS",
    "Build",
    "Config",
    "Environment",
    "Images",
    "Observe",
    "Receiver",
    "Service",
    "Slo",
    "load_config",
]
