"""portside.toml as frozen models: a file here per table."""

from portside.config.base import FILE
from portside.config.environment import Environment
from portside.config.judge import Judge
from portside.config.load import GENERATED, load_config, project_root
from portside.config.notify import NOTIFIER_KEYS, NewsKind, Notifier
from portside.config.observe import RECEIVER_KEYS, STACK, Observe, Receiver, Slo
from portside.config.scan import Ignore, Scan, Severity
from portside.config.service import Build, Images, Service
from portside.config.signing import Signing
from portside.config.whole import Config

__all__ = [
    "FILE",
    "GENERATED",
    "NOTIFIER_KEYS",
    "RECEIVER_KEYS",
    "STACK",
    "Build",
    "Config",
    "Environment",
    "Ignore",
    "Images",
    "Judge",
    "NewsKind",
    "Notifier",
    "Observe",
    "Receiver",
    "Scan",
    "Service",
    "Severity",
    "Signing",
    "Slo",
    "load_config",
    "project_root",
]
